"""A map of the chapters, drawn from what each says it needs.

An arrow leads from a chapter to one that names it under "Prerequisites". Arrows that follow from others are
left out.
"""

import json
import re
import textwrap
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import yaml
from chapters import ROOT, pages

NEEDS = re.compile(r"\*\*Prerequisites\*\*:?(.*?)\n\n", re.S)
LEARN = re.compile(r"\*\*You will learn\*\*:?\s+(.*?(?:,\s(?:an?\s|the\s)?[\w-]+\sand\s.*?)?)(?=[,;.:](?:\s|$)|\n\n)", re.S)
LINK = re.compile(r"\{doc\}`(?:[^`<]*<)?/?([\w/]+?)>?`|\]\(([\w/]+?)(?:\.md|\.ipynb)?\)")
WIDTH, HEIGHT, GAP, DROP = 118, 58, 16, 44  # a box, and the room beside and below it, in pixels of the page
SLOT = 3.5  # between arrows that run side by side
ABREAST = 5  # as many boxes as a page has room for


@dataclass
class Chapter:
    """One box of the map."""

    name: str
    title: str
    part: int
    needs: list[str] = field(default_factory=list)
    level: int = 0
    promise: str = ""


def prose(path: Path) -> str:
    """The text of a page, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def parts() -> tuple[list[str], dict[str, int]]:
    """The captions of the parts, and in which of them each page is."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    where = {Path(page["file"]).name: i for i, part in enumerate(contents) for page in part["chapters"]}
    return [part["caption"] for part in contents], where


def chapters() -> dict[str, Chapter]:
    """Every page with a box "At a glance", in the order of the book, with its level in the map."""
    _, where = parts()
    found: dict[str, Chapter] = {}
    for path in pages():
        text = prose(path)
        if path.stem in where and "At a glance" in text:
            title = re.search(r"^# +(.+)$", text, flags=re.M).group(1)
            found[path.stem] = Chapter(path.stem, title, where[path.stem])
    for path in pages():
        if path.stem in found and (promised := LEARN.search(prose(path))):
            words = " ".join(promised.group(1).split())
            found[path.stem].promise = words[0].upper() + words[1:]
        if path.stem in found and (said := NEEDS.search(prose(path))):
            named = [Path(a or b).name for a, b in LINK.findall(said.group(1))]
            found[path.stem].needs = [name for name in dict.fromkeys(named) if name in found and name != path.stem]
    for name in found:
        found[name].level = level(found, name, ())
    return found


def level(found: dict[str, Chapter], name: str, above: tuple[str, ...]) -> int:
    """The length of the longest way that leads to a chapter."""
    if name in above:
        raise ValueError(f"The prerequisites run in a circle: {' -> '.join([*above, name])}.")
    return max((1 + level(found, need, (*above, name)) for need in found[name].needs), default=0)


def before(found: dict[str, Chapter], name: str) -> set[str]:
    """Everything that a chapter needs, directly or not."""
    return set().union(*({need} | before(found, need) for need in found[name].needs))


def arrows(found: dict[str, Chapter]) -> list[tuple[str, str]]:
    """Pairs (needed, chapter) without those that follow from others."""
    return [
        (need, name)
        for name, chapter in found.items()
        for need in chapter.needs
        if not any(need in before(found, other) for other in chapter.needs)
    ]


