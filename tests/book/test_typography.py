"""Numbers in running text: set as a book does, and nothing else changed."""

import re

import chapters
import pytest
from typography import set_numbers

SITE = chapters.ROOT / "_build" / "html"


@pytest.mark.parametrize(
    ("printed", "set_as"),
    [
        ("4.1e-03", "4.1·10⁻³"),
        ("1e-16 and 2.50e+120", "10⁻¹⁶ and 2.50·10¹²⁰"),
        ("8e+00 times", "8 times"),
        ("(1e+05)", "(10⁵)"),
        ("1 % in 5 s, 30 MB; 5 seeds", "1\N{NO-BREAK SPACE}% in 5\N{NO-BREAK SPACE}s, 30\N{NO-BREAK SPACE}MB; 5 seeds"),
        ("a1e-03, 1e-3x, 1e5, v1.2e-03.4", "a1e-03, 1e-3x, 1e5, v1.2e-03.4"),
    ],
)
def test_an_exponent_is_raised(printed, set_as):
    assert set_numbers(printed) == set_as


def sentences(page):
    """The paragraphs of a page, without code, links and formulas."""
    html = (SITE / page.relative_to(chapters.ROOT)).with_suffix(".html").read_text(encoding="utf-8")
    words = " ".join(re.findall(r"<p>.*?</p>", html, flags=re.S))
    return re.sub(r"<code.*?</code>|<a .*?</a>|<span class=\"math.*?</span>", "", words, flags=re.S)


def test_no_page_has_a_printed_exponent_in_a_sentence():
    said = {page.stem: sentences(page) for page in chapters.pages()}
    assert not {name: found for name, words in said.items() if (found := re.findall(r"\b\d(?:\.\d+)?e[+-]\d\d\b", words))}
    assert "·10⁻" in said["heat"]
