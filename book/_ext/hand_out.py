"""At the end of a build, write the reader notebooks: ``_build/notebooks``, and what the download button gives.

The button gives a zip file, since a browser shows a bare notebook as text where the book was opened from the disk. A page
that is no notebook has no such button.
"""

import ast
import sys
import zipfile
from pathlib import Path

import nbformat
from pybtex.backends.markdown import Backend

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

import chapters
import reader
from references import authors

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
        copied.unlink(missing_ok=True)
        copied.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(copied.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(path.name, date_time=(1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)


def offer(app, pagename, templatename, context, doctree):
    """Let the download button give the zip file, or be away."""
    computing = Path(context.get("sourcename", "")).suffix == ".ipynb"
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"] = [one for one in group["buttons"] if computing or one["label"] != "download-source-button"]
            for one in group["buttons"]:
                if one["label"] == "download-source-button":
                    one["url"] = str(Path(one["url"]).with_suffix(".zip"))
                    one |= {"text": "Notebook", "tooltip": "This chapter as a notebook, with the package aboard"}


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", write)
    app.connect("html-page-context", offer, priority=502)  # the theme makes its buttons at 501
    return {"parallel_read_safe": True, "parallel_write_safe": True}
