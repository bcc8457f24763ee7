"""Conditions: equations on sets other than the interior, ties of faces, and integrals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pinnedu.checks import number, require, shown, whole
from pinnedu.domain import SINGLE, Domain, Part
from pinnedu.equations import Arguments, Equation, call, parameters
from pinnedu.field import along, rows
from pinnedu.sampling import Points, nodes_each


@dataclass(frozen=True)
class Scope:
    """What the equations of a problem may ask for.

    Attributes
    ----------
    domain : Domain
    fields : tuple of str
    derived : tuple of str
        Quantities made of the fields.
    unknowns : tuple of str
    """

    domain: Domain
    fields: tuple[str, ...]
    derived: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """All that has a value at a point: fields first, then what is derived from them."""
        return (*self.fields, *self.derived)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that an equation may ask for."""
        return (*self.quantities, *self.domain.names, *self.unknowns, "points")

    def check(self, name: str, equation: Any, more: Sequence[str] = ()) -> None:
        """Raise ValueError unless an equation is a function of what there is, and of some names more."""
        check_signature(name, equation, (*self.names, *more))


def check_signature(name: str, function: Any, available: Sequence[str]) -> None:
    """Raise ValueError unless it is a function that asks for nothing but available names."""
    if not callable(function):
        raise ValueError(f"{name!r} must be a function such as lambda u: u.t - u.xx, not {shown(function)}.")
    for parameter in parameters(function):
        if parameter not in available:
            raise ValueError(f"{name!r} asks for {parameter!r}, but there is only {', '.join(available)}.")


class Condition(Protocol):
    """An equation on a set other than the interior.

    A condition of one's own inherits from this class and says ``check``, ``points``, ``blocks`` and ``quadrature``, or it has all
    that this class has. ``paired`` and ``whole`` say which points belong together: none, point n of the first half and point n of
    the second, or all.
    """

    paired: bool = False
    """Whether two points, one of each half of the set, make a residual."""
    whole: bool = False
    """Whether all points together make a residual."""
    fixed: dict[str, float] = {}  # noqa: RUF012
    """The coordinates that are held fixed."""
    equation: Any = None
    """What holds there, where a function says it."""

    def columns(self, domain: Domain) -> tuple[str, ...]:
        """Names of the columns of data behind the coordinates of its points."""
        return ()

    @abstractmethod
    def check(self, name: str, scope: Scope) -> None:
        """Raise ValueError where the condition does not fit the problem."""

    @abstractmethod
    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        """Draw the set's points, shape (N, d), with its columns of data behind the coordinates."""

    @abstractmethod
    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        """Residuals on those points, each of shape (N,), or (N / 2,) where they are paired, or (1,) where whole."""

    @abstractmethod
    def quadrature(self, name: str, domain: Domain, n: int) -> tuple[Tensor, Tensor]:
        """Points with their columns, and one weight for each residual, for the integral over the set."""

    def restrict(self, domain: Domain) -> Condition | None:
        """The same condition on a smaller domain; None where nothing of it is left."""
        return self

    def ends(self, domain: Domain, coordinate: str) -> tuple[float, ...]:
        """The values of a coordinate to which it binds the solution; empty where it leaves the coordinate free."""
        return (self.fixed[coordinate],) if coordinate in self.fixed else ()


