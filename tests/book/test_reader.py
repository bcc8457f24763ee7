"""Reader notebooks: nothing of MyST is left in them, they run in an empty folder, and what a reader changed stays."""

import re
import subprocess
import sys

import chapters
import nbformat
import pytest
import reader

NAMES = reader.Names(
    numbers={"eq-a": "(2.1)", "thm-a": "Theorem 2.3", "exercise-a": "Exercise 2.1", "fig-a": "Fig. 2.4"},
    titles={"heat": "The heat equation", "glossary": "Glossary"},
    cited={"raissi2019": ("Raissi et al.", "2019"), "kingma2015": ("Kingma and Ba", "2015")},
    references={"heat": ["Somebody. *A title*. 2019."]},
    glued={"heat": {"error": 0.01234, "word": "few"}, "burgers": {"steps": 300}},
)
BUILT = sorted(path.name for path in chapters.notebooks())


def written(source):
    return [text for text, _ in reader.Writer("heat", NAMES).cells(source)]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("By {eq}`eq-a` and {prf:ref}`thm-a`.", "By (2.1) and Theorem 2.3."),
        ("See {numref}`fig-a` and {ref}`the map <fig-a>`.", "See Fig. 2.4 and the map."),
        ("{doc}`heat` or [rod](heat)", "[The heat equation](heat.ipynb) or [rod](heat.ipynb)"),
        ("{doc}`the rod <heat>`", "[the rod](heat.ipynb)"),
        ("the {doc}`glossary`", "the Glossary"),
        ("{term}`loss` and {term}`a jet\n<jet>`", "loss and a jet"),
        ("{cite}`raissi2019,kingma2015`", "(Raissi et al., 2019; Kingma and Ba, 2015)"),
        ("{cite:t}`kingma2015`", "Kingma and Ba (2015)"),
        ("{glue:text}`error:.1%`, {glue:text}`word`, {glue:text}`burgers.ipynb::steps:d`", "1.2\u202f%, few, 300"),
        ("{glue:text}`error:.1e`", "1.2·10⁻²"),
        ("$$\nu = 1\n$$ (eq-a)", "$$\nu = 1\n\\tag{2.1}\n$$"),
        ("[a link](https://example.org)", "[a link](https://example.org)"),
        (":::{prf:proof}\nIt is so.\n:::", "*Proof.*\nIt is so.\n\n∎"),
        (":::{bibliography}\n:filter: docname in docnames\n:::", "- Somebody. *A title*. 2019."),
    ],
)
def test_what_the_page_says_stands_in_the_text(source, plain):
    assert written(source) == [plain]


def test_boxes_have_their_color_and_number():
    (box,) = written(":::{prf:theorem} {cite:t}`kingma2015`\n:label: thm-a\nLet $x$ be.\n:::")
    assert box.startswith('<div class="alert alert-block alert-success">\n\n**Theorem 2.3 (Kingma and Ba (2015))**\n\nLet')
    (box,) = written("::::{admonition} Predict\n:class: predict\n:::{prf:proof}\nIn it.\n:::\n::::")
    assert 'alert-warning">\n\n**Predict**' in box


def test_a_question_is_text_and_its_answer_is_folded():
    source = ":::{predict}\n:answer: It is {glue:text}`error:.1%`.\n:choices: 1 % {error < 1}; 3 % {error > 1}\nHow much?\n:::"
    (box,) = written(source)
    assert box.startswith('<div class="alert alert-block alert-warning">\n\n**Predict**\n\nHow much?\n\nChoose: 1 % · 3 %')
    assert "<details><summary>What comes out</summary>\n\nIt is 1.2\u202f%.\n\n</details>" in box


def test_a_quiz_is_folded():
    (quiz,) = written(":::{quiz}\nWhy?\n\n- [ ] The `a` *way*.\n\n  Not so.\n- [x] Other.\n\n  It is so,\n  indeed.\n:::")
    assert "<details><summary>The <code>a</code> <em>way</em>.</summary>\n\n**No.**\n\nNot so.\n\n</details>" in quiz
    assert "<details><summary>Other.</summary>\n\n**Right.**\n\nIt is so,\nindeed.\n\n</details>" in quiz


