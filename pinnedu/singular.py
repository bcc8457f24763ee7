"""What a network cannot be at a corner: the singular function there, and a model that adds it with a strength to be found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import flag, named, numbers, one_of, require, shown, whole
from pinnedu.conditions import check_signature
from pinnedu.domain import Box, Domain, Part, Union
from pinnedu.equations import by_name, parameters
from pinnedu.models import check_wrapped
from pinnedu.problem import Problem
from pinnedu.region import Region

GIVEN = ("value", "slope")
"""What holds on an edge: the value is 0, or the slope along its normal is."""
AROUND, POLES = 256, 6  # points on a rim, and powers of 1 / z about the center of a hole
HOLES, CORNERS = 16, 24  # that add functions, at most; of holes the largest
BLUNT = 0.2  # by how much the angle of a corner differs from a straight one
TINY = 1e-60
"""Added to the square of a radius: at the corner itself there is no angle."""


class CornerFunction:
    """A singular function r^a sin(a theta) of a corner: harmonic, and zero on both edges that meet there.

    theta runs through the region, from the edge behind the corner (the region lies to the left of its edges) to the one before
    it, at the opening angle w, and a = k pi / w. Where the slope vanishes on both edges it is r^a cos(a theta); where the value
    does on one and the slope on the other, a = (k - 1/2) pi / w. For w > pi its slope is infinite at the corner if k = 1, and
    no smooth function comes near it. Every solution of Poisson's equation has some of it there: see :class:`Enriched`.

    In a corner whose a is a whole number it is a polynomial, and the singular part, which a load brings there, has a
    logarithm: with ``log=True`` the function is Im(z^a log z) = r^a (log r sin(a theta) + theta cos(a theta)), or the real
    part. It is harmonic, too, and on the edges it is a multiple of r^a, which is smooth.

    Parameters
    ----------
    region : Region
    at : (x, y)
        A corner of its boundary.
    order : int
        The k above. k = 1 is the most singular one.
    edges : pair of {"value", "slope"}
        What vanishes on the edge at theta = 0, and on that at theta = w.
    log : bool
        Take the function with the logarithm.

    Attributes
    ----------
    angle : float
        The opening angle w.
    exponent : float
        The a above.

    Raises
    ------
    ValueError
        If the region has no corner there.

    References
    ----------
    Grisvard (1985), Elliptic Problems in Nonsmooth Domains, chapter 4.
    """

    def __init__(
        self,
        region: Region,
        at: Sequence[float],
        order: int = 1,
        edges: tuple[str, str] = ("value", "value"),
        *,
        log: bool = False,
    ) -> None:
        require(isinstance(region, Region), "The region", "a Region, whose edges have corners", region)
        self.at = torch.from_numpy(numbers(at, "The corner"))
        require(self.at.shape == (2,), "The corner", "a pair of numbers (x, y)", at)
        require(isinstance(edges, tuple | list) and len(edges) == 2, "edges", 'a pair such as ("value", "slope")', edges)
        for edge in edges:
            one_of(edge, GIVEN, "What vanishes on an edge")
        behind, before = region.edges_at(self.at)
        first, last = (math.atan2(way[1], way[0]) for way in (behind.tolist(), before.tolist()))
        self.angle = (last - first) % (2 * math.pi)
        self.exponent = (whole(order, "order") - (edges[0] != edges[1]) / 2) * math.pi / self.angle
        flag(log, "log")
        self.sine, self.log = edges[0] == "value", log
        self.middle = first + self.angle / 2

    def __call__(self, points: Any) -> Any:
        """The function at points (N, 2), a tensor or what takes the place of one: (N,)."""
        x, y = points[:, 0] - float(self.at[0]), points[:, 1] - float(self.at[1])
        # In this frame the region lies around the first axis, and the jump of the angle on the other half of it, outside.
        ahead = math.cos(self.middle) * x + math.sin(self.middle) * y
        aside = math.cos(self.middle) * y - math.sin(self.middle) * x
        r = (ahead**2 + aside**2 + TINY) ** 0.5
        theta = 2 * torch.arctan(aside / (r + ahead)) + self.angle / 2
        sine, cosine = torch.sin(self.exponent * theta), torch.cos(self.exponent * theta)
        own, other = (sine, cosine) if self.sine else (cosine, -sine)
        return r**self.exponent * (torch.log(r) * own + theta * other if self.log else own)


class Enriched(nn.Module):
    """Adds given functions to a model, each times a strength that is trained with the weights: u = net + sum_k c_k s_k.

    What the network cannot follow is taken from it, where its form is known and its size is not: the singular function of a
    corner (:class:`CornerFunction`), whose strength is the stress intensity factor of the corner, a layer, a point source.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    problem : Problem
    **functions : dict of name to callable
        For each field the functions to add, such as ``u={"corner": CornerFunction(region, (0, 0))}``. A callable gets
        coordinates by name, or ``points``, returns (N,), and is made of functions of torch. Conditions stay: the sum has to
        fulfill them.

    Raises
    ------
    ValueError
        If a field is unknown, a name is used twice, or a function asks for what there is not.

    References
    ----------
    Strang & Fix (1973), An Analysis of the Finite Element Method, chapter 8.
    """

    def __init__(self, model: nn.Module, problem: Problem, **functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        check_wrapped("Enriched", model, problem, functions)
        if not functions:
            raise ValueError('Enriched needs the functions of a field, such as u={"corner": CornerFunction(region, (0, 0))}.')
        self.model, self.fields, self.coordinates = model, tuple(problem.fields), problem.domain.names
        self.functions: dict[str, dict[str, Callable[..., Any]]] = {}
        self.amplitudes = nn.ModuleDict()  # linear layers: so the Jacobian's fast path sees them
        taken: set[str] = set()
        for field, given in functions.items():
            named(given, f"The functions of {field}", "a dict of at least one name to its function", some=True)
            for name, function in given.items():
                if name in taken:
                    raise ValueError(f"Enriched has two functions of the name {name!r}: rename one.")
                taken.add(name)
                check_signature(name, function, (*self.coordinates, "points"))
            self.functions[field] = dict(given)
            self.amplitudes[field] = nn.Linear(len(given), 1, bias=False, dtype=torch.float64)
            nn.init.zeros_(self.amplitudes[field].weight)  # type: ignore[arg-type]
        first = next(model.parameters(), None)
        if first is not None:
            self.amplitudes.to(first)

    @property
    def strengths(self) -> dict[str, float]:
        """What training found of the strength of each function, by its name."""
        return {
            name: float(strength)
            for field, given in self.functions.items()
            for name, strength in zip(given, self.amplitudes[field].weight[0].tolist(), strict=True)  # type: ignore[index]
        }

    def forward(self, points: Tensor) -> Tensor:
        outputs = self.model(points)
        columns = [outputs[:, i] for i in range(len(self.fields))]
        for field in self.functions:
            own = self.fields.index(field)
            columns[own] = columns[own] + self.amplitudes[field](self.added(field, points))[:, 0]
        return torch.stack(columns, dim=1)

    def added(self, field: str, points: Tensor) -> Tensor:
        """The functions of a field at points (N, d), each without its strength: (N, count)."""
        available = by_name(points, self.coordinates)
        return torch.stack([self._value(name, function, available) for name, function in self.functions[field].items()], dim=1)

    @staticmethod
    def _value(name: str, function: Callable[..., Any], available: Mapping[str, Any]) -> Any:
        value = function(**{key: available[key] for key in parameters(function)})
        if getattr(value, "shape", None) != available["points"].shape[:1]:
            raise ValueError(f"The function {name!r} of Enriched must return one number a point, (N,), not {shown(value)}.")
        return value


def additions(domain: Domain) -> dict[str, Callable[..., Any]]:
    """What a shape in the plane adds to a smooth model, for `Enriched`: functions by name, of ``points``.

    For each hole log r and the real and imaginary parts of z^-1, ..., z^-6 about its center, for a solution goes on smoothly into
    a hole up to such poles; for each corner of a polygon that is not nearly straight, its first singular functions, with the
    logarithm where the exponent is a whole number. Empty for a box, and in other dimensions.

    Sources: Trefethen (2018), Series solution of Laplace problems; Grisvard (1985), chapter 4.
    """
    if domain.dim != 2 or isinstance(domain, Box):
        return {}
    found: dict[str, Callable[..., Any]] = {}
    holes: list[tuple[str, tuple[float, float, float]]] = []
    for name, part in domain.parts.items():
        hole = _hole(domain, part) if part.normal and not isinstance(part, Union) else None
        if hole and all(math.dist(hole[:2], other[:2]) > other[2] for _, other in holes):
            holes.append((name, hole))
    for name, hole in sorted(holes, key=lambda one: -one[1][2])[:HOLES]:
        found |= {f"{name}, {what}": function for what, function in _Hole(*hole).functions().items()}
    if isinstance(domain, Region):
        corners = [(at, angle) for at, angle in domain.corners() if abs(angle - math.pi) > BLUNT]
        for number, (at, angle) in enumerate(corners[:CORNERS], start=1):
            for order in range(1, 4):
                exponent = order * math.pi / angle
                whole_number = abs(exponent - round(exponent)) < 1e-9
                if exponent < 3 and (whole_number or exponent < 2 or angle > math.pi):
                    found[f"corner {number}, {order}"] = CornerFunction(domain, at, order, log=whole_number)
    return found


def shaped(model: nn.Module, problem: Problem, added: Mapping[str, Callable[..., Any]]) -> Enriched:
    """A model and functions that are added to each field, such as those of `additions`."""
    each = {field: {f"{field}: {name}": function for name, function in added.items()} for field in problem.fields}
    return Enriched(model, problem, **each)


def _hole(domain: Domain, part: Part) -> tuple[float, float, float] | None:
    """Center and radius of the hole around which a part runs: from its center the normals of the domain point inward."""
    points, normals, weights = part.quadrature(AROUND)
    center = weights @ points / weights.sum()
    away = points - center
    radius = float(away.norm(dim=1).min())
    inward = bool(((away * normals).sum(dim=1) < -1e-6 * away.norm(dim=1)).all())
    return (*center.tolist(), radius) if inward and radius > 0 and not bool(domain.contains(center[None])) else None


class _Hole:
    """The functions about the center of a hole, at a distance measured in the radius."""

    def __init__(self, a: float, b: float, radius: float) -> None:
        self.a, self.b, self.radius = a, b, radius
        self.last: tuple[Any, list[Any]] | None = None

    def powers(self, points: Any) -> list[Any]:
        """Real and imaginary parts of z^-1, z^-2, ..., computed once for all that ask at the same jet.

        A tensor may have changed since, or its graph be used up: for tensors nothing is kept.
        """
        last = self.last
        if last is None or last[0] is not points:
            x, y = (points[:, 0] - self.a) / self.radius, (points[:, 1] - self.b) / self.radius
            p, q = x / (x**2 + y**2), -y / (x**2 + y**2)
            found = [p, q]
            for _ in range(POLES - 1):
                re, im = found[-2:]
                found += [re * p - im * q, re * q + im * p]
            last = points, found
            self.last = None if isinstance(points, Tensor) else last
        return last[1]

    def logarithm(self, points: Any) -> Any:
        return torch.log(((points[:, 0] - self.a) ** 2 + (points[:, 1] - self.b) ** 2) / self.radius**2)

    def functions(self) -> dict[str, Callable[..., Any]]:
        found: dict[str, Callable[..., Any]] = {"log": self.logarithm}
        for order in range(POLES):
            for part in (0, 1):
                found[f"pole {order + 1}{'i' * part}"] = lambda points, k=2 * order + part: self.powers(points)[k]
        return found


__all__ = ["CornerFunction", "Enriched", "additions"]
