"""A table that a cell prints is a table on the page, its least error in bold.

A printed text counts as a table where it has a line of headings and below it at least two lines of as many entries, two
blanks or more between them. Everything else stays as it was printed. What a cell prints in pieces, with `glue` between them,
is one text.

Bold says "the best of these", so it is kept for tables that compare: each row named once, none of them a repetition, and one
number for each.
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
LEAST_IS_BEST = re.compile(r"\berror\b(?!.*/)(?<!/ error)", re.I)  # a ratio of errors is none
REPEATED = re.compile(r"^(seed|run|repetition|problem|equation|case)s?$", re.I)  # rows that are no rivals
EXPONENT = re.compile(r"\de[-+]\d")
RANGE = re.compile(r"\(.*\)")


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


def split(text):
    """The rows of a printed table, or None, and what is printed below it in whole sentences."""
    lines = text.rstrip().split("\n")
    sentences = 0
    while sentences < len(lines) and not GAP.search(lines[-1 - sentences].strip()):
        sentences += 1
    for below in range(sentences + 1):
        rows = parse("\n".join(lines[: len(lines) - below]))
        if rows and not (below and any(EXPONENT.search(heading) for heading in rows[0])):  # sentences may have columns, too
            return rows, "\n".join(lines[len(lines) - below :]).strip()
    return None, text


def value(entry):
    """The number with which an entry begins."""
    found = re.match(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", entry)
    return float(found[0]) if found else float("inf")


def least(head, body):
    """The places (row, column) of the least errors, where the rows compare."""
    names = [row[0] for row in body]
    best = set()
    if REPEATED.match(head[0]) or len(set(names)) < len(names):
        return best
    for column, heading in enumerate(head):
        found = [value(row[column]) for row in body]
        single = all(len(RANGE.sub("", row[column]).split()) == 1 for row in body)
        if single and LEAST_IS_BEST.search(heading) and found.count(min(found)) == 1:
            best.add((found.index(min(found)), column))
    return best


def html(rows):
    """The table, with headings for a screen reader."""
    head, *body = rows
    best = least(head, body)

    def entry(row, column, text):
        kind = ' class="number"' if NUMBER.match(text) else ""
        said = escape(set_numbers(text))
        return f"<td{kind}>{f'<strong>{said}</strong>' if (row, column) in best else said}</td>"

    top = "".join(f'<th scope="col">{escape(text)}</th>' if text else "<td></td>" for text in head)
    rest = "".join(f"<tr>{''.join(entry(i, k, text) for k, text in enumerate(row))}</tr>" for i, row in enumerate(body))
    table = f'<table class="table"><thead><tr>{top}</tr></thead><tbody>{rest}</tbody></table>'
    return f'<div class="printed-table">{table}</div>'


def streams(node):
    """Whether a node is what a cell printed."""
    return isinstance(node, nodes.literal_block) and "stream" in node.get("classes", ())


def rest(block, text):
    """What stays of a printed text below its table."""
    if text:
        kept = block.deepcopy()
        kept.rawsource, kept.children = text, []
        kept += nodes.Text(text)
        yield kept


def join(doctree):
    """Make one text of those that a cell printed in pieces."""
    for block in list(doctree.findall(streams)):
        before = block.parent[block.parent.index(block) - 1] if block.parent.index(block) else None
        if before is not None and streams(before) and before["classes"] == block["classes"]:
            text = f"{before.astext().rstrip(chr(10))}\n{block.astext()}"
            block.parent.remove(before)
            block.rawsource, block.children = text, []
            block += nodes.Text(text)


def replace(app, doctree, docname):
    """Every printed text of a page."""
    join(doctree)
    for block in list(doctree.findall(nodes.literal_block)):
        if streams(block):
            rows, below = split(block.astext())
            if rows:
                block.parent.replace(block, [nodes.raw("", html(rows), format="html"), *rest(block, below)])


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-resolved", replace, priority=920)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
