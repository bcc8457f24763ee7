"""Truncated Taylor series in several variables: which coefficients there are, and how they combine.

A quantity has the coefficients c_a = (d^a f) / a!. Sums and linear maps act on each of them; products are
convolutions. An elementary function w = f(v) obeys a first-order differential equation, w' = g v', which gives its
coefficients one after the other from those of v and g (Griewank & Walther 2008, chapter 13): any order
costs polynomially.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pinnedu.derivatives.requests import Laplacian, Order

Coefficients = list[Tensor | None]
"""One entry an index of the plan; None is zero, a leading size of 1 means the same for all points."""


@dataclass(frozen=True)
class Plan:
    """Which Taylor coefficients are kept, and how they combine.

    Attributes
    ----------
    indices : tuple
        Multi-indices, closed downwards and sorted by degree; then the Laplacians. A Laplacian is one
        index that stands for the sum of pure second coefficients: its rules are the sums of theirs,
        so a trace costs one coefficient, not one for each coordinate (forward Laplacian).
    products : tuple
        For each index its pairs (i, j): (v w)_k = sum of v_i w_j.
    chains : tuple
        For each index its triples (i, j, factor): if w' = g v', then w_k = sum of factor * v_i g_j.
        The first factor is 1, which saves a pass over memory.
    """

    indices: tuple[Order | Laplacian, ...]
    products: tuple[tuple[tuple[int, int], ...], ...]
    chains: tuple[tuple[tuple[int, int, float], ...], ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(wanted: frozenset[Order | Laplacian], dim: int) -> Plan:
        """Make the plan for some derivatives by ``dim`` variables."""
        orders = {order for order in wanted if not isinstance(order, Laplacian)} | {(0,) * dim}
        laplacians = [order for order in wanted if isinstance(order, Laplacian)]
        for laplacian in laplacians:
            orders |= {unit(axis, dim) for axis in laplacian.axes}
        closed: set[Order] = set()
        for order in orders:
            closed |= set(_below(order))
        ordered = sorted(closed, key=lambda order: (sum(order), order))
        place = {order: k for k, order in enumerate(ordered)}
        products, chains = [], []
        for order in ordered:
            parts = [(low, tuple(map(operator.sub, order, low))) for low in _below(order)]
            products.append(tuple((place[low], place[high]) for low, high in parts))
            axis = next((i for i, n in enumerate(order) if n), None)
            chains.append(
                ()
                if axis is None
                else tuple((place[low], place[high], low[axis] / order[axis]) for low, high in parts[::-1] if low[axis])
            )
        for laplacian in laplacians:
            own = len(products)
            units = [place[unit(axis, dim)] for axis in laplacian.axes]
            products.append(((own, 0), *((unit, unit) for unit in units), (0, own)))
            chains.append(((own, 0, 1.0), *((unit, unit, 0.5) for unit in units)))
        return Plan((*ordered, *laplacians), tuple(products), tuple(chains))

    @staticmethod
    def scale(what: Order | Laplacian) -> int:
        """The derivative over the coefficient: a factorial; pure second derivatives are twice their coefficients."""
        return 2 if isinstance(what, Laplacian) else math.prod(map(math.factorial, what))

    @property
    def degree(self) -> int:
        """The highest order among the indices."""
        return max(2 if isinstance(index, Laplacian) else sum(index) for index in self.indices)


def _below(order: Order) -> list[Order]:
    """All multi-indices componentwise at most ``order``."""
    below: list[Order] = [()]
    for n in order:
        below = [(*low, k) for low in below for k in range(n + 1)]
    return below


def unit(axis: int, dim: int) -> Order:
    """The multi-index of the first derivative by one variable."""
    return tuple(int(i == axis) for i in range(dim))


def product_at(v: Coefficients, w: Coefficients, pairs: Sequence[tuple[int, int]]) -> Tensor | None:
    """Sum of v_i w_j over pairs, zero where one of them is."""
    total: Tensor | None = None
    for left, right in ((v[i], w[j]) for i, j in pairs):
        if left is not None and right is not None:
            total = left * right if total is None else torch.addcmul(total, left, right)
    return total


def _add_product(total: Tensor | None, left: Tensor | None, right: Tensor | None, factor: float = 1) -> Tensor | None:
    """Add factor * left * right to a total that nobody else holds, in place; None is zero."""
    if left is None or right is None:
        return total
    if total is None:
        product = left * right
        return product if factor == 1 else product.mul_(factor)
    add = torch.addcmul if torch._C._are_functorch_transforms_active() else Tensor.addcmul_
    return add(total, left, right, value=factor)


def _minus_square_at(w: Coefficients, plan: Plan, k: int) -> Tensor | None:
    """Coefficient k of -w^2, each mixed product computed once."""
    total: Tensor | None = None
    for i, j in plan.products[k]:
        if i <= j:
            total = _add_product(total, w[i], w[j], -1 if i == j else -2)
    return total


def chain_at(v: Coefficients, g: Coefficients, plan: Plan, k: int) -> Tensor | None:
    """Coefficient k of the w with w' = g v', where g has a row for every point."""
    total: Tensor | None = None
    for i, j, factor in plan.chains[k]:
        total = _add_product(total, v[i], g[j], factor)
    return total


Series = Callable[[Coefficients, Plan], tuple[Coefficients, Coefficients]]
"""Takes the coefficients of v; returns those of w = f(v) and of its slope g = f'(v)."""


