"""Two directives whose content is made from the chapters at each build: ``chapter-map`` and ``scoreboard``."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

import chapter_map
import scoreboard


def parsed(directive, text):
    """The nodes of a piece of MyST."""
    box = nodes.container()
    directive.state.nested_parse(StringList(text.splitlines(), "made at build time"), 0, box)
    return box.children


class ChapterMap(SphinxDirective):
    """The map, which scrolls by itself where it is too wide, and the same in words."""

    def run(self):
        found = chapter_map.chapters()
        html = f'<div class="chapter-map" tabindex="0" role="region" aria-label="Map">{chapter_map.svg(found)}</div>'
        return [nodes.raw("", html, format="html"), *parsed(self, chapter_map.listing(found))]


class Scoreboard(SphinxDirective):
    """The table, and how many of its rows hold."""

    def run(self):
        found = scoreboard.rows()
        count = {state: sum(row.holds is state for row in found) for state in (True, False, None)}
        words = f"**{count[True]} of {len(found)} claims hold** as measured, {count[False]} do not"
        words += f", and for {count[None]} the chapter is not there yet." if count[None] else "."
        return parsed(self, f"{words}\n\n{scoreboard.markdown(found)}")


def setup(app):
    """Register with Sphinx."""
    app.add_directive("chapter-map", ChapterMap)
    app.add_directive("scoreboard", Scoreboard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
