"""Reader notebooks: the chapters as a reader runs them, in JupyterLab, in Colab, in an empty folder.

A chapter's source is written in MyST, whose numbers, citations and cross-references are filled in when the book is
built. A notebook server knows none of that. So each build writes every chapter a second time, in plain Markdown: what
the page says in words and numbers stands there too, quizzes and solutions are folded, code that only draws is folded, captions
are kept. The first cell brings the package along, for where it is not installed.

Run as a program it puts the notebooks of the last build into a folder, and leaves alone those that were edited there.

Usage: ``python book/_tools/reader.py FOLDER``
"""

import base64
import copy
import hashlib
import io
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from chapters import ROOT
from nbformat.sign import NotebookNotary
from typography import set_numbers

from pinnedu.plots import shown_width

BUILT = ROOT / "_build" / "notebooks"
FENCE = re.compile(r"^(:{3,}|`{3,})\{([\w:-]+)\}\s*(.*)$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\w+)\)")
EQUATION = re.compile(r"\$\$[ \t]*\((eq-[\w-]+)\)")
TITLED = re.compile(r"^(.*?)\s*<(.+)>$", re.S)
ANSWER = re.compile(r"^- \[([ x])\] (.*)$")
COLORS = {"predict": "warning", "warning": "warning", "note": "info", "tip": "success", "glance": "info"}
FOLDED = {
    "hide-input": ("source_hidden",),
    "remove-input": ("source_hidden",),
    "remove-cell": ("source_hidden", "outputs_hidden"),
}
RESULTS = "../benchmarks/results"  # where a chapter reads what `make bench` stored; a reader notebook has it beside itself
LARGE = {"cylinder_wake.npz": "navier_stokes"}  # a file of the package that one chapter needs

START = '''\
#@title Run this cell first: it brings along the package `pinnedu`, which this notebook uses.
import importlib.util, os, sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as fast for small models, and the same rounding everywhere
needed = {needed}
missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
if missing:
    print("Installing", *missing)
    %pip install -q {{" ".join(missing)}}
import base64, io, tarfile

files = tarfile.open(mode="r:xz", fileobj=io.BytesIO(base64.b64decode(
    "{bundle}"
)))
brought = importlib.util.find_spec("pinnedu") is None  # studies come along in any case
wanted = [file for file in files if brought or not file.name.startswith("pinnedu/")]
files.extractall(".", members=wanted, filter="data")
if brought:
    sys.path.insert(0, os.getcwd())
if importlib.util.find_spec("myst_nb") is None:  # the printed book takes its numbers by `glue`
    import types

    sys.modules["myst_nb"] = types.SimpleNamespace(glue=lambda *args, **kwargs: None)'''
NEEDED = {
    name: name for name in ("torch", "numpy", "scipy", "matplotlib", "tqdm", "joblib", "ipywidgets")
} | {"PIL": "pillow"}  # fmt: skip


