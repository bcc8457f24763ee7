"""Every page in a real browser, from the disk, with the network cut; then all that a reader can touch on it.

The tests of a page share it, so the last ones may leave it changed.
"""

import base64
import io
import re

import chapters
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from pinnedu import plots

SOURCES = {page.stem: page.read_text(encoding="utf-8") for page in chapters.pages()}
WITH_PLAYER = [name for name, text in SOURCES.items() if 'class=\\"explorer\\"' in text]
WITH_QUIZ = [name for name, text in SOURCES.items() if ":::{quiz}" in text]
WITH_FIGURE = [name for name, text in SOURCES.items() if '"image/png"' in text]
WITH_REFERENCES = [name for name, text in SOURCES.items() if "{bibliography}" in text]
CODE_WIDTH = 82  # see test_contract.py
ASKING = [name for name, text in SOURCES.items() if re.search(r":::\{predict\}|:class: predict", text)]

THEME = "theme => document.documentElement.dataset.theme = theme"

CONTRAST = """() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(document.body);
  const [a, b] = [light(style.color), light(style.backgroundColor)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""

# What is wider than the page can be scrolled there, and says so: it fades at the edge (the class "wide").
CLIPPED = """() => {
  const fades = box => parseFloat(getComputedStyle(box).getPropertyValue("--right")) > 1;
  const wrong = [];
  for (const box of document.querySelectorAll(".bd-article :is(pre, mjx-container, table, .chapter-map svg, .cell_output img)")) {
    if (box.closest("details:not([open])") || !box.getClientRects().length) continue;
    for (let around = box; !around.matches(".bd-article"); around = around.parentElement) {
      const style = getComputedStyle(around);
      if (style.overflowX === "visible" || around.scrollWidth - around.clientWidth <= 2) continue;
      const scrolls = ["auto", "scroll"].includes(style.overflowX) && style.maskImage.includes("gradient") && fades(around);
      if (!scrolls) wrong.push(`${around.tagName}.${around.className}: ${around.textContent.trim().slice(0, 60)}`);
      break;
    }
  }
  return [...new Set(wrong)];
}"""

# How many letters a line of code has room for, in each cell.
ROOM = """() => [...document.querySelectorAll(".bd-article div.cell_input pre")].filter(box => box.checkVisibility()).map(box => {
  const style = getComputedStyle(box), brush = document.createElement("canvas").getContext("2d");
  brush.font = `${style.fontSize} ${style.fontFamily}`;
  const inside = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.floor(inside / brush.measureText("0").width);
})"""

# References whose label has TeX in it, or is covered by the numbers that lead back.
REFERENCES = """() => [...document.querySelectorAll(".bd-article div.citation")].filter(one => {
  const label = one.querySelector(".label"), back = one.querySelector(".backrefs");
  const covers = back && [...label.getClientRects()].some(a => [...back.getClientRects()].some(b =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 6));
  return /[{}\\\\]/.test(label.textContent) || covers;
}).map(one => one.textContent.trim().slice(0, 60))"""

# wide.js has seen the page.
READY = "() => !document.querySelector('button.copybtn:not([tabindex=\"-1\"])')"

# Each formula that is seen: whether it has the shadow, and whether its picture is wider than its box.
FORMULAS = """() => [...document.querySelectorAll(".bd-article mjx-container")].filter(box => box.checkVisibility()).map(box => {
  const style = getComputedStyle(box);
  const room = box.clientWidth - parseFloat(style.paddingLeft);
  const cut = style.overflowX !== "visible" && box.querySelector("svg").getBoundingClientRect().width > room + 2;
  return [box.classList.contains("wide") && box.tabIndex === 0, `${cut ? "cut off" : "whole"} ${box.textContent.slice(0, 60)}`];
})"""

# Formulas are MathJax's, and their thousands of paths are all that axe-core would be busy with.
EMPTY_FORMULAS = "document.querySelectorAll('mjx-container').forEach(formula => formula.replaceChildren('x'))"

FRAME = """box => {
  const seen = [...box.querySelectorAll("img")].filter(frame => frame.offsetParent !== null);
  return {count: seen.length, shown: seen[0].dataset.shown, source: seen[0].src, alt: seen[0].alt,
          output: box.querySelector("output").textContent,
          spoken: box.querySelector("input").getAttribute("aria-valuetext")};
}"""


def on(names):
    """Run a test on pages of the book: all tests of one page together, and by one worker."""
    values = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
    return pytest.mark.parametrize("opened", values, indirect=True, scope="module")


def test_the_central_claims_have_a_player():
    assert set(WITH_PLAYER) >= {
        "heat", "derivatives", "burgers", "gradient_descent", "preconditioning_linear", "choosing_lambda",
        "advection_speed", "tangent_kernel", "fourier_features", "preconditioning_networks", "failures", "marching",
        "image_regression",
    }  # fmt: skip


@on(SOURCES)
def test_a_page_is_whole(page):
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.evaluate(THEME, theme)
            surplus = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert surplus <= 0, f"{width} px wide, {theme}: the page scrolls sideways by {surplus} px"
            assert page.evaluate(CONTRAST) >= 7
    assert page.wrong == []
    if page.locator(".math").count():
        assert page.locator("mjx-container svg").count() > 0, "the mathematics is not typeset"
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    broken = page.evaluate("() => [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
    assert broken == []


@on(SOURCES)
def test_no_formula_code_or_table_is_clipped(page):
    for width in (1280, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.settle()
        assert page.evaluate(CLIPPED) == [], f"{width} px wide"


@on(SOURCES)
def test_code_and_formulas_fit_a_wide_page(page):
    """At 1280 pixels nothing of them has to be scrolled, and lines of as many letters as chapters may have do not break."""
    assert page.locator(".bd-article pre.wide").all_inner_texts() == []
    assert page.locator(".bd-article mjx-container.wide").all_inner_texts() == []
    room = page.evaluate(ROOM)
    assert min(room, default=CODE_WIDTH) >= CODE_WIDTH


@on(WITH_REFERENCES)
def test_a_reference_can_be_read(page):
    """Its label is plain text, and the numbers that lead back cover nothing."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.settle()
        assert page.evaluate(REFERENCES) == []