class On(Condition):
    """An equation on a part of the boundary, where coordinates are fixed, or in a smaller domain.

    Parameters
    ----------
    part : str, Domain or Part, optional
        A part of the domain's boundary by its name, see ``domain.parts``: "x low", "boundary". Or a set of one's own: a domain
        with the same coordinates, for an equation that holds there only, or a part of one, such as ``disk.part("boundary")``.
    equation : callable
        Gets fields, coordinates and unknowns by name; returns what shall vanish, shape (N,), or a
        tuple or list of such. On a part ``u.n`` is the derivative along the outward normal, and ``n`` the normal itself,
        (N, d), with its components by the names of the coordinates, ``n.x``.
    **fixed : float
        The coordinates held fixed, such as ``t=0``. Where that is a face, an equation that asks for ``n`` has it.

    Examples
    --------
    Dirichlet, Neumann and Robin conditions are one thing:

    >>> walls = On(x=0, equation=lambda u: u), On(x=0, equation=lambda u: u.x), On(x=0, equation=lambda u: u.x + u)
    >>> insulated = On("boundary", equation=lambda u: u.n)

    Two materials with fields of their own, and what ties them where they meet:

    >>> core = Ball((0, 0), 0.5)
    >>> within = On(core, equation=lambda a: 3 * a.laplacian() + 1)
    >>> interface = On(core.part("boundary"), equation=lambda a, b: (a - b, 3 * a.n - b.n))
    """

    def __init__(self, part: str | Domain | Part | None = None, /, *, equation: Equation, **fixed: float) -> None:
        if (part is None) == (not fixed):
            raise ValueError('On needs a coordinate to fix, such as On(t=0, equation=...), or a part, On("boundary", ...).')
        good = part is None or isinstance(part, str) or (isinstance(part, Domain | Part) and not isinstance(part, type))
        require(good, "The part", 'a name such as "boundary", a Domain or a part of one', part)
        self.part, self.equation, self.fixed = part, equation, fixed
        asks = callable(equation) and "n" in parameters(equation)
        self.normal = isinstance(part, str | Part) or asks

    def __repr__(self) -> str:
        where = [f"{name}={value!r}" for name, value in self.fixed.items()] if self.part is None else [repr(self.part)]
        return f"On({', '.join(where)})"

    def set(self, domain: Domain, what: str = "The condition") -> Part:
        """Where it holds."""
        if self.part is None:
            return domain.face(self.fixed, what)
        if isinstance(self.part, str):
            return domain.part(self.part, what)
        if not isinstance(self.part, Domain):
            width = self.part.sample(1, generator=_fixed())[0].shape[1]
            require(width == domain.dim, f"The part of {what}", f"one of {domain.dim} coordinates", self.part)
            return self.part
        require(self.part.names == domain.names, f"The domain of {what}", f"of {', '.join(domain.names)}", self.part)
        return Inside(self.part)

    def columns(self, domain: Domain) -> tuple[str, ...]:
        return tuple(f"n.{name}" for name in domain.names) if self.normal else ()

    def check(self, name: str, scope: Scope) -> None:
        for coordinate in self.fixed:
            if coordinate not in scope.domain.names:
                raise ValueError(
                    f"The condition {name!r} names {coordinate!r}, but the coordinates are {', '.join(scope.domain.names)}. A "
                    "curve is a part, such as On(Ball((0, 0), 0.3).part('boundary'), equation=...), and points of your own are "
                    "At(points, equation=...)."
                )
        part = self.set(scope.domain, f"The condition {name!r}")
        if self.normal:
            if "n" in scope.names:
                raise ValueError(f"The condition {name!r} is on a part, where n is the normal: rename the other n.")
            if not part.normal:
                raise ValueError(f"The condition {name!r} asks for the normal n, which a face has, and {self!r} is none.")
        scope.check(name, self.equation, ("n",) if self.normal else ())

    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        drawn, normals = self.set(domain).sample(points.count(name), points.method, generator=generator)
        return torch.cat([drawn, normals], dim=1) if self.normal else drawn

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        return call(name, self.equation, with_normal(arguments, data, scope) if self.normal else arguments)

    def quadrature(self, name: str, domain: Domain, n: int) -> tuple[Tensor, Tensor]:
        points, normals, weights = self.set(domain).quadrature(n)
        return torch.cat([points, normals], dim=1) if self.normal else points, weights

    def ends(self, domain: Domain, coordinate: str) -> tuple[float, ...]:
        if self.part is None:
            return super().ends(domain, coordinate)
        points, normals = self.set(domain).sample(2 * domain.dim)
        axis = domain.names.index(coordinate)
        return tuple(sorted(set(points[normals[:, axis].abs() > 1 - SINGLE, axis].tolist())))


class Inside:
    """A domain as a set of a condition, a :class:`pinnedu.domain.Part` without normals."""

    normal = False

    def __init__(self, domain: Domain) -> None:
        self.domain, self.dim, self.measure = domain, domain.dim, domain.measure

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        points = self.domain.sample(n, method, generator=generator)
        return points, torch.full_like(points, torch.nan)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        points, weights = self.domain.quadrature(n, rule, generator=generator)
        return points, torch.full_like(points, torch.nan), weights


