"""Let docstrings stay plain text: what ``help`` shows as a formula is shown as one on the page of the package, too.

In reStructuredText bars would name a substitution, where docstrings have |x|, and an indented block would be a
quotation in running text, where they have formulas.
"""

import re

QUOTED_OR_BAR = re.compile(r"(``.+?``|`.+?`)|\|", re.S)
SECTION = re.compile(r"^-{3,}$", re.M)
FORMULA = re.compile(r"^(?P<before>\S.*)\n\n(?P<block>    \S.*\n(?:(?:    .*)?\n)*)", re.M)
LITERAL = re.compile(r"(::\n\n    \S.*\n(?:(?:    .*)?\n)*)", re.M)


def literal(found):
    """Mark an indented block as literal, unless a double colon or a directive did."""
    before, block = found["before"], found["block"]
    marked = before.endswith("::") or before.startswith(".. ")
    return f"{before}\n\n{'' if marked else '::' + chr(10) * 2}{block}"


def plain(text):
    """The same docstring in reStructuredText."""
    heading = SECTION.search(text)
    end = text.rfind("\n", 0, heading.start() - 1) + 1 if heading else len(text)
    text = FORMULA.sub(literal, text[:end]) + text[end:]
    parts = LITERAL.split(text)  # every second one is literal
    return "".join(
        part if k % 2 else QUOTED_OR_BAR.sub(lambda found: found[1] or r"\|", part) for k, part in enumerate(parts)
    )


def process(app, what, name, obj, options, lines):
    """Before napoleon reads them. It would take the words before a colon in the first line of a property for a type."""
    first = [""] if what in ("property", "attribute", "data") else []
    lines[:] = first + plain("\n".join(lines) + "\n").split("\n")


def setup(app):
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
