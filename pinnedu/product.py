"""Domains that are no boxes, and products of domains, such as a shape over an interval of time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pinnedu.checks import one_of, require
from pinnedu.device import check_dtype, move
from pinnedu.domain import Box, Domain, Part, Union
from pinnedu.sampling import MOST_NODES, check_count, check_sampling, unit_points

RULES = ("gauss-legendre", "monte-carlo", "sobol")


class Shape(Domain):
    """A domain that is no box, with what such domains share: products, grids, random rules.

    A shape says how it draws its points, ``_draw``; where a map of the unit cube does, it is a :class:`MappedShape`.
    """

    @abstractmethod
    def _draw(self, n: int, method: str, generator: torch.Generator | None) -> Tensor:
        """Draw points by a method other than "grid", float64 on the CPU, (n, d)."""

    def _grid(self, n: int, generator: torch.Generator | None) -> Tensor:
        """The points of the method "grid", (n, d)."""
        return grid_inside(self, n)

    def __mul__(self, other: Domain) -> Product:
        return Product(self, other) if isinstance(other, Domain) else NotImplemented

    def __rmul__(self, other: Domain) -> Product:
        return Product(other, self) if isinstance(other, Domain) else NotImplemented

    def sample(
        self,
        n: int,
        method: str = "uniform",
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw points, see :meth:`Domain.sample`; "grid" are cell centers of a regular grid that lie in the shape."""
        check_sampling(n, method, generator)
        check_dtype(dtype)
        points = self._grid(n, generator) if method == "grid" else self._draw(n, method, generator)
        return move(points, device, dtype)

    def _random_rule(self, n: int, rule: str, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Random nodes with equal weights."""
        check_count(n)
        points = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
        return points, torch.full((len(points),), self.measure / len(points), dtype=torch.float64)


class MappedShape(Shape):
    """A shape that is the image of a unit cube: ``cube`` is the cube's dimension, and ``unfold`` the map."""

    @property
    @abstractmethod
    def cube(self) -> int:
        """The dimension of the unit cube."""

    @abstractmethod
    def unfold(self, unit: Tensor) -> Tensor:
        """Points of the unit cube (N, cube) as points of the shape, equal volumes to equal volumes."""

    def _draw(self, n: int, method: str, generator: torch.Generator | None) -> Tensor:
        return self.unfold(unit_points(n, self.cube, method, generator))


def grid_inside(domain: Domain, n: int) -> Tensor:
    """n cell centers of a regular grid over the bounds that lie in the domain; what is too many is left out evenly."""
    low, length, side = domain.low, domain.high - domain.low, max(1, math.floor(n ** (1 / domain.dim)))
    while side**domain.dim <= MOST_NODES:
        centers = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        points = low + length * torch.cartesian_prod(*[centers] * domain.dim).reshape(-1, domain.dim)
        points = points[domain.contains(points, 0.0)]
        if len(points) >= n:
            return points[torch.arange(n) * len(points) // n]
        side += max(1, side // 8)
    raise ValueError(f"A grid of {n} points in {domain!r} has too many cells: draw points as uniform, latin or sobol.")


def chosen(n: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Numbers of n of ``count`` rows, in random order; each row once before any is taken again."""
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-n // count))]
    return torch.cat(rounds)[:n]


class Product(Shape):
    """All pairs of a point of one domain and a point of another, such as ``region * Box(t=(0, 1))``.

    The parts of the boundary are those of its factors, each over all of the other factors; "boundary", all of them; and
    where the time t is a factor, "walls", the boundary without the faces of t.

    Parameters
    ----------
    *factors : Domain
        At least two, with different coordinates.

    Raises
    ------
    ValueError
        If two factors have a coordinate of the same name.
    """

    def __init__(self, *factors: Domain) -> None:
        for factor in factors:
            good = isinstance(factor, Domain) and not isinstance(factor, type)
            require(good, "A factor of Product", "a Domain such as Box(t=(0, 1))", factor)
        if len(factors) < 2:
            raise ValueError(f"Product needs at least two domains, not {len(factors)}.")
        flat: list[Domain] = []
        for factor in factors:
            flat += factor.factors if isinstance(factor, Product) else [factor]
        self.factors: tuple[Domain, ...] = tuple(flat)
        names = [name for factor in flat for name in factor.names]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"The factors of a product need different coordinates, but {name!r} is in two of them.")
        self.bounds = {name: ends for factor in flat for name, ends in factor.bounds.items()}

    def __repr__(self) -> str:
        return " * ".join(map(repr, self.factors))

    @property
    def measure(self) -> float:
        """The product of the measures."""
        return math.prod(factor.measure for factor in self.factors)

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The factors' parts by their names, "boundary", and "walls" where t is a factor."""
        named: dict[str, Part] = {}
        everything, walls = [], []
        for i, factor in enumerate(self.factors):
            for name, part in factor.parts.items():
                lifted = Lifted(part, i, self.factors)
                if name == "boundary":
                    everything.append(lifted)
                    walls += [lifted] if "t" not in factor.names else []
                else:
                    if name in named:
                        raise ValueError(f"Two factors of {self!r} have a part {name!r}: rename one.")
                    named[name] = lifted
        named |= {"boundary": Union(everything)} if everything else {}
        return named | ({"walls": Union(walls)} if 0 < len(walls) < len(everything) else {})

    def face(self, fixed: Mapping[str, float], what: str = "The face") -> Part:
        """Where coordinates of one factor are fixed, such as ``{"t": 0}``."""
        require(isinstance(fixed, Mapping) and len(fixed) > 0, what, 'fixed coordinates such as {"t": 0}', fixed)
        self.check_names(fixed, what)
        owners = [i for i, factor in enumerate(self.factors) if set(fixed) <= set(factor.names)]
        if not owners:
            raise ValueError(f"{what} fixes {', '.join(fixed)}, which are coordinates of different factors of {self!r}.")
        return Lifted(self.factors[owners[0]].face(fixed, what), owners[0], self.factors)

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in all factors: bool, shape (N,)."""
        self.check_points(points)
        inside = [factor.contains(own, slack) for factor, own in zip(self.factors, self._split(points), strict=True)]
        return torch.stack(inside).all(dim=0)

    def excess(self, points: Tensor) -> Tensor:
        far = [factor.excess(own) for factor, own in zip(self.factors, self._split(points), strict=True)]
        return torch.stack(far).amax(dim=0)

    def _split(self, points: Tensor) -> Sequence[Tensor]:
        return points.split([factor.dim for factor in self.factors], dim=1)

    def _draw(self, n: int, method: str, generator: torch.Generator | None) -> Tensor:
        return paired(self.factors, n, method, generator)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The product of the factors' rules, see :meth:`Domain.quadrature`; random ones are drawn at once."""
        one_of(rule, RULES, "The quadrature rule on a product")
        if rule != "gauss-legendre":
            return self._random_rule(n, rule, generator)
        return outer([factor.quadrature(n, rule) for factor in self.factors])


class Lifted:
    """A part of one factor over all of the others, a :class:`pinnedu.domain.Part`."""

    def __init__(self, part: Part, place: int, factors: Sequence[Domain]) -> None:
        self.part, self.place, self.factors = part, place, factors
        others = [factor for i, factor in enumerate(factors) if i != place]
        self.dim = part.dim + sum(factor.dim for factor in others)
        self.measure = part.measure * math.prod(factor.measure for factor in others)
        self.normal = part.normal

    def _normals(self, normals: Tensor) -> Tensor:
        """Normals of the part, with zeros along the other factors."""
        rows = [len(normals)]
        fill = 0.0 if self.normal else math.nan
        return torch.cat(
            [normals if i == self.place else normals.new_full((*rows, f.dim), fill) for i, f in enumerate(self.factors)],
            dim=1,
        )

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sampling(n, method, generator)
        # A part that is a point has one sample, whatever n: it is repeated over the other factors.
        points, normals = self.part.sample(n, method, generator=generator)
        rows = chosen(n, len(points), generator) if len(points) != n else torch.arange(n)
        others = [factor for i, factor in enumerate(self.factors) if i != self.place]
        columns = list(paired(others, n, method, generator).split([factor.dim for factor in others], dim=1))
        columns.insert(self.place, points[rows])
        return torch.cat(columns, dim=1), self._normals(normals[rows])

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if rule != "gauss-legendre":
            one_of(rule, RULES, "The quadrature rule on a product")
            points, normals = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, normals, torch.full((n,), self.measure / n, dtype=torch.float64)
        own, normals, shares = self.part.quadrature(n, rule)
        rules = [
            (torch.cat([own, normals], dim=1), shares) if i == self.place else factor.quadrature(n, rule)
            for i, factor in enumerate(self.factors)
        ]
        points, weights = outer(rules)
        start = sum(factor.dim for factor in self.factors[: self.place])
        width = own.shape[1]
        normals = points[:, start + width : start + 2 * width]
        return torch.cat([points[:, : start + width], points[:, start + 2 * width :]], dim=1), self._normals(normals), weights

    def meeting(self, other: Part) -> Tensor | None:
        """Some points that it has in common with another part of the product; None where there are none."""
        if not isinstance(other, Lifted) or self.factors is not other.factors:
            return None
        if self.place == other.place:
            common = getattr(self.part, "meeting", lambda part: None)(other.part)
            own = {self.place: common}
        else:
            own = {part.place: part.part.sample(5, "uniform", generator=_fixed())[0] for part in (self, other)}
        if any(points is None or not len(points) for points in own.values()):
            return None
        columns = [own.get(i) for i in range(len(self.factors))]
        rows = 5 * max(len(points) for points in own.values() if points is not None)
        drawn = [
            factor.sample(rows, generator=_fixed()) if points is None else points[torch.arange(rows) % len(points)]
            for factor, points in zip(self.factors, columns, strict=True)
        ]
        return torch.cat(drawn, dim=1)


def _fixed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def paired(factors: Sequence[Domain], n: int, method: str, generator: torch.Generator | None) -> Tensor:
    """n points of a product: from one cube where every factor is a map of a cube, by shuffled samples otherwise."""
    maps = [found for factor in factors if (found := _map(factor))]
    if len(maps) == len(factors) and method != "grid":
        unit = unit_points(n, sum(cube for cube, _ in maps), method, generator)
        own = zip(maps, unit.split([cube for cube, _ in maps], dim=1), strict=True)
        return torch.cat([unfold(columns) for (_, unfold), columns in own], dim=1)
    columns = [factors[0].sample(n, method, generator=generator)]
    for factor in factors[1:]:  # the order of a sample may follow its place, and must not be that of another factor
        columns.append(factor.sample(n, method, generator=generator)[torch.randperm(n, generator=generator)])
    return torch.cat(columns, dim=1)


def _map(domain: Domain) -> tuple[int, Callable[[Tensor], Tensor]] | None:
    """A map of a cube onto a domain, and the dimension of the cube; None where there is none."""
    if isinstance(domain, Box):
        low, length = domain.low, domain.high - domain.low
        return domain.dim, lambda unit: low + unit * length
    return (domain.cube, domain.unfold) if isinstance(domain, MappedShape) else None


def outer(rules: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """All combinations of the nodes of several rules, side by side, with the products of their weights."""
    count = math.prod(len(weights) for _, weights in rules)
    if count > MOST_NODES:
        raise ValueError(f"The rule has {count} nodes, which are too many: take fewer, or 'sobol', whose n counts them all.")
    index: Any = torch.cartesian_prod(*[torch.arange(len(weights)) for _, weights in rules]).reshape(-1, len(rules))
    nodes = [points[index[:, i]] for i, (points, _) in enumerate(rules)]
    weights = torch.stack([shares[index[:, i]] for i, (_, shares) in enumerate(rules)]).prod(dim=0)
    return torch.cat(nodes, dim=1), weights
