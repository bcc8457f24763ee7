"""A problem: named equations on sets. Its residuals feed everything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu import derivatives as _derivatives
from pinnedu.checks import as_number, named, reason, require, shown
from pinnedu.conditions import Condition, Scope, check_signature
from pinnedu.derivatives import Engine, Request
from pinnedu.derivatives.jet import NoRule
from pinnedu.device import check_dtype, move, out_of_memory
from pinnedu.domain import Domain
from pinnedu.equations import Arguments, Equation, as_tensor, by_name, call, parameters, run
from pinnedu.field import Field, MissingDerivative, given
from pinnedu.parameters import found_unknowns
from pinnedu.sampling import Points

TAKEN = {"interior", "step", "loss", "fresh", "error", "seconds"}
"""Names of what a sample and the history of a run hold besides the terms."""

WEIGHT_OF = "weight of "
"""How the name begins under which the history has the weight of a term."""

Sample = dict[str, Tensor]
"""Points by set: "interior" and one entry for each condition, each (N, d)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Named equations on a domain, with conditions, unknown parameters and, where known, the solution.

    Parameters
    ----------
    domain : Box, Ball or another Domain
    equations : dict of name to callable
        Each gets what its parameters name (fields, coordinates, unknowns; ``points``: all coordinates
        at once, (N, d)) and returns what shall vanish in the interior, shape (N,).
    conditions : dict of name to On, Periodic, At, Observed or Integral
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

    domain: Domain
    equations: Mapping[str, Equation]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    fields: Sequence[str] = ("u",)
    unknowns: Mapping[str, float] = field(default_factory=dict)
    exact: Callable[..., Any] | None = None
    derived: Mapping[str, Callable[..., Field]] = field(default_factory=dict)
    _fields: dict[str, Field] = field(default_factory=dict, init=False, repr=False)
    _requests: dict[str, set[Request]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        good = isinstance(self.domain, Domain) and not isinstance(self.domain, type)
        require(good, "The domain", "a Domain such as Box(x=(0, 1), t=(0, 1))", self.domain)
        for what, listed in (("equations", self.equations), ("conditions", self.conditions)):
            named(listed, what, "a dict of name to what holds there")
        named(self.unknowns, "unknowns", "a dict of name to first guess")
        named(self.derived, "derived", "a dict of name to function")
        if isinstance(self.fields, str):
            raise ValueError(f'fields is a tuple of names, such as ("{self.fields}",), not a string.')
        require(isinstance(self.fields, tuple | list) and len(self.fields) > 0, "fields", "a tuple of names", self.fields)
        for name in (*self.fields, *self.derived, *self.unknowns):
            good = isinstance(name, str) and name.isidentifier()
            taken = name == "points" or (name in self.unknowns and hasattr(nn.ParameterDict, name))  # where training keeps it
            if not good or taken:
                raise ValueError(f"{shown(name)} cannot be the name of a field or an unknown: choose one such as 'u'.")
        names = [*self.fields, *self.derived, *self.domain.names, *self.unknowns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"The name {name!r} is used twice among fields, coordinates and unknowns.")
        self._name_quantities()
        for name in self.terms:
            if name in TAKEN or name.startswith(WEIGHT_OF) or self.terms.count(name) > 1:
                raise ValueError(f"The equation or condition {name!r} needs a name of its own: it is taken.")
        for name in self.unknowns:
            if name in TAKEN or name in self.terms:
                raise ValueError(f"The unknown {name!r} needs a name of its own: it is taken in the history of a run.")
        for name, equation in self.equations.items():
            self.scope.check(name, equation)
        for name, condition in self.conditions.items():
            if isinstance(condition, type) or not callable(getattr(condition, "check", None)):
                raise ValueError(f"The condition {name!r} must be On, Periodic, At, Observed or Integral, "
                                 f"not {shown(condition)}.")
            missing = [what for what in dir(Condition) if not what.startswith("_") and not hasattr(condition, what)]
            if missing:
                raise ValueError(f"The condition {name!r} has no {', '.join(missing)}: let it inherit from Condition.")
            condition.check(name, self.scope)
        for name, guess in self.unknowns.items():
            good = abs(as_number(guess)) < float("inf")
            require(good, f"The first guess of the unknown {name!r}", "a finite number", guess)
        if self.exact is not None:
            check_signature("exact", self.exact, (*self.domain.names, "points"))

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
            if callable(function) and (more := set(parameters(function)) - set(self.fields)):
                raise ValueError(
                    f"{name!r} asks for {min(more)!r}, but there is only {', '.join(self.fields)}: what is derived is a "
                    "derivative of a field and nothing else. "
                    "What was measured of several things is At(points, equation=..., name=values)."
                )
            check_signature(name, function, self.fields)
            try:
                made = function(**{parameter: self._fields[parameter] for parameter in parameters(function)})
            except (LookupError, TypeError, AttributeError):  # it asks for values, which there are none of yet
                made = None
            if not isinstance(made, Field):
                raise ValueError(
                    f"The derived {name!r} must be a derivative of a field, such as lambda psi: -psi.x: write other "
                    "formulas in the equations, and in At(points, equation=...) for data."
                )
            self._fields[name] = made.on(name, {})

    @property
    def scope(self) -> Scope:
        """What equations may ask for."""
        return Scope(self.domain, tuple(self.fields), tuple(self.derived), tuple(self.unknowns))

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
        points = Points() if points is None else points
        require(isinstance(points, Points), "points", "Points(...)", points)
        check_dtype(dtype)
        sample = {"interior": self.domain.sample(points.interior, points.method, generator=generator)}
        for name, condition in self.conditions.items():
            sample[name] = condition.points(name, self.domain, points, generator)
        return {name: move(value, device, dtype) for name, value in sample.items()}

    def residuals(
        self, model: nn.Module, points: Tensor | Sample, derivatives: str | Engine = "taylor"
    ) -> dict[str, Tensor]:
        """What the model leaves of each equation and condition.

        Parameters
        ----------
        model : Module, (N, d) -> (N, m)
            Unknown parameters are read from ``model.unknowns`` where training put them there (times
            ``model.units``). Otherwise they are what an earlier run found from the same first guesses, which networks
            of pinnedu keep beside their weights, or else the first guesses.
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
        """Residuals by name, in blocks of one value a point (or a pair of points, see Periodic, or all, see Integral).

        ``unknowns`` replaces the model's own, in its units, one number or one for each point.
        """
        require(isinstance(model, nn.Module), "The model", "a torch.nn.Module", model)
        named(sample, "points", "a tensor (N, d) or a sample, as problem.sample() makes them")
        for name, points in sample.items():
            if name != "interior" and name not in self.conditions:
                raise ValueError(f"The sample has a set {name!r}, but the conditions are {', '.join(self.conditions)}.")
            data = self.conditions[name].columns(self.domain) if name in self.conditions else ()
            columns = (*self.domain.names, *data)
            if not isinstance(points, Tensor) or points.ndim != 2 or points.shape[1] != len(columns):
                got = tuple(points.shape) if isinstance(points, Tensor) else shown(points)
                raise ValueError(
                    f"The points of {name!r} must have shape (N, {len(columns)}) with columns {', '.join(columns)}, not {got}."
                )
            if points.is_complex():
                raise ValueError(f"The points of {name!r} must be real numbers, not {points.dtype}.")
        weight = next(model.parameters(), None)
        if weight is not None:
            sample = {name: points.to(device=weight.device, dtype=weight.dtype) for name, points in sample.items()}
        engine = _derivatives.engine(derivatives)
        if unknowns is None:
            unknowns = getattr(model, "unknowns", None) or found_unknowns(model, self.unknowns)
        while True:  # an equation that asks for a new derivative has it computed, once, on its first call
            try:
                return self._evaluate(model, sample, engine, unknowns)
            except MissingDerivative:
                continue

    def _evaluate(
        self, model: nn.Module, sample: Sample, engine: Engine, unknowns: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """Residuals by name; sets that ask for the same derivatives share one pass of the model."""
        groups: dict[frozenset[Request], list[str]] = {}
        for name in sample:
            groups.setdefault(frozenset(self._requests.get(name, ())), []).append(name)
        results: dict[str, list[Tensor]] = {}
        units = getattr(model, "units", {})
        numbers = {name: units[name] * value if name in units else value for name, value in unknowns.items()}
        for requests, names in groups.items():
            together = torch.cat([sample[name][:, : self.domain.dim] for name in names])
            values = self._derive(engine, model, together, requests) if requests else {}
            start = 0
            for name in names:
                part = slice(start, start := start + len(sample[name]))
                own = {request: value[part] for request, value in values.items()}
                try:
                    results.update(self._set_residuals(name, sample[name], own, numbers))
                except MissingDerivative as missing:
                    if missing.request in requests:
                        raise ValueError(f"The derivative engine did not compute {missing.request} when asked.") from None
                    self._requests.setdefault(name, set()).add(missing.request)
                    raise
        return {name: results[name] for name in self.terms if name in results}

    def _derive(
        self, engine: Engine, model: nn.Module, points: Tensor, requests: Collection[Request]
    ) -> dict[Request, Tensor]:
        """What an engine computes; ValueError where the model, or the engine, cannot be used."""
        try:
            found = engine(model, points, requests)
        except NoRule:
            raise  # whoever called knows another way
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            if out_of_memory(error):
                raise
            self.check_model(model, points)
            raise ValueError(f"The model cannot be differentiated ({reason(error)}).") from error
        right = isinstance(found, Mapping) and all(isinstance(value, Tensor) for value in found.values())
        require(right, "What a derivative engine returns", "a dict of request to tensor", found)
        if any(value.shape != (len(points),) for value in found.values()):
            self.check_model(model, points)
            raise ValueError(f"A derivative engine must return tensors of shape ({len(points)},), one number a point.")
        return found

    def check_model(self, model: nn.Module, points: Tensor) -> None:
        """Raise ValueError unless the model maps points (N, d) to fields (N, m)."""
        wanted = f"(N, {self.domain.dim}) -> (N, {len(self.fields)})"
        names = f"coordinates {', '.join(self.domain.names)}; fields {', '.join(self.fields)}"
        try:
            with torch.no_grad():
                values = model(points)
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            if out_of_memory(error):
                raise
            raise ValueError(
                f"The model must map {wanted} ({names}), but it fails on such points: {reason(error)}."
            ) from error
        if not isinstance(values, Tensor):
            raise ValueError(f"The model must map {wanted} ({names}), but it gives no tensor: {shown(values)}.")
        if values.shape != (len(points), len(self.fields)):
            raise ValueError(
                f"The model must map {wanted} ({names}), but it gives shape {tuple(values.shape)} for {len(points)} points."
            )
        if values.dtype != points.dtype:
            raise ValueError(f"The model must keep the precision of its points, {points.dtype}, but it gives {values.dtype}.")

    def _set_residuals(
        self, name: str, points: Tensor, values: dict[Request, Tensor], unknowns: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """Residuals of the equations (on the interior) or of one condition."""
        numbers = {
            unknown: unknowns[unknown] if unknown in unknowns else points.new_full((), float(guess))
            for unknown, guess in self.unknowns.items()
        }
        arguments: Arguments = {**given(points, self.domain.names, numbers)}
        arguments |= {quantity: made.on(quantity, values) for quantity, made in self._fields.items()}
        if name != "interior":
            return {name: self.conditions[name].blocks(name, arguments, points[:, self.domain.dim :], self.scope)}
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
        require(isinstance(model, nn.Module), "The model", "a torch.nn.Module", model)
        require(isinstance(names, tuple | list), "names", "a tuple of names of fields", names)
        for name in names:
            if not (isinstance(name, str) and name in self._fields):
                raise ValueError(f"There is no field {shown(name)}: the fields are {', '.join(self.quantities)}.")
        self.domain.check_points(points)
        weight = next(model.parameters(), points)
        points = points.to(device=weight.device, dtype=weight.dtype)
        wanted = {name: self._fields[name] for name in names or self.quantities}
        engine = _derivatives.engine(derivatives)
        found = self._derive(engine, model, points, {made.request for made in wanted.values()})
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
        self.domain.check_points(points)
        values = run("exact", self.exact, by_name(points, self.domain.names))
        solution = {}
        for name, value in (values if isinstance(values, Mapping) else {self.fields[0]: values}).items():
            if name not in self._fields:
                raise ValueError(f"The exact solution gives {shown(name)}, but the fields are {', '.join(self.quantities)}.")
            values = value if isinstance(value, Tensor) else as_tensor(value, f"The exact solution of {name}")
            if values.shape not in ((), (1,), (len(points),)) or values.is_complex():
                raise ValueError(
                    f"The exact solution must give {name} for each point, shape ({len(points)},), not {tuple(values.shape)}."
                )
            solution[name] = values.to(points).expand(len(points))
        return solution