def with_normal(arguments: Arguments, data: Tensor, scope: Scope) -> Arguments:
    """What an equation may ask for on a part of the boundary: ``n``, and fields that know ``u.n``."""
    normal = data[:, : scope.domain.dim].clone()
    for name, component in zip(scope.domain.names, normal.unbind(dim=1), strict=True):
        setattr(normal, name, component)
    return arguments | {name: along(arguments[name], normal) for name in scope.quantities} | {"n": normal}


class Periodic(Condition):
    """Ties the two faces of a coordinate: value and derivatives up to ``order`` agree, or an equation holds between them.

    Parameters
    ----------
    coordinate : str
    order : int
        Highest derivative that is tied; 1 (value and slope) by default, 0 for transport equations.
    fields : tuple of str, optional
        The fields (or derived quantities) that are tied; all fields by default.
    equation : callable, optional
        Instead of ``order`` and ``fields``: gets ``left`` and ``right``, which have all fields and coordinates at
        the low and at the high face, and unknowns by name. ``lambda left, right: right.p - left.p + 1`` is a pressure drop of 1.
    """

    paired = True

    def __init__(
        self,
        coordinate: str,
        order: int | None = None,
        *,
        fields: Sequence[str] | None = None,
        equation: Equation | None = None,
    ) -> None:
        if not isinstance(coordinate, str):
            raise ValueError(f"Periodic needs the name of a coordinate first, such as Periodic('x'), not {shown(coordinate)}.")
        self.coordinate, self.equation = coordinate, equation
        self.order = 1 if order is None else whole(order, "The order of Periodic", 0)
        if isinstance(fields, str):
            raise ValueError(f'fields is a tuple of names, such as ("{fields}",), not a string.')
        good = fields is None or (isinstance(fields, tuple | list) and len(fields) > 0)
        require(good, "The fields of Periodic", 'a tuple of names such as ("u",)', fields)
        self.fields = None if fields is None else tuple(fields)
        if equation is not None and (fields is not None or order is not None):
            raise ValueError("Periodic(equation=...) says itself what is tied: leave fields= and order= out.")

    def check(self, name: str, scope: Scope) -> None:
        scope.domain.check_names((self.coordinate,), f"The condition {name!r}")
        for end in scope.domain.bounds[self.coordinate]:
            face = scope.domain.face({self.coordinate: end}, f"The condition {name!r}")
            other = sum(scope.domain.bounds[self.coordinate]) - end
            points, _ = face.sample(16, generator=_fixed())
            points[:, scope.domain.names.index(self.coordinate)] = other
            if not scope.domain.contains(points).all():
                raise ValueError(f"The condition {name!r} ties two faces of {scope.domain!r} that are not the same.")
        for quantity in self.fields or ():
            if quantity not in scope.quantities:
                raise ValueError(
                    f"The condition {name!r} ties {shown(quantity)}, but the fields are {', '.join(scope.quantities)}."
                )
        if self.equation is not None:
            check_signature(name, self.equation, ("left", "right", *scope.unknowns))

    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        low, _ = domain.bounds[self.coordinate]
        first, _ = domain.face({self.coordinate: low}).sample(points.count(name), points.method, generator=generator)
        return self._pairs(domain, first)

    def _pairs(self, domain: Domain, first: Tensor) -> Tensor:
        """Points of the low face, and below them the same points of the high one."""
        second = first.clone()
        second[:, domain.names.index(self.coordinate)] = domain.bounds[self.coordinate][1]
        return torch.cat([first, second])

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        half = len(data) // 2
        if self.equation is not None:
            left, right = (_Side(arguments, part, scope) for part in (slice(half), slice(half, None)))
            unknowns = {key: getattr(left, key) for key in scope.unknowns}
            return call(name, self.equation, {"points": left.points, "left": left, "right": right} | unknowns)
        tied = [arguments[name] for name in self.fields or scope.fields]
        values = [field.d(*[self.coordinate] * k).value for field in tied for k in range(self.order + 1)]
        return [value[half:] - value[:half] for value in values]

    def quadrature(self, name: str, domain: Domain, n: int) -> tuple[Tensor, Tensor]:
        low, _ = domain.bounds[self.coordinate]
        first, _, weights = domain.face({self.coordinate: low}).quadrature(n)
        return self._pairs(domain, first), weights  # one residual, and one weight, for a pair of points

    def ends(self, domain: Domain, coordinate: str) -> tuple[float, ...]:
        return domain.bounds[coordinate] if coordinate == self.coordinate else ()