def test_a_solution_folds_what_comes_after_its_heading():
    source = (
        ":::{exercise-start} Longer\n:label: exercise-a\n:::\nDo it.\n:::{exercise-end}\n:::\n\n"
        ":::{solution-start} exercise-a\n:class: dropdown\n:::\nSo."
    )
    cells = reader.Writer("heat", NAMES).cells(source)
    assert cells == [("### Exercise 2.1: Longer\n\nDo it.", False), ("#### Solution of exercise 2.1", True), ("So.", False)]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (":::{figure} x.png\n:::", "cannot show the directive 'figure'"),
        ("{abbr}`PINN`", "cannot show the role 'abbr'"),
        ("{eq}`eq-b`", "the build knows no number of 'eq-b'"),
        (":::{quiz}\nWhy?", "is not closed"),
    ],
)
def test_what_cannot_be_shown_stops_the_build(source, says):
    with pytest.raises(ValueError, match=says):
        written(source)


@pytest.fixture(scope="module", params=BUILT)
def made(request):
    return nbformat.read(reader.BUILT / request.param, as_version=4)


def test_nothing_of_myst_is_left(made):
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[\w:]+\}`|^\s*:::|\$\$ \(eq-", cell.source, flags=re.M), cell.source


def test_code_that_draws_is_folded_and_a_heading_folds_each_solution(made):
    folding = [cell.source for cell in made.cells if cell.metadata.get("jp-MarkdownHeadingCollapsed")]
    assert folding
    assert all(re.fullmatch(r"#### Solution of exercise \d+\.\d+", source) for source in folding)
    assert all(cell.cell_type == "code" for cell in made.cells if "jupyter" in cell.metadata)


def test_its_players_are_one_picture_before_it_is_trusted(made):
    for cell in made.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            if 'class="explorer"' in html:
                assert re.sub(r"<script.*?</script>", "", html, flags=re.S).count("<img") == 1


def start_cell(name):
    notebook = nbformat.read(reader.BUILT / name, as_version=4)
    cell = notebook.cells[1]
    assert "Run this cell first" in cell.source
    return re.sub(r"%pip.*", "sys.exit('nothing has to be installed here')", cell.source)


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("heat.ipynb", "from pinnedu import *\np = problems.heat()\nfit(MLP(p), p, optimizer=Adam(), steps=2)"),
        ("failures.ipynb", "from pinnedu.studies import open_study\nassert len(open_study('failures').results) > 9"),
        ("navier_stokes.ipynb", "from pinnedu import data; data.cylinder_wake()"),
        ("against_the_field.ipynb", "RUN"),
    ],
    ids=["heat", "failures", "navier_stokes", "against_the_field"],
)
def test_it_brings_the_package_along(name, uses, tmp_path):
    """In an empty folder, where no package of that name is to be found."""
    hide = (
        "import importlib.util, sys\n"
        "sys.meta_path = [one for one in sys.meta_path if 'editable' not in repr(one)]\n"
        f"sys.path = [one for one in sys.path if one != {str(chapters.ROOT)!r}]\n"
        "assert importlib.util.find_spec('pinnedu') is None\n"
    )
    where = "\nimport pinnedu\nassert pinnedu.__file__.startswith(os.getcwd()), pinnedu.__file__\n"
    if uses == "RUN":  # the first cell of the chapter reads what lies beside it
        cells = nbformat.read(reader.BUILT / name, as_version=4).cells
        uses = next(cell.source for cell in cells[2:] if cell.cell_type == "code")
    (tmp_path / "run.py").write_text(hide + start_cell(name) + where + uses)
    environment = {"PINNEDU_PROGRESS": "0", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-P", "run.py"], cwd=tmp_path, env=environment, check=True)


def test_it_brings_studies_along_where_the_package_is_installed(tmp_path):
    uses = "\nfrom pinnedu.studies import open_study\nassert len(open_study('heat').results) > 9"
    uses += "\nassert not os.path.exists('pinnedu')"
    (tmp_path / "run.py").write_text(start_cell("heat.ipynb") + uses)
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(chapters.ROOT)}
    subprocess.run([sys.executable, "-P", "run.py"], cwd=tmp_path, env=environment, check=True)


def test_what_a_reader_changed_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "notebooks"
    assert reader.hand_out(folder) == []
    changed, ran = folder / BUILT[0], folder / BUILT[1]
    notebook = nbformat.read(changed, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("mine"))
    nbformat.write(notebook, changed)
    notebook = nbformat.read(ran, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="here")]
    nbformat.write(notebook, ran)
    assert reader.hand_out(folder) == [BUILT[0]]
    assert nbformat.read(changed, as_version=4).cells[-1].source == "mine"
    assert ran.read_bytes() == (reader.BUILT / ran.name).read_bytes()
