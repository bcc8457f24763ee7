"""A field in an equation: ``u.t`` is a derivative, and arithmetic works as on a tensor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

Order = tuple[int, ...]
"""How often to differentiate by each coordinate: (2, 0) is u_xx on a domain (x, t)."""


@dataclass(frozen=True)
class Laplacian:
    """The sum of the second derivatives by some of the coordinates, given by their positions."""

    axes: tuple[int, ...]


Request = tuple[int, Order | Laplacian]
"""What an equation asks of a model: which output, differentiated how."""

Engine = Callable[[nn.Module, Tensor, Collection[Request]], dict[Request, Tensor]]
"""Takes a model, points (N, d) and requests; returns each request's values (N,)."""


class MissingDerivative(LookupError):
    """An equation asked for a derivative that was not computed: compute it and ask again."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.request = request


class Field:
    """One output of a model on a set of points, or one of its derivatives.

    ``u.x``, ``u.xx``, ``u.xt`` differentiate by coordinates of one letter, in any order;
    ``u.d("x1", "x1")`` by coordinates with longer names; ``u.laplacian("x", "y")`` sums second
    derivatives, over all coordinates when none is named. Derivatives are fields again, so
    ``u.x.x`` is ``u.xx``, and so is ``-u``. Other operators and torch functions see the values, a
    tensor of shape (N,).
    """

    __array_ufunc__ = None  # NumPy leaves its operators to this class

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
        self._name, self._output, self._order, self._sign, self._normal = name, output, order, sign, normal
        self._coordinates, self._values = tuple(coordinates), values

    def on(self, name: str, values: dict[Request, Tensor]) -> Field:
        """Name the same derivative of the same output anew, with the values it has on a set of points."""
        return Field(name, self._output, self._order, self._coordinates, values, self._sign)

    @property
    def request(self) -> Request:
        """What it asks of a model."""
        return self._output, self._order

    def _look_up(self, what: Order | Laplacian) -> Tensor:
        try:
            found = self._values[self._output, what]
        except KeyError:
            raise MissingDerivative((self._output, what)) from None
        return found if self._sign > 0 else -found

    @property
    def value(self) -> Tensor:
        """The values on the points, shape (N,)."""
        return self._look_up(self._order)

    def d(self, *coordinates: str) -> Field:
        """Differentiate once by each of the named coordinates."""
        order = list(self._order)
        for coordinate in coordinates:
            if coordinate not in self._coordinates:
                raise ValueError(
                    f"{self._name} is differentiated by {coordinate!r}, "
                    f"but the coordinates are {', '.join(self._coordinates)}."
                )
            order[self._coordinates.index(coordinate)] += 1
        return Field(self._name, self._output, tuple(order), self._coordinates, self._values, self._sign, self._normal)

    def __neg__(self) -> Field:
        return Field(self._name, self._output, self._order, self._coordinates, self._values, -self._sign, self._normal)

    def laplacian(self, *coordinates: str) -> Tensor:
        """Sum of the second derivatives by the named coordinates (all of them by default), shape (N,)."""
        if any(self._order):
            second = [self.d(name, name).value for name in coordinates or self._coordinates]
            return torch.stack(second).sum(dim=0)
        self.d(*coordinates)  # checks the names
        names = coordinates or self._coordinates
        return self._look_up(Laplacian(tuple(sorted(self._coordinates.index(name) for name in names))))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # protocols such as copy and display ask for these
            raise AttributeError(name)
        if name == "n" and self._normal is not None:  # the derivative along the normal
            slopes = [self.d(coordinate).value for coordinate in self._coordinates]
            return (torch.stack(slopes, dim=1) * self._normal).sum(dim=1)
        letters = [name] if name in self._coordinates else list(name)
        if all(letter in self._coordinates for letter in letters):
            return self.d(*letters)
        raise ValueError(
            f"{self._name}.{name} is not a derivative: the coordinates are {', '.join(self._coordinates)} "
            f"(for functions, write torch.{name}({self._name}))."
        )

    def __repr__(self) -> str:
        by = "".join(name * n for name, n in zip(self._coordinates, self._order, strict=True))
        return f"Field({'-' if self._sign < 0 else ''}{self._name}{'.' + by if by else ''})"

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(_to_tensor, (args, kwargs or {}))
        return function(*args, **kwargs)


def along(field: Field, normal: Tensor) -> Field:
    """The same field on a part of the boundary, where ``u.n`` is its derivative along the normal, (N, d)."""
    return Field(field._name, field._output, field._order, field._coordinates, field._values, field._sign, normal)


def rows(field: Field, part: slice) -> Field:
    """The same field on some of the points."""
    values = {request: value[part] for request, value in field._values.items()}
    return Field(field._name, field._output, field._order, field._coordinates, values, field._sign)


def _to_tensor(item: Any) -> Any:
    return item.value if isinstance(item, Field) else item


def _operator(name: str) -> Callable[..., Tensor]:
    method = getattr(Tensor, name)

    def apply(self: Field, *others: Any) -> Tensor:
        arrays = isinstance(others[0], np.ndarray) if others else False
        result: Tensor = method(self.value, *(map(self.value.new_tensor, others) if arrays else map(_to_tensor, others)))
        return result

    return apply


for _name in "add radd sub rsub mul rmul truediv rtruediv pow rpow abs lt le gt ge".split():
    setattr(Field, f"__{_name}__", _operator(f"__{_name}__"))
