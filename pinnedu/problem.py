"""A problem: named equations on sets. Its residuals feed everything else."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pinnedu import derivatives as _derivatives
from pinnedu.device import move
from pinnedu.domain import Box, Points
from pinnedu.field import Engine, Field, Missing, Request

Equation = Callable[..., Any]
Sample = dict[str, Tensor]
"""Points by set: "interior" and one entry for each condition, each (N, d)."""

Arguments = dict[str, Any]


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
        if order < 0:
            raise ValueError(f"Periodic needs order >= 0, not {order}.")
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
        self.where = torch.as_tensor(points, dtype=torch.float64)
        self.values = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}

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


@dataclass(frozen=True, eq=False)
class Problem:
    """Named equations on a domain, with conditions, unknown parameters and, where known, the solution.

    Parameters
    ----------
    domain : Box
    equations : dict of name to callable
        Each gets what its parameters name (fields, coordinates, unknowns; ``points``: all coordinates
        at once, (N, d)) and returns what shall vanish in the interior, shape (N,).
    conditions : dict of name to On, Periodic or Observed
    fields : tuple of str
        Names of the model's outputs, in order.
    unknowns : dict of name to float
        Parameters of the equations to be found, with their first guesses.
    derived : dict of name to callable, optional
        Quantities made of the fields, such as the velocities of a stream function,
        ``{"u": lambda psi: psi.y, "v": lambda psi: -psi.x}``: each a derivative of a field, up to its
        sign. Equations and data use them like fields.
    exact : callable, optional
        The solution: gets coordinates by name, or ``points``, returns (N,), or a dict of field to (N,).

    Raises
    ------
    ValueError
        If a name is unknown or used twice, or a condition does not fit the domain.
    """

    domain: Box
    equations: Mapping[str, Equation]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    fields: Sequence[str] = ("u",)
    unknowns: Mapping[str, float] = field(default_factory=dict)
    exact: Callable[..., Any] | None = None
    derived: Mapping[str, Callable[..., Field]] = field(default_factory=dict)
    _fields: dict[str, Field] = field(default_factory=dict, init=False, repr=False)
    _requests: dict[str, set[Request]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.domain, Box):
            raise ValueError(f"The domain must be a Box such as Box(x=(0, 1), t=(0, 1)), not {self.domain!r}.")
        for what, given in (("equations", self.equations), ("conditions", self.conditions)):
            if not isinstance(given, Mapping):
                raise ValueError(f"{what} must be a dict of name to what holds there, not {given!r}.")
        if isinstance(self.fields, str):
            raise ValueError(f'fields is a tuple of names, such as ("{self.fields}",), not a string.')
        names = [*self.fields, *self.derived, *self.domain.names, *self.unknowns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"The name {name!r} is used twice among fields, coordinates and unknowns.")
        self._name_quantities()
        for name in self.conditions:
            if name in self.equations or name == "interior":
                raise ValueError(f"The condition {name!r} needs a name of its own: it is taken.")
        for name, equation in self.equations.items():
            self.check_arguments(name, equation)
        for name, condition in self.conditions.items():
            if not hasattr(condition, "check"):
                raise ValueError(f"The condition {name!r} must be On, Periodic or Observed, not {condition!r}.")
            condition.check(name, self)
        for name, guess in self.unknowns.items():
            if not math.isfinite(guess):
                raise ValueError(f"The first guess of the unknown {name!r} must be a finite number, not {guess!r}.")
        if self.exact is not None:
            self._check_signature("exact", self.exact, (*self.domain.names, "points"))

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all residuals: equations first, then conditions."""
        return (*self.equations, *self.conditions)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all that has a value at a point: fields first, then what is derived from them."""
        return tuple(self._fields)

    def _name_quantities(self) -> None:
        """Find out once which derivative of which output each name stands for."""
        coordinates = self.domain.names
        for output, name in enumerate(self.fields):
            self._fields[name] = Field(name, output, (0,) * len(coordinates), coordinates, {})
        for name, function in self.derived.items():
            self._check_signature(name, function, self.fields)
            made = function(**{parameter: self._fields[parameter] for parameter in parameters(function)})
            if not isinstance(made, Field):
                raise ValueError(f"The derived {name!r} must be a derivative of a field, such as lambda psi: -psi.x.")
            self._fields[name] = made.on(name, {})

    def check_arguments(self, name: str, equation: Equation) -> None:
        """Raise ValueError if an equation asks for something that is no field, coordinate or unknown."""
        self._check_signature(name, equation, (*self.quantities, *self.domain.names, *self.unknowns, "points"))

    @staticmethod
    def _check_signature(name: str, function: Any, available: Sequence[str]) -> None:
        if not callable(function):
            raise ValueError(f"{name!r} must be a function such as lambda u: u.t - u.xx, not {function!r}.")
        for parameter in parameters(function):
            if parameter not in available:
                raise ValueError(f"{name!r} asks for {parameter!r}, but there is only {', '.join(available)}.")

    def sample(
        self,
        points: Points | None = None,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Sample:
        """Draw points for the equations and every condition.

        Returns
        -------
        dict of set name to Tensor (N, d)
            "interior", and one entry a condition; measured values stand in columns behind the
            coordinates, so that any selection of rows is a sample again.
        """
        points = points or Points()
        sample = {"interior": self.domain.sample(points.interior, points.method, generator=generator)}
        for name, condition in self.conditions.items():
            sample[name] = condition.points(name, self, points, generator)
        return {name: move(value, device, dtype) for name, value in sample.items()}

    def residuals(
        self, model: nn.Module, points: Tensor | Sample, derivatives: str | Engine = "taylor"
    ) -> dict[str, Tensor]:
        """What the model leaves of each equation and condition.

        Parameters
        ----------
        model : Module, (N, d) -> (N, m)
            Unknown parameters are read from ``model.unknowns`` where training put them there,
            otherwise they have their first guesses.
        points : Tensor (N, d) or sample
            Interior points (equations only), or what :meth:`sample` returned (everything in it);
            moved to the model's device and dtype.

        Returns
        -------
        dict of name to Tensor, each of one dimension
        """
        sample = {"interior": points} if isinstance(points, Tensor) else points
        return {name: torch.cat(blocks) for name, blocks in self.blocks(model, sample, derivatives).items()}

    def blocks(
        self,
        model: nn.Module,
        sample: Sample,
        derivatives: str | Engine = "taylor",
        unknowns: Mapping[str, Tensor] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Residuals by name, in blocks of one value a point (or a pair of points, see Periodic).

        ``unknowns`` takes the place of the model's own, one number or one for each point.
        """
        for name, points in sample.items():
            if name != "interior" and name not in self.conditions:
                raise ValueError(f"The sample has a set {name!r}, but the conditions are {', '.join(self.conditions)}.")
            columns = (*self.domain.names, *getattr(self.conditions.get(name), "values", ()))
            if points.ndim != 2 or points.shape[1] != len(columns):
                raise ValueError(
                    f"The points of {name!r} must have shape (N, {len(columns)}) with columns "
                    f"{', '.join(columns)}, not {tuple(points.shape)}."
                )
        weight = next(model.parameters(), None)
        if weight is not None:
            sample = {name: points.to(device=weight.device, dtype=weight.dtype) for name, points in sample.items()}
        engine = _derivatives.engine(derivatives)
        if unknowns is None:
            unknowns = getattr(model, "unknowns", {})
        while True:  # an equation that asks for a new derivative has it computed, once, on its first call
            try:
                return self._evaluate(model, sample, engine, unknowns)
            except Missing:
                continue

    def _evaluate(
        self, model: nn.Module, sample: Sample, engine: Engine, unknowns: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """Residuals by name; sets that ask for the same derivatives share one pass of the model."""
        groups: dict[frozenset[Request], list[str]] = {}
        for name in sample:
            groups.setdefault(frozenset(self._requests.get(name, ())), []).append(name)
        results: dict[str, list[Tensor]] = {}
        for requests, names in groups.items():
            together = torch.cat([sample[name][:, : self.domain.dim] for name in names])
            values = engine(model, together, requests) if requests else {}
            start = 0
            for name in names:
                part = slice(start, start := start + len(sample[name]))
                own = {request: value[part] for request, value in values.items()}
                try:
                    results.update(self._set_residuals(name, sample[name], own, unknowns))
                except Missing as missing:
                    if missing.request in requests:
                        raise ValueError(f"The derivative engine did not compute {missing.request} when asked.") from None
                    self._requests.setdefault(name, set()).add(missing.request)
                    raise
        return {name: results[name] for name in self.terms if name in results}

    def _set_residuals(
        self, name: str, points: Tensor, values: dict[Request, Tensor], unknowns: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """Residuals of the equations (on the interior) or of one condition."""
        arguments: Arguments = by_name(points, self.domain.names)
        arguments |= {quantity: made.on(quantity, values) for quantity, made in self._fields.items()}
        for unknown, guess in self.unknowns.items():
            arguments[unknown] = unknowns[unknown] if unknown in unknowns else points.new_full((), float(guess))
        if name != "interior":
            return {name: self.conditions[name].blocks(name, arguments, self, points[:, self.domain.dim :])}
        return {equation: call(equation, function, arguments) for equation, function in self.equations.items()}

    def values(
        self, model: nn.Module, points: Tensor, names: Sequence[str] = (), derivatives: str | Engine = "taylor"
    ) -> dict[str, Tensor]:
        """Evaluate fields and derived quantities, all of them unless named, each (N,), with their graph.

        Raises
        ------
        ValueError
            If a name is neither a field nor derived.
        """
        for name in names:
            if name not in self._fields:
                raise ValueError(f"There is no field {name!r}: the fields are {', '.join(self.quantities)}.")
        weight = next(model.parameters(), points)
        points = points.to(device=weight.device, dtype=weight.dtype)
        wanted = {name: self._fields[name] for name in names or self.quantities}
        found = _derivatives.engine(derivatives)(model, points, {made.request for made in wanted.values()})
        return {name: made.on(name, found).value for name, made in wanted.items()}

    def solution(self, points: Tensor) -> dict[str, Tensor]:
        """The exact solution by field, each (N,), in the dtype and on the device of the points.

        Raises
        ------
        ValueError
            If the problem has no exact solution.
        """
        if self.exact is None:
            raise ValueError("This problem has no exact solution: give Problem(exact=...) to measure errors.")
        columns = by_name(points, self.domain.names)
        values = self.exact(**{name: columns[name] for name in parameters(self.exact)})
        by_field = values if isinstance(values, Mapping) else {self.fields[0]: values}
        return {name: torch.as_tensor(value).to(points).expand(len(points)) for name, value in by_field.items()}


def by_name(points: Tensor, coordinates: Sequence[str]) -> Arguments:
    """What a function may ask for: each coordinate, (N,), and ``points``, all of them at once, (N, d)."""
    together = {"points": points[:, : len(coordinates)]}
    return together | {name: points[:, i] for i, name in enumerate(coordinates)}


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names that a function must be given; parameters with a default are its own affair."""
    empty = inspect.Parameter.empty
    return [name for name, parameter in inspect.signature(function).parameters.items() if parameter.default is empty]


def call(name: str, equation: Equation, arguments: Arguments) -> list[Tensor]:
    """Call an equation with what its parameters name; its residuals as a list of tensors (N,)."""
    result = equation(**{parameter: arguments[parameter] for parameter in parameters(equation)})
    blocks = []
    count = len(next(iter(arguments.values())))  # all coordinates
    for block in result if isinstance(result, tuple) else (result,):
        value = block.value if isinstance(block, Field) else block
        if not isinstance(value, Tensor) or value.shape != (count,):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name!r} must return one number a point, shape ({count},), not {got}.")
        blocks.append(value)
    return blocks