@on(WITH_FIGURE)
def test_letters_of_a_figure_can_be_read_on_a_phone(page):
    """A figure of one panel is not shrunk to the width of a phone: its letters of 11 pixels stay above 9."""
    page.set_viewport_size({"width": 390, "height": 900})
    page.settle()
    shrunk = page.evaluate("""() => [...document.querySelectorAll(".bd-article .cell_output img[style*='width: ']")]
      .filter(one => one.checkVisibility() && !one.closest(".explorer"))
      .map(one => one.getBoundingClientRect().width / parseFloat(one.style.width))""")
    assert min(shrunk, default=1) >= 0.85


@on(WITH_FIGURE)
def test_figures_are_dark_at_night_and_panels_stack_on_a_phone(page):
    page.evaluate(THEME, "dark")
    for image in page.locator(".bd-article .cell_output img").all():
        turned = "dark-figure" in image.evaluate("one => getComputedStyle(one).filter")
        assert turned or "photo" in image.get_attribute("class")
    for figure in page.locator(".bd-article .panels").all()[:1]:
        with Image.open(io.BytesIO(figure.screenshot())) as seen:
            edge = seen.convert("L").crop((seen.width - 1, 0, seen.width, seen.height))
            assert sum(edge.histogram()[128:]) < 0.1 * seen.height, "a light line at the right"
    page.set_viewport_size({"width": 390, "height": 900})
    page.settle()
    for figure in page.locator(".bd-article .panels").all():
        boxes = [part.bounding_box() for part in figure.locator("img").all()]
        assert all(below["y"] >= above["y"] + above["height"] for above, below in zip(boxes, boxes[1:], strict=False))


@on(["heat", "fourier_features"])
def test_both_panels_of_a_player_are_read_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 900})
    page.settle()
    player = page.locator("figure.explorer:has(img.rest)").first
    player.locator("input[type=range]").focus()
    for key in ("Home", "End"):
        page.keyboard.press(key)
        seen = [one for one in player.locator("img").all() if one.is_visible()]
        assert len({one.get_attribute("src") for one in seen}) == 1, "both show the same frame"
        left, right = (one.bounding_box() for one in seen)
        assert right["y"] >= left["y"] + left["height"]
        assert max(left["x"] + left["width"], right["x"] + right["width"]) <= 390
    assert page.wrong == []