def exp_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    """w' = w v'."""
    w: Coefficients = [torch.exp(v[0])]  # type: ignore[arg-type]
    for k in range(1, len(v)):
        w.append(chain_at(v, w, plan, k))
    return w, w


def tanh_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    """w' = (1 - w^2) v'."""
    w: Coefficients = [torch.tanh(v[0])]  # type: ignore[arg-type]
    g: Coefficients = [1 - w[0] * w[0]]  # type: ignore[operator]
    for k in range(1, len(v)):
        w.append(chain_at(v, g, plan, k))
        g.append(_minus_square_at(w, plan, k))
    return w, g


def circular_series(v: Coefficients, plan: Plan, sign: float = -1) -> tuple[Coefficients, Coefficients]:
    """s' = c v' and c' = -s v'; with sign 1 the hyperbolic ones."""
    sine, cosine = (torch.sin, torch.cos) if sign < 0 else (torch.sinh, torch.cosh)
    s: Coefficients = [sine(v[0])]  # type: ignore[arg-type]
    c: Coefficients = [cosine(v[0])]  # type: ignore[arg-type]
    for k in range(1, len(v)):
        s_k, c_k = chain_at(v, c, plan, k), chain_at(v, s, plan, k)
        s.append(s_k)
        c.append(-c_k if c_k is not None and sign < 0 else c_k)
    return s, c


def cosine_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    """The pair the other way round: the slope of the cosine is -s."""
    s, c = circular_series(v, plan)
    return c, [None if s_k is None else -s_k for s_k in s]


class Elementary(torch.autograd.Function):
    """An elementary function of a jet as one node of the graph.

    A small change dv of the coefficients changes w = f(v) by dw = f'(v) dv, a product of truncated
    polynomials like any other. So the reverse pass needs the coefficients of the slope g = f'(v)
    only, whatever the recurrence was: the gradient by v_i collects (gradient by w_k) g_j from all
    products v_i g_j in coefficient k. That is half of the work and memory of reversing the recurrence.
    """

    @staticmethod
    def forward(ctx: Any, series: Series, plan: Plan, *v: Tensor | None) -> tuple[Tensor | None, ...]:
        w, g = series(list(v), plan)
        ctx.series, ctx.plan = series, plan
        ctx.save_for_backward(*v, *g)
        ctx.set_materialize_grads(False)
        return tuple(w)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        count = len(gradients)
        v, g = list(ctx.saved_tensors[:count]), list(ctx.saved_tensors[count:])
        if torch.is_grad_enabled():  # to be differentiated once more: the slope must know what it came from
            _, g = ctx.series(v, ctx.plan)
        by_v: Coefficients = [None] * count
        for k, gradient in enumerate(gradients):
            for i, j in ctx.plan.products[k]:
                if v[i] is not None:
                    by_v[i] = _add_product(by_v[i], gradient, g[j])
        return (None, None, *by_v)
