"""What cells print as a table is one on the page."""

import sys

import chapters
import pytest

sys.path.insert(0, str(chapters.ROOT / "book" / "_ext"))

import tables

PRINTED = """\
windows   error (range)              steps
      1   7.9e-01 (7e-01 to 9e-01)      60
      2   4.9e-02 (4e-02 to 5e-02)      60
"""


def test_the_least_error_is_bold():
    html = tables.html(tables.parse(PRINTED))
    assert '<th scope="col">error (range)</th>' in html
    assert html.count("<strong>") == 1
    assert "<strong>4.9·10⁻² (4·10⁻² to 5·10⁻²)</strong>" in html


def test_names_of_rows_need_no_heading():
    assert tables.parse("   loss    error\nAdam   1e-3   2e-2\nours   1e-6   3e-4\n")[0] == ["", "loss", "error"]


@pytest.mark.parametrize(
    "text",
    [
        "relative error 2.4%\n",
        "one    2\nthree  4\n",
        "heads  and\nno     numbers\nat     all\n",
        "1.0  2.0\n3.0  4.0\n5.0  6.0\n",
        "a   b   c\n1   2\n3   4   5\n",
    ],
)
def test_other_text_stays(text):
    assert tables.parse(text) is None


def test_a_page_has_them():
    html = (chapters.ROOT / "_build" / "html" / "book" / "marching.html").read_text(encoding="utf-8")
    assert html.count('class="printed-table"') >= 3
