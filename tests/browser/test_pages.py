"""Every page in a real browser, from the disk, with the network cut."""

import zipfile

import chapters
import pytest

PAGES = [str(page.relative_to(chapters.ROOT).with_suffix(".html")) for page in chapters.pages()]

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


@pytest.mark.parametrize("name", ["index.html", *PAGES])
def test_a_page_is_whole(visit, name):
    page = visit(name)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            surplus = page.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert surplus <= 0, f"{width} px wide, {theme}: the page scrolls sideways by {surplus} px"
            assert page.evaluate(CONTRAST) >= 7
    assert page.wrong == []
    if page.locator(".math").count():
        assert page.locator("mjx-container svg").count() > 0, "the mathematics is not typeset"
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    broken = page.evaluate("() => [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
    assert broken == []


def test_the_theme_follows_the_reader(visit):
    for scheme in ("light", "dark"):
        page = visit("book/index.html", scheme)
        assert page.locator("html").get_attribute("data-theme") == scheme


def test_a_solution_is_folded_until_asked_for(visit):
    solution = visit("book/heat.html").locator(".solution.dropdown").first
    text = solution.locator("p:not(.admonition-title)").first
    assert not text.is_visible()
    solution.locator("button").first.click()
    text.wait_for(state="visible")


@pytest.mark.parametrize(("words", "found"), [("diffusivity", "heat"), ("condition+number", "gradient_descent")])
def test_search_works_from_the_disk(visit, words, found):
    page = visit(f"search.html?q={words}")
    page.locator(f"#search-results li a[href*='{found}.html']").first.wait_for()
    assert page.wrong == []


def test_the_download_button_gives_a_notebook_that_runs_elsewhere(visit):
    page = visit("book/heat.html")
    page.locator(".dropdown-download-buttons > button").click()
    with page.expect_download() as expected:
        page.locator(".btn-download-source-button").click()
    with zipfile.ZipFile(expected.value.path()) as archive:
        (name,) = archive.namelist()
        assert name == "heat.ipynb"
        assert "Run this cell first" in archive.read(name).decode()
    assert visit("book/glossary.html").locator(".btn-download-source-button").count() == 0
