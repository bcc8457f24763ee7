"""Jets: truncated Taylor series that go through torch functions in place of tensors.

A jet carries, for every point, the Taylor coefficients of a quantity by its inputs. Each operation that a
model is made of has a rule that says what it does to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pinnedu.derivatives.requests import Laplacian, Order
from pinnedu.derivatives.series import (
    Coefficients,
    Elementary,
    Plan,
    Series,
    chain_at,
    circular_series,
    cosine_series,
    exp_series,
    product_at,
    tanh_series,
    unit,
)


class NoRule(TypeError):
    """A model used an operation that jets have no rule for."""


class Jet:
    """Taylor coefficients of a batch of quantities; takes part in torch functions like a tensor.

    Parameters
    ----------
    coefficients : list of Tensor or None
        One for each index of the plan.
    plan : Plan
    tape : list of LinearCall, optional
        Where linear layers write down that they were called on this jet or on one made of it: what the Jacobian by
        the weights is made of.
    """

    shared = False
    """Whether another jet shows the same entries: a change in place would have to reach it."""

    __array_ufunc__ = None  # NumPy's functions do not see jets

    def __init__(self, coefficients: Coefficients, plan: Plan, tape: list[LinearCall] | None = None) -> None:
        self.coefficients, self.plan, self.tape = coefficients, plan, tape

    @staticmethod
    def seed(points: Tensor, plan: Plan, tape: list[LinearCall] | None = None) -> Jet:
        """The jet of the inputs themselves, points (N, d): slope 1 along each coordinate."""
        dim = points.shape[1]
        rows = torch.eye(dim, dtype=points.dtype, device=points.device)
        slopes = {unit(axis, dim): rows[axis : axis + 1] for axis in range(dim)}
        return Jet([points, *(slopes.get(k) if isinstance(k, tuple) else None for k in plan.indices[1:])], plan, tape)

    def new(self, coefficients: Coefficients) -> Jet:
        """A jet of other coefficients, with the same plan and on the same tape."""
        return Jet(coefficients, self.plan, self.tape)

    @property
    def value(self) -> Tensor:
        """The coefficient of order zero: what the model returns on tensors."""
        value = self.coefficients[0]
        assert value is not None
        return value

    def map(self, function: Callable[[Tensor], Tensor]) -> Jet:
        """Apply a linear map to every coefficient."""
        return self.new([None if c is None else function(c) for c in self.coefficients])

    def derivative(self, what: Order | Laplacian) -> Tensor:
        """Turn a coefficient into the derivative, of the jet's full shape."""
        coefficient = self.coefficients[self.plan.indices.index(what)]
        if coefficient is None:
            return torch.zeros_like(self.value)
        scale = self.plan.scale(what)
        return (coefficient if scale == 1 else scale * coefficient).expand(self.shape)

    def full(self) -> Jet:
        """The same with every coefficient of the full number of points."""
        n = len(self.value)
        return self.map(lambda c: c if len(c) == n else c.expand(n, *c.shape[1:]))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _apply(getattr(function, "__name__", str(function)), *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "device", "ndim"):
            return getattr(self.value, name)
        if name.strip("_") in RULES and not name.startswith("_"):
            return partial(_apply, name, self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoRule(name)

    def __len__(self) -> int:
        return len(self.value)



def _apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """Find the rule of an operation by its name, and put the result where a change in place puts it."""
    rule = name.strip("_")
    if rule not in RULES:
        raise NoRule(rule)
    in_place = (name.endswith("_") and not name.endswith("__")) or kwargs.pop("inplace", False)
    target = args[0] if args else None
    if isinstance(target, Jet) and target.value.requires_grad and not torch.is_grad_enabled():
        raise NoRule("what is done without gradient, such as the forward pass of a torch.autograd.Function")
    if "axis" in kwargs:  # NumPy's word for it
        kwargs["dim"] = kwargs.pop("axis")
    result = RULES[rule](*args, **kwargs)
    if in_place and isinstance(target, Jet):
        if target.shared:
            raise NoRule(f"{name} of a view")
        target.coefficients = result.coefficients
        return target
    if rule in VIEWS and isinstance(target, Jet):
        for jet in (target, *(result if isinstance(result, tuple) else (result,))):
            jet.shared = True
    return result


def _operator(name: str) -> Callable[..., Any]:
    """What Python calls for an operator. ``a += b`` is ``add_``: other names of the same jet see the sum too."""
    return lambda *args: _apply(name, *args)


def _refused(name: str) -> Callable[..., Any]:
    """What would show a number, or take one, in place of a series."""

    def refuse(v: Jet, *args: Any, **kwargs: Any) -> Any:
        raise NoRule(name)

    return refuse


def _values(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is constant piece by piece: a function of the values, with derivative zero."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        return function(*map(_value_of, args), **kwargs)

    return apply


def _where(condition: Any, a: Any = None, b: Any = None) -> Jet:
    """Choose between series; what is no jet is the same for all points of its row."""
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


def _value_of(item: Any) -> Any:
    return item.value if isinstance(item, Jet) else item


def _extreme(larger: bool) -> Callable[[Any, Any], Jet]:
    """The larger or the smaller of two; where they are equal the mean, as autograd has it."""

    def apply(a: Any, b: Any) -> Jet:
        if not isinstance(a, Jet):
            a, b = b, a
        difference = _subtract(a, b).value
        chosen = _where(difference > 0, *((a, b) if larger else (b, a)))
        return _where(difference == 0, _multiply(_add(a, b), 0.5), chosen)

    return apply


def _clamp(v: Jet, min: Any = None, max: Any = None) -> Jet:
    if isinstance(min, Jet) or isinstance(max, Jet):
        raise NoRule("clamp by what depends on the inputs")
    if min is not None:
        v = _where(v.value >= min, v, min)
    return v if max is None else _where(v.value <= max, v, max)


def _remainder(function: Callable[..., Tensor]) -> Callable[[Any, Any], Jet]:
    """The rest of a division by a constant: a shift, piece by piece."""

    def apply(v: Any, divisor: Any) -> Jet:
        if not isinstance(v, Jet) or isinstance(divisor, Jet):
            raise NoRule("division with remainder by what depends on the inputs")
        return v.new([function(v.value, divisor), *v.coefficients[1:]])

    return apply


def _add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    b = b if alpha == 1 else b * alpha
    if not isinstance(a, Jet):
        a, b = b, a
    others = b.coefficients if isinstance(b, Jet) else [b, *[None] * len(a.coefficients[1:])]
    pairs = zip(a.coefficients, others, strict=True)
    sums = [y if x is None else x if y is None else x + y for x, y in pairs]
    # A column plus a row of numbers: the derivatives become as wide as the value.
    shape = sums[0].shape[1:]  # type: ignore[union-attr]
    return a.new([c if c is None or c.shape[1:] == shape else c.expand(len(c), *shape) for c in sums])


def _multiply(a: Any, b: Any) -> Jet:
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return a.map(lambda c: c * b)
    return a.new([product_at(a.coefficients, b.coefficients, pairs) for pairs in a.plan.products])


def _elementary(series: Series) -> Callable[[Jet], Jet]:
    """The rule of an elementary function."""

    def apply(v: Jet) -> Jet:
        if torch._C._are_functorch_transforms_active():  # these differentiate the recurrence itself
            return v.new(series(v.coefficients, v.plan)[0])
        return v.new(list(Elementary.apply(series, v.plan, *v.full().coefficients)))

    return apply


_exp, _tanh = _elementary(exp_series), _elementary(tanh_series)
_sin, _cos = _elementary(circular_series), _elementary(cosine_series)


def _sigmoid(v: Jet) -> Jet:
    """w = (1 + tanh(v / 2)) / 2."""
    return _add(_multiply(_tanh(_multiply(v, 0.5)), 0.5), 0.5)


def _from_slope(v: Jet, value: Tensor, slope: Jet) -> Jet:
    """The w with w' = slope v' whose slope is known as a jet."""
    w: Coefficients = [value]
    w += [chain_at(v.coefficients, slope.coefficients, v.plan, k) for k in range(1, len(v.coefficients))]
    return v.new(w)


def _power(v: Any, exponent: Any) -> Jet:
    if isinstance(exponent, Jet):
        return _exp(_multiply(exponent, torch.log(v) if not isinstance(v, (int, float)) else math.log(v)))
    if isinstance(exponent, Tensor):
        raise NoRule("pow with a tensor exponent")
    r = float(exponent)
    if r == 0:
        return v.map(lambda c: 0 * c) + 1
    if r > 0:
        return _whole_power(v, int(r)) if r.is_integer() and r <= 8 else _binomial_power(v, r)
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


def _whole_power(v: Jet, n: int) -> Jet:
    """By products of products."""
    if n == 1:
        return v
    half = _whole_power(v, n // 2)
    return _multiply(half, half) if n % 2 == 0 else _multiply(_multiply(half, half), v)


def _binomial_power(v: Jet, r: float) -> Jet:
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


def _abs(v: Jet) -> Jet:
    """Slope -1, 0 or 1: at zero autograd has 0."""
    sign = torch.sgn(v.value)
    return v.full().map(lambda c: sign * c)


def _linear(v: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    """A linear layer: the same matrix for every coefficient, the bias for the value alone.

    One product a coefficient is faster than one for all of them stacked: nothing is copied, and the
    reverse pass leaves out the coefficients that no equation asks for. Under ``torch.func``, where
    each point has a gradient (out, in) of its own, stacking forms it once, not once a coefficient.
    """
    transformed = torch._C._are_functorch_transforms_active()
    v = v.full() if transformed or v.tape is not None else v
    if transformed:
        products = iter(F.linear(torch.stack([c for c in v.coefficients if c is not None]), weight).unbind())
        w = [None if c is None else next(products) for c in v.coefficients]
        w[0] = w[0] if bias is None else w[0] + bias  # type: ignore[operator]
    else:
        w = [None if c is None else F.linear(c, weight, None if k else bias) for k, c in enumerate(v.coefficients)]
    if v.tape is not None:
        for c in w:
            if c is not None and not c.requires_grad:  # weights held fixed: the bias is found from here all the same
                c.requires_grad_()
        v.tape.append(LinearCall(weight, bias, v.coefficients, w))
    return v.new(w)


def _matmul(a: Any, b: Any) -> Jet:
    if isinstance(a, Jet) and isinstance(b, Jet):
        raise NoRule("matmul of two jets")
    return a.full().map(lambda c: c @ b) if isinstance(a, Jet) else b.full().map(lambda c: a @ c)


def _together(function: Callable[..., Tensor]) -> Callable[..., Jet]:
    """Lift a function of a list of tensors (cat, stack): zeros stand in for missing coefficients."""

    def apply(items: Sequence[Any], dim: int = 0) -> Jet:
        one = next(item for item in items if isinstance(item, Jet))
        rest = [None] * len(one.plan.indices[1:])
        jets = [item.full() if isinstance(item, Jet) else one.new([item, *rest]) for item in items]
        rows = zip(*(jet.coefficients for jet in jets), strict=True)
        return one.new(
            [
                None
                if all(c is None for c in row)
                else function([torch.zeros_like(j.value) if c is None else c for c, j in zip(row, jets, strict=True)], dim)
                for row in rows
            ]
        )

    return apply


def _at(v: Jet, index: Any) -> Jet:
    rows = index[0] if isinstance(index, tuple) else index
    every = rows is Ellipsis or (isinstance(rows, slice) and rows == slice(None))
    return (v if every else v.full()).map(lambda c: c[index])


def _over_entries(name: str) -> Callable[..., Any]:
    """Lift a sum or mean. Over all entries, points included, it is a number that no single point changes."""
    each = _each(name)

    def apply(v: Jet, *args: Any, **kwargs: Any) -> Any:
        value = getattr(v.value, name)(*args, **kwargs)
        return value if value.ndim == 0 else each(v, *args, **kwargs)

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
    return tuple(v.new([None if p is None else p[i] for p in parts]) for i in range(count))


def _split(v: Jet, split_size_or_sections: Any, dim: int = 0) -> tuple[Jet, ...]:
    moved = v.full()
    parts = [None if c is None else c.split(split_size_or_sections, dim) for c in moved.coefficients]
    return tuple(
        v.new([None if p is None else p[i] for p in parts]) for i in range(len(parts[0]))  # type: ignore[arg-type]
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
    "sinh": _elementary(partial(circular_series, sign=1)),
    "cosh": _elementary(lambda v, plan: circular_series(v, plan, sign=1)[::-1]),
    "arctan": _arctan, "atan": _arctan,
    "erf": _erf, "gelu": _gelu, "softplus": _softplus,
    "relu": lambda v, inplace=False: _where_positive(v, 0.0), "abs": _abs,
    "leaky_relu": lambda v, negative_slope=0.01, inplace=False: _where_positive(v, negative_slope),
    "linear": _linear, "matmul": _matmul, "mm": _matmul, "rmatmul": lambda a, b: _matmul(b, a),
    "cat": _together(torch.cat), "concat": _together(torch.cat), "concatenate": _together(torch.cat),
    "stack": _together(torch.stack), "unbind": _unbind, "split": _split,
    "chunk": lambda v, chunks, dim=0: _split(v, -(-v.value.shape[dim] // chunks), dim),
    "where": _where, "clamp": _clamp, "clip": _clamp, "maximum": _extreme(True), "minimum": _extreme(False),
    "remainder": _remainder(torch.remainder), "mod": _remainder(torch.remainder), "fmod": _remainder(torch.fmod),
    **{name: _values(getattr(torch, name)) for name in (
        "gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal", "not_equal", "isfinite", "isnan",
        "floor", "ceil", "round", "trunc", "sign", "floor_divide", "zeros_like", "ones_like", "full_like",
        "detach",
    )},
    "floordiv": _values(torch.floor_divide),
    "getitem": _at, "sum": _over_entries("sum"), "mean": _over_entries("mean"),
    "size": lambda v, *dim: v.value.size(*dim), "dim": lambda v: v.value.dim(),
    **{name: _each(name) for name in ("reshape", "view", "flatten", "unsqueeze", "squeeze", "transpose", "permute",
                                      "expand", "narrow", "select", "contiguous", "clone", "to", "double",
                                      "float")},
}  # fmt: skip

VIEWS = {"getitem", "reshape", "view", "flatten", "unsqueeze", "squeeze", "transpose", "permute", "expand", "narrow", "select",
         "contiguous", "to", "double", "float", "unbind", "split", "chunk"}  # fmt: skip
"""Rules whose results, as tensors, may show the same memory."""

for _name in (
    *"add radd sub rsub mul rmul truediv rtruediv neg pos pow rpow matmul rmatmul abs".split(),
    *"gt ge lt le eq ne mod floordiv getitem".split(),
):
    setattr(Jet, f"__{_name}__", _operator(_name))
for _name in "add sub mul truediv".split():
    setattr(Jet, f"__i{_name}__", _operator(f"{_name}_"))
for _name in "setitem bool float int index iter array dlpack rmod rfloordiv".split():
    setattr(Jet, f"__{_name}__", _refused(_name))
Jet.__hash__ = object.__hash__  # type: ignore[method-assign]


@dataclass
class LinearCall:
    """One use of a linear layer by a jet: coefficients of its inputs (N, in) and of its outputs (N, out)."""

    weight: Tensor
    bias: Tensor | None
    inputs: Coefficients
    outputs: Coefficients
