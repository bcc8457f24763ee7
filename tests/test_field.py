"""Fields: which derivative an expression asks for, and arithmetic as on a tensor."""

from __future__ import annotations

import copy
import operator
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinnedu.field import Field, Laplacian, MissingDerivative

ZERO = (0, 0)


def field(values=None, coordinates=("x", "t"), output=0, order=None):
    return Field("u", output, order or (0,) * len(coordinates), coordinates, values if values is not None else {})


def asked(expression):
    """The request that an expression makes first."""
    with pytest.raises(MissingDerivative) as missing:
        expression()
    return missing.value.request


# --- which derivative


@pytest.mark.parametrize(
    ("expression", "order"),
    [
        (lambda u: u, (0, 0)),
        (lambda u: u.x, (1, 0)),
        (lambda u: u.t, (0, 1)),
        (lambda u: u.xx, (2, 0)),
        (lambda u: u.xt, (1, 1)),
        (lambda u: u.tx, (1, 1)),
        (lambda u: u.x.t, (1, 1)),
        (lambda u: u.x.x, (2, 0)),
        (lambda u: u.xxtxtxxx, (6, 2)),
        (lambda u: u.d("x", "t", "x"), (2, 1)),
        (lambda u: u.d(), (0, 0)),
        (lambda u: u.d("x").t, (1, 1)),
    ],
)
def test_letters_name_the_derivative(expression, order):
    assert asked(lambda: expression(field()).value) == (0, order)


@given(st.text(alphabet="xyt", min_size=1, max_size=7))
def test_the_order_of_letters_is_free(letters):
    u = field(coordinates=("x", "y", "t"))
    expected = tuple(letters.count(name) for name in "xyt")
    for shuffled in (letters, letters[::-1], "".join(sorted(letters))):
        assert asked(lambda shuffled=shuffled: getattr(u, shuffled).value) == (0, expected)
        assert asked(lambda shuffled=shuffled: u.d(*shuffled).value) == (0, expected)


def test_every_order_of_three_letters():
    for letters in permutations("xxt"):
        assert asked(lambda letters=letters: getattr(field(), "".join(letters)).value) == (0, (2, 1))


def test_the_output_of_the_field_is_asked_for():
    assert asked(lambda: field(output=2).x.value) == (2, (1, 0))


def test_coordinates_with_long_names():
    u = field(coordinates=("x1", "x2", "s"))
    assert asked(lambda: u.x1.value) == (0, (1, 0, 0))
    assert asked(lambda: u.x1.x2.value) == (0, (1, 1, 0))
    assert asked(lambda: u.d("x2", "x2").value) == (0, (0, 2, 0))
    assert asked(lambda: u.ss.value) == (0, (0, 0, 2))
    assert asked(lambda: u.x1x2.value) == (0, (1, 1, 0))
    assert asked(lambda: u.x1sx1.value) == (0, (2, 0, 1))
    with pytest.raises(ValueError, match=r"u\.x1x3 is not a derivative: the coordinates are x1, x2, s"):
        _ = u.x1x3


def test_a_known_derivative_is_looked_up():
    values = {(0, (2, 0)): torch.tensor([1.0, 2.0]), (1, (2, 0)): torch.tensor([9.0, 9.0])}
    assert torch.equal(field(values).xx.value, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (lambda u: u.z, r"u\.z is not a derivative: the coordinates are x, t"),
        (lambda u: u.xz, r"u\.xz is not a derivative"),
        (lambda u: u.softmin(), r'u\.softmin is not a derivative: the coordinates are x, t; u\.d\("x"\) differentiates'),
        (lambda u: u.arange, r"for functions, write torch\.arange\(u\)"),
        (lambda u: u.d("z"), "u is differentiated by 'z', but the coordinates are x, t"),
        (lambda u: u.laplacian("x", "z"), "u is differentiated by 'z', but the coordinates are x, t"),
        (lambda u: u.x.laplacian("z"), r"u\.x is differentiated by 'z', but the coordinates are x, t"),
    ],
)
def test_unknown_derivatives(expression, message):
    with pytest.raises(ValueError, match=message):
        expression(field())


