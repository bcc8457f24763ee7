"""Repair what docutils says wrongly to a screen reader.

It calls a bibliography a list whose children are no list items, and a list of that kind is read as empty.
"""

WRONG, RIGHT = '<div role="list" class="citation-list">', '<div class="citation-list">'


def repair(app, pagename, templatename, context, doctree):
    """Take the role off the finished body of a page."""
    if "body" in context:
        context["body"] = context["body"].replace(WRONG, RIGHT)


def setup(app):
    """Register with Sphinx."""
    app.connect("html-page-context", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
