"""Derivatives by differences of nearby values: no differentiation at all, and never exact."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.derivatives.requests import Engine, Laplacian, Order, Request
from pinnedu.device import move

Stencil = dict[tuple[int, ...], float]
"""Weights by offset, in steps along each coordinate."""


def finite_differences(order_of_accuracy: int = 2, step: float | None = None) -> Engine:
    """Make an engine of central differences; mixed derivatives by products of stencils.

    A derivative of order k has a truncation error of about h^p and a rounding error of about
    eps / h^k, with p the order of accuracy. Their sum is least near h = eps^(1 / (k + p)), where it is
    about eps^(p / (k + p)): for p = 2 in double precision, a first derivative keeps two thirds of
    the 16 digits and a fourth derivative one third.

    Parameters
    ----------
    order_of_accuracy : int
        Even: 2, 4, ...; a higher one needs more points and allows a larger step.
    step : float, optional
        h, in the units of the coordinates. By default the balance above, which takes it that the
        model varies over lengths of about 1.

    Raises
    ------
    ValueError
        If the order of accuracy is not even and positive, or the step not positive.

    References
    ----------
    Fornberg (1988), Generation of finite difference formulas on arbitrarily spaced grids.
    """
    if not isinstance(order_of_accuracy, int) or order_of_accuracy < 2 or order_of_accuracy % 2:
        raise ValueError(f"order_of_accuracy must be 2, 4, 6, ..., not {order_of_accuracy!r}.")
    if step is not None and not step > 0:
        raise ValueError(f"The step must be positive, not {step}: leave it out to have it chosen.")

    def differences(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        values: dict[Request, Tensor] = {}
        for what in {what for _, what in requests}:  # the outputs share their evaluations
            order = 2 if isinstance(what, Laplacian) else sum(what)
            h = step or torch.finfo(points.dtype).eps ** (1 / (order + order_of_accuracy))
            combined = _combine(model, points, _stencil_of(what, points.shape[1], order_of_accuracy), h) / h**order
            for output in {output for output, other in requests if other == what}:
                values[output, what] = combined[:, output]
        return {request: values[request] for request in requests}

    return differences


def _combine(model: nn.Module, points: Tensor, stencil: Stencil, h: float) -> Tensor:
    """Weighted sum of the model's values on the stencil around every point, (N, m), in one call of the model."""
    offsets = h * _like(points, list(stencil))
    weights = _like(points, list(stencil.values()))
    values = model((points + offsets[:, None]).flatten(end_dim=1))
    return torch.einsum("s,snm->nm", weights, values.unflatten(0, (len(stencil), len(points))))


def _like(points: Tensor, numbers: Sequence[Any]) -> Tensor:
    return move(torch.tensor(numbers, dtype=torch.float64), points.device, points.dtype)


@lru_cache(maxsize=256)
def _stencil_of(what: Order | Laplacian, dim: int, accuracy: int) -> Stencil:
    """The stencil of a derivative, for step 1."""
    if isinstance(what, Laplacian):
        pure = [tuple(2 * (i == axis) for i in range(dim)) for axis in what.axes]
        terms = [item for order in pure for item in _stencil_of(order, dim, accuracy).items()]
    else:
        axes = [stencil(k, accuracy).items() for k in what]
        terms = [(tuple(o for o, _ in pairs), prod(w for _, w in pairs)) for pairs in product(*axes)]
    total: Stencil = {}
    for offset, weight in terms:
        total[offset] = total.get(offset, 0.0) + weight
    return total


@lru_cache(maxsize=64)
def stencil(order: int, accuracy: int) -> dict[int, float]:
    """Weights of the central difference of an order, by offset.

    They are the derivatives at 0 of the Lagrange polynomials on the offsets, in exact fractions.

    Examples
    --------
    >>> stencil(2, 2)
    {-1: 1.0, 0: -2.0, 1: 1.0}
    """
    reach = (order + 1) // 2 + accuracy // 2 - 1 if order else 0
    offsets = range(-reach, reach + 1)
    weights: dict[int, float] = {}
    for j in offsets:
        lagrange = [Fraction(1)]  # coefficients of prod (s - m) / (j - m), lowest first
        for m in offsets:
            if m != j:
                shifted = zip([Fraction(0), *lagrange], [*lagrange, Fraction(0)], strict=True)
                lagrange = [(up - m * same) / (j - m) for up, same in shifted]
        weight = lagrange[order] * prod(range(1, order + 1))
        if weight:
            weights[j] = float(weight)
    return weights


COMPLEX_STEP = 1e-20
"""So small that its square is nothing beside 1, in every precision: there is no truncation error."""


def complex_step(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
    """First derivatives to the last digit, from one value at a complex point.

    u(x + i h) = u(x) + i h u'(x) + O(h^2): the derivative is the imaginary part over h, nothing is
    subtracted, and h can be as small as one likes.

    Works where every operation of the model is analytic and takes complex numbers in torch: linear
    layers, sums and products, tanh, sigmoid, sin, cos, exp, log, powers. Not SiLU, GELU, softplus,
    erf and comparisons, which torch has for real numbers only. ``abs`` of a complex number is not analytic:
    it gives a wrong answer without a warning.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    points : Tensor, shape (N, d)
    requests : collection of (output, order) with orders of 0 and 1 in total

    Raises
    ------
    ValueError
        If a request is of a higher order.
    TypeError
        If the model does not take complex numbers.

    References
    ----------
    Squire & Trapp (1998), Using complex variables to estimate derivatives of real functions.
    """
    values: dict[Request, Tensor] = {}
    for what in {what for _, what in requests}:
        if isinstance(what, Laplacian) or sum(what) > 1:
            raise ValueError(f"The complex step gives first derivatives, not {what}: use 'finite-differences'.")
        if any(what):
            outputs = _complex_call(
                model, torch.complex(points, COMPLEX_STEP * _like(points, what).expand_as(points))
            )
            outputs = outputs.imag / COMPLEX_STEP
        else:
            outputs = model(points)
        for output in {output for output, other in requests if other == what}:
            values[output, what] = outputs[:, output]
    return {request: values[request] for request in requests}


def _complex_call(model: nn.Module, points: Tensor) -> Tensor:
    """The model on complex points: its weights must be complex too, though their imaginary part is zero."""
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = {name: value.to(points.dtype) if value.is_floating_point() else value for name, value in held.items()}
    try:
        outputs: Tensor = torch.func.functional_call(model, weights, (points,))
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise TypeError(f"This model does not take complex numbers ({reason}): use 'finite-differences'.") from error
    if not outputs.is_complex():
        raise TypeError("This model turns complex numbers into real ones: use 'finite-differences'.")
    return outputs
