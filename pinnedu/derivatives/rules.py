"""The rules of jets: a table of what each torch operation does to them, and the linear ones among these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pinnedu.derivatives import functions as f
from pinnedu.derivatives.jet import RULES, VIEWS, Jet, LinearCall, NoRule
from pinnedu.derivatives.series import circular_series


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


RULES |= {
    "add": f.add, "radd": f.add, "iadd": f.add,
    "sub": f.subtract, "subtract": f.subtract, "isub": f.subtract, "rsub": lambda a, b: f.subtract(b, a),
    "mul": f.multiply, "rmul": f.multiply, "multiply": f.multiply, "imul": f.multiply,
    "div": f.divide, "truediv": f.divide, "divide": f.divide, "true_divide": f.divide, "itruediv": f.divide,
    "rtruediv": lambda a, b: f.divide(b, a), "rdiv": lambda a, b: f.divide(b, a),
    "neg": lambda v: f.multiply(v, -1.0), "negative": lambda v: f.multiply(v, -1.0), "positive": lambda v: v, "pos": lambda v: v,
    "pow": f.power, "rpow": lambda a, b: f.power(b, a), "float_power": f.power,
    "square": lambda v: f.multiply(v, v), "sqrt": lambda v: f.power(v, 0.5), "rsqrt": lambda v: f.power(v, -0.5),
    "reciprocal": lambda v: f.power(v, -1.0),
    "exp": f.exp, "log": f.log, "log1p": lambda v: f.log(f.add(v, 1)), "expm1": lambda v: f.add(f.exp(v), -1),
    "tanh": f.tanh, "sigmoid": f.sigmoid, "silu": lambda v, inplace=False: f.multiply(v, f.sigmoid(v)),
    "sin": f.sin, "cos": f.cos, "tan": lambda v: f.divide(f.sin(v), f.cos(v)),
    "sinh": f.elementary(partial(circular_series, sign=1)),
    "cosh": f.elementary(lambda v, plan: circular_series(v, plan, sign=1)[::-1]),
    "arctan": f.arctan, "atan": f.arctan,
    "erf": f.erf, "gelu": f.gelu, "softplus": f.softplus,
    "relu": lambda v, inplace=False: f.where_positive(v, 0.0), "abs": f.absolute,
    "leaky_relu": lambda v, negative_slope=0.01, inplace=False: f.where_positive(v, negative_slope),
    "linear": _linear, "matmul": _matmul, "mm": _matmul, "rmatmul": lambda a, b: _matmul(b, a),
    "cat": _together(torch.cat), "concat": _together(torch.cat), "concatenate": _together(torch.cat),
    "stack": _together(torch.stack), "unbind": _unbind, "split": _split,
    "chunk": lambda v, chunks, dim=0: _split(v, -(-v.value.shape[dim] // chunks), dim),
    "where": f.where, "clamp": f.clamp, "clip": f.clamp, "maximum": f.extreme(True), "minimum": f.extreme(False),
    "remainder": f.remainder(torch.remainder), "mod": f.remainder(torch.remainder), "fmod": f.remainder(torch.fmod),
    **{name: f.values(getattr(torch, name)) for name in (
        "gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal", "not_equal", "isfinite", "isnan",
        "floor", "ceil", "round", "trunc", "sign", "floor_divide", "detach",
    )},
    "floordiv": f.values(torch.floor_divide),
    **{name: f.number(getattr(torch, name)) for name in ("zeros_like", "ones_like", "full_like")},
    "getitem": _at, "sum": _over_entries("sum"), "mean": _over_entries("mean"),
    "size": lambda v, *dim: v.value.size(*dim), "dim": lambda v: v.value.dim(),
    **{name: _each(name) for name in ("reshape", "view", "flatten", "unsqueeze", "squeeze", "transpose", "permute",
                                      "expand", "narrow", "select", "contiguous", "clone", "to", "double",
                                      "float")},
}  # fmt: skip

VIEWS |= {"getitem", "reshape", "view", "flatten", "unsqueeze", "squeeze", "transpose", "permute", "expand", "narrow", "select",
         "contiguous", "to", "double", "float", "unbind", "split", "chunk"}  # fmt: skip
