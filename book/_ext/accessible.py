"""Repair what docutils says wrongly to a screen reader, and make the way short for a reader without a mouse.

Docutils calls a bibliography a list whose children are no list items, and a list of that kind is read as empty. The numbers
that lead back to where a work is cited come after its entry, not within it. A page with a
slider begins with a link to it, which is seen when it has the focus.
"""

import re

BACK = re.compile(r'(<span class="backrefs">.*?</span>)\n(<p>.*?</p>)', re.S)
WRONG, RIGHT = '<div role="list" class="citation-list">', '<div class="citation-list">'


def repair(app, pagename, templatename, context, doctree):
    """Take the role off the finished body of a page, put links back to the end of an entry, and write the link."""
    if "body" in context:
        body = BACK.sub(r"\2\n\1", context["body"].replace(WRONG, RIGHT))
        player = re.search(r'<figure class="explorer" id="([\w-]+)"', body)
        skip = f'<a class="to-slider" href="#{player[1]}">To the first slider</a>' if player else ""
        context["body"] = skip + body


def setup(app):
    """Register with Sphinx."""
    app.connect("html-page-context", repair)
    app.add_js_file("wide.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