# --- the Laplacian


def test_laplacian_is_one_request_whatever_the_order_of_names():
    u = field(coordinates=("x", "y", "t"), output=1)
    assert asked(lambda: u.laplacian("x", "y")) == (1, Laplacian((0, 1)))
    assert asked(lambda: u.laplacian("y", "x")) == (1, Laplacian((0, 1)))
    assert asked(lambda: u.laplacian("t")) == (1, Laplacian((2,)))
    assert asked(lambda: u.laplacian()) == (1, Laplacian((0, 1, 2)))


def test_laplacian_of_a_derivative_sums_third_derivatives():
    values = {(0, (3, 0)): torch.tensor([1.0, 2.0]), (0, (1, 2)): torch.tensor([10.0, 20.0])}
    assert field(values).x.laplacian("x", "t").tolist() == [11, 22]
    assert field(values).x.laplacian().tolist() == [11, 22]
    assert field(values).x.laplacian("x").tolist() == [1, 2]


# --- arithmetic


U = torch.tensor([0.5, -1.5, 2.0], dtype=torch.float64)
W = torch.tensor([3.0, 0.25, -1.0], dtype=torch.float64)
KNOWN = {(0, ZERO): U, (0, (1, 0)): W}


@pytest.mark.parametrize(
    "operation",
    [
        *(operator.add, operator.sub, operator.mul, operator.truediv),
        *(operator.lt, operator.le, operator.gt, operator.ge),
    ],
)
@pytest.mark.parametrize("other", [2, 0.5, W, np.float64(3.0)], ids=["int", "float", "tensor", "numpy"])
def test_operators_agree_with_tensors_on_both_sides(operation, other):
    u = field(KNOWN)
    assert torch.equal(operation(u, other), operation(U, other))
    assert torch.equal(operation(other, u), torch.as_tensor(operation(other, U)))
    assert torch.equal(operation(u, u.x), operation(U, W))


def test_powers_and_signs():
    u = field(KNOWN)
    assert torch.equal(u**2, U**2)
    assert torch.equal(2**u, 2**U)
    assert torch.equal(abs(u) ** u.x, U.abs() ** W)
    assert torch.equal(-u, -U)
    assert torch.equal((-u).x, -W)
    minus = -u
    assert torch.equal(-minus, U)
    assert repr(-u.x) == "Field(-u.x)"
    assert torch.equal(abs(u), U.abs())


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.floats(-2, 2))
def test_an_expression_is_the_expression_of_the_values(numbers, c):
    values = torch.tensor(numbers, dtype=torch.float64)
    u = field({(0, ZERO): values, (0, (1, 0)): values.cos()})
    got = u * u.x - c * u**3 + (1 - u) / (2 + u.x**2) - (-u)
    assert torch.equal(got, values * values.cos() - c * values**3 + (1 - values) / (2 + values.cos() ** 2) - (-values))


def test_torch_functions_see_the_values():
    u = field(KNOWN)
    assert torch.equal(torch.sin(u), U.sin())
    assert torch.equal(torch.exp(-u.x), (-W).exp())
    assert torch.equal(torch.stack([u, u.x]), torch.stack([U, W]))
    assert torch.equal(torch.where(u > 0, u, u.x), torch.where(U > 0, U, W))
    assert torch.equal(torch.clamp(u, min=0), U.clamp(min=0))
    assert torch.equal(torch.add(U, other=u), U + U)
    assert torch.equal(W.mul(u), W * U)


def test_arithmetic_asks_for_what_is_missing():
    assert asked(lambda: 2 * field().xx + 1) == (0, (2, 0))
    assert asked(lambda: torch.sin(field())) == (0, ZERO)


def test_a_field_can_be_shown_and_copied():
    u = field(KNOWN)
    assert repr(u) == "Field(u)"
    assert repr(u.tx) == "Field(u.xt)"
    assert torch.equal(copy.deepcopy(u).value, U)
    with pytest.raises(AttributeError):
        _ = u._unknown
