"""Set the numbers of running text as a book does; code, its output and formulas stay as they are."""

import sys
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

from typography import set_numbers

VERBATIM = nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.reference


def inside(node, kinds):
    """Whether a node stands in one of these."""
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def just_before(text):
    """The last letter or digit that stands before a text on its line, such as that of a glued number."""
    index = text.parent.index(text)
    return text.parent[index - 1].astext()[-1:] if index else ""


def typeset(app, doctree, docname):
    """Once every reference and every glued number is filled in."""
    for text in list(doctree.findall(nodes.Text)):
        before = just_before(text)
        better = set_numbers(before + text)[len(before) :]
        if better != text and not inside(text.parent, VERBATIM):
            text.parent.replace(text, nodes.Text(better))


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-resolved", typeset, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
