"""A short quiz: an answer unfolds what is right or wrong about it. No script, no kernel, no network.

::

    :::{quiz}
    What happens if you double the rate?

    - [ ] Training is twice as fast.

      Only up to the rate that the steepest direction allows.
    - [x] It depends on the largest eigenvalue.

      Beyond 2 / mu_max it diverges.
    :::

Each answer begins with ``[ ]`` or ``[x]`` and has its feedback as an indented paragraph. In JupyterLab, which
does not know the directive, that reads as a list. On a page each answer is a native ``<details>``.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

MARKS = {"[x] ": True, "[ ] ": False}


class quiz(nodes.General, nodes.Element):
    """The box."""


class answer(nodes.General, nodes.Element):
    """One answer: a summary, then what is said about it."""


class summary(nodes.General, nodes.TextElement):
    """What can be clicked."""


class Quiz(SphinxDirective):
    """Turn a question and a list into a quiz, or say what is missing."""

    has_content = True

    def run(self):
        box = quiz()
        self.state.nested_parse(self.content, self.content_offset, box)
        name = f"quiz-{self.env.new_serialno('quiz')}"
        lists = [child for child in box.children if isinstance(child, nodes.bullet_list)]
        if len(lists) != 1 or not isinstance(box.children[0], nodes.paragraph):
            raise self.error("A quiz is a question, then one list of answers.")
        found = [self.answer(item, name) for item in lists[0].children]
        if len(found) < 2 or sum(one["right"] for one in found) != 1:
            raise self.error("A quiz has at least two answers, and one of them is marked [x].")
        title = nodes.paragraph("", "", nodes.strong("", "Quiz"), classes=["quiz-title"])
        box.children = [title, *box.children[: box.index(lists[0])], *found]
        for child in box.children:
            child.parent = box
        return [box]

    def answer(self, item, name):
        if len(item.children) < 2:
            raise self.error(f"An answer of the quiz has no feedback: {item.astext()}")
        line, *feedback = item.children
        text = line.children[0]
        right = MARKS.get(text.astext()[:4])
        if right is None:
            raise self.error(f"An answer of the quiz begins with [ ] or [x], not with {text.astext()[:12]!r}.")
        line.replace(text, nodes.Text(text.astext()[4:]))
        verdict = nodes.strong("", "Right. " if right else "No. ")
        feedback[0].insert(0, verdict)
        head = summary("", "", *line.children)
        return answer("", head, nodes.container("", *feedback, classes=["quiz-feedback"]), right=right, name=name)


def visit_quiz(self, node):
    """Open the box."""
    self.body.append('<div class="quiz" role="group" aria-label="Quiz">')


def depart_quiz(self, node):
    """Close the box."""
    self.body.append("</div>\n")


def visit_answer(self, node):
    """Open an answer. Those of one name fold when another is opened."""
    kind = "right" if node["right"] else "wrong"
    self.body.append(f'<details class="quiz-answer {kind}" name="{node["name"]}">')


def depart_answer(self, node):
    """Close an answer."""
    self.body.append("</details>\n")


def visit_summary(self, node):
    """Open what can be clicked."""
    self.body.append("<summary>")


def depart_summary(self, node):
    """Close it."""
    self.body.append("</summary>")


def setup(app):
    """Register with Sphinx."""
    app.add_node(quiz, html=(visit_quiz, depart_quiz))
    app.add_node(answer, html=(visit_answer, depart_answer))
    app.add_node(summary, html=(visit_summary, depart_summary))
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
