"""A headless Chromium without a network, looking at the built book as a reader who opened the file."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
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


@pytest.fixture
def visit(browser):
    """Open a page of the book and collect what goes wrong on it: errors, and requests to any host."""
    contexts = []

    def open_page(name, scheme="light", width=1280):
        context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.wrong = []
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
        return page

    yield open_page
    for context in contexts:
        context.close()
