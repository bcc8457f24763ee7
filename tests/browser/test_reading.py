"""What a reader meets on any page: formulas that are whole, few stops on the way, guesses, search, paper, a dark evening."""

import re

import chapters
import pytest

PAGES = {page.stem: page for page in chapters.pages()}
SOURCES = {name: page.read_text(encoding="utf-8") for name, page in PAGES.items()}
WITH_PLAYER = [name for name, text in SOURCES.items() if 'class=\\"explorer\\"' in text]
ASKING = [name for name, text in SOURCES.items() if re.search(r":::\{predict\}|:class: predict", text)]

# A formula, code or a table may be wider than the page where it can be scrolled and says so by its shadow (the class "wide").
CLIPPED = """() => {
  const wrong = [];
  for (const box of document.querySelectorAll(".bd-article :is(pre, mjx-container, table)")) {
    if (box.closest("details:not([open])") || !box.getClientRects().length) continue;
    for (let around = box; !around.matches(".bd-article"); around = around.parentElement) {
      const style = getComputedStyle(around);
      if (style.overflowX === "visible" || around.scrollWidth - around.clientWidth <= 2) continue;
      const scrolls = ["auto", "scroll"].includes(style.overflowX) && style.backgroundImage.includes("gradient");
      if (!scrolls) wrong.push(`${around.tagName}.${around.className}: ${around.textContent.trim().slice(0, 60)}`);
      break;
    }
  }
  return [...new Set(wrong)];
}"""

# wide.js has seen the page.
READY = "() => !document.querySelector('button.copybtn:not([tabindex=\"-1\"])')"

# Each formula that is seen: whether it has the shadow, and whether its picture is wider than its box.
FORMULAS = """() => [...document.querySelectorAll(".bd-article mjx-container")].filter(box => box.checkVisibility()).map(box => {
  const style = getComputedStyle(box);
  const room = box.clientWidth - parseFloat(style.paddingLeft);
  const cut = style.overflowX !== "visible" && box.querySelector("svg").getBoundingClientRect().width > room + 2;
  return [box.classList.contains("wide") && box.tabIndex === 0, `${cut ? "cut off" : "whole"} ${box.textContent.slice(0, 60)}`];
})"""


@pytest.mark.parametrize("name", PAGES)
def test_no_formula_code_or_table_is_clipped(visit, name):
    page = visit(f"book/{name}.html")
    for width in (1280, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        assert page.evaluate(CLIPPED) == [], f"{width} px wide"


@pytest.mark.parametrize("name", PAGES)
def test_code_fits_a_wide_page(visit, name):
    """At 1280 pixels nothing of it has to be scrolled."""
    page = visit(f"book/{name}.html")
    assert page.locator(".bd-article div.cell pre.wide").all_inner_texts() == []


@pytest.mark.parametrize("name", ["tangent_kernel", "choosing_lambda"])
def test_only_formulas_that_are_cut_off_say_so(visit, name):
    page = visit(f"book/{name}.html", width=390)
    page.wait_for_function(READY)
    marked = page.evaluate(FORMULAS)
    assert {wide for wide, _ in marked} == {True, False}
    assert [f"{text}: {wide}" for wide, text in marked if wide != text.startswith("cut off")] == []


@pytest.mark.parametrize("name", WITH_PLAYER)
def test_few_stops_before_the_first_slider(visit, name):
    """From the start of the article, by the Tab key alone; a link there leads to it at once."""
    page = visit(f"book/{name}.html")
    page.wait_for_function(READY)
    active = "() => [document.activeElement.type, document.activeElement.tagName, document.activeElement.textContent.trim()]"
    page.locator("a.to-slider").focus()
    stops = [page.evaluate(active)]
    while stops[-1][0] != "range":
        page.keyboard.press("Tab")
        stops.append(page.evaluate(active))
        assert len(stops) <= 25, stops
    page.locator("a.to-slider").press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement === document.querySelector('.bd-article input[type=range]')")


def test_a_link_is_a_stop_once(visit):
    """A formula cited again is none, a chapter in another section is one; nothing is lost to a mouse."""
    page = visit("book/heat.html")
    page.wait_for_function(READY)
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


# Predict.


def guess(form):
    """Answer one question by keyboard alone."""
    kind = form.get_attribute("data-kind")
    field = form.locator("input, textarea").first
    field.focus()
    if kind == "choice":
        field.press("Space")
    else:
        field.type("12")
    form.locator("button").focus()
    form.locator("button").press("Enter")


@pytest.mark.parametrize("name", ASKING)
def test_every_question_takes_a_guess_and_tells_at_the_end(visit, name):
    page = visit(f"book/{name}.html")
    forms = page.locator("form.guess").all()
    assert forms, "the chapter has questions and none of them asks"
    summary = page.locator(".guess-summary")
    assert not summary.is_visible()
    for form in forms:
        said = form.locator(".guess-said")
        assert said.inner_text() == ""
        guess(form)
        if form.get_attribute("data-kind") == "words":
            assert said.inner_text().startswith("Kept.")
        else:
            assert form.get_attribute("data-shown") in said.inner_text()
    assert summary.is_visible()
    assert f"{len(forms)} of {len(forms)} questions answered" in summary.inner_text()
    assert page.wrong == []


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
    [("midpoint+rule", "quadrature", "#"), ("rod+cools", "heat", "#a-rod-that-cools"), ("heavy+ball", "second_order", "#")],
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
    assert {page.locator(f".bd-article section > {tag}").first.evaluate(dark) for tag in ("h1", "h2", "p")} == {"rgb(0, 0, 0)"}
    ground = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert ground in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert pages <= 16, "a chapter is a booklet"


# Figures.


@pytest.mark.parametrize("name", [name for name, text in SOURCES.items() if '"image/png"' in text])
def test_figures_fit_the_page_and_panels_stack_on_a_phone(visit, name):
    page = visit(f"book/{name}.html", "dark")
    for image in page.locator(".bd-article .cell_output img").all():
        assert "dark-figure" in image.evaluate("one => getComputedStyle(one).filter") or "photo" in image.get_attribute("class")
    page.set_viewport_size({"width": 390, "height": 900})
    for figure in page.locator(".bd-article .panels").all():
        boxes = [part.bounding_box() for part in figure.locator("img").all()]
        assert all(below["y"] >= above["y"] + above["height"] for above, below in zip(boxes, boxes[1:], strict=False))
