"""The language of equations: ``u.t`` is a derivative, arithmetic works as on tensors, and so do derivatives of the result."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import shown
from pinnedu.derivatives.jet import Jet, NoRule, Plan
from pinnedu.derivatives.requests import Laplacian, Order, Request
from pinnedu.derivatives.series import unit

Series = Callable[[Plan], Jet | Tensor]
"""Gives the Taylor series of a quantity around every point; a tensor is a number, the same at all points."""


class MissingDerivative(LookupError):
    """An equation asked for a derivative that was not computed: compute it and ask again."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.request = request


class NoSuchAttribute(AttributeError, ValueError):
    """What is written behind the dot is no derivative and nothing that a tensor has."""


class Expression:
    """A quantity on a set of points, made of fields, coordinates and unknowns, or one of its derivatives.

    ``f.x``, ``f.xx``, ``f.xt`` differentiate by coordinates of one letter, in any order; longer names stand
    one behind the other (``f.x1x1``) or in ``f.d("x1", "x1")``; ``f.laplacian("x", "y")`` sums second derivatives, over all
    coordinates when none is named. All else is as for a tensor of its values: operators, torch functions, methods, indices.

    The values are computed at once, as tensors are. Beside them the expression remembers how it was made, and where it is
    differentiated this is done once more with Taylor series instead of values. A sum or mean over the points is a number.

    Raises
    ------
    ValueError
        If it is differentiated and holds something that is not known as a function of the coordinates.
    """

    def __init__(
        self,
        coordinates: Sequence[str],
        series: Series,
        value: Tensor | None = None,
        order: Order | None = None,
        points: int | None = None,
        by_coordinates: bool = False,
    ) -> None:
        self._coordinates, self._series, self._known = tuple(coordinates), series, value
        self._order = (0,) * len(self._coordinates) if order is None else order
        self._points = points  # how many there are; None for what is the same everywhere
        self._by_coordinates = by_coordinates  # and by nothing else: there is no gradient to lose

    def __repr__(self) -> str:
        return f"Expression({shown(self._known)})"

    @property
    def _label(self) -> str:
        return "the expression"

    # --- derivatives

    @property
    def value(self) -> Tensor:
        """The values on the points, shape (N,)."""
        if self._known is None:
            self._known = self._derivative((0,) * len(self._order))
        return self._known

    def _look_up(self, what: Order | Laplacian) -> Tensor:
        """A derivative of what the expression is a derivative of."""
        plan = Plan.of(frozenset([what]), len(self._coordinates))
        try:
            jet = self._series(plan)
        except NoRule as missing:
            raise ValueError(
                f"An expression with {str(missing)!r} cannot be differentiated: write its derivative out, by the product and "
                "the chain rule, or use functions such as torch.exp, torch.sin, powers and torch.where."
            ) from None
        if isinstance(jet, Jet):
            return jet.derivative(what)
        if self._points is None:
            return torch.zeros_like(jet)
        if jet.ndim:
            raise ValueError(UNKNOWN)
        raise ValueError("A number that is the same at all points, such as a mean over them, has no derivative.")

    def _derivative(self, what: Order | Laplacian) -> Tensor:
        if isinstance(what, Laplacian):
            if not any(self._order):
                return self._look_up(what)
            dim = len(self._order)
            second = [self._derivative(tuple(2 * n for n in unit(axis, dim))) for axis in what.axes]
            return torch.stack(second).sum(dim=0)
        return self._look_up(tuple(map(operator.add, self._order, what)))

    def _taylor(self, plan: Plan) -> Jet | Tensor:
        """The series of the expression itself: of a derivative each coefficient is a derivative."""
        return Jet([self._derivative(what) / plan.scale(what) for what in plan.indices], plan)

    def _source(self) -> Series:
        """What other expressions keep of this one: how it is made, and not its values."""
        return self._taylor if any(self._order) else self._series

    def _ordered(self, order: Order) -> Expression:
        return Expression(self._coordinates, self._series, None, order, self._points, self._by_coordinates)

    def d(self, *coordinates: str) -> Expression:
        """Differentiate once by each of the named coordinates."""
        order = list(self._order)
        for coordinate in coordinates:
            if coordinate not in self._coordinates:
                raise ValueError(
                    f"{self._label} is differentiated by {coordinate!r}, "
                    f"but the coordinates are {', '.join(self._coordinates)}."
                )
            order[self._coordinates.index(coordinate)] += 1
        return self._ordered(tuple(order)) if coordinates else self

    def laplacian(self, *coordinates: str) -> Expression:
        """Sum of the second derivatives by the named coordinates (all of them by default)."""
        self.d(*coordinates)  # checks the names
        names = coordinates or self._coordinates
        axes = tuple(sorted(self._coordinates.index(name) for name in names))
        series = partial(_apply, _total, [self.d(name, name) for name in names], {})
        value = self._derivative(Laplacian(axes))
        return Expression(self._coordinates, series, value, None, len(value), self._by_coordinates)

    # --- as a tensor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # protocols such as copy and display ask for these
            raise AttributeError(name)
        by = [name] if name in self._coordinates else list(name)
        if not all(letter in self._coordinates for letter in by):
            ways = _splits(name, self._coordinates)
            by = ways[0] if len(ways) == 1 else []
        if by:
            return self.d(*by)
        if name not in NOT_OF_TENSORS and hasattr(Tensor, name):
            if not callable(getattr(Tensor, name)):
                return getattr(self.value, name)
            return partial(_call, _method(name), self)
        function = f" (for functions, write torch.{name}({self._label}))" if hasattr(torch, name) else ""
        raise NoSuchAttribute(
            f"{self._label}.{name} is not a derivative: the coordinates are {', '.join(self._coordinates)}{function}; "
            f'{self._label}.d("{self._coordinates[0]}") differentiates by a name.'
        )

    def __len__(self) -> int:
        return len(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __getitem__(self, index: Any) -> Any:
        return _call(operator.getitem, self, index)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        _call(operator.setitem, self, index, value)
        self._refuse("that was changed in place cannot be differentiated: choose values by torch.where")

    __hash__ = object.__hash__  # == compares values, as that of tensors does

    def _refuse(self, reason: str) -> None:
        """Have derivatives raise ValueError from now on."""

        def refuse(plan: Plan) -> Jet:
            raise ValueError(f"An expression {reason}.")

        self._series = refuse

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(function, *args, **(kwargs or {}))

    def _detached(self) -> Tensor:
        """The values for other libraries, and for ``torch.as_tensor``, which take arrays."""
        if not self._by_coordinates:
            raise ValueError(
                f"{self._label} cannot become an array of numbers, which would lose the gradient by the weights: "
                "use torch functions on fields, and those of NumPy on coordinates alone."
            )
        return self.value.detach()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._detached().cpu().numpy()
        return array if dtype is None else array.astype(dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self._detached().__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._detached().__dlpack_device__()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's operators and functions are torch's where torch has them, so that they can be differentiated."""
        name = ufunc.__name__
        function = getattr(operator, UFUNCS[name]) if name in UFUNCS else getattr(torch, name, None)
        if function is None or method != "__call__" or kwargs:
            return getattr(ufunc, method)(*map(np.asarray, inputs), **kwargs)
        return _call(function, *(item.item() if isinstance(item, np.generic) else item for item in inputs))


class Field(Expression):
    """One output of a model on a set of points, or one of its derivatives, up to the sign.

    Its derivatives are looked up among the values that a derivative engine has computed; what is not there is asked for.
    """

    def __init__(
        self,
        name: str,
        output: int,
        order: Order,
        coordinates: Sequence[str],
        values: dict[Request, Tensor],
        sign: int = 1,
        normal: Tensor | None = None,
    ) -> None:
        super().__init__(coordinates, self._taylor, None, order)
        self._name, self._output, self._values, self._sign, self._normal = name, output, values, sign, normal
        self._points = next(map(len, values.values()), None)

    def on(self, name: str, values: dict[Request, Tensor]) -> Field:
        """Name the same derivative of the same output anew, with the values it has on a set of points."""
        return Field(name, self._output, self._order, self._coordinates, values, self._sign)

    @property
    def value(self) -> Tensor:
        """The values on the points, shape (N,)."""
        return self._look_up(self._order)

    @property
    def request(self) -> Request:
        """What it asks of a model."""
        return self._output, self._order

    @property
    def _label(self) -> str:
        by = "".join(name * n for name, n in zip(self._coordinates, self._order, strict=True))
        return f"{'-' if self._sign < 0 else ''}{self._name}{'.' + by if by else ''}"

    def __repr__(self) -> str:
        return f"Field({self._label})"

    def _look_up(self, what: Order | Laplacian) -> Tensor:
        try:
            found = self._values[self._output, what]
        except KeyError:
            raise MissingDerivative((self._output, what)) from None
        return found if self._sign > 0 else -found

    def _ordered(self, order: Order) -> Field:
        return Field(self._name, self._output, order, self._coordinates, self._values, self._sign, self._normal)

    def __getattr__(self, name: str) -> Any:
        if name == "n" and self._normal is not None:  # the derivative along the normal
            slopes = [self.d(coordinate).value for coordinate in self._coordinates]
            return (torch.stack(slopes, dim=1) * self._normal).sum(dim=1)
        return super().__getattr__(name)

    def __neg__(self) -> Field:
        return Field(self._name, self._output, self._order, self._coordinates, self._values, -self._sign, self._normal)


def given(points: Tensor, coordinates: Sequence[str], numbers: Mapping[str, Tensor]) -> dict[str, Expression]:
    """The coordinates, ``points`` (all of them at once) and numbers such as unknowns, as equations get them.

    Parameters
    ----------
    points : Tensor, shape (N, d) or with columns of data behind the coordinates
    coordinates : sequence of str
    numbers : dict of name to Tensor, without dimensions or (N,), whatever the coordinates are
    """
    own = points[:, : len(coordinates)]
    seed = partial(Jet.seed, own)
    arguments = {"points": Expression(coordinates, seed, own, None, len(own), True)}
    for i, name in enumerate(coordinates):
        arguments[name] = Expression(coordinates, partial(_column, seed, i), own[:, i], None, len(own), True)
    return arguments | {name: Expression(coordinates, partial(_same, number), number) for name, number in numbers.items()}


# --- how an operation is done with values, and done again with series


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function to the values, and remember how."""
    quantities: list[Expression] = []
    arrays: list[Any] = []

    def value_of(item: Any) -> Any:
        if isinstance(item, Expression):
            quantities.append(item)
            return item.value
        if isinstance(item, np.ndarray):
            arrays.append(item)
        return item

    values, named = _over(value_of, args), _over(value_of, kwargs)
    if arrays:
        like = quantities[0].value
        args, kwargs = _over(lambda item: _from_numpy(item, like) if isinstance(item, np.ndarray) else item, (args, kwargs))
        return _call(function, *args, **kwargs)
    return _remember(function, args, kwargs, function(*values, **named), quantities)


def _remember(function: Any, args: Any, kwargs: Any, result: Any, quantities: Sequence[Expression]) -> Any:
    """Wrap what a function gave: tensors of real or complex numbers become expressions."""
    if isinstance(result, tuple | list) and not isinstance(result, torch.Size):
        parts = enumerate(result)
        return type(result)([_remember(partial(_part, function, i), args, kwargs, part, quantities) for i, part in parts])
    if not isinstance(result, Tensor) or not (result.is_floating_point() or result.is_complex()):
        return result
    if getattr(function, "__name__", "").endswith("_") and isinstance(args[0], Expression):
        args[0]._refuse("that was changed in place cannot be differentiated: choose values by torch.where")
    points = next((item._points for item in quantities if item._points is not None), None)
    by_coordinates = all(item._by_coordinates for item in quantities)
    if points is None or points in result.shape:
        made = partial(_apply, function, args, kwargs)
        return Expression(quantities[0]._coordinates, made, result, None, points, by_coordinates)
    number = Expression(quantities[0]._coordinates, partial(_same, result), result, None, points, by_coordinates)
    if result.numel() > 1:
        number._refuse("that does not have one value for each point cannot be differentiated: differentiate first")
    return number


def _apply(function: Any, args: Any, kwargs: Any, plan: Plan) -> Any:
    """Apply a function to series."""
    name = getattr(function, "__name__", "")
    varying: list[Any] = []  # what may differ from point to point

    def series(item: Any) -> Any:
        if not isinstance(item, Expression):
            varying.append(item)
            return item
        made = item._source()(plan)
        if item._points is not None:
            varying.append(made)
        return made

    result = function(*_over(series, args), **_over(series, kwargs))
    if isinstance(result, Jet) and name not in ("linear", "matmul", "mm"):
        masks = name in ("where", "getitem")  # what is true or false there chooses, and is no number
        for item in varying:
            _check_constant(item, result.value, masks)
        if name == "where" and len(plan.indices) > 1 and all(c is None for c in result.coefficients[1:]):
            raise ValueError(UNKNOWN)  # a choice between numbers
    return result


def _check_constant(item: Any, like: Tensor, masks: bool) -> None:
    """Raise ValueError for a tensor with a row for every point: its derivatives by the coordinates are unknown."""
    if not isinstance(item, Tensor) or isinstance(item, nn.Parameter) or (masks and item.dtype == torch.bool):
        return
    if item.ndim == like.ndim > 0 and len(item) == len(like) > 1:
        raise ValueError(UNKNOWN)


def _over(function: Callable[[Any], Any], item: Any) -> Any:
    """Apply a function to every entry of nested tuples, lists and dicts."""
    if isinstance(item, (tuple, list)):
        return type(item)([_over(function, entry) for entry in item])
    if isinstance(item, dict):
        return {key: _over(function, entry) for key, entry in item.items()}
    return function(item)


def along(field: Field, normal: Tensor) -> Field:
    """The same field on a part of the boundary, where ``u.n`` is its derivative along the normal, (N, d)."""
    return Field(field._name, field._output, field._order, field._coordinates, field._values, field._sign, normal)


def rows(field: Field, part: slice) -> Field:
    """The same field on some of the points."""
    values = {request: value[part] for request, value in field._values.items()}
    return Field(field._name, field._output, field._order, field._coordinates, values, field._sign)


def _from_numpy(array: np.ndarray[Any, Any], like: Tensor) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(like) if tensor.is_floating_point() else tensor.to(like.device)


def _column(seed: Callable[[Plan], Any], i: int, plan: Plan) -> Any:
    """The series of one coordinate."""
    return seed(plan)[:, i]


def _same(value: Tensor, plan: Plan) -> Tensor:
    """The series of what does not depend on the point."""
    return value


def _part(function: Any, i: int, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)[i]


def _total(*items: Any) -> Any:
    return torch.stack(items).sum(dim=0)


def _method(name: str) -> Callable[..., Any]:
    def call(item: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(item, name)(*args, **kwargs)

    call.__name__ = name
    return call


def _splits(name: str, names: Sequence[str]) -> list[list[str]]:
    """All ways to write a text as names one behind the other, without a space."""
    if not name:
        return [[]]
    return [[first, *rest] for first in names if name.startswith(first) for rest in _splits(name[len(first) :], names)]


UNKNOWN = (
    "An expression cannot be differentiated where it holds values that are not known as a function of the coordinates: make "
    "them of the coordinates by torch functions, write the derivative out, or, where they jump from one number to another, as "
    "between two materials, give each side a field of its own: a jump has no derivative."
)

NOT_OF_TENSORS = ("t", "T", "H", "mT", "mH", "grad", "data")
"""Attributes of tensors that are rather a mistaken derivative, or go around the gradient."""

UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "true_divide": "truediv", "power": "pow",
    "floor_divide": "floordiv", "remainder": "mod", "negative": "neg", "positive": "pos", "absolute": "abs",
    "matmul": "matmul", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq",
    "not_equal": "ne",
}  # fmt: skip
"""NumPy's names of Python's operators."""


def _operator(function: Callable[..., Any], swapped: bool = False) -> Callable[..., Any]:
    def apply(self: Expression, *others: Any) -> Any:
        return _call(function, *others, self) if swapped else _call(function, self, *others)

    return apply


for _name in "add sub mul truediv pow floordiv mod matmul neg pos abs lt le gt ge eq ne".split():
    setattr(Expression, f"__{_name}__", _operator(getattr(operator, _name)))
for _name in "add sub mul truediv pow floordiv mod matmul".split():
    setattr(Expression, f"__r{_name}__", _operator(getattr(operator, _name), swapped=True))
