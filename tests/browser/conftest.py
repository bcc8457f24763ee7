"""A headless Chromium without a network, looking at the built book as a reader who opened the file."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
# What a page does when its width changes is done before the second picture after that, or when a sidebar has slid.
SETTLED = """async () => {
  const pictures = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  await pictures();
  const sliding = document.getAnimations().filter(one => one instanceof CSSTransition).map(one => one.finished);
  const second = new Promise(done => setTimeout(done, 1000)); // one that is thrown away half way never ends
  await Promise.race([Promise.allSettled(sliding), second]);
  await pictures();
}"""
LOCAL = ("file:", "data:", "blob:")
sys.path.insert(0, str(ROOT / "book" / "_tools"))


@pytest.fixture(scope="session")
def browser():
    """Start Chromium, or skip where the machine has none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    assert (SITE / "index.html").exists(), "There is no built book to test: run `make build` first."
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def open_page(browser, name, scheme="light", width=1280):
    """Open a page of the book in a context of its own; collect what goes wrong on it: errors, and requests to any host."""
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.wrong = []
    page.settle = lambda: page.evaluate(SETTLED)
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("requestfailed", lambda request: page.wrong.append(f"not loaded: {request.url}"))
    page.on("request", lambda request: request.url.startswith(LOCAL) or page.wrong.append(request.url))
    address, _, query = name.partition("?")
    page.goto((SITE / address).as_uri() + (f"?{query}" if query else ""))
    if address == "index.html":  # the root only sends you on
        page.wait_for_url("**/book/index.html")
    page.wait_for_load_state("load")
    page.evaluate("async () => { if (window.MathJax?.startup) await MathJax.startup.promise }")
    page.settle()
    return page


@pytest.fixture
def visit(browser):
    """Open pages that this test alone sees."""
    pages = []

    def visit(name, scheme="light", width=1280):
        pages.append(open_page(browser, name, scheme, width))
        return pages[-1]

    yield visit
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module")
def opened(browser, request):
    """A page that many tests look at: formulas take seconds to be typeset."""
    page = open_page(browser, f"book/{request.param}.html")
    yield page
    page.context.close()


@pytest.fixture
def page(opened):
    """The page as it is at first: wide, light, at its top."""
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.evaluate(
        "() => { document.documentElement.dataset.theme = 'light'; document.activeElement.blur(); scrollTo(0, 0) }"
    )
    opened.settle()
    return opened
