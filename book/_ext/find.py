"""A search that finds sections and shows the line that was found, also where the book is opened from the disk.

Sphinx's own index knows titles and pages, and fetches a page to show a line of it, which a browser refuses for files.
So each build writes the text of every section into one script, and `find.js` searches that.
"""

import json
from pathlib import Path

from docutils import nodes

CODE = nodes.literal_block, nodes.doctest_block
SILENT = nodes.math_block, nodes.raw, nodes.comment, nodes.system_message
BLOCKS = nodes.paragraph, nodes.literal_block, nodes.list_item, nodes.entry, nodes.term
OUTPUT = "cell_output"


def text(node, code=False):
    """What a section itself says, or its code, without displayed formulas, printed output and the sections in it."""
    if isinstance(node, CODE) and OUTPUT not in node.get("classes", ()):
        return f"{node.astext()} " if code else ""
    if isinstance(node, nodes.Text):
        return "" if code else str(node)
    if isinstance(node, nodes.math) and not code:  # no command of TeX: nobody looks for one, or could read it in a line
        return "…" if "\\" in node.astext() else node.astext()
    if isinstance(node, (*SILENT, nodes.section, nodes.title)) or OUTPUT in node.get("classes", ()):
        return ""
    said = "".join(text(child, code) for child in node.children)
    return f"{said} " if isinstance(node, BLOCKS) and said else said


def keep(app, doctree, docname):
    """Take down the sections of a page."""
    if docname not in app.env.found_docs:
        return
    page = app.env.titles[docname].astext() if docname in app.env.titles else docname
    found = []
    for section in doctree.findall(nodes.section):
        heading = section.next_node(nodes.title)
        title = page if heading is None else heading.astext()
        said, code = (" ".join("".join(text(child, kind) for child in section.children).split()) for kind in (False, True))
        found.append([section["ids"][0], "" if section.parent is doctree else title, said, code])
    app.sections[docname] = [page, found]


def write(app, exception):
    """Once all pages are there."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir, "_static", "sections.js")
        data = json.dumps(app.sections, ensure_ascii=False, sort_keys=True)
        target.write_text(f"window.SECTIONS = {data};\n", encoding="utf-8")


def load(app, pagename, templatename, context, doctree):
    """The page of the search alone needs it."""
    if pagename == "search":
        app.add_js_file("sections.js", loading_method="defer")
        app.add_js_file("find.js", loading_method="defer")


def setup(app):
    """Register with Sphinx."""
    app.sections = {}
    app.connect("doctree-resolved", keep, priority=950)  # numbers are set
    app.connect("html-page-context", load)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
