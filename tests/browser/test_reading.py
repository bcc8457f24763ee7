"""What a reader does: goes by keyboard, looks at a phone, guesses, searches, prints."""

import re

import chapters
import pytest


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
    page = visit("book/reading.html", width=width)
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