@dataclass(frozen=True)
class Names:
    """What the build knows: the number, title or citation that stands on the page for a label.

    Attributes
    ----------
    numbers : dict
        From label to words: ``{"eq-heat": "(2.1)", "thm-gd-contraction": "Theorem 18.2", "fig-heat-plain": "Fig. 2.1"}``.
    titles : dict
        From page to title.
    cited : dict
        From key to (authors, year).
    references : dict
        From page to the entries of its list, in Markdown.
    glued : dict
        From page to numbers by name.
    """

    numbers: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    cited: dict[str, tuple[str, str]] = field(default_factory=dict)
    references: dict[str, list[str]] = field(default_factory=dict)
    glued: dict[str, dict[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Directive:
    """A fenced directive of MyST."""

    name: str
    title: str
    options: dict[str, str]
    body: list[str]


def parse(lines: list[str]) -> Iterator[str | Directive]:
    """The lines of a text, its directives taken together."""
    lines = list(lines)
    while lines:
        line = lines.pop(0)
        found = FENCE.match(line)
        if not found:
            yield line
            continue
        body, open_fences = [], [found[1]]
        while open_fences:
            if not lines:
                raise ValueError(f"The directive {line!r} is not closed.")
            body.append(inner := lines.pop(0))
            if opens := FENCE.match(inner):
                open_fences.append(opens[1])
            elif inner.rstrip() == open_fences[-1]:
                open_fences.pop()
        body.pop()
        options = {}
        while body and (option := OPTION.match(body[0])):
            options[option[1]] = option[2]
            body.pop(0)
        yield Directive(found[2], found[3], options, body)


class Writer:
    """Writes the text of one chapter in plain Markdown."""

    def __init__(self, page: str, names: Names) -> None:
        self.page, self.names = page, names

    def cells(self, source: str) -> list[tuple[str, bool]]:
        """The text of a Markdown cell as (text, folds what follows): a solution begins a cell of its own."""
        cells: list[tuple[list[str], bool]] = [([], False)]
        for part in parse(source.split("\n")):
            if isinstance(part, str):
                cells[-1][0].append(part)
            elif part.name == "exercise-start":
                cells.append(([f"### {self.number(part.options['label'])}: {part.title}", ""], False))
            elif part.name == "solution-start":
                cells.append(([f"#### Solution of {self.number(part.title)[0].lower()}{self.number(part.title)[1:]}"], True))
                cells.append(([], False))
            elif part.name not in ("exercise-end", "solution-end"):
                cells[-1][0].extend(self.directive(part))
        texts = [(self.text("\n".join(lines)).strip(), folds) for lines, folds in cells]
        return [(text, folds) for text, folds in texts if text]

    def lines(self, body: list[str]) -> Iterator[str]:
        """The lines of a directive's body, those of the directives in it included."""
        for part in parse(body):
            yield from [part] if isinstance(part, str) else self.directive(part)

    def directive(self, part: Directive) -> list[str]:
        """One directive in lines of Markdown, whose roles are still to be filled in."""
        kind = part.name.removeprefix("prf:")
        if kind == "proof":
            return ["*Proof.*", *self.lines(part.body), "", "∎"]
        if kind == "bibliography":
            return [line for entry in self.names.references.get(self.page, []) for line in (f"- {entry}", "")]
        if kind == "quiz":
            return list(self.quiz(part.body))
        if kind == "predict":
            part = Directive("admonition", "Predict", {"class": "predict"}, [*part.body, *self.unfolded(part.options)])
            kind = "admonition"
        if kind == "admonition":
            color, title = COLORS.get(part.options.get("class", "note"), "info"), part.title
        elif part.name.startswith("prf:"):
            color, number = "success", self.number(part.options["label"])
            title = f"{number} ({part.title})" if part.title else number
        else:
            raise ValueError(f"{self.page}: a reader notebook cannot show the directive {part.name!r}.")
        begin, end = [f'<div class="alert alert-block alert-{color}">', "", f"**{title}**", ""], ["", "</div>", ""]
        return [*begin, *self.lines(part.body), *end]

    def unfolded(self, options: dict[str, str]) -> Iterator[str]:
        """The choices of a question, and its answer, folded."""
        if "choices" in options:
            choices = [re.sub(r"\s*\{.*\}$", "", choice.strip()) for choice in options["choices"].split(";")]
            yield from ("", "Choose: " + " · ".join(choices))
        if "answer" in options:
            yield from ("", "<details><summary>What comes out</summary>", "", options["answer"], "", "</details>")

    def quiz(self, body: list[str]) -> Iterator[str]:
        """The question, then each answer folded over its feedback."""
        yield from ("**Quiz**", "")
        open_answer = False
        for line in body:
            if answer := ANSWER.match(line):
                if open_answer:
                    yield from ("", "</details>", "")
                yield from (f"<details><summary>{html(answer[2])}</summary>", "", "**Right.**" if answer[1] == "x" else "**No.**")
                open_answer = True
            elif open_answer and line.startswith("  "):
                yield line[2:].lstrip() if line.startswith("    ") else line[2:]
            else:
                yield line
        yield from ("", "</details>", "")

    def text(self, text: str) -> str:
        """The roles, links and equation numbers of a text in plain words."""
        text = EQUATION.sub(lambda found: rf"\tag{{{self.number(found[1]).strip('()')}}}" + "\n$$", text)
        text = ROLE.sub(lambda found: self.role(found[1], found[2].replace("\n", " ")), text)
        return LINK.sub(lambda found: self.link(found[1], found[2]), text)

    def role(self, kind: str, content: str) -> str:
        """What a role says on the page."""
        titled = TITLED.match(content)
        words, target = (titled[1], titled[2]) if titled else (None, content)
        if kind == "doc":
            return self.link(words or self.names.titles[target], target)
        if kind == "term":
            return words or target
        if kind == "math":
            return f"${content}$"
        if kind in ("eq", "prf:ref", "numref", "ref"):
            return words or self.number(target)
        if kind.startswith("cite"):
            works = [self.names.cited[key.strip()] for key in content.split(",")]
            if kind == "cite:t":
                return "; ".join(f"{authors} ({year})" for authors, year in works)
            return "(" + "; ".join(f"{authors}, {year}" for authors, year in works) + ")"
        if kind == "glue:text":
            return self.glued(content)
        raise ValueError(f"{self.page}: a reader notebook cannot show the role {kind!r}.")

    def glued(self, content: str) -> str:
        """A number by its name, such as ``error:.1e`` or ``heat.ipynb::error:.1e``."""
        page, _, rest = content.rpartition("::")
        name, _, form = rest.partition(":")
        value = self.names.glued[Path(page).stem if page else self.page][name]
        return set_numbers(format(value, form) if form else str(value))

    def link(self, words: str, target: str) -> str:
        """A link to another chapter's notebook, or the bare words where there is none."""
        return f"[{words}]({target}.ipynb)" if target in self.names.glued else words

    def number(self, label: str) -> str:
        """What the page shows for a label."""
        if label not in self.names.numbers:
            raise ValueError(f"{self.page}: the build knows no number of {label!r}.")
        return self.names.numbers[label]


def html(text: str) -> str:
    """Code and emphasis inside of a line of HTML, where Markdown is not read."""
    for pattern, tag in ((r"`([^`]+)`", "code"), (r"\*\*([^*]+)\*\*", "strong"), (r"\*([^*]+)\*", "em")):
        text = re.sub(pattern, rf"<{tag}>\1</{tag}>", text)
    return text


def bundle(notebook: nbformat.NotebookNode, page: str) -> str:
    """The package, and the studies that a chapter reads, packed as text; the same bytes each time."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    files = {f"pinnedu/{file.relative_to(ROOT / 'pinnedu').as_posix()}": file for file in (ROOT / "pinnedu").rglob("*")
             if file.is_file() and "__pycache__" not in file.parts and LARGE.get(file.name, page) == page}  # fmt: skip
    for name in re.findall(r"open_study\(\s*\"(\w+)\"", code):
        files |= {f"studies/{name}{suffix}": ROOT / "book" / "studies" / f"{name}{suffix}" for suffix in (".py", ".json")}
    if RESULTS in code:
        results = ROOT / "benchmarks" / "results"
        files |= {file.relative_to(ROOT).as_posix(): file for file in results.rglob("*.json")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as archive:
        for name, file in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return base64.b64encode(packed.getvalue()).decode()


def reader(notebook: nbformat.NotebookNode, page: str, names: Names) -> nbformat.NotebookNode:
    """A chapter as its reader gets it."""
    writer, cells = Writer(page, names), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for text, folds in writer.cells(cell.source):
                folded = {"jp-MarkdownHeadingCollapsed": True} if folds else {}
                cells.append(nbformat.v4.new_markdown_cell(text, metadata=folded))
            continue
        cell = copy.deepcopy(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        hidden = {what: True for tag in cell.metadata.get("tags", []) for what in FOLDED.get(tag, ())}
        if "remove-output" in cell.metadata.get("tags", []):  # it comes when the reader runs the cell
            cell.outputs, cell.execution_count = [], None
        cell.metadata = nbformat.from_dict({"jupyter": hidden} if hidden else {})
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):  # a notebook would show each pixel of the file
                output.metadata["image/png"] = {"width": shown_width(base64.b64decode(png))}
        cell.source = cell.source.replace(RESULTS, RESULTS.removeprefix("../"))
        cells.append(cell)
        if "caption" in figure:
            number = f"**{writer.number(figure['name'])}.** " if "name" in figure else ""
            cells.append(nbformat.v4.new_markdown_cell(number + writer.text(figure["caption"])))
    start = START.format(needed=NEEDED, bundle=bundle(notebook, page))
    cells.insert(1, nbformat.v4.new_code_cell(start, metadata={"jupyter": {"source_hidden": True}}))
    made = nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(notebook.metadata))
    for position, cell in enumerate(made.cells):
        cell.id = f"{page}-{position:03d}".replace("_", "-")[-64:]
    made.metadata["pinnedu"] = {"made": digest(made)}
    nbformat.validate(made)
    return made


def digest(notebook: nbformat.NotebookNode) -> str:
    """Name the sources of a notebook: running it changes nothing, editing it does."""
    return hashlib.sha256("\0".join(cell.source for cell in notebook.cells).encode()).hexdigest()[:16]


def hand_out(folder: Path) -> list[str]:
    """Put the notebooks of the last build into a folder. Return the names of those kept because they were edited."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for made in sorted(BUILT.glob("*.ipynb")):
        target = folder / made.name
        if target.exists():
            there = nbformat.read(target, as_version=4)
            if there.metadata.get("pinnedu", {}).get("made") != digest(there):
                kept.append(target.name)
                continue
        target.write_bytes(made.read_bytes())
        NotebookNotary().sign(nbformat.read(target, as_version=4))  # made here, so that its players may run
    return kept


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not BUILT.is_dir():
        sys.exit("There are no reader notebooks yet: run `make build` first.")
    for name in hand_out(Path(sys.argv[1])):
        print(f"{name} has your changes and stays as it is; delete it to get it anew.")
