"""Jets: truncated Taylor series that go through torch functions instead of tensors.

A jet carries, for every point, the Taylor coefficients of a quantity by its inputs. Each operation that a
model is made of has a rule that says what it does to them: see :mod:`pinnedu.derivatives.rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pinnedu.derivatives.requests import Laplacian, Order
from pinnedu.derivatives.series import Coefficients, Plan, unit

RULES: dict[str, Callable[..., Any]] = {}
"""What operations do to jets, by their names without underscores."""

VIEWS: set[str] = set()
"""Rules whose results, as tensors, may show the same memory."""


@dataclass
class LinearCall:
    """One use of a linear layer by a jet: coefficients of its inputs (N, in) and of its outputs (N, out)."""

    weight: Tensor
    bias: Tensor | None
    inputs: Coefficients
    outputs: Coefficients


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
    """What would show a number, or take one, instead of a series."""

    def refuse(v: Jet, *args: Any, **kwargs: Any) -> Any:
        raise NoRule(name)

    return refuse


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