class _Side:
    """One of two tied faces: fields, coordinates and unknowns by name, on its half of the points."""

    def __init__(self, arguments: Arguments, part: slice, scope: Scope) -> None:
        self._arguments, self._part, self._scope = arguments, part, scope

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._scope.names:
            raise ValueError(f"A side of Periodic has no {name!r}: it has {', '.join(self._scope.names)}.")
        thing = self._arguments[name]
        if name in self._scope.quantities:
            return rows(thing, self._part)
        return thing if thing.ndim == 0 else thing[self._part]


class Integral(Condition):
    """An equation between an integral and a number: the one residual is the integral minus the value, by quadrature.

    Parameters
    ----------
    equation : callable
        The integrand: gets fields, coordinates and unknowns by name, returns its values (N,), or a tuple of such.
        On a part of the boundary it may use ``u.n`` and ``n``.
    over : str, dict of coordinate to number, or Domain, optional
        A part of the boundary, where coordinates are fixed, or a smaller domain with the same coordinates; the
        whole domain by default.
    value : float
        What the integral shall be; 0 by default.

    Notes
    -----
    ``Points(conditions=...)`` gives the number of nodes, about: along each coordinate as many, by a Gauss rule, up to three
    dimensions, and a Sobol set in more.
    """

    whole = True

    def __init__(
        self, equation: Equation, *, over: str | Mapping[str, float] | Domain | None = None, value: float = 0.0
    ) -> None:
        good = over is None or isinstance(over, str | Domain) or (isinstance(over, Mapping) and len(over) > 0)
        require(good, "over", 'a part such as "boundary", fixed coordinates such as {"t": 0}, or a Domain', over)
        self.equation, self.over = equation, over
        self.value = number(value, "The value of Integral")
        self.normal = isinstance(over, str)

    def columns(self, domain: Domain) -> tuple[str, ...]:
        return ("weight", *(f"n.{name}" for name in domain.names if self.normal))

    def check(self, name: str, scope: Scope) -> None:
        domain, what = scope.domain, f"The condition {name!r}"
        if isinstance(self.over, str):
            domain.part(self.over, what)
        elif isinstance(self.over, Mapping):
            domain.face(self.over, what)
        elif self.over is not None:
            require(self.over.names == domain.names, f"The domain of {what}", f"of {', '.join(domain.names)}", self.over)
        scope.check(name, self.equation, ("n",) if self.normal else ())
        self._rule(domain, 8)

    def _rule(self, domain: Domain, count: int) -> Tensor:
        """Nodes with their weights and, on a part, their normals behind the coordinates."""
        if isinstance(self.over, str | Mapping):
            part = domain.part(self.over) if isinstance(self.over, str) else domain.face(self.over)
            nodes, normals, weights = part.quadrature(*_rule(count, part.dim), generator=_fixed())
            return torch.cat([nodes, weights[:, None], *([normals] if self.normal else [])], dim=1)
        where = domain if self.over is None else self.over
        nodes, weights = where.quadrature(*_rule(count, where.dim), generator=_fixed())
        return torch.cat([nodes, weights[:, None]], dim=1)

    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        return self._rule(domain, points.count(name))

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        arguments = with_normal(arguments, data[:, 1:], scope) if self.normal else arguments
        return [(data[:, 0] @ value - self.value)[None] for value in call(name, self.equation, arguments)]

    def quadrature(self, name: str, domain: Domain, n: int) -> tuple[Tensor, Tensor]:
        return self._rule(domain, n**domain.dim), torch.ones(1, dtype=torch.float64)


def _rule(count: int, dim: int) -> tuple[int, str]:
    """A rule with about so many nodes in all."""
    return (nodes_each(count, dim), "gauss-legendre") if dim <= 3 else (count, "sobol")


def _fixed() -> torch.Generator:
    return torch.Generator().manual_seed(0)
