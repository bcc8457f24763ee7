"""What functions of numbers do to jets: arithmetic, elementary functions by their differential equations, and choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pinnedu.derivatives.jet import Jet, NoRule
from pinnedu.derivatives.series import (
    Coefficients,
    Elementary,
    Series,
    chain_at,
    circular_series,
    cosine_series,
    exp_series,
    product_at,
    tanh_series,
)


def values(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is constant piece by piece: a function of the values, with derivative zero."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        return function(*map(value_of, args), **kwargs)

    return apply


def number(function: Callable[..., Tensor]) -> Callable[..., Jet]:
    """What is the same number at all points: every coefficient but the first is zero."""

    def apply(v: Jet, *args: Any, **kwargs: Any) -> Jet:
        return v.new([function(v.value, *args, **kwargs), *[None] * len(v.plan.indices[1:])])

    return apply


def where(condition: Any, a: Any = None, b: Any = None) -> Jet:
    """Choose between series; what is no jet is the same for all points of its row."""
    if isinstance(condition, Jet) and isinstance(a, Tensor) and a.dtype == torch.bool:
        condition, a = a, condition  # as a method: u.where(condition, other)
    if isinstance(condition, Jet) or not (isinstance(a, Jet) or isinstance(b, Jet)):
        raise NoRule("where")
    like: Jet = a if isinstance(a, Jet) else b
    zeros = [None] * len(like.plan.indices[1:])
    rows = [c.full().coefficients if isinstance(c, Jet) else [c, *zeros] for c in (a, b)]
    return like.new(
        [
            None if x is y is None else torch.where(condition, 0.0 if x is None else x, 0.0 if y is None else y)
            for x, y in zip(*rows, strict=True)
        ]
    )


def value_of(item: Any) -> Any:
    """The value of a jet; what is no jet is its own."""
    return item.value if isinstance(item, Jet) else item


def extreme(larger: bool) -> Callable[[Any, Any], Jet]:
    """The larger or the smaller of two; where they are equal the mean, as autograd has it."""

    def apply(a: Any, b: Any) -> Jet:
        if not isinstance(a, Jet):
            a, b = b, a
        difference = subtract(a, b).value
        chosen = where(difference > 0, *((a, b) if larger else (b, a)))
        return where(difference == 0, multiply(add(a, b), 0.5), chosen)

    return apply


def clamp(v: Jet, min: Any = None, max: Any = None) -> Jet:
    """Cut off below and above, by constants."""
    if isinstance(min, Jet) or isinstance(max, Jet):
        raise NoRule("clamp by what depends on the inputs")
    if min is not None:
        v = where(v.value >= min, v, min)
    return v if max is None else where(v.value <= max, v, max)


def remainder(function: Callable[..., Tensor]) -> Callable[[Any, Any], Jet]:
    """The rest of a division by a constant: a shift, piece by piece."""

    def apply(v: Any, divisor: Any) -> Jet:
        if not isinstance(v, Jet) or isinstance(divisor, Jet):
            raise NoRule("division with remainder by what depends on the inputs")
        return v.new([function(v.value, divisor), *v.coefficients[1:]])

    return apply


def add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    """a + alpha b, of which one at least is a jet."""
    b = b if alpha == 1 else b * alpha
    if not isinstance(a, Jet):
        a, b = b, a
    others = b.coefficients if isinstance(b, Jet) else [b, *[None] * len(a.coefficients[1:])]
    pairs = zip(a.coefficients, others, strict=True)
    sums = [y if x is None else x if y is None else x + y for x, y in pairs]
    # A column plus a row of numbers: the derivatives become as wide as the value.
    shape = sums[0].shape[1:]  # type: ignore[union-attr]
    return a.new([c if c is None or c.shape[1:] == shape else c.expand(len(c), *shape) for c in sums])


def multiply(a: Any, b: Any) -> Jet:
    """a b, of which one at least is a jet: the Cauchy product."""
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return a.map(lambda c: c * b)
    return a.new([product_at(a.coefficients, b.coefficients, pairs) for pairs in a.plan.products])


def elementary(series: Series) -> Callable[[Jet], Jet]:
    """The rule of an elementary function."""

    def apply(v: Jet) -> Jet:
        if torch._C._are_functorch_transforms_active():  # these differentiate the recurrence itself
            return v.new(series(v.coefficients, v.plan)[0])
        return v.new(list(Elementary.apply(series, v.plan, *v.full().coefficients)))

    return apply


exp, tanh = elementary(exp_series), elementary(tanh_series)
sin, cos = elementary(circular_series), elementary(cosine_series)


def sigmoid(v: Jet) -> Jet:
    """w = (1 + tanh(v / 2)) / 2."""
    return add(multiply(tanh(multiply(v, 0.5)), 0.5), 0.5)


def from_slope(v: Jet, value: Tensor, slope: Jet) -> Jet:
    """The w with w' = slope v' whose slope is known as a jet."""
    w: Coefficients = [value]
    w += [chain_at(v.coefficients, slope.coefficients, v.plan, k) for k in range(1, len(v.coefficients))]
    return v.new(w)


def power(v: Any, exponent: Any) -> Jet:
    """v to a constant power, or a base to the power of a jet."""
    if isinstance(exponent, Jet):
        return exp(multiply(exponent, torch.log(v) if not isinstance(v, (int, float)) else math.log(v)))
    if isinstance(exponent, Tensor):
        raise NoRule("pow with a tensor exponent")
    r = float(exponent)
    if r == 0:
        return v.map(lambda c: 0 * c) + 1
    if r > 0:
        return whole_power(v, int(r)) if r.is_integer() and r <= 8 else binomial_power(v, r)
    # v w' = r w v': solve for the newest coefficient.
    w: Coefficients = [v.value**r]
    for k in range(1, len(v.coefficients)):
        right = chain_at(v.coefficients, w, v.plan, k)
        total = None if right is None else r * right
        for i, j, factor in v.plan.chains[k]:
            left, other = (w[i] if i < k else None), v.coefficients[j]
            if left is not None and other is not None:
                term = factor * left * other
                total = -term if total is None else total - term
        w.append(None if total is None else total / v.value)
    return v.new(w)


def whole_power(v: Jet, n: int) -> Jet:
    """By products of products."""
    if n == 1:
        return v
    half = whole_power(v, n // 2)
    return multiply(half, half) if n % 2 == 0 else multiply(multiply(half, half), v)


def binomial_power(v: Jet, r: float) -> Jet:
    """w = sum_j binomial(r, j) v_0^(r - j) (v - v_0)^j for r > 0: nothing is divided by v_0, which may be zero."""
    rise: Coefficients = [None, *v.coefficients[1:]]
    w: Coefficients = [v.value**r, *[None] * len(rise[1:])]
    power, factor = rise, r
    for j in range(1, v.plan.degree + 1):
        scale = factor * v.value ** (r - j)
        w = [total if c is None else scale * c if total is None else total + scale * c for total, c in zip(w, power, strict=True)]
        factor *= (r - j) / (j + 1)
        if factor == 0:  # a whole number: the sum ends here
            break
        power = [product_at(power, rise, pairs) for pairs in v.plan.products]
    return v.new(w)


def divide(a: Any, b: Any) -> Jet:
    """a / b, of which one at least is a jet."""
    return multiply(a, 1 / b if not isinstance(b, Jet) else power(b, -1.0))


def subtract(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    """a - alpha b, of which one at least is a jet."""
    return add(a, b, alpha=-alpha)


def log(v: Jet) -> Jet:
    """w' = v' / v."""
    return from_slope(v, torch.log(v.value), power(v, -1.0))


def erf(v: Jet) -> Jet:
    """w' = 2 / sqrt(pi) exp(-v^2) v'."""
    slope = multiply(exp(multiply(multiply(v, v), -1.0)), 2 / math.sqrt(math.pi))
    return from_slope(v, torch.erf(v.value), slope)


def gelu(v: Jet, approximate: str = "none") -> Jet:
    """v times the normal distribution function of v, or its approximation by tanh."""
    if approximate == "tanh":
        inner = multiply(add(v, multiply(power(v, 3), 0.044715)), math.sqrt(2 / math.pi))
        return multiply(multiply(v, add(tanh(inner), 1)), 0.5)
    return multiply(multiply(v, add(erf(multiply(v, math.sqrt(0.5))), 1)), 0.5)


def softplus(v: Jet, beta: float = 1, threshold: float = 20) -> Jet:
    """w' = sigmoid(beta v) v'."""
    return from_slope(v, F.softplus(v.value, beta, threshold), sigmoid(multiply(v, beta)))


def arctan(v: Jet) -> Jet:
    """w' = v' / (1 + v^2)."""
    return from_slope(v, torch.arctan(v.value), power(add(multiply(v, v), 1), -1.0))


def where_positive(v: Jet, below: float) -> Jet:
    """Piecewise linear functions: slope 1 above zero, ``below`` below it."""
    positive = v.value > 0
    return v.full().map(lambda c: torch.where(positive, c, below * c))


def absolute(v: Jet) -> Jet:
    """Slope -1, 0 or 1: at zero autograd has 0."""
    sign = torch.sgn(v.value)
    return v.full().map(lambda c: sign * c)
