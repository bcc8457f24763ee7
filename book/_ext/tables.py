"""A table that a cell prints is a table on the page, its least error in bold.

A printed text counts as a table where it has a line of headings and below it at least two lines of as many entries, two
blanks or more between them. Everything else stays as it was printed.
"""

import re
import sys
from html import escape
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

from typography import set_numbers

GAP = re.compile(r"\s{2,}")
NUMBER = re.compile(r"^[-+±]?\d")
LEAST_IS_BEST = re.compile(r"\berror\b", re.I)


def parse(text):
    """The rows of a printed table, headings first; None if it is none."""
    lines = [line.strip() for line in text.rstrip().split("\n")]
    rows = [GAP.split(line) for line in lines]
    width = len(rows[-1])
    if len(rows) < 3 or width < 2 or any(len(row) != width for row in rows[1:]):
        return None
    if len(rows[0]) == width - 1:  # no heading above the names of the rows
        rows[0].insert(0, "")
    numbers = all(any(NUMBER.match(entry) for entry in row) for row in rows[1:])
    named = len(rows[0]) == width and not any(NUMBER.match(entry) for entry in rows[0])
    return rows if numbers and named else None


def value(entry):
    """The number with which an entry begins."""
    found = re.match(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", entry)
    return float(found[0]) if found else float("inf")


def html(rows):
    """The table, with headings for a screen reader."""
    head, *body = rows
    best = set()
    for column, heading in enumerate(head):
        found = [value(row[column]) for row in body]
        if LEAST_IS_BEST.search(heading) and found.count(min(found)) == 1:
            best.add((found.index(min(found)), column))

    def entry(row, column, text):
        kind = ' class="number"' if NUMBER.match(text) else ""
        said = escape(set_numbers(text))
        return f"<td{kind}>{f'<strong>{said}</strong>' if (row, column) in best else said}</td>"

    top = "".join(f'<th scope="col">{escape(text)}</th>' if text else "<td></td>" for text in head)
    rest = "".join(f"<tr>{''.join(entry(i, k, text) for k, text in enumerate(row))}</tr>" for i, row in enumerate(body))
    table = f'<table class="table"><thead><tr>{top}</tr></thead><tbody>{rest}</tbody></table>'
    return f'<div class="printed-table">{table}</div>'


def replace(app, doctree, docname):
    """Every printed text of a page."""
    for block in list(doctree.findall(nodes.literal_block)):
        if "stream" in block.get("classes", ()) and (rows := parse(block.astext())):
            block.parent.replace(block, nodes.raw("", html(rows), format="html"))


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-resolved", replace, priority=920)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
