"""The contract of a chapter: what every chapter has, and what none may contain. book/README.md explains it."""

import copy
import re
from pathlib import Path

import chapters
import execute
import nbformat
import pytest

ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|tmp|mnt|opt|usr|var)/[\w.-]+|\b[A-Z]:\\\\?\w")
REMOTE_IMAGE = re.compile(r"""!\[[^\]]*\]\(\s*(?:https?:)?//|<img[^>]+src=["']?\s*(?:https?:)?//""", re.I)
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")


class Chapter:
    """A page read once: its prose, and its code cells with their outputs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.computes = path.suffix == ".ipynb"
        if self.computes:
            self.notebook = nbformat.read(path, as_version=4)
            cells = self.notebook.cells
            self.prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
            self.code = [cell for cell in cells if cell.cell_type == "code"]
        else:
            self.prose, self.code = path.read_text(encoding="utf-8"), []

    def outputs(self):
        return [(cell, output) for cell in self.code for output in cell.outputs]

    def headings(self, level: int) -> list[str]:
        prose = re.sub(r"^```.*?^```", "", self.prose, flags=re.M | re.S)
        return re.findall(rf"^#{{{level}}} +(.+?)\s*$", prose, flags=re.M)

    def section(self, heading: str) -> str:
        found = re.search(rf"^## {heading}\s*$(.*?)(?=^## |\Z)", self.prose, flags=re.M | re.S)
        assert found, f"there is no section '## {heading}'"
        return found.group(1)


def texts(output) -> list[str]:
    """Every piece of text an output holds, by whatever name."""
    data = output.get("data", {})
    held = [value for kind, value in data.items() if kind not in IMAGES and isinstance(value, str)]
    return [*held, *([output.text] if "text" in output else []), *output.get("traceback", [])]


# A page without code is a chapter if it says so by its box; a notebook always is one.
CHAPTERS = [p for p in chapters.pages() if p.suffix == ".ipynb" or "At a glance" in p.read_text(encoding="utf-8")]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem, scope="module")
def chapter(request):
    return Chapter(request.param)


@pytest.fixture(params=chapters.notebooks(), ids=lambda path: path.stem, scope="module")
def computing(request):
    return Chapter(request.param)


def test_there_are_chapters_and_all_are_in_the_contents():
    notebooks = chapters.notebooks()
    assert notebooks
    stray = set((chapters.ROOT / "book").glob("*.ipynb")) - set(notebooks)
    assert not stray, f"not in _toc.yml: {sorted(p.name for p in stray)}"


def test_one_title_at_the_top(chapter):
    assert len(chapter.headings(1)) == 1
    assert chapter.prose.lstrip().startswith("# ")


def test_at_a_glance(chapter):
    box = re.search(r":::\{admonition\} At a glance\n:class: glance\n(.*?)\n:::", chapter.prose, flags=re.S)
    assert box, "the box 'At a glance' with class glance is missing"
    assert chapter.prose.index("At a glance") < chapter.prose.index("\n## "), "it belongs below the title"
    for word in ("You will learn", "Prerequisites", "Running time"):
        assert f"**{word}**" in box.group(1), f"it does not say: {word}"


def test_running_time_is_measured(computing):
    measured = computing.notebook.metadata.get("pinnedu", {}).get("running_time")
    assert measured in execute.BUCKETS.values(), "run `make execute` for this chapter"
    assert f"**Running time**: {measured} on 2 CPU cores." in computing.prose


def test_reader_predicts(chapter):
    asks = re.search(r":::\{admonition\} Predict[^\n]*\n:class: predict\n|:::\{predict\}", chapter.prose)
    assert asks, "there is no question before its answer: begin one with :::{predict}"


def test_exercises_have_folded_solutions(chapter):
    assert "Exercises" in chapter.headings(2)
    exercises = re.findall(r":::\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)", chapter.prose)
    solutions = re.findall(r":::\{solution(?:-start)?\} (\S+)\n((?::.*\n)*)", chapter.prose)
    assert exercises, "there is no exercise"
    assert sorted(exercises) == sorted(label for label, _ in solutions), "each exercise needs one solution"
    for label, options in solutions:
        assert ":class: dropdown" in options, f"the solution of {label} is not folded"


def test_a_quiz_stands_before_the_exercises(chapter):
    quiz = chapter.prose.find(":::{quiz}")
    assert -1 < quiz < chapter.prose.index("## Exercises")


def test_an_exercise_is_checked(computing):
    checks = any(re.search(r"\bcheck\(", cell.source) for cell in computing.code)
    assert checks, "no exercise hands its answer to `check`"
    assert "`check`" in computing.section("Exercises"), "no exercise says so"


def test_players_stay_small_and_say_what_they_show(computing):
    for cell, output in computing.outputs():
        player = output.get("data", {}).get("text/html", "")
        if 'class="explorer"' in player:
            assert len(player) < 1e6
            assert "nbval-ignore-output" in cell.metadata.get("tags", []), "pictures differ between machines"
            assert len(set(re.findall(r'data-shown="([^"]+)"', player))) == player.count("<img ") > 1


def test_take_aways(chapter):
    assert len(re.findall(r"^- ", chapter.section("Take-aways"), flags=re.M)) >= 2


def test_references_come_last(chapter):
    assert chapter.headings(2)[-1] == "References"
    assert ":::{bibliography}\n:filter: docname in docnames" in chapter.section("References")
    assert re.search(r"\{cite(?::\w+)?\}`", chapter.prose), "nothing is cited"


def test_figures_have_alternative_text_and_caption(chapter):
    for cell, output in chapter.outputs():
        if any(kind in output.get("data", {}) for kind in IMAGES):
            said = cell.metadata.get("mystnb", {})
            assert len(said.get("image", {}).get("alt", "")) >= 20, f"a figure without alt text:\n{cell.source}"
            assert said.get("figure", {}).get("caption"), f"a figure without caption:\n{cell.source}"
        for text in texts(output):
            for tag in re.findall(r"<img\b[^>]*>", text):
                assert re.search(r"\balt=.[^\"'>]", tag), f"an image without alt text: {tag[:120]}"
    assert not re.search(r"!\[\s*\]\(", chapter.prose), "an image in the text has no alt text"
    for directive in re.findall(r":::\{(?:image|figure)\}[^\n]*\n((?::.*\n)*)", chapter.prose):
        assert ":alt:" in directive


def test_no_absolute_paths_and_no_remote_images(chapter):
    everything = [chapter.prose, *(cell.source for cell in chapter.code)]
    for text in [*everything, *(text for _, output in chapter.outputs() for text in texts(output))]:
        path = ABSOLUTE_PATH.search(text)
        assert not path, f"an absolute path: {path.group(0)}"
        assert not REMOTE_IMAGE.search(text), "an image on a remote host"


def test_outputs_hold_no_errors_and_no_warnings(computing):
    for cell, output in computing.outputs():
        assert output.output_type != "error", f"an error is stored:\n{cell.source}"
        assert output.get("name") != "stderr", f"something on standard error:\n{output.text}"
        for text in texts(output):
            assert not re.search(r"\b\w*Warning: |Traceback \(most recent", text), text


def test_the_page_prints_numbers_and_no_verdicts(computing):
    """What must hold is asserted, or is a claim of a study; a printed True stays on the page when nobody reads it."""
    said = [line for _, output in computing.outputs() for text in texts(output) for line in text.splitlines()]
    assert not [line for line in said if re.search(r"[:,]\s*(True|False)\b", line)]


def test_every_cell_was_executed_in_order(computing):
    counts = [cell.execution_count for cell in computing.code]
    assert counts == list(range(1, len(counts) + 1)), "run `make execute` for this chapter"


def test_outputs_belong_to_the_code(computing):
    stored = computing.notebook.metadata["pinnedu"].get("code")
    assert stored == execute.digest(computing.notebook), "the code changed since: run `make execute` for this chapter"


def test_something_is_compared(computing):
    """nbval never compares pictures, widgets or ignored cells: a chapter of these would pass whatever it says."""
    compared = [
        output
        for cell, output in computing.outputs()
        if not {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", []))
        if output.output_type == "stream" or "text/plain" in output.get("data", {})
        if not any(kind in output.get("data", {}) for kind in IMAGES)
    ]
    assert compared, "print the numbers that matter, rounded, in untagged cells"


def test_seconds_are_not_compared(computing):
    for cell in computing.code:
        tags = cell.metadata.get("tags", [])
        assert "timing" not in tags or "nbval-ignore-output" in tags, cell.source


def test_stored_as_the_executor_stores(computing):
    again = copy.deepcopy(computing.notebook)
    execute.normalize(again, computing.path.stem)
    assert again == computing.notebook, "run `make execute` for this chapter"


def test_a_line_of_code_fits_its_page(computing):
    """At 1280 pixels a cell shows 82 letters (tests/browser measures it); a longer line breaks, and its indent is lost."""
    long = {i: line for i, cell in enumerate(computing.notebook.cells) if cell.cell_type == "code"
            for line in cell.source.splitlines() if len(line) > 82}  # fmt: skip
    assert not long, f"cells with lines of more than 82 letters: {sorted(long)}"


def test_stays_small(chapter):
    assert chapter.path.stat().st_size < 3e6


def test_references_have_no_formulas_in_tex():
    """A list of references shows titles as they stand in the file: formulas in them are written in letters."""
    entries = (chapters.ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert re.findall(r".*(?:\$|\\[a-z]{2}).*", entries) == []


def test_labels_of_references_are_plain_text():
    pages = (chapters.ROOT / "_build" / "html" / "book").glob("*.html")
    labels = {
        label for page in pages for label in re.findall(r'<span class="label">(.*?)</span>\n', page.read_text(encoding="utf-8"))
    }
    assert len(labels) > 50
    assert not {label for label in labels if re.search(r"[{}\\]", label)}
    assert any("Müller and Zeinhofer" in label for label in labels)
