"""Directives whose content is made from the chapters at each build.

``chapter-map``, ``chapter-list``, ``scoreboard`` and ``proof-strip``; ``player`` and ``picture`` show elsewhere what a
chapter has.
"""

import json
import sys
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))

import chapter_map
import chapters
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
        html = chapter_map.key(found)
        html += f'<div class="chapter-map" tabindex="0" role="region" aria-label="Map">{chapter_map.svg(found)}</div>'
        words = parsed(self, chapter_map.listing(found))
        return [
            nodes.raw("", f"{html}<details class='map-words'><summary>The same in words</summary>", format="html"),
            *words,
            nodes.raw("", "</details>", format="html"),
        ]


class Scoreboard(SphinxDirective):
    """The table, and how many of its rows hold."""

    def run(self):
        found = scoreboard.rows()
        count = {state: sum(row.holds is state for row in found) for state in (True, False, None)}
        words = f"**{count[True]} of {len(found)} claims hold** as measured, {count[False]} do not"
        words += f", and for {count[None]} the chapter is not there yet." if count[None] else "."
        return [nodes.container("", *parsed(self, f"{words}\n\n{scoreboard.markdown(found)}"), classes=["scoreboard"])]


class ChapterList(SphinxDirective):
    """One line for each chapter: its title, and the first thing that you learn there."""

    def run(self):
        return parsed(self, chapter_map.promises(chapter_map.chapters()))


class ProofStrip(SphinxDirective):
    """What can be counted: chapters, claims that hold, and on how many runs they rest."""

    def run(self):
        found = scoreboard.rows()
        stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(scoreboard.STUDIES.glob("*.json"))]
        facts = {
            "chapters that run": len(chapters.notebooks()),
            f"of {len(found)} claims of the talk hold": sum(row.holds is True for row in found),
            f"runs in {len(stored)} stored studies": sum(len(study["results"]) for study in stored),
            "requests to the internet": 0,
        }
        items = "".join(f"<li><strong>{number:,}</strong> {escape(words)}</li>" for words, number in facts.items())
        return [nodes.raw("", f'<ul class="proof-strip">{items}</ul>', format="html")]


HERE = "open this notebook (the arrow at the top of the page)"


class FromChapter(SphinxDirective):
    """What a chapter's stored outputs hold. The argument names the chapter and, for a picture, its figure."""

    required_arguments, optional_arguments = 1, 1

    def run(self):
        name, figure = self.arguments[0], "".join(self.arguments[1:])
        path = chapters.ROOT / "book" / f"{name}.ipynb"
        self.env.note_dependency(str(path))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            said = cell["metadata"].get("mystnb", {})
            for output in cell.get("outputs", []):
                if html := self.found(output.get("data", {}), said, figure):
                    return [nodes.raw("", html, format="html")]
        raise self.error(f"The chapter {name} has no such output{': ' * bool(figure)}{figure}.")


class Player(FromChapter):
    """The first player of a chapter."""

    def found(self, data, said, figure):
        html = "".join(data.get("text/html", ""))
        there = f'open <a href="{self.arguments[0]}.html">its chapter</a> as a notebook'  # this page is none
        return html.replace(HERE, there) if 'class="explorer"' in html else None


class Picture(FromChapter):
    """A figure of a chapter, without its caption."""

    def found(self, data, said, figure):
        if said.get("figure", {}).get("name") == figure and "image/png" in data:
            picture = "".join(data["image/png"]).replace("\n", "")
            return f'<img class="taste" src="data:image/png;base64,{picture}" alt="{escape(said["image"]["alt"])}">'
        return None


def setup(app):
    """Register with Sphinx."""
    app.add_directive("chapter-map", ChapterMap)
    app.add_directive("chapter-list", ChapterList)
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("proof-strip", ProofStrip)
    app.add_directive("player", Player)
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
