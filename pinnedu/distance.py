"""Smooth approximate distances to a boundary, and boundary values that a model has exactly by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.ball import Sphere
from pinnedu.checks import as_number, named, require, shown, whole
from pinnedu.conditions import check_signature
from pinnedu.domain import Domain, Face, Part, Union
from pinnedu.equations import by_name, parameters
from pinnedu.level_set import Slice, Surface
from pinnedu.models import check_wrapped
from pinnedu.problem import Problem
from pinnedu.product import Lifted
from pinnedu.region import Edges

TINY = 1e-24
"""Added to squares before a root is taken: a distance of zero has no slope."""


class Distance:
    """A smooth function that is zero on a part of the boundary, positive inside, with slope 1 where it leaves an edge.

    It is no distance far from the boundary, but it has all derivatives inside, where the distance has ridges. Pieces
    phi_i, one for each edge, face or surface, are joined to phi = (sum_i phi_i^-m)^(-1/m): near one of them it is that one.
    An edge from a to b of length L and center c, at f from its line, has

        phi^2 = f^2 + ((t^2 + f^4)^(1/2) - t)^2 / 4,   t = ((L / 2)^2 - |x - c|^2) / L,

    a face of a box the distance to its plane, a sphere (R^2 - |x - c|^2) / (2 R), and a surface of a level set -f: scale f so
    that its slope is near 1 there.

    Parameters
    ----------
    domain : Domain
    part : str
    order : int
        The m above. The larger, the closer to a distance, and the sharper its ridges.

    Raises
    ------
    ValueError
        If the domain has no such part, or its points are all that is known of it.

    References
    ----------
    Sukumar & Srivastava (2022), Exact imposition of boundary conditions with distance functions in physics-informed deep
    neural networks, equations 4 to 9; R-functions are Rvachev's.
    """

    def __init__(self, domain: Domain, part: str = "boundary", *, order: int = 1) -> None:
        good = isinstance(domain, Domain) and not isinstance(domain, type)
        require(good, "The domain", "a Domain such as Box(x=(0, 1), t=(0, 1))", domain)
        self.order = whole(order, "The order of Distance", 1)
        self.pieces = _pieces(domain.part(part, "Distance"), domain.names)

    def __call__(self, points: Any) -> Any:
        """The function at points (N, d), a tensor or an object that acts as one: (N,)."""
        return joined([piece(points, self.order) for piece in self.pieces], self.order)


def joined(distances: list[Any], order: int) -> Any:
    """(sum_i phi_i^-m)^(-1/m)."""
    if len(distances) == 1:
        return distances[0]
    return ((torch.stack(distances, dim=1) ** 2 + TINY) ** (-order / 2)).sum(dim=1) ** (-1 / order)


Piece = Callable[[Any, int], Any]


def _pieces(part: Part, names: tuple[str, ...]) -> list[Piece]:
    """Functions of points and of the order, one for each piece of a part."""
    if isinstance(part, Union):
        return [piece for one in part.pieces for piece in _pieces(one, names)]
    if isinstance(part, Lifted):
        start = sum(factor.dim for factor in part.factors[: part.place])
        factor = part.factors[part.place]
        own = slice(start, start + factor.dim)
        inner = _pieces(part.part, factor.names)
        return [lambda points, order, piece=piece: piece(points[:, own], order) for piece in inner]  # type: ignore[misc]
    if isinstance(part, Edges):
        return [lambda points, order: _edges(part, points, order)]
    if isinstance(part, Sphere):
        center, radius = part.ball.center, part.ball.radius
        square = lambda points: ((points - center.to(points.device, points.dtype)) ** 2).sum(dim=1)
        return [lambda points, order: (radius**2 - square(points)) / (2 * radius)]
    if isinstance(part, Surface):
        return [lambda points, order: -_level(part.function, points, names)]
    if isinstance(part, Face | Slice) and part.normal:
        axis = int(part.outward.abs().argmax())
        sign = float(part.outward[axis])
        value = part.fixed[names[axis]] if isinstance(part, Face) else part.at[axis]
        return [lambda points, order: sign * (value - points[:, axis])]
    raise ValueError(f"Distance knows edges, faces, spheres and surfaces of level sets: {shown(part)} is none of them.")


def _level(function: Callable[..., Any], points: Any, names: tuple[str, ...]) -> Any:
    available = by_name(points, names)
    return function(**{name: available[name] for name in parameters(function)})


def _edges(part: Edges, points: Any, order: int) -> Any:
    """The distances to all edges, joined: (N,)."""
    like = {"device": points.device, "dtype": points.dtype}
    lengths, normals = part.lengths.to(**like), part.normals.to(**like)
    start, center = part.start.to(**like), ((part.start + part.end) / 2).to(**like)
    x, y = points[:, 0:1], points[:, 1:2]
    off = (x - start[:, 0]) * normals[:, 0] + (y - start[:, 1]) * normals[:, 1]
    squares = off**2
    trim = ((lengths / 2) ** 2 - (x - center[:, 0]) ** 2 - (y - center[:, 1]) ** 2) / lengths
    beyond = (trim**2 + squares**2 + TINY) ** 0.5 - trim
    distances = (squares + beyond**2 / 4 + TINY) ** 0.5
    return (distances**-order).sum(dim=1) ** (-1 / order)


class Dirichlet(nn.Module):
    """Has a model take given values on parts of the boundary exactly: u = g + phi * net, with the :class:`Distance` phi.

    g blends the values g_i of the parts with weights phi_i^-2 / sum_j phi_j^-2: on part i it is g_i.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    problem : Problem
        Its conditions on these parts may stay: they leave nothing. Others are trained as before.
    order : int
        Of the distances.
    **values : dict of part to number or callable
        For each field the parts on which it is given, ``u={"outside": 1.0, "holes": lambda x, y: x * y}``. A callable gets
        coordinates by name, or ``points``, and is made of functions of torch.

    Raises
    ------
    ValueError
        If a field or a part is unknown, or a value is neither a number nor a function of the coordinates.

    References
    ----------
    Sukumar & Srivastava (2022), section 4.1; the blend is their transfinite interpolation, equation 13.
    """

    def __init__(self, model: nn.Module, problem: Problem, *, order: int = 1, **values: Mapping[str, Any]) -> None:
        super().__init__()
        check_wrapped("Dirichlet", model, problem, values)
        if not values:
            raise ValueError('Dirichlet needs the values of a field, such as u={"boundary": 0.0}.')
        self.model, self.order = model, whole(order, "The order of Dirichlet", 1)
        self.fields, self.coordinates = tuple(problem.fields), problem.domain.names
        self.values: dict[str, list[tuple[Distance, Any]]] = {}
        for name, given in values.items():
            named(given, f"The values of {name}", 'a dict of at least one part to its value such as {"boundary": 0.0}', some=True)
            for part, value in given.items():
                if callable(value):
                    check_signature(f"{name} on {part}", value, (*self.coordinates, "points"))
                else:
                    wanted = "a finite number or a function of the coordinates"
                    require(math.isfinite(as_number(value)), f"The value of {name} on {part!r}", wanted, value)
            self.values[name] = [(Distance(problem.domain, part, order=order), value) for part, value in given.items()]

    def forward(self, points: Tensor) -> Tensor:
        outputs = self.model(points)
        columns = [outputs[:, i] for i in range(len(self.fields))]
        for name, given in self.values.items():
            own = self.fields.index(name)
            distances = [distance(points) for distance, _ in given]
            columns[own] = self._blend(points, distances, [g for _, g in given]) + joined(distances, self.order) * columns[own]
        return torch.stack(columns, dim=1)

    def _blend(self, points: Any, distances: list[Any], values: list[Any]) -> Any:
        """The given values on each part, and between them a mean."""
        found = [_level(g, points, self.coordinates) if callable(g) else as_number(g) for g in values]
        if len(found) == 1:
            return found[0]
        shares = [(distance**2 + TINY) ** -1 for distance in distances]
        weighted = reduce(torch.add, (share * value for share, value in zip(shares, found, strict=True)))
        return weighted / reduce(torch.add, shares)
