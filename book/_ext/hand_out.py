"""At the end of a build, write the reader notebooks: ``_build/notebooks``, and what the download button gives."""

import ast
import sys
from pathlib import Path

import nbformat
from pybtex.backends.markdown import Backend

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

import chapters
import reader

KINDS = {"figure": "Fig. {}", "displaymath": "({})", "section": "Section {}"}
TEXT = "application/papermill.record/text/plain"


class Plain(Backend):
    """Markdown without a backslash before each full stop."""

    def format_str(self, text):
        return text


def glued(notebook):
    """Everything that a notebook's stored outputs hold by name, words included."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None and TEXT in output["data"]:
                found[name] = ast.literal_eval(output["data"][TEXT])
    return found


def authors(entry):
    """The names before the year, as the pages cite them."""
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]]
    return names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")


def names(env):
    """What this build knows."""
    numbers = {}
    for kinds in env.toc_fignumbers.values():
        for kind, found in kinds.items():
            form = KINDS.get(kind, kind.capitalize() + " {}")
            for label, number in found.items():
                numbers[label.removeprefix("equation-")] = form.format(".".join(map(str, number)))
    cited, references = {}, {}
    for citation in env.get_domain("cite").citations:
        cited[citation.key] = authors(citation.entry), citation.entry.fields["year"]
        page = Path(citation.bibliography_key.docname).name
        references.setdefault(page, []).append(" ".join(citation.formatted_entry.text.render(Plain()).split()))
    titles = {Path(page).name: title.astext() for page, title in env.titles.items()}
    found = {path.stem: glued(nbformat.read(path, as_version=4)) for path in chapters.notebooks()}
    return reader.Names(numbers, titles, cited, references, found)


def write(app, exception):
    """Write them, once the pages are."""
    if exception or app.builder.name != "html":
        return
    known, sources = names(app.env), Path(app.outdir) / "_sources"
    reader.BUILT.mkdir(parents=True, exist_ok=True)
    for path in chapters.notebooks():
        text = nbformat.writes(reader.reader(nbformat.read(path, as_version=4), path.stem, known)) + "\n"
        (reader.BUILT / path.name).write_text(text, encoding="utf-8")
        copied = sources / path.relative_to(chapters.ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(text, encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
