"""`check` says what is wrong, the simplest reason first."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinnedu import check, exercises

numbers = st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3)


@pytest.mark.parametrize(
    ("answer", "expected", "says"),
    [
        (None, 1.0, "does your function return something"),
        (..., 1.0, "there is no answer yet"),
        (abs, 1.0, "this is a function; call it"),
        ("seven", 7.0, "numbers are expected, and this is str"),
        ([[1.0], [2.0]], [1.0, 2.0], r"may be right, but their shape is \(2, 1\) and should be \(2,\)"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], r"the shape is \(3,\) and should be \(2,\)"),
        ([np.nan, 2.0], [1.0, 2.0], "1 of 2 entries are NaN"),
        ([-1.0, -2.0], [1.0, 2.0], "the sign is wrong"),
        (6.0, 3.0, "is a factor 1/2 missing"),
        (1.5, 3.0, "is a factor 2 missing"),
        (6 * np.pi, 3.0, "2π times too large"),
        (300.0, 3.0, "a percentage"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]).T, [[1.0, 2.0], [3.0, 4.0]], "transpose"),
        ([3.0, 2.0, 1.5], [1.5, 2.0, 3.0], "the order is reversed"),
        ([2.0, 3.0, 1.5], [1.5, 2.0, 3.0], "order is not"),
        ([2.5, 3.0, 4.0], [1.5, 2.0, 3.0], "off by a constant, 1"),
        ([4.5, 6.0, 9.0], [1.5, 2.0, 3.0], "3 times what it should be"),
        (0.2, 5.0, "reciprocal"),
        ([9.0, 25.0], [3.0, 5.0], "square"),
        (5.0, 4.0, "off by 25%, and larger"),
        ([1.0, 2.0, 7.0], [1.0, 2.0, 4.0], "1 of 3 entries differ, most at index 2: 7 instead of 4"),
        ([[1.0, 2.0], [3.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]], r"index \(1, 1\): 9 instead of 4"),
    ],
)
def test_it_tells_what_is_wrong(answer, expected, says):
    verdict = check(answer, expected)
    assert not verdict
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(verdict.says)
    assert repr(verdict).startswith("Not yet: ")
    assert repr(verdict).endswith(".")


@given(numbers, st.floats(-0.9, 0.9))
def test_what_is_within_the_tolerance_is_right(value, share):
    assert check(value * (1 + share * 1e-6), value)
    assert check(torch.tensor(value, dtype=torch.float64), value).says == "Right."


@given(numbers, st.floats(1e-4, 10))
def test_what_is_not_within_the_tolerance_is_wrong(value, share):
    assert not check(value * (1 + share), value)


def test_a_known_mistake_is_told_before_the_general_ones():
    verdict = check(6.0, 3.0, mistakes={"the loss squares the derivative.": 6.0, "another": [1.0, 2.0]})
    assert verdict.says == "Not yet: the loss squares the derivative."


def test_a_tensor_with_a_graph_is_read():
    assert check(torch.ones(3, requires_grad=True) * 2, np.full(3, 2.0))


def test_zero_is_an_answer():
    assert check(0.0, 0.0)
    assert not check(1.0, 0.0)


def test_the_check_itself_is_checked():
    with pytest.raises(ValueError, match="finite numbers"):
        check(1.0, np.nan)
    with pytest.raises(ValueError, match="finite numbers"):
        check(1.0, "three")
    with pytest.raises(ValueError, match="tolerance must be positive"):
        check(1.0, 1.0, tolerance=0)


def test_the_example_of_its_documentation():
    assert doctest.testmod(exercises).failed == 0
