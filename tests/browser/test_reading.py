"""What a reader does: goes by keyboard, looks at a phone, guesses, searches, prints."""

import io
import re

import chapters
import pytest
from PIL import Image


def test_a_link_is_a_stop_once(visit):
    """A formula cited again is none, a chapter in another section is one; nothing is lost to a mouse."""
    page = visit("book/heat.html")
    page.wait_for_function("() => document.querySelector('.bd-article a[tabindex=\"-1\"]')")
    again = page.locator(".bd-article a.reference.internal[href='#equation-eq-heat-loss']:visible")
    assert [link.get_attribute("tabindex") for link in again.all()] == [None] + ["-1"] * (again.count() - 1)
    assert again.count() > 2
    again.last.click()
    page.wait_for_url("**#equation-eq-heat-loss")


def test_the_scoreboard_on_a_phone_says_what_holds(visit):
    page = visit("book/scoreboard.html", width=390)
    verdicts = page.locator(".scoreboard tbody td:last-child")
    assert verdicts.count() == 46
    for verdict in verdicts.all():
        assert verdict.inner_text().startswith(("yes", "no"))
        box = verdict.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert page.locator(".scoreboard .wide").count() == 0, "nothing is to be scrolled sideways"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_map_can_be_read(visit, width):
    page = visit("book/index.html", width=width)
    boxes = page.evaluate("""() => [...document.querySelectorAll(".chapter-map g")].map(box => {
      const frame = box.querySelector("rect").getBoundingClientRect();
      return [...box.querySelectorAll("text")].map(text => {
        const seen = text.getBoundingClientRect();
        const size = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
        const beside = Math.min(seen.left - frame.left, frame.right - seen.right);
        return [size, Math.min(beside, seen.top - frame.top, frame.bottom - seen.bottom)];
      });
    })""")
    assert min(size for box in boxes for size, _ in box) >= 11
    assert min(room for box in boxes for _, room in box) >= 0


def test_the_map_fades_where_there_is_more(visit):
    page = visit("book/index.html", width=390)
    box = page.locator(".chapter-map")
    page.wait_for_function("() => document.querySelector('.chapter-map.wide.more-right:not(.more-left)')")
    box.evaluate("box => box.scrollTo(9999, 0)")
    page.wait_for_function("() => document.querySelector('.chapter-map.wide.more-left:not(.more-right)')")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("() => !document.querySelector('.chapter-map.wide, .chapter-map.more-left, .chapter-map.more-right')")


def test_a_wide_table_fades_over_its_rows(visit):
    """A shadow behind it would be hidden by the ground of the rows."""
    page = visit("book/optimizers.html", width=390)
    table = page.locator(".printed-table.wide").first
    table.wait_for()
    with Image.open(io.BytesIO(table.screenshot())) as seen:
        right = seen.convert("L").crop((seen.width - 4, 10, seen.width, seen.height))
        left = seen.convert("L").crop((0, 10, 120, seen.height))
    assert left.getextrema()[0] < 100, "letters"
    assert right.getextrema()[0] > 150, "at the right edge nothing is dark"
    assert "gradient" in table.evaluate("box => getComputedStyle(box).maskImage")


# Predict.


def test_a_guess_is_judged_by_the_computed_number_and_stays_in_the_browser(visit):
    page = visit("book/heat.html")
    form = page.locator("form.guess[data-kind=number]").first
    truth, field, said = float(form.get_attribute("data-truth")), form.locator("input"), form.locator(".guess-said")
    answer = page.locator("details.guess-truth", has_text=form.get_attribute("data-shown")).first
    assert answer.get_attribute("open") is None
    tries = {f"{truth}": "That is it.", f"{2 * truth}": "Near.", "10^-6": "Far off.", "1e9": "too large"}
    for words, verdict in tries.items():
        field.fill(words)
        field.press("Enter")
        assert verdict in said.inner_text()
    assert answer.get_attribute("open") is not None
    field.fill("many")
    field.press("Enter")
    assert field.evaluate("field => field.validationMessage").startswith("Write a number")
    page.reload()
    page.wait_for_load_state("load")
    assert "too large" in said.inner_text(), "it is kept"
    page.get_by_role("button", name="Forget my guesses").click()
    assert not page.locator(".guess-summary").is_visible()
    page.reload()
    assert said.inner_text() == ""


