"""What the book does as a whole: themes, folds, search, downloads."""

import zipfile

import pytest


def test_the_root_and_the_map_lead_to_the_chapters(visit):
    assert visit("index.html").wrong == []
    page = visit("book/index.html")
    page.locator(".chapter-map a[href='gradient_descent.html']").click()
    page.wait_for_url("**/gradient_descent.html")


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
