"""Questions that ask: what the directive computes and what it refuses."""

import sys

import chapters
import pytest

sys.path.insert(0, str(chapters.ROOT / "book" / "_ext"))

import predict

THIN = "\N{NARROW NO-BREAK SPACE}"
SITE = chapters.ROOT / "_build" / "html" / "book"


@pytest.fixture(autouse=True)
def glued(monkeypatch):
    monkeypatch.setattr(predict, "numbers", lambda page: {"error": 0.0245, "slope": 2.01} if page == "heat" else {})


def test_the_first_glued_number_is_the_truth():
    two = "It is {glue:text}`error:.1%`, or {glue:text}`slope:.0f`."
    assert predict.truth(two, "heat") == (pytest.approx(2.45), f"2.5{THIN}%", "%")
    assert predict.truth("It is {glue:text}`heat.ipynb::error:.1e`.", "burgers") == (0.0245, "2.5·10⁻²", "")
    assert predict.truth("Read on.", "heat") is None


def test_the_right_choice_is_the_nearest_in_factors_or_the_one_that_holds():
    assert predict.choose("30 %; 3 %; 0.3 %", 2.45, {}) == ((f"30{THIN}%", f"3{THIN}%", f"0.3{THIN}%"), f"3{THIN}%")
    assert predict.choose("twice {slope < 1.5}; four times {slope >= 1.5}", None, {"slope": 2.0})[1] == "four times"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: predict.truth("{glue:text}`erorr:.1%`", "heat"), "glues no number called 'erorr'"),
        (lambda: predict.choose("up {slope > 3}; down {slope < 1}", None, {"slope": 2.0}), "one must hold, not 0"),
        (lambda: predict.choose("up; down {slope < 3}", None, {"slope": 2.0}), "each choice has one"),
        (lambda: predict.choose("up; down", 2.0, {}), "neither a number nor a condition"),
        (lambda: predict.choose("up; down", None, {}), "no conditions"),
    ],
)
def test_what_is_incomplete_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_every_question_of_the_book_asks():
    for page in SITE.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        boxes = html.count('class="predict admonition"') + html.count('class="admonition predict"')
        assert html.count('<form class="guess"') == boxes
        assert html.count('class="guess-summary"') == bool(boxes)
