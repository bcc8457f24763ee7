"""Numbers in running text: set as a book does, and nothing else changed."""

import re

import chapters
import pytest
from typography import set_numbers

THIN, BLANK = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
SITE = chapters.ROOT / "_build" / "html"


@pytest.mark.parametrize(
    ("printed", "set_as"),
    [
        ("4.1e-03", "4.1·10⁻³"),
        ("1e-3, up to 3e-4.", "10⁻³, up to 3·10⁻⁴."),
        ("1e-16 and 2.50e+120", "10⁻¹⁶ and 2.50·10¹²⁰"),
        ("8e+00 times, 0e+00", "8 times, 0"),
        ("2.7e-01 and 1e-01 and 2e+01 and 8.25e+01", "0.27 and 0.1 and 20 and 82.5"),
        ("(1e+05)", "(10⁵)"),
        ("1 % in 5 s, 30 MB; 5 seeds", f"1{THIN}% in 5{BLANK}s, 30{BLANK}MB; 5 seeds"),
        ("30 %, 0.8%, 100.0%", f"30{THIN}%, 0.8{THIN}%, 100.0{THIN}%"),
        ("off by 0.0%, by -0.00 %", f"off by <{BLANK}0.1{THIN}%, by <{BLANK}0.01{THIN}%"),
        ("-3.9 to (-1, 1), -2e-05", "\N{MINUS SIGN}3.9 to (\N{MINUS SIGN}1, 1), \N{MINUS SIGN}2·10⁻⁵"),
        ("1998-2003, x-3, well-known, %d", "1998-2003, x-3, well-known, %d"),
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


def test_a_number_is_set_in_one_way_on_every_page():
    """No zero that is a rounded one, no power of ten next to one, one blank before a percent sign, no hyphen for a minus."""
    forms = r"(?<![\d.])0\.0+\s?%|·10⁻¹(?![⁰¹²³⁴⁵⁶⁷⁸⁹])|\d[ \N{NO-BREAK SPACE}]?%(?!\w)|[\s(]-\d"
    said = {page.stem: sentences(page) for page in chapters.pages()}
    said = {name: re.sub(r"<(?!/?p>)[^>]+>", "", words) for name, words in said.items()}
    assert not {name: found for name, words in said.items() if (found := re.findall(f"(?:.{{20}})(?:{forms})", words))}
    assert f"{THIN}%" in said["navier_stokes"]
