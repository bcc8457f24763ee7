"""A question before its answer: the reader guesses, then sees the guess beside what was computed.

::

    :::{predict}
    :answer: The error is {glue:text}`first-error:.1%`.
    :choices: 30 %; 3 %; 0.3 %
    A network trains for a few seconds. How wrong will it be?
    :::

The first number that ``answer`` glues is the truth, so that nobody types it. Without ``choices`` the reader types a
number, or words where the answer glues none. The right one of the choices is the nearest number, or the one whose condition
holds, as in ``:choices: twice {slope < 1.5}; four times {slope >= 1.5}``. ``unit`` follows a typed number. ``by: difference``
compares exponents, which a factor would judge too harshly. ``asks: words`` asks for words all the same, as does a plain
admonition with the class ``predict``.

Without a script the answer unfolds; `predict.js` adds the rest, and keeps the guesses in the reader's browser.
"""

import re
import sys
import zlib
from html import escape
from math import inf, log
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

import chapters
import scoreboard
from typography import set_numbers

GLUED = re.compile(r"\{glue:text\}`(?:([\w/]+)\.ipynb::)?([\w-]+)(?::([^`]*))?`")
CHOICE = re.compile(r"^(.*?)\s*(?:\{([^}]*)\})?$")


class guess(nodes.General, nodes.Element):
    """What asks, below the question; its children are the answer."""


class summary_of_guesses(nodes.General, nodes.Element):
    """Where the script tells how well the reader guessed."""


def numbers(page):
    """What a page has glued."""
    path = chapters.ROOT / "book" / f"{page}.ipynb"
    return scoreboard.glued(path) if path.exists() else {}


def truth(answer, page):
    """The first glued number of an answer: (value as the reader writes it, as shown, its unit); None if there is none."""
    found = GLUED.search(answer)
    if not found:
        return None
    there, name, form = (Path(found[1]).name if found[1] else page), found[2], found[3] or ""
    if name not in numbers(there):
        raise ValueError(f"{there} glues no number called {name!r}")
    value = numbers(there)[name]
    percent = form.endswith("%")
    return value * 100 if percent else value, set_numbers(format(value, form)), "%" if percent else ""


def choose(choices, value, known):
    """The texts of the choices, and the right one."""
    said, conditions = zip(*(CHOICE.match(choice.strip()).groups() for choice in choices.split(";")), strict=True)
    texts = tuple(set_numbers(text) for text in said)
    if any(conditions):
        both = zip(texts, conditions, strict=True)
        right = [text for text, condition in both if condition and scoreboard.judge(condition, known)]
        if len(right) != 1 or not all(conditions):
            raise ValueError(f"of the conditions of {choices!r} one must hold, not {len(right)}, and each choice has one")
        return texts, right[0]
    if value is None:
        raise ValueError(f"{choices!r} has no conditions, and the answer glues no number to which one of them is near")
    distances = {text: distance(text, value) for text in texts}
    return texts, min(distances, key=distances.get)


def distance(text, value):
    """How far the number in a text is from a value, in factors."""
    found = re.search(r"\d[\d,]*(?:\.\d+)?", text)
    if not found:
        raise ValueError(f"the choice {text!r} has neither a number nor a condition")
    number = float(found[0].replace(",", ""))
    return abs(log(number / value)) if number * value > 0 else inf


class Predict(SphinxDirective):
    """The box, with what asks in it."""

    has_content = True
    option_spec = dict.fromkeys(("answer", "asks", "choices", "unit", "by"), directives.unchanged_required)

    def run(self):
        box = nodes.admonition("", nodes.title("", "Predict"), classes=["predict"])
        self.set_source_info(box)
        self.state.nested_parse(self.content, self.content_offset, box)
        answer, page = self.options.get("answer", ""), Path(self.env.docname).name
        try:
            asked = ask(box, answer, self.options, page)
        except (ValueError, KeyError) as wrong:
            raise self.error(f"Predict: {wrong}.") from None
        if answer:
            self.state.nested_parse(StringList([answer], self.env.docname), self.content_offset, asked)
        box += asked
        return [box]


def ask(box, answer, options, page):
    """What asks in one box."""
    name = f"guess-{zlib.crc32(box.astext().encode()):08x}"  # of the question: other boxes may come and go
    number = None if options.get("asks") == "words" else truth(answer, page)
    value, shown, unit = number or (None, "", "")
    kind = "words" if value is None else "number"
    asked = guess(kind=kind, id=name, unit=options.get("unit", unit), by=options.get("by", "factor"))
    if asked["by"] not in ("factor", "difference"):
        raise ValueError(f"by is 'factor' or 'difference', not {asked['by']!r}")
    if value is not None:
        asked["truth"], asked["shown"] = f"{value:.6g}", shown
    if "choices" in options:
        asked["choices"], asked["truth"] = choose(options["choices"], value, numbers(page))
        asked["kind"], asked["shown"] = "choice", asked["truth"]
    return asked


def complete(app, doctree):
    """Let plain boxes ask, too, and leave room at the end of the chapter."""
    boxes = [box for box in doctree.findall(nodes.admonition) if "predict" in box["classes"]]
    for box in boxes:
        if not any(isinstance(child, guess) for child in box.children):
            box += ask(box, "", {}, "")
    if boxes:
        ends = [one for one in doctree.findall(nodes.section) if one[0].astext() == "Take-aways"]
        (ends[-1] if ends else doctree).append(summary_of_guesses())


def form(node):
    """The form in HTML, which the script shows."""
    name, kind, unit = node["id"], node["kind"], node["unit"]
    label = f'<label for="{name}">Your guess</label>'
    if kind == "choice":
        radio = f'<input type="radio" name="{name}" required value='
        options = (f'<label>{radio}"{escape(text)}"> {escape(text)}</label>' for text in node["choices"])
        field = f"<fieldset><legend>Your guess</legend>{''.join(options)}</fieldset>"
    elif kind == "number":
        field = f'{label} <input id="{name}" name="{name}" inputmode="decimal" autocomplete="off" size="9" required>'
        field += f" <span>{escape(unit)}</span>" if unit else ""
    else:
        field = f'{label} <textarea id="{name}" name="{name}" rows="2" required></textarea>'
    told = "".join(f' data-{key}="{escape(node[key])}"' for key in ("kind", "by", "truth", "shown", "unit") if key in node)
    button = f'<button type="submit">{"Keep it, and look" if node.children else "Keep it"}</button>'
    said = '<p class="guess-said" role="status"></p>'
    return f'<form class="guess" data-name="{name}"{told} hidden>{field} {button}{said}</form>'


def visit_guess(self, node):
    """The form, then the answer, folded."""
    self.body.append(form(node))
    if node.children:
        self.body.append('<details class="guess-truth"><summary>What comes out</summary>')


def depart_guess(self, node):
    """Close it."""
    if node.children:
        self.body.append("</details>")


def visit_summary(self, node):
    """An empty place."""
    self.body.append('<div class="guess-summary" hidden></div>')


def depart_summary(self, node):
    """It has no content."""


def setup(app):
    """Register with Sphinx."""
    app.add_node(guess, html=(visit_guess, depart_guess))
    app.add_node(summary_of_guesses, html=(visit_summary, depart_summary))
    app.add_directive("predict", Predict)
    app.add_js_file("predict.js", loading_method="defer")
    app.connect("doctree-read", complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
