"""The built book: complete, small, and asking no remote host for anything."""

import re
from collections import defaultdict
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import chapters
import pytest

from pinnedu.widgets.explorer import PLAYER

SITE = chapters.ROOT / "_build" / "html"
LOADS = {  # attributes that make a browser fetch something
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"), ("iframe", "src"),
    ("video", "src"), ("video", "poster"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("track", "src"),
    ("use", "href"), ("use", "xlink:href"), ("image", "href"), ("image", "xlink:href"), ("input", "src"),
}  # fmt: skip
QUIET_LINKS = {"canonical", "author", "license", "next", "prev", "search", "index", "help", "alternate", "copyright"}
REMOTE = re.compile(r"\s*(?:https?:|wss?:)?//", re.I)
CSS_LOAD = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//[^\s"')]+""", re.I)
SCRIPT_LOAD = re.compile(
    r"""(?:\bfetch\(|\bimport\(|\bimport\b[^;"']*|\bimportScripts\(|\.src\s*=|\.href\s*=|\.open\([^)]*)\s*["'`](?:https?:)?//[^"'`]+"""
)


@pytest.fixture(scope="module", autouse=True)
def built():
    assert (SITE / "index.html").exists(), "There is no built book to test: run `make build` first."


class Page(HTMLParser):
    """Collects what a page loads and where it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.remote: list[str] = []
        self.local: list[str] = []
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        self.inside = tag if tag in ("script", "style") else None
        for name, value in values.items():
            loads = (tag, name) in LOADS
            if tag == "link" and name == "href":
                loads = not set(values.get("rel", "").lower().split()) <= QUIET_LINKS
            if loads or (tag == "a" and name == "href"):
                if loads and REMOTE.match(value):
                    self.remote.append(f"<{tag} {name}={value}>")
                elif not REMOTE.match(value) and not re.match(r"[a-z]+:|#|$", value):
                    self.local.append(value)
            if name == "style":
                self.remote += CSS_LOAD.findall(value)

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "style":
            self.remote += CSS_LOAD.findall(data)
        if self.inside == "script":
            self.remote += SCRIPT_LOAD.findall(data)


def pages():
    # What is in _static are templates of the theme, no pages.
    return sorted(p for p in SITE.rglob("*.html") if "_static" not in p.parts) if SITE.exists() else []


def test_every_page_of_the_contents_is_built():
    for page in chapters.pages():
        assert (SITE / page.relative_to(chapters.ROOT)).with_suffix(".html").exists()


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(SITE)))
def test_a_page_loads_nothing_remote_and_misses_nothing_local(path):
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.remote
    for address in page.local:
        target = unquote(urlsplit(address).path)
        assert not target or (path.parent / target).exists(), f"{address} does not exist"


# Every script that stands in a page is one of these: none is made from what a chapter prints, draws or names.
SCRIPTS = {
    " ".join(re.search(r"<script>(.*?)</script>", PLAYER.format_map(defaultdict(str)), re.DOTALL).group(1).split()),
    'document.documentElement.dataset.mode = localStorage.getItem("mode") || "auto"; '
    'document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";',
    '// Activate the search field on page load let searchInput = document.querySelector("form.bd-search input"); '
    "if (searchInput) { searchInput.focus(); searchInput.select(); "
    'console.log("[PST]: Set focus on search field."); }',
    "var togglebuttonSelector = '.toggle, .admonition.dropdown';",
    "let toggleHintShow = 'Click to show';",
    "let toggleHintHide = 'Click to hide';",
    "let toggleOpenOnPrint = 'true';",
    "DOCUMENTATION_OPTIONS.search_as_you_type = false;",
    "DOCUMENTATION_OPTIONS.COLLAPSE_INDEX = true;",
    'window.MathJax = {"options": {"enableMenu": false, "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"}}',
}
PAGE_NAME = re.compile(r"DOCUMENTATION_OPTIONS\.pagename = '[\w/-]+';")
HANDLERS = {("button", "onclick", "toggleFullScreen()"), ("button", "onclick", "window.print()")}


class Scripts(HTMLParser):
    """Collects what of a page a browser would run: scripts that stand in it, handlers of events, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str | tuple[str, str, str]] = set()
        self.inside = self.inert = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        self.inside = tag == "script" and "src" not in values
        self.inert = values.get("type") == "text/plain"  # a player's frames: not run, but put into the page by its script
        self.found |= {(tag, name, value) for name, value in values.items() if name.startswith("on") or name == "srcdoc"}
        self.found |= {(tag, name, value) for name, value in values.items() if value.strip().lower().startswith("javascript:")}

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside and self.inert:
            self.found |= Scripts(data).found
        elif self.inside and data.strip():
            self.found.add(" ".join(data.split()))


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(SITE)))
def test_no_script_of_a_page_comes_from_data(path):
    unknown = Scripts(path.read_text(encoding="utf-8")).found - SCRIPTS - HANDLERS
    assert not {script for script in unknown if isinstance(script, tuple) or not PAGE_NAME.fullmatch(script)}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<p onclick="alert(1)">',
        '<a href=" JavaScript:alert(1)">',
        '<iframe srcdoc="x">',
        "<script>DOCUMENTATION_OPTIONS.pagename = ''; alert(1);</script>",
    ],
)
def test_the_check_itself_finds_scripts(text):
    (found,) = Scripts(text).found
    assert found not in SCRIPTS | HANDLERS
    assert isinstance(found, tuple) or not PAGE_NAME.fullmatch(found)


def test_no_style_sheet_loads_anything_remote():
    for sheet in SITE.rglob("*.css"):
        assert not CSS_LOAD.findall(sheet.read_text(encoding="utf-8", errors="replace")), sheet


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="http://a.example/b.png">',
        "<style>@import 'https://a.example/b.css';</style>",
        '<p style="background: url(https://a.example/b.png)">',
        '<script>fetch("https://a.example/data.json")</script>',
        '<script type="module">import x from "https://a.example/x.js"</script>',
    ],
)
def test_the_check_itself_finds_remote_loads(text):
    assert Page(text).remote


def test_the_check_itself_allows_links():
    assert not Page('<a href="https://doi.org/10.1">paper</a><link rel="canonical" href="https://a.example">').remote


def test_mathematics_is_served_by_the_book_itself():
    assert (SITE / "_static/mathjax/tex-svg-full.js").stat().st_size > 1e6
    assert "_static/mathjax/tex-svg-full.js" in (SITE / "book/heat.html").read_text(encoding="utf-8")


def test_the_book_is_small():
    assert sum(file.stat().st_size for file in SITE.rglob("*") if file.is_file()) < 60e6
