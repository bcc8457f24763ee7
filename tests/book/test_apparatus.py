"""What is made from the chapters at each build: the scoreboard, the map, the quizzes."""

from __future__ import annotations

import ast
import html
import json
import re
import sys

import chapter_map
import chapters
import pytest
import scoreboard
import yaml
from typography import set_numbers

ROOT = chapters.ROOT
SITE = ROOT / "_build" / "html" / "book"
NOTEBOOKS = {path.stem: path for path in chapters.notebooks()}
ROWS = scoreboard.rows()


def text_of(page):
    """The text of a built page, without tags and spare blanks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", (SITE / page).read_text(encoding="utf-8"))).split())


# The first page.


def test_the_first_page_leads_into_the_book():
    page = (SITE / "index.html").read_text(encoding="utf-8")
    body = page[page.index("<article") : page.index("</article>")]
    for name in ("heat", "failures", "approximation", "gradient_descent", "it_does_not_converge"):  # buttons and cards
        assert re.search(rf'<a class="[^"]*(?:sd-btn|sd-stretched-link)[^"]*" href="{name}.html"', body), name
    assert 'href="#how-to-run-it"' in body
    assert body.count('class="explorer"') == 1
    assert "the arrow at the top of the page" not in body
    assert 'open <a href="heat.html">its chapter</a> as a notebook' in body
    assert len(re.findall(r'<img class="taste" src="data:image/png;base64,[^"]+" alt="[^"]{20,}"', body)) == 5


def test_the_first_page_counts():
    said = text_of("index.html")
    runs = [json.loads(path.read_text(encoding="utf-8"))["results"] for path in (ROOT / "book" / "studies").glob("*.json")]
    assert f"{len(NOTEBOOKS)} chapters that run" in said
    assert f"{sum(row.holds is True for row in ROWS)} of {len(ROWS)} claims of the talk hold" in said
    assert f"{sum(map(len, runs)):,} runs in {len(runs)} stored studies" in said


def test_every_chapter_has_its_line_on_the_first_page():
    said = text_of("index.html").replace("\u2019", "'")
    assert "How to find unknown functions and laws from measurements" in said
    for chapter in chapter_map.chapters().values():
        assert chapter.promise
        assert not re.search(r"[;.]", chapter.promise), chapter.promise
        assert len(chapter.promise) < 120, chapter.promise
        assert chapter.promise.split(" `")[0][:40].split("$")[0].split("*")[0].strip() in said


# The scoreboard.


def test_every_row_is_there_once_and_in_order():
    assert [row.name for row in ROWS] == [f"R{i}" for i in range(1, 47)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_missing_only_as_long_as_its_chapter_is(row):
    if row.chapter not in NOTEBOOKS:
        assert row.holds is None
        pytest.skip(f"the chapter {row.chapter} is not in _toc.yml yet")
    assert row.holds, f"{row.name} does not hold: {row.measured}"
    assert re.search(r"\d", row.measured)


@pytest.mark.parametrize("row", [row for row in ROWS if row.holds is not None], ids=lambda row: row.name)
def test_a_row_says_what_its_chapter_says(row):
    """Read the chapter again, by other means: every number of the row is one of its glued numbers."""
    stored = {}
    for cell in json.loads(NOTEBOOKS[row.chapter].read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if "scrapbook" in output.get("metadata", {}):
                text = output["data"]["application/papermill.record/text/plain"]
                stored[output["metadata"]["scrapbook"]["name"]] = ast.literal_eval("".join(text))
    said = yaml.safe_load(scoreboard.TABLE.read_text(encoding="utf-8"))[row.name]["measured"]
    wanted = re.sub(r"\{([\w-]+):(d?)([^}]*)\}", lambda m: format(int(stored[m[1]]) if m[2] else stored[m[1]], m[2] + m[3]), said)
    assert row.measured == wanted
    built = text_of("scoreboard.html")
    assert all(number in built for number in re.findall(r"\d[\d.,e+-]*\d", set_numbers(row.measured)))


def test_a_claim_that_fails_is_told(tmp_path):
    broken = yaml.safe_load(scoreboard.TABLE.read_text(encoding="utf-8"))
    broken["R17"]["holds"] = ["slope-K between 1 and 2"]
    (tmp_path / "rows.yml").write_text(yaml.safe_dump(broken, sort_keys=False), encoding="utf-8")
    assert [row.holds for row in scoreboard.rows(tmp_path / "rows.yml") if row.name == "R17"] == [False]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.pop("R5"), "must list R1 to R46 in order"),
        (lambda rows: rows["R17"].pop("measured"), "R17: the chapter gradient_descent is there now; say in"),
        (lambda rows: rows["R17"].update(measured="{no-such:.2f}"), "glues no number called 'no-such'"),
        (lambda rows: rows["R17"].update(holds=["slope-K is 4"]), "is no condition"),
    ],
)
def test_a_row_that_is_incomplete_is_refused(tmp_path, change, says):
    rows = yaml.safe_load(scoreboard.TABLE.read_text(encoding="utf-8"))
    change(rows)
    (tmp_path / "rows.yml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        scoreboard.rows(tmp_path / "rows.yml")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("a <= 2", True), ("a < 2", False), ("a between 1 and 2", True), ("a > b", False), ("b >= 3", True)],
)
def test_conditions(condition, holds):
    assert scoreboard.judge(condition, {"a": 2.0, "b": 3.0}) is holds


# The map.


def test_the_map_has_every_chapter_and_its_arrows_are_prerequisites():
    found = chapter_map.chapters()
    assert set(NOTEBOOKS) <= set(found)
    drawn = chapter_map.svg(found)
    for name in found:
        assert f'<a href="{name}.html"' in drawn
        assert (SITE / f"{name}.html").exists()
    for need, name in chapter_map.arrows(found):
        assert need in found[name].needs
        assert found[need].level < found[name].level
    assert drawn.count("<path") == drawn.count('marker-end="url(#map-head)"') == len(chapter_map.arrows(found)) > 10
    assert 'id="map-head"' in drawn


def test_a_part_has_its_own_frame_and_the_key_tells_which():
    found = chapter_map.chapters()
    key = chapter_map.key(found)
    style = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    looks = {}
    for part in {chapter.part for chapter in found.values()}:
        assert f'<li class="part-{part}">' in key
        looks[part] = re.search(rf"\.part-{part} rect {{(.*?)}}", style)[1]
    assert len(set(looks.values())) == len(looks) == 5
    assert '<ul class="map-key">' in (SITE / "index.html").read_text(encoding="utf-8")


def inside_of_a_box(line, boxes):
    """Where a line goes through a box, of which its ends are no part: points of its pieces, a cubic or a vertical each."""
    at, seen = None, []
    for kind, numbers in re.findall(r"([MCV])([^MCV]+)", line):
        values = [float(number) for number in numbers.split()]
        if kind == "M":
            at = values
        elif kind == "V":
            seen += [(at[0], at[1] + (values[0] - at[1]) * i / 50) for i in range(51)]
            at = [at[0], values[0]]
        else:
            knots = [at, values[:2], values[2:4], values[4:]]
            for t in (i / 50 for i in range(51)):
                weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
                seen.append(tuple(sum(w * knot[i] for w, knot in zip(weights, knots, strict=True)) for i in (0, 1)))
            at = knots[3]
    return [(x, y) for x, y in seen for a, b, c, d in boxes if a < x < a + c and b < y < b + d]


def test_no_arrow_runs_behind_a_box():
    drawn = chapter_map.svg(chapter_map.chapters())
    frame = r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"'
    boxes = [tuple(map(float, box)) for box in re.findall(frame, drawn)]
    lines = re.findall(r'<path d="([^"]+)"', drawn)
    assert boxes
    assert lines
    assert not {line: found for line in lines if (found := inside_of_a_box(line, boxes))}
    a, b, c, d = boxes[0]
    assert inside_of_a_box(f"M{a - 9} {b}C{a} {b} {a + c} {b + d} {a + c + 9} {b + d}V{b + 2 * d}", boxes)


def test_the_map_is_as_wide_as_a_page_and_cuts_no_title():
    found = chapter_map.chapters()
    places = chapter_map.spots(found)
    assert len(set(places.values())) == len(found)
    assert all(abs(right) <= (chapter_map.ABREAST - 1) / 2 for _, right in places.values())
    for need, name in chapter_map.arrows(found):
        assert places[need][0] < places[name][0]
    for label, box in re.findall(r'aria-label="([^"]+)"><g.*?>(.*?)</g>', chapter_map.svg(found)):
        words = re.findall(r"<text[^>]*>(.*?)</text>", box)
        assert " ".join(words) == label
        assert len(words) <= 3


def test_an_arrow_that_follows_from_others_is_left_out():
    made = {name: chapter_map.Chapter(name, name, 0, needs) for name, needs in (("a", []), ("b", ["a"]), ("c", ["a", "b"]))}
    assert chapter_map.arrows(made) == [("a", "b"), ("b", "c")]


def test_prerequisites_in_a_circle_are_refused():
    made = {"a": chapter_map.Chapter("a", "a", 0, ["b"]), "b": chapter_map.Chapter("b", "b", 0, ["a"])}
    with pytest.raises(ValueError, match="in a circle: a -> b -> a"):
        chapter_map.level(made, "a", ())


def test_both_ways_to_write_a_link_are_read():
    text = "{doc}`heat`, {doc}`the wave <advection_speed>`, [derivatives](derivatives), [burgers](burgers.md)"
    assert [a or b for a, b in chapter_map.LINK.findall(text)] == ["heat", "advection_speed", "derivatives", "burgers"]


# Quizzes, on the built pages; what the directive refuses is seen in a small project of its own.


def test_a_quiz_says_of_every_answer_whether_it_is_right():
    quizzes = 0
    for page in SITE.glob("*.html"):
        for box in re.findall(r'<div class="quiz".*?</details>\s*</div>', page.read_text(encoding="utf-8"), flags=re.S):
            quizzes += 1
            answers = re.findall(r'<details class="quiz-answer (right|wrong)" name="([^"]+)">(.*?)</details>', box, flags=re.S)
            assert len(answers) >= 2
            assert [kind for kind, _, _ in answers].count("right") == 1
            assert len({name for _, name, _ in answers}) == 1
            for kind, _, inside in answers:
                assert f"<strong>{'Right. ' if kind == 'right' else 'No. '}</strong>" in inside
                assert "[x]" not in inside
                assert "[ ]" not in inside
    assert quizzes >= 14


@pytest.mark.parametrize(
    ("quiz", "says"),
    [
        ("Why?\n\n- [x] A.\n\n  Yes.\n", "at least two answers"),
        ("Why?\n\n- [x] A.\n\n  Yes.\n- [x] B.\n\n  Yes.\n", "one of them is marked"),
        ("Why?\n\n- [x] A.\n- [ ] B.\n", "has no feedback"),
        ("Why?\n\n- A.\n\n  Yes.\n- [ ] B.\n\n  No.\n", "begins with"),
        ("Why?\n", "a question, then one list"),
    ],
)
def test_a_quiz_that_is_incomplete_is_refused(tmp_path, monkeypatch, quiz, says):
    from sphinx.testing.util import SphinxTestApp

    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    (tmp_path / "conf.py").write_text("extensions = ['myst_parser', 'quiz']\nmyst_enable_extensions = ['colon_fence']\n")
    (tmp_path / "index.md").write_text(f"# Page\n\n:::{{quiz}}\n{quiz}:::\n")
    app = SphinxTestApp("html", srcdir=tmp_path)
    try:
        app.build()
        assert says in app.warning.getvalue()
    finally:
        app.cleanup()
        sys.modules.pop("quiz", None)


def test_terms_are_linked_at_their_first_uses():
    linked = {name for name, path in NOTEBOOKS.items() if "{term}`" in path.read_text(encoding="utf-8")}
    assert len(linked) >= 8
    assert 'href="glossary.html#term-residual"' in (SITE / "heat.html").read_text(encoding="utf-8")
