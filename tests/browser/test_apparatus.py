"""What a reader can touch: sliders, quizzes, the map. And whether everybody can: axe-core on every page."""

import chapters
import pytest
from axe_playwright_python.sync_playwright import Axe

PAGES = {page.stem: page for page in chapters.pages()}
WITH_PLAYER = [name for name, page in PAGES.items() if 'class=\\"explorer\\"' in page.read_text(encoding="utf-8")]
# Formulas are MathJax's, and their thousands of paths are all that axe-core would be busy with.
EMPTY_FORMULAS = "document.querySelectorAll('mjx-container').forEach(formula => formula.replaceChildren('x'))"

FRAME = """box => {
  const seen = [...box.querySelectorAll("img")].filter(frame => frame.offsetParent !== null);
  return {count: seen.length, shown: seen[0].dataset.shown, source: seen[0].src, alt: seen[0].alt,
          output: box.querySelector("output").textContent,
          spoken: box.querySelector("input").getAttribute("aria-valuetext")};
}"""


def test_the_central_claims_have_a_player():
    assert set(WITH_PLAYER) >= {
        "heat", "derivatives", "burgers", "gradient_descent", "preconditioning_linear", "choosing_lambda",
        "advection_speed", "tangent_kernel", "fourier_features", "preconditioning_networks", "failures", "marching",
        "image_regression",
    }  # fmt: skip


@pytest.mark.parametrize("name", WITH_PLAYER)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_slider_moved_changes_its_frame(visit, name, scheme):
    page = visit(f"book/{name}.html", scheme)
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


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if ":::{quiz}" in page.read_text(encoding="utf-8")])
def test_a_quiz_answers(visit, name):
    page = visit(f"book/{name}.html")
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


def test_the_map_leads_to_the_chapters(visit):
    page = visit("book/reading.html")
    page.locator(".chapter-map a[href='gradient_descent.html']").click()
    page.wait_for_url("**/gradient_descent.html")


@pytest.mark.parametrize("name", PAGES)
def test_no_serious_obstacle_for_anybody(visit, name):
    """What axe-core calls serious or critical: contrast, names of controls, alternative texts, order of focus."""
    page = visit(f"book/{name}.html")
    page.evaluate(EMPTY_FORMULAS)
    options = {"resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    page.add_style_tag(content="* { transition: none !important }")  # the theme fades, and would be judged half way
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # only colors change
    options["runOnly"] = ["color-contrast"]
    found += Axe().run(page, options=options).response["violations"]
    wrong = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert not wrong, "\n".join(wrong)
