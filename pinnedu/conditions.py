"""Conditions: equations on sets other than the interior, ties of faces, and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pinnedu.checks import is_whole, shown
from pinnedu.domain import Points
from pinnedu.equations import Arguments, Equation, as_tensor, call

if TYPE_CHECKING:
    from pinnedu.problem import Problem


class Condition(Protocol):
    """An equation on a set other than the interior."""

    def check(self, name: str, problem: Problem) -> None:
        """Raise ValueError where the condition does not fit the problem."""

    def points(self, name: str, problem: Problem, points: Points, generator: torch.Generator | None) -> Tensor:
        """Draw the set's points, shape (N, d), with columns of data behind the coordinates where there are any."""

    def blocks(self, name: str, arguments: Arguments, problem: Problem, data: Tensor) -> list[Tensor]:
        """Residuals on those points, each of shape (N,) or, for tied pairs of points, (N / 2,)."""


class On:
    """An equation on the part of the boundary (or of the domain) where coordinates are fixed.

    Parameters
    ----------
    equation : callable
        Gets fields, coordinates and unknowns by name; returns what shall vanish, shape (N,), or a
        tuple of such.
    **fixed : float
        The coordinates held fixed, such as ``t=0``.

    Examples
    --------
    Dirichlet, Neumann and Robin conditions are one thing:

    >>> walls = On(x=0, equation=lambda u: u), On(x=0, equation=lambda u: u.x), On(x=0, equation=lambda u: u.x + u)
    """

    def __init__(self, *, equation: Equation, **fixed: float) -> None:
        if not fixed:
            raise ValueError("On needs a coordinate to fix, such as On(t=0, equation=...).")
        self.equation, self.fixed = equation, fixed

    def check(self, name: str, problem: Problem) -> None:
        problem.domain.check_face(self.fixed, f"The condition {name!r}")
        problem.check_arguments(name, self.equation)

    def points(self, name: str, problem: Problem, points: Points, generator: torch.Generator | None) -> Tensor:
        return problem.domain.sample(points.count(name), points.method, fixed=self.fixed, generator=generator)

    def blocks(self, name: str, arguments: Arguments, problem: Problem, data: Tensor) -> list[Tensor]:
        return call(name, self.equation, arguments)


class Periodic:
    """Ties the two faces of a coordinate: value and derivatives up to ``order`` agree.

    Parameters
    ----------
    coordinate : str
    order : int
        Highest derivative that is tied; 1 (value and slope) by default, 0 for transport equations.
    """

    def __init__(self, coordinate: str, order: int = 1) -> None:
        if not isinstance(coordinate, str):
            raise ValueError(f"Periodic needs the name of a coordinate first, such as Periodic('x'), not {shown(coordinate)}.")
        if not is_whole(order, 0):
            raise ValueError(f"Periodic needs order >= 0, not {shown(order)}.")
        self.coordinate, self.order = coordinate, order

    def check(self, name: str, problem: Problem) -> None:
        problem.domain.check_names((self.coordinate,), f"The condition {name!r}")

    def points(self, name: str, problem: Problem, points: Points, generator: torch.Generator | None) -> Tensor:
        low, high = problem.domain.bounds[self.coordinate]
        first = problem.domain.sample(
            points.count(name), points.method, fixed={self.coordinate: low}, generator=generator
        )
        second = first.clone()
        second[:, problem.domain.names.index(self.coordinate)] = high
        return torch.cat([first, second])

    def blocks(self, name: str, arguments: Arguments, problem: Problem, data: Tensor) -> list[Tensor]:
        values = [
            arguments[output].d(*[self.coordinate] * k).value
            for output in problem.fields
            for k in range(self.order + 1)
        ]
        half = len(values[0]) // 2
        return [value[half:] - value[:half] for value in values]


class Observed:
    """Data: measured values of some fields at some points.

    Parameters
    ----------
    points : array or Tensor, shape (N, d)
        In the order of the domain's coordinates.
    **values : array or Tensor, shape (N,)
        Measurements by name of a field or of a derived quantity.
    """

    def __init__(self, points: Any, **values: Any) -> None:
        if not values:
            raise ValueError("Observed needs the values of a field, such as Observed(points, u=values).")
        self.where = as_tensor(points, "The points of Observed")
        self.values = {name: as_tensor(value, f"The values of {name}") for name, value in values.items()}

    def check(self, name: str, problem: Problem) -> None:
        if self.where.ndim != 2 or self.where.shape[1] != problem.domain.dim or not len(self.where):
            raise ValueError(
                f"The data {name!r} needs points of shape (N, {problem.domain.dim}) with columns "
                f"{', '.join(problem.domain.names)}, not {tuple(self.where.shape)}."
            )
        if not torch.isfinite(self.where).all():
            raise ValueError(f"The data {name!r} has points that are NaN or infinite: remove those rows.")
        outside = int((~problem.domain.contains(self.where)).sum())
        if outside:
            raise ValueError(f"The data {name!r} has {outside} points outside the domain {problem.domain}.")
        for output, value in self.values.items():
            if output not in problem.quantities:
                raise ValueError(
                    f"The data {name!r} gives {output!r}, but the fields are {', '.join(problem.quantities)}."
                )
            if value.shape != (len(self.where),):
                raise ValueError(
                    f"The data {name!r} needs values of {output} of shape ({len(self.where)},), "
                    f"not {tuple(value.shape)}."
                )
            if not torch.isfinite(value).all():
                raise ValueError(f"The data {name!r} has values of {output} that are NaN or infinite: remove those rows.")

    def points(self, name: str, problem: Problem, points: Points, generator: torch.Generator | None) -> Tensor:
        rows = torch.cat([self.where, torch.stack(list(self.values.values()), dim=1)], dim=1)
        count = points.conditions.get(name, len(rows)) if isinstance(points.conditions, Mapping) else len(rows)
        return rows if count >= len(rows) else rows[torch.randperm(len(rows), generator=generator)[:count]]

    def blocks(self, name: str, arguments: Arguments, problem: Problem, data: Tensor) -> list[Tensor]:
        measured = zip(self.values, data.unbind(dim=1), strict=True)
        return [arguments[output].value - value for output, value in measured]
