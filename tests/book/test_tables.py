"""What cells print as a table is one on the page."""

import re
import sys

import chapters
import pytest
from docutils import nodes

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


@pytest.mark.parametrize(
    "text",
    [
        "seed   error\n0      2.3%\n1      0.4%\n2      1.2%\n",
        "points  rule   error\nfew     one    0.3\nfew     other  0.2\nmany    one    0.1\n",
        "degree  residual / error\n2       0.775\n3       0.727\n4       0.999\n",
        "        error of each\nmodel   1e-2 2e-2\nother   2e-2 1e-2\n",
    ],
)
def test_rows_that_do_not_compete_have_no_best(text):
    rows = tables.parse(text)
    assert rows
    assert "<strong>" not in tables.html(rows)


def printed(text, *classes):
    block = nodes.literal_block(text, text)
    block["classes"] = ["output", *(classes or ("stream",))]
    return block


def test_what_is_printed_in_pieces_is_one_text():
    lines = PRINTED.splitlines(keepends=True)
    pieces = printed("".join(lines[:2])), printed(lines[2]), printed("4", "text_plain"), printed("after")
    output = nodes.container("", *pieces)
    page = nodes.section("", output)
    tables.join(page)
    assert [block.astext() for block in output] == [PRINTED.rstrip("\n") + "\n", "4", "after"]
    assert tables.parse(output[0].astext())


def test_what_follows_a_table_stays_below_it():
    table, rest = tables.split(PRINTED + "both agree to 1e-10\n")
    assert table == tables.parse(PRINTED)
    assert rest == "both agree to 1e-10"
    sentences = "   both differ by 1e-12\nwidth   64: by 23\nwidth  128: by 7\nwidth 256: by 2\n"
    assert tables.split(sentences) == (None, sentences)
    assert tables.split("one    2\nthree  4\nfive\n") == (None, "one    2\nthree  4\nfive\n")


def test_no_page_shows_one_output_in_two_boxes():
    for page in (chapters.ROOT / "_build" / "html" / "book").glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.search(r'</pre></div>\s*</div>\s*<div class="output stream', html), page.name


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