@on(["tangent_kernel", "choosing_lambda"])
def test_only_formulas_that_are_cut_off_say_so(page):
    page.wait_for_function(READY)
    page.set_viewport_size({"width": 390, "height": 900})
    page.settle()
    marked = page.evaluate(FORMULAS)
    assert {wide for wide, _ in marked} == {True, False}
    assert [f"{text}: {wide}" for wide, text in marked if wide != text.startswith("cut off")] == []


@on(WITH_PLAYER)
def test_few_stops_before_the_first_slider(page):
    """From the start of the article, by the Tab key alone; a link there leads to it at once."""
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


@on(WITH_PLAYER)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_slider_moved_changes_its_frame(page, scheme):
    page.evaluate(THEME, scheme)
    for box in page.locator("figure.explorer").all():
        slider = box.locator("input[type=range]")
        last = int(slider.get_attribute("max"))
        before = box.evaluate(FRAME)
        assert before["count"] == 1
        slider.focus()
        keys = ["Home", "ArrowRight", "End"] if int(slider.input_value()) else ["ArrowRight", "End", "Home"]
        seen = []
        for key in keys:
            page.keyboard.press(key)
            now = box.evaluate(FRAME)
            assert now["count"] == 1
            assert now["shown"] == now["output"] == now["spoken"]
            assert now["alt"]
            seen.append((now["source"], now["output"]))
        assert len({source for source, _ in seen}) == (3 if last > 1 else 2), "each value has its own picture"
        assert len({value for _, value in seen}) == (3 if last > 1 else 2)
        ground, ink = box.locator("label").evaluate(
            "label => [getComputedStyle(label.closest('.cell_output, figure')).backgroundColor, getComputedStyle(label).color]"
        )
        assert ground != ink
    assert page.wrong == []


@on(WITH_QUIZ)
def test_a_quiz_answers(page):
    for box in page.locator(".quiz").all():
        answers = box.locator("details").all()
        for answer in answers:
            feedback = answer.locator(".quiz-feedback")
            assert not feedback.is_visible()
            answer.locator("summary").focus()
            page.keyboard.press("Enter")
            feedback.wait_for(state="visible")
            right = "right" in answer.get_attribute("class").split()
            assert feedback.inner_text().startswith("Right." if right else "No.")
        assert [answer.get_attribute("open") is not None for answer in answers] == [False] * (len(answers) - 1) + [True]


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


@on(ASKING)
def test_every_question_takes_a_guess_and_tells_at_the_end(page):
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


@on(SOURCES)
def test_no_serious_obstacle_for_anybody(page):
    """What axe-core calls serious or critical: contrast, names of controls, alternative texts, order of focus."""
    page.evaluate(EMPTY_FORMULAS)
    options = {"resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    page.add_style_tag(content="* { transition: none !important }")  # the theme fades, and would be judged half way
    page.evaluate(THEME, "dark")  # only colors change
    options["runOnly"] = ["color-contrast"]
    found += Axe().run(page, options=options).response["violations"]
    wrong = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert not wrong, "\n".join(wrong)


def contrast(color, ground):
    """Of two colors of 0 to 255 (WCAG 2.1)."""

    def light(parts):
        return sum(
            share * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for share, c in zip((0.2126, 0.7152, 0.0722), (part / 255 for part in parts), strict=True)
        )

    bright, dim = sorted((light(color) + 0.05, light(ground) + 0.05), reverse=True)
    return bright / dim


@on(["heat"])
def test_every_color_of_a_figure_is_seen_at_night(page):
    """The lines of each color beside the ground, as the filter draws them."""
    page.evaluate(THEME, "dark")
    with Image.new("RGB", (20 * (len(plots.COLORS) + 1), 20), "white") as swatches, io.BytesIO() as file:
        for k, color in enumerate(plots.COLORS):
            swatches.paste(color, (20 * k, 0, 20 * k + 20, 20))
        swatches.save(file, format="png")
        source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    shown = page.locator(".bd-article .cell_output img").first
    shown.evaluate("(one, source) => { one.src = source; one.style.width = 'auto'; one.style.minWidth = 0; }", source)
    page.settle()
    with Image.open(io.BytesIO(shown.screenshot())) as seen:
        colors = [seen.convert("RGB").getpixel((20 * k + 10, 10)) for k in range(len(plots.COLORS) + 1)]
    assert max(colors[-1]) < 40, "white is the ground"
    assert min(contrast(color, colors[-1]) for color in colors[:-1]) > 2
