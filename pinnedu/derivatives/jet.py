"""Jets: truncated Taylor polynomials in several variables that go through torch functions.

A jet carries, for every point, the Taylor coefficients c_a = (d^a f) / a! of a quantity by its
inputs. Sums, products and linear maps act on coefficients directly. An elementary function w = f(v)
obeys a first-order differential equation, w' = g v', which gives its coefficients one after the
other from those of v and g (Griewank & Walther 2008, chapter 13): any order costs polynomially.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pinnedu.field import Laplacian, Order

Coefficients = list[Tensor | None]
"""One entry an index of the plan; None is zero, a leading size of 1 means the same for all points."""


class NoRule(TypeError):
    """A model used an operation that jets have no rule for."""


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
        For each index its pairs (i, j, count): (v w)_k = sum of count * v_i w_j, symmetrized, i <= j.
    chains : tuple
        For each index its triples (i, j, factor): if w' = g v', then w_k = sum of factor * v_i g_j.
    inner : tuple of bool
        Whether the coefficient of g at that index is needed by any chain.
    """

    indices: tuple[Order | Laplacian, ...]
    products: tuple[tuple[tuple[int, int], ...], ...]
    chains: tuple[tuple[tuple[int, int, float], ...], ...]
    inner: tuple[bool, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(wanted: frozenset[Order | Laplacian], dim: int) -> Plan:
        """Make the plan for some derivatives by ``dim`` variables."""
        orders = {order for order in wanted if not isinstance(order, Laplacian)} | {(0,) * dim}
        laplacians = [order for order in wanted if isinstance(order, Laplacian)]
        for laplacian in laplacians:
            orders |= {_unit(axis, dim) for axis in laplacian.axes}
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
                else tuple((place[low], place[high], low[axis] / order[axis]) for low, high in parts if low[axis])
            )
        for laplacian in laplacians:
            own = len(products)
            units = [place[_unit(axis, dim)] for axis in laplacian.axes]
            products.append(((own, 0), *((unit, unit) for unit in units), (0, own)))
            chains.append(((own, 0, 1.0), *((unit, unit, 0.5) for unit in units)))
        needed = {j for chain in chains for _, j, _ in chain}
        inner = tuple(k in needed for k in range(len(products)))
        return Plan((*ordered, *laplacians), tuple(products), tuple(chains), inner)

    def derivative(self, jet: Jet, what: Order | Laplacian) -> Tensor:
        """Turn the coefficient of a jet into the derivative, of the jet's full shape."""
        coefficient = jet.coefficients[self.indices.index(what)]
        if coefficient is None:
            return torch.zeros_like(jet.value)
        scale = 2 if isinstance(what, Laplacian) else math.prod(map(math.factorial, what))
        return (coefficient if scale == 1 else scale * coefficient).expand(jet.shape)


def _below(order: Order) -> list[Order]:
    """All multi-indices componentwise at most ``order``."""
    below: list[Order] = [()]
    for n in order:
        below = [(*low, k) for low in below for k in range(n + 1)]
    return below


def _unit(axis: int, dim: int) -> Order:
    return tuple(int(i == axis) for i in range(dim))