def spots(found: dict[str, Chapter]) -> dict[str, tuple[int, float]]:
    """Where each box is: its row from above, and how many boxes it is to the right of the middle.

    A box lies below the middle of what it needs. A level with more boxes than a page has room for is several rows,
    whose boxes lie in each other's gaps.
    """
    ways, place, row = arrows(found), {}, 0

    def middle(name):
        above = [place[need][1] for need, to in ways if to == name]
        return sum(above) / len(above) if above else list(found).index(name)

    for height in range(1 + max(chapter.level for chapter in found.values())):
        level_boxes = sorted((name for name in found if found[name].level == height), key=middle)
        count = -(-len(level_boxes) // ABREAST)
        for boxes in (level_boxes[start::count] for start in range(count)):
            place |= {name: (row, i - (len(boxes) - 1) / 2) for i, name in enumerate(boxes)}
            row += 1
    return place


def channels(found: dict[str, Chapter], x: dict[str, float], place: dict) -> dict[tuple[str, str], list[float]]:
    """For each arrow, where it passes the rows between its ends: between boxes, on the shortest way there is."""
    rows: dict[int, list[float]] = {}
    for name, (row, _) in place.items():
        rows.setdefault(row, []).append(x[name])
    free = {}
    for row, lefts in rows.items():
        lefts = sorted(lefts)
        inner = [left + WIDTH + GAP / 2 for left in lefts]
        free[row] = [lefts[0] - GAP / 2, *inner]
    used: dict[tuple[int, float], int] = {}
    routes = {}
    for need, name in sorted(arrows(found), key=lambda pair: place[pair[1]][0] - place[pair[0]][0]):
        start, end = x[need] + WIDTH / 2, x[name] + WIDTH / 2
        ways = [(0.0, [start])]
        for row in range(place[need][0] + 1, place[name][0]):
            ways = [
                min((cost + (spot - way[-1]) ** 2 + 900 * used.get((row, spot), 0), [*way, spot]) for cost, way in ways)
                for spot in free[row]
            ]
        _, way = min((cost + (end - way[-1]) ** 2, way) for cost, way in ways)
        routes[need, name] = way[1:]
        for row, spot in enumerate(way[1:], place[need][0] + 1):
            used[row, spot] = used.get((row, spot), 0) + 1
    return side_by_side(routes, place)


def side_by_side(routes: dict, place: dict) -> dict[tuple[str, str], list[float]]:
    """The same routes, with arrows that share a gap beside each other: they lie as their ends do."""
    sharing: dict[tuple[int, float], list] = {}
    for (need, name), way in routes.items():
        for i, spot in enumerate(way):
            sharing.setdefault((place[need][0] + 1 + i, spot), []).append((place[name][1], place[need][1], need, name, i))
    moved = {pair: list(way) for pair, way in routes.items()}
    for (_, spot), those in sharing.items():
        slot = min(SLOT, (GAP - 4) / max(1, len(those) - 1))
        for k, (_, _, need, name, i) in enumerate(sorted(those)):
            moved[need, name][i] = spot + slot * (k - (len(those) - 1) / 2)
    return moved


def spread(x: dict[str, float], ways: list[tuple[str, str]], routes: dict, end: int) -> dict[tuple[str, str], float]:
    """Where each arrow leaves its box (end 0) or arrives at one (end 1): side by side, in the order of where they go."""
    ports = {}
    for box in x:
        here = [pair for pair in ways if pair[end] == box]

        def other(pair):
            way = routes[pair]
            return way[-end] if way else x[pair[1 - end]] + WIDTH / 2

        for i, pair in enumerate(sorted(here, key=other)):
            ports[pair] = x[box] + WIDTH / 2 + min(14, WIDTH * 0.8 / len(here)) * (i - (len(here) - 1) / 2)
    return ports


def path(start: float, way: list[float], end: float, top: float, rows: int) -> str:
    """One arrow: down, between the boxes of the rows that it passes, and down to its box."""
    said, at = [f"M{start:.1f} {top:.1f}"], start
    for row in range(rows):
        below = top + DROP
        to = way[row] if row < rows - 1 else end
        said.append(f"C{at:.1f} {top + DROP / 2:.1f} {to:.1f} {below - DROP / 2:.1f} {to:.1f} {below:.1f}")
        if row < rows - 1:
            said.append(f"V{below + HEIGHT:.1f}")
        top, at = below + HEIGHT, to
    return "".join(said)


def svg(found: dict[str, Chapter]) -> str:
    """The map as inline SVG, whose colors the style sheet gives."""
    place = spots(found)
    wide = (2 * max(right for _, right in place.values()) + 1) * (WIDTH + GAP) + GAP
    x = {name: wide / 2 + right * (WIDTH + GAP) - WIDTH / 2 for name, (_, right) in place.items()}
    y = {name: GAP + row * (HEIGHT + DROP) for name, (row, _) in place.items()}
    tall = max(y.values()) + HEIGHT + GAP
    drawn = [
        '<defs><marker id="map-head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" '
        'markerUnits="userSpaceOnUse" orient="auto"><polygon points="0,0.5 8,4 0,7.5"/></marker></defs>'
    ]
    ways, routes = arrows(found), channels(found, x, place)
    leaves, arrives = spread(x, ways, routes, 0), spread(x, ways, routes, 1)
    for pair in ways:
        need, name = pair
        rows = place[name][0] - place[need][0]
        line = path(leaves[pair], routes[pair], arrives[pair], y[need] + HEIGHT, rows)
        drawn.append(f'<path d="{line}" marker-end="url(#map-head)"/>')
    for name, chapter in found.items():
        words = textwrap.wrap(chapter.title, 19, break_on_hyphens=False)
        top = y[name] + HEIGHT / 2 + 4 - 7.5 * (len(words) - 1)
        texts = "".join(
            f'<text x="{x[name] + WIDTH / 2:.0f}" y="{top + 15 * i:.0f}">{escape(line)}</text>'
            for i, line in enumerate(words)
        )
        drawn.append(
            f'<a href="{name}.html" aria-label="{escape(chapter.title)}"><g class="part-{chapter.part}">'
            f'<rect x="{x[name]:.0f}" y="{y[name]:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>{texts}</g></a>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {tall:.0f}" width="{wide:.0f}" '
        f'role="group" aria-label="Map of the chapters; the list below says the same">{"".join(drawn)}</svg>'
    )


def key(found: dict[str, Chapter]) -> str:
    """Which frame stands for which part of the book, as HTML."""
    captions, _ = parts()
    there = sorted({chapter.part for chapter in found.values()})
    said = (f'<li class="part-{i}">{escape(captions[i])}</li>' for i in there)
    return f'<ul class="map-key">{"".join(said)}</ul>'


def listing(found: dict[str, Chapter]) -> str:
    """The same in words, as MyST: each chapter and what it needs."""
    captions, _ = parts()
    said = []
    for i, caption in enumerate(captions):
        if any(chapter.part == i for chapter in found.values()):
            said.append(f"\n**{caption}**\n")
        for chapter in found.values():
            if chapter.part == i:
                needs = ", ".join(f"{{doc}}`{need}`" for need in chapter.needs) or "nothing before it"
                said.append(f"- {{doc}}`{chapter.name}` needs {needs}.")
    return "\n".join(said)


def promises(found: dict[str, Chapter]) -> str:
    """A line for each chapter, as MyST: its title and the first thing that you learn there."""
    captions, _ = parts()
    said = []
    for i, caption in enumerate(captions):
        here = [chapter for chapter in found.values() if chapter.part == i]
        if here:
            said.append(f"\n**{caption}**\n")
            said += [f"- {{doc}}`{chapter.name}`" + f" — {chapter.promise}" * bool(chapter.promise) for chapter in here]
    return "\n".join(said)


if __name__ == "__main__":
    print(svg(chapters()))