def test_without_a_script_the_answer_unfolds(browser):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((chapters.ROOT / "_build" / "html" / "book" / "heat.html").as_uri())
    assert page.locator("form.guess:visible").count() == 0
    answer = page.locator("details.guess-truth").first
    answer.locator("summary").click()
    assert re.search(r"\d", answer.inner_text())
    context.close()


# Search.


@pytest.mark.parametrize(
    ("words", "page_name", "section"),
    [
        ("midpoint+rule", "quadrature", "#"),
        ("rod+cools", "heat", "#a-rod-that-cools"),
        ("heavy+ball", "second_order", "#"),
    ],
)
def test_search_finds_sections_and_shows_the_line(visit, words, page_name, section):
    page = visit(f"search.html?q={words}")
    item = page.locator("#search-results li", has=page.locator(f"a[href*='{page_name}.html{section}']")).first
    item.wait_for()
    word = words.split("+")[0].lower()
    assert word in item.inner_text().lower()
    assert item.locator(".found-line").inner_text()
    item.locator("a").click()
    page.wait_for_url(f"**/{page_name}.html{section}*")
    assert page.wrong == []


def test_a_section_that_has_the_phrase_comes_before_a_long_page_that_has_the_words(visit):
    page = visit("search.html?q=natural+gradient")
    first = page.locator("#search-results li a").first
    first.wait_for()
    assert "scoreboard" not in first.get_attribute("href")
    assert "natural gradient" in page.locator("#search-results li").first.inner_text().lower()


@pytest.mark.parametrize("words", ["boundary+condition", "gradient+descent", "heat"])
def test_a_found_line_is_prose_and_marks_whole_words(visit, words):
    page = visit(f"search.html?q={words}")
    page.locator("#search-results li mark").first.wait_for()
    cut = page.evaluate("""() => [...document.querySelectorAll(".found-line mark")].filter(mark => {
      const [before, after] = [mark.previousSibling, mark.nextSibling].map(one => one?.textContent || "");
      return /[\\p{L}\\p{N}_]$/u.test(before) || /^[\\p{L}\\p{N}_]/u.test(after);
    }).map(mark => mark.parentElement.textContent)""")
    assert cut == []
    mixed = page.evaluate("""() => [...document.querySelectorAll(".found-line")].map(one => one.textContent)
      .filter(text => /(def \\w+\\(|import (torch|numpy)|= torch\\.)/.test(text) && /[a-z]\\. [A-Z][a-z]+ [a-z]+/.test(text))""")
    assert mixed == []


# Paper.


def test_print_has_no_empty_frames_and_nothing_to_press(visit):
    page = visit("book/heat.html", "dark")
    page.emulate_media(media="print")
    style = "one => ['overflowX', 'overflowY', 'borderTopWidth', 'borderBottomWidth'].map(name => getComputedStyle(one)[name])"
    for box in page.locator(".bd-article :is(div.cell_input, .highlight, pre)").all():
        if box.is_visible():
            assert box.evaluate(style) == ["visible", "visible", "0px", "0px"]
    for what in ("form.guess", ".copybtn", "figure.explorer button", ".bd-sidebar-primary"):
        assert page.locator(f"{what}:visible").count() == 0, what
    dark = "one => getComputedStyle(one).color"
    assert {page.locator(f".bd-article section > {tag}").first.evaluate(dark) for tag in ("h1", "h2", "p")} == {
        "rgb(0, 0, 0)"
    }
    ground = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert ground in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert pages <= 16, "a chapter is a booklet"