class Jet:
    """Taylor coefficients of a batch of quantities; takes part in torch functions like a tensor."""

    def __init__(self, coefficients: Coefficients, plan: Plan) -> None:
        self.coefficients, self.plan = coefficients, plan

    @staticmethod
    def seed(points: Tensor, plan: Plan) -> Jet:
        """The jet of the inputs themselves, points (N, d): slope 1 along each coordinate."""
        dim = points.shape[1]
        rows = torch.eye(dim, dtype=points.dtype, device=points.device)
        slopes = {_unit(axis, dim): rows[axis : axis + 1] for axis in range(dim)}
        return Jet([points, *(slopes.get(k) if isinstance(k, tuple) else None for k in plan.indices[1:])], plan)

    @property
    def value(self) -> Tensor:
        """The coefficient of order zero: what the model returns on tensors."""
        value = self.coefficients[0]
        assert value is not None
        return value

    def map(self, function: Callable[[Tensor], Tensor]) -> Jet:
        """Apply a linear map to every coefficient."""
        return Jet([None if c is None else function(c) for c in self.coefficients], self.plan)

    def full(self) -> Jet:
        """The same with every coefficient of the full number of points."""
        n = len(self.value)
        return self.map(lambda c: c if len(c) == n else c.expand(n, *c.shape[1:]))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function)).strip("_")
        if name not in RULES:
            raise NoRule(name)
        return RULES[name](*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "device", "ndim"):
            return getattr(self.value, name)
        if name in RULES:
            return partial(RULES[name], self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoRule(name)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Jet:
        rows = index[0] if isinstance(index, tuple) else index
        every = rows is Ellipsis or rows == slice(None)
        return (self if every else self.full()).map(lambda c: c[index])


def _add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    b = b if alpha == 1 else b * alpha
    if not isinstance(a, Jet):
        a, b = b, a
    others = b.coefficients if isinstance(b, Jet) else [b, *[None] * len(a.coefficients[1:])]
    pairs = zip(a.coefficients, others, strict=True)
    sums = [y if x is None else x if y is None else x + y for x, y in pairs]
    # A column plus a row of numbers: the derivatives become as wide as the value.
    shape = sums[0].shape[1:]  # type: ignore[union-attr]
    return Jet([c if c is None or c.shape[1:] == shape else c.expand(len(c), *shape) for c in sums], a.plan)


def _multiply(a: Any, b: Any) -> Jet:
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return a.map(lambda c: c * b)
    return Jet([_pairs(a.coefficients, b.coefficients, pairs) for pairs in a.plan.products], a.plan)


def _add_product(total: Tensor | None, left: Tensor | None, right: Tensor | None, factor: float = 1) -> Tensor | None:
    """Add factor * left * right in one pass over memory; None is zero."""
    if left is None or right is None:
        return total
    if total is None:
        return left * right if factor == 1 else factor * left * right
    return torch.addcmul(total, left, right, value=factor)


def _pairs(v: Coefficients, w: Coefficients, pairs: Sequence[tuple[int, int]]) -> Tensor | None:
    """Sum of v_i w_j over pairs, zero where one of them is."""
    total: Tensor | None = None
    for i, j in pairs:
        total = _add_product(total, v[i], w[j])
    return total


def _minus_square_at(w: Coefficients, plan: Plan, k: int) -> Tensor | None:
    """Coefficient k of -w^2, each mixed product computed once."""
    total: Tensor | None = None
    for i, j in plan.products[k]:
        if i <= j:
            total = _add_product(total, w[i], w[j], -1 if i == j else -2)
    return total


def _chain_at(v: Coefficients, g: Coefficients, plan: Plan, k: int) -> Tensor | None:
    """Coefficient k of the w with w' = g v'."""
    total: Tensor | None = None
    for i, j, factor in plan.chains[k]:
        total = _add_product(total, v[i], g[j], factor)
    return total


Series = Callable[[Coefficients, Plan], tuple[Coefficients, Coefficients]]
"""Takes the coefficients of v; returns those of w = f(v) and of its slope g = f'(v)."""


def _exp_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    """w' = w v'."""
    w: Coefficients = [torch.exp(v[0])]  # type: ignore[arg-type]
    for k in range(1, len(v)):
        w.append(_chain_at(v, w, plan, k))
    return w, w


def _tanh_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    """w' = (1 - w^2) v'."""
    w: Coefficients = [torch.tanh(v[0])]  # type: ignore[arg-type]
    g: Coefficients = [1 - w[0] * w[0]]  # type: ignore[operator]
    for k in range(1, len(v)):
        w.append(_chain_at(v, g, plan, k))
        g.append(_minus_square_at(w, plan, k))
    return w, g


def _circular_series(v: Coefficients, plan: Plan, sign: float = -1) -> tuple[Coefficients, Coefficients]:
    """s' = c v' and c' = -s v'; with sign 1 their hyperbolic kin."""
    sine, cosine = (torch.sin, torch.cos) if sign < 0 else (torch.sinh, torch.cosh)
    s: Coefficients = [sine(v[0])]  # type: ignore[arg-type]
    c: Coefficients = [cosine(v[0])]  # type: ignore[arg-type]
    for k in range(1, len(v)):
        s_k, c_k = _chain_at(v, c, plan, k), _chain_at(v, s, plan, k)
        s.append(s_k)
        c.append(-c_k if c_k is not None and sign < 0 else c_k)
    return s, c


def _cosine_series(v: Coefficients, plan: Plan) -> tuple[Coefficients, Coefficients]:
    s, c = _circular_series(v, plan)
    return c, [None if s_k is None else -s_k for s_k in s]


class _Elementary(torch.autograd.Function):
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


def _elementary(series: Series) -> Callable[[Jet], Jet]:
    """The rule of an elementary function."""

    def apply(v: Jet) -> Jet:
        if torch._C._are_functorch_transforms_active():  # these differentiate the recurrence itself
            return Jet(series(v.coefficients, v.plan)[0], v.plan)
        return Jet(list(_Elementary.apply(series, v.plan, *v.full().coefficients)), v.plan)

    return apply


_exp, _tanh = _elementary(_exp_series), _elementary(_tanh_series)
_sin, _cos = _elementary(_circular_series), _elementary(_cosine_series)


def _sigmoid(v: Jet) -> Jet:
    """w = (1 + tanh(v / 2)) / 2."""
    return _add(_multiply(_tanh(_multiply(v, 0.5)), 0.5), 0.5)


def _from_slope(v: Jet, value: Tensor, slope: Jet) -> Jet:
    """The w with w' = slope v' whose slope is known as a jet."""
    w: Coefficients = [value]
    w += [_chain_at(v.coefficients, slope.coefficients, v.plan, k) for k in range(1, len(v.coefficients))]
    return Jet(w, v.plan)


def _power(v: Any, exponent: Any) -> Jet:
    if isinstance(exponent, Jet):
        return _exp(_multiply(exponent, torch.log(v) if not isinstance(v, (int, float)) else math.log(v)))
    if isinstance(exponent, Tensor):
        raise NoRule("pow with a tensor exponent")
    if isinstance(exponent, int) or float(exponent).is_integer():
        n = int(exponent)
        if n == 0:
            return v.map(lambda c: 0 * c) + 1
        if 1 <= n <= 8:  # products are exact at v = 0 too
            half = _power(v, n // 2) if n > 1 else v
            return v if n == 1 else _multiply(half, half) if n % 2 == 0 else _multiply(_multiply(half, half), v)
    # v w' = r w v': solve for the newest coefficient.
    r = float(exponent)
    w: Coefficients = [v.value**r]
    for k in range(1, len(v.coefficients)):
        right = _chain_at(v.coefficients, w, v.plan, k)
        total = None if right is None else r * right
        for i, j, factor in v.plan.chains[k]:
            left, other = (w[i] if i < k else None), v.coefficients[j]
            if left is not None and other is not None:
                term = factor * left * other
                total = -term if total is None else total - term
        w.append(None if total is None else total / v.value)
    return Jet(w, v.plan)


def _divide(a: Any, b: Any) -> Jet:
    return _multiply(a, 1 / b if not isinstance(b, Jet) else _power(b, -1.0))


def _subtract(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    return _add(a, b, alpha=-alpha)


def _log(v: Jet) -> Jet:
    return _from_slope(v, torch.log(v.value), _power(v, -1.0))


def _erf(v: Jet) -> Jet:
    slope = _multiply(_exp(_multiply(_multiply(v, v), -1.0)), 2 / math.sqrt(math.pi))
    return _from_slope(v, torch.erf(v.value), slope)


def _gelu(v: Jet, approximate: str = "none") -> Jet:
    if approximate == "tanh":
        inner = _multiply(_add(v, _multiply(_power(v, 3), 0.044715)), math.sqrt(2 / math.pi))
        return _multiply(_multiply(v, _add(_tanh(inner), 1)), 0.5)
    return _multiply(_multiply(v, _add(_erf(_multiply(v, math.sqrt(0.5))), 1)), 0.5)


def _softplus(v: Jet, beta: float = 1, threshold: float = 20) -> Jet:
    return _from_slope(v, F.softplus(v.value, beta, threshold), _sigmoid(_multiply(v, beta)))


def _arctan(v: Jet) -> Jet:
    return _from_slope(v, torch.arctan(v.value), _power(_add(_multiply(v, v), 1), -1.0))


def _where_positive(v: Jet, below: float) -> Jet:
    """Piecewise linear functions: slope 1 above zero, ``below`` below it."""
    positive = v.value > 0
    return v.full().map(lambda c: torch.where(positive, c, below * c))


def _linear(v: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    """A linear layer: one matrix product for all coefficients together."""
    v = v.full() if _TAPE is not None else v
    n = len(v.value)
    present = [k for k, c in enumerate(v.coefficients) if c is not None]
    whole = [k for k in present if len(v.coefficients[k]) == n]  # type: ignore[arg-type]
    stacked = torch.stack([v.coefficients[k] for k in whole])  # type: ignore[misc]
    mapped = F.linear(stacked, weight)
    if _TAPE is not None:
        if not mapped.requires_grad:  # weights held fixed: the bias is found from here all the same
            mapped.requires_grad_()
        _TAPE.append(LinearCall(weight, bias, stacked, mapped))
    w: Coefficients = [None] * len(v.coefficients)
    for k, coefficient in zip(whole, mapped.unbind(), strict=True):
        w[k] = coefficient
    for k in set(present) - set(whole):
        w[k] = F.linear(v.coefficients[k], weight)  # type: ignore[arg-type]
    if bias is not None:
        w[0] = w[0] + bias  # type: ignore[operator]
    return Jet(w, v.plan)


def _matmul(a: Any, b: Any) -> Jet:
    if isinstance(a, Jet) and isinstance(b, Jet):
        raise NoRule("matmul of two jets")
    return a.full().map(lambda c: c @ b) if isinstance(a, Jet) else b.full().map(lambda c: a @ c)


def _together(function: Callable[..., Tensor]) -> Callable[..., Jet]:
    """Lift a function of a list of tensors (cat, stack): zeros stand in for missing coefficients."""

    def apply(items: Sequence[Any], dim: int = 0) -> Jet:
        plan = next(item.plan for item in items if isinstance(item, Jet))
        jets = [item.full() if isinstance(item, Jet) else Jet([item, *[None] * len(plan.indices[1:])], plan) for item in items]
        rows = zip(*(jet.coefficients for jet in jets), strict=True)
        return Jet(
            [
                None
                if all(c is None for c in row)
                else function([torch.zeros_like(j.value) if c is None else c for c, j in zip(row, jets, strict=True)], dim)
                for row in rows
            ],
            plan,
        )

    return apply


def _each(name: str) -> Callable[..., Jet]:
    """Lift a linear method of tensors that only moves or adds up entries."""

    def apply(v: Jet, *args: Any, **kwargs: Any) -> Any:
        return v.full().map(lambda c: getattr(c, name)(*args, **kwargs))

    return apply


def _unbind(v: Jet, dim: int = 0) -> tuple[Jet, ...]:
    moved = v.full()
    parts = [None if c is None else c.unbind(dim) for c in moved.coefficients]
    count = v.value.shape[dim]
    return tuple(Jet([None if p is None else p[i] for p in parts], v.plan) for i in range(count))


def _split(v: Jet, split_size_or_sections: Any, dim: int = 0) -> tuple[Jet, ...]:
    moved = v.full()
    parts = [None if c is None else c.split(split_size_or_sections, dim) for c in moved.coefficients]
    return tuple(
        Jet([None if p is None else p[i] for p in parts], v.plan) for i in range(len(parts[0]))  # type: ignore[arg-type]
    )


RULES: dict[str, Callable[..., Any]] = {
    "add": _add, "radd": _add, "iadd": _add,
    "sub": _subtract, "subtract": _subtract, "isub": _subtract, "rsub": lambda a, b: _subtract(b, a),
    "mul": _multiply, "rmul": _multiply, "multiply": _multiply, "imul": _multiply,
    "div": _divide, "truediv": _divide, "divide": _divide, "true_divide": _divide, "itruediv": _divide,
    "rtruediv": lambda a, b: _divide(b, a), "rdiv": lambda a, b: _divide(b, a),
    "neg": lambda v: _multiply(v, -1.0), "negative": lambda v: _multiply(v, -1.0), "positive": lambda v: v, "pos": lambda v: v,
    "pow": _power, "rpow": lambda a, b: _power(b, a), "float_power": _power,
    "square": lambda v: _multiply(v, v), "sqrt": lambda v: _power(v, 0.5), "rsqrt": lambda v: _power(v, -0.5),
    "reciprocal": lambda v: _power(v, -1.0),
    "exp": _exp, "log": _log, "log1p": lambda v: _log(_add(v, 1)), "expm1": lambda v: _add(_exp(v), -1),
    "tanh": _tanh, "sigmoid": _sigmoid, "silu": lambda v, inplace=False: _multiply(v, _sigmoid(v)),
    "sin": _sin, "cos": _cos, "tan": lambda v: _divide(_sin(v), _cos(v)),
    "sinh": _elementary(partial(_circular_series, sign=1)),
    "cosh": _elementary(lambda v, plan: _circular_series(v, plan, sign=1)[::-1]),
    "arctan": _arctan, "atan": _arctan,
    "erf": _erf, "gelu": _gelu, "softplus": _softplus,
    "relu": lambda v, inplace=False: _where_positive(v, 0.0), "abs": lambda v: _where_positive(v, -1.0),
    "leaky_relu": lambda v, negative_slope=0.01, inplace=False: _where_positive(v, negative_slope),
    "linear": _linear, "matmul": _matmul, "mm": _matmul, "rmatmul": lambda a, b: _matmul(b, a),
    "cat": _together(torch.cat), "concat": _together(torch.cat), "concatenate": _together(torch.cat),
    "stack": _together(torch.stack), "unbind": _unbind, "split": _split,
    "chunk": lambda v, chunks, dim=0: _split(v, -(-v.value.shape[dim] // chunks), dim),
    "getitem": Jet.__getitem__, "size": lambda v, *dim: v.value.size(*dim), "dim": lambda v: v.value.dim(),
    **{name: _each(name) for name in ("reshape", "view", "flatten", "unsqueeze", "squeeze", "transpose", "permute",
                                      "sum", "mean", "expand", "narrow", "select", "contiguous", "clone", "to", "double",
                                      "float")},
}  # fmt: skip

for _name in "add radd sub rsub mul rmul truediv rtruediv neg pow rpow matmul rmatmul abs".split():
    setattr(Jet, f"__{_name}__", RULES[_name])


@dataclass
class LinearCall:
    """One use of a linear layer by a jet: inputs (C, N, in) and outputs (C, N, out) before the bias."""

    weight: Tensor
    bias: Tensor | None
    inputs: Tensor
    outputs: Tensor


_TAPE: list[LinearCall] | None = None


@contextmanager
def recording() -> Any:
    """Record every use of a linear layer: what the Jacobian by the weights is made of."""
    global _TAPE
    before, _TAPE = _TAPE, []
    try:
        yield _TAPE
    finally:
        _TAPE = before
