"""What lines parallel to the axes see of a shape that functions describe: its zeros, and rules for integrals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pinnedu.domain import Box
from pinnedu.sampling import MOST_NODES, cell_centers, rule_on_unit_interval, unit_points

Levels = Callable[[Tensor], Tensor]
"""From points (N, d) to level functions (N, K): inside are the points where all are negative."""

LINES, FINE = 200, 25
"""In two dimensions so many lines look for what changes across them, and so many nodes between two changes measure."""


class Implicit:
    """Where all level functions are negative, within bounds: what lines parallel to the axes see of it."""

    def __init__(self, box: Box, levels: Levels, resolution: int) -> None:
        self.box, self.levels, self.resolution = box, levels, resolution
        self.low, self.length, self.dim = box.low, box.high - box.low, box.dim

    @property
    def areas(self) -> Tensor:
        """Of the box seen along each axis."""
        return self.length.prod() / self.length

    def lines(self, count: int) -> Tensor:
        """How many lines each axis has, equally dense for all: ``count`` for a mean area."""
        return torch.ones(1) if self.dim == 1 else (count * self.areas / self.areas.mean()).round().clamp_min(1)

    def highest(self, points: Tensor) -> Tensor:
        """The largest level function: negative inside, (N,)."""
        return self.levels(points).amax(dim=1)

    def contains(self, points: Tensor, slack: float) -> Tensor:
        """Whether each point lies inside, or by its height no further out than ``slack`` times the longest side."""
        inside = self.highest(points) <= 0
        if slack > 0 and not inside.all():
            inside[~inside] = self.height(points[~inside]) <= slack * float(self.length.max())
        return inside

    def height(self, points: Tensor) -> Tensor:
        """The largest level function over its slope: about the signed distance, near the surface."""
        values, slopes = self.slope(points)
        return values / slopes.norm(dim=1).clamp_min(1e-300)

    def slope(self, points: Tensor, which: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The largest level function, or those that are named, and its gradient: (N,) and (N, d)."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            values = self.levels(points)
            which = values.detach().argmax(dim=1) if which is None else which
            own = values.gather(1, which[:, None])[:, 0]
            if not own.requires_grad:
                raise ValueError("The level function must be made of functions of torch, to have a slope: use torch.sin, ...")
            (slopes,) = torch.autograd.grad(own.sum(), points)
        return own.detach(), slopes

    def starts(self, axis: int, count: int, method: str, generator: torch.Generator | None) -> Tensor:
        """Where so many lines parallel to an axis start, (L, d); their positions are spread as the method says."""
        others = [i for i in range(self.dim) if i != axis]
        if not others:
            return self.low[None].clone()
        unit = torch.zeros(count, self.dim, dtype=torch.float64)
        unit[:, others] = cell_centers(count, self.dim - 1) if method == "grid" else unit_points(
            count, self.dim - 1, method, generator
        )
        return self.low + unit * self.length

    def zeros(self, axis: int, starts: Tensor, finer: int = 1, halvings: int = 50) -> tuple[Tensor, Tensor]:
        """The changes of sign on lines: for each its line, and how far along it lies, from 0 to 1."""
        steps = torch.linspace(0, 1, finer * self.resolution + 1, dtype=torch.float64)
        way = torch.zeros(self.dim, dtype=torch.float64)
        way[axis] = self.length[axis]
        with torch.no_grad():
            grid = (starts[:, None] + steps[:, None] * way).reshape(-1, self.dim)
            chunks = [self.highest(part) for part in grid.split(500_000)]
            outside = (torch.cat(chunks) > 0).reshape(len(starts), -1)
            line, step = (outside[:, 1:] != outside[:, :-1]).nonzero(as_tuple=True)
            left, right = steps[step], steps[step + 1]
            enters = outside[line, step]
            for _ in range(halvings if len(line) else 0):
                middle = (left + right) / 2
                beyond = (self.highest(starts[line] + middle[:, None] * way) > 0) == enters
                left, right = torch.where(beyond, middle, left), torch.where(beyond, right, middle)
        return line, (left + right) / 2

    def kinds(self, axis: int, places: Tensor) -> Tensor:
        """What each line has: whether it starts inside, and how many zeros of each level function, (L, K + 1)."""
        starts = self.low.expand(len(places), 2).clone()
        starts[:, 1 - axis] += places * self.length[1 - axis]
        line, place = self.zeros(axis, starts, finer=10, halvings=10)
        found = starts[line]
        found[:, axis] += place * self.length[axis]
        levels = self.levels(starts)
        counts = torch.zeros_like(levels).index_put(
            (line, self.levels(found).argmax(dim=1)), torch.ones(len(line), dtype=levels.dtype), accumulate=True
        )
        return torch.cat([counts, (levels.amax(dim=1, keepdim=True) <= 0).double()], dim=1)

    def events(self, axis: int) -> Tensor:
        """Where, across the lines of an axis in two dimensions, lines begin to have other zeros; with 0 and 1 at the ends."""
        places = torch.linspace(1e-9, 1 - 1e-9, LINES, dtype=torch.float64)
        kinds = torch.cat([self.kinds(axis, part) for part in places.split(100)])
        change = (kinds[1:] != kinds[:-1]).any(dim=1).nonzero()[:, 0]
        left, right, before = places[change], places[change + 1], kinds[change]
        for _ in range(45 if len(change) else 0):
            middle = (left + right) / 2
            same = (self.kinds(axis, middle) == before).all(dim=1)
            left, right = torch.where(same, middle, left), torch.where(same, right, middle)
        return torch.cat([torch.zeros(1), left, torch.ones(1)]).double()

    @cached_property
    def pieces(self) -> list[Tensor]:
        """The events of both axes."""
        return [self.events(axis) for axis in range(2)]

    def lines_for(self, axis: int, n: int) -> tuple[Tensor, Tensor]:
        """Where lines of a rule start, (L, d), and their weights, (L,), which sum to 1.

        In two dimensions a rule of n nodes between two events: with s = (1 - cos(pi t)) / 2 the square roots with which zeros
        come and go are smooth in t, and Gauss nodes in t are exact to many digits. In three a grid of (4 n)^2.
        """
        if self.dim != 2:
            starts = self.starts(axis, (4 * n) ** 2, "grid", None)
            return starts, torch.full((len(starts),), 1 / len(starts), dtype=torch.float64)
        ends = self.pieces[axis]
        (t, shares), wide = rule_on_unit_interval(n, "gauss-legendre"), ends.diff()[:, None]
        places = (ends[:-1, None] + wide * (1 - torch.cos(math.pi * t)) / 2).flatten()
        starts = self.low.expand(len(places), 2).clone()
        starts[:, 1 - axis] += places * self.length[1 - axis]
        return starts, (wide * shares * math.pi / 2 * torch.sin(math.pi * t)).flatten()

    def crossings(self, lines: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points of the surface (R, d), their normals, weights for integrals, and which function is zero there.

        Takes, for each axis, where its lines start and their weights, which sum to 1.
        """
        points, cells, axes = [], [], []
        for axis, (starts, shares) in enumerate(lines):
            line, place = self.zeros(axis, starts)
            found = starts[line]
            found[:, axis] = self.low[axis] + place * self.length[axis]
            points.append(found)
            cells.append(float(self.areas[axis]) * shares[line])
            axes.append(torch.full((len(found), 1), axis))
        together, cell = torch.cat(points), torch.cat(cells)
        if not len(together):
            return together, together, cell, torch.cat(axes)[:, 0]
        which = self.levels(together).argmax(dim=1)
        _, slopes = self.slope(together, which)
        size = slopes.norm(dim=1)
        if not (size > 0).all():
            where = ", ".join(f"{c:.3g}" for c in together[int((size == 0).nonzero()[0])].tolist())
            raise ValueError(f"The level function has no slope at its zero ({where}): it must change its sign with a slope.")
        normals = slopes / size[:, None]
        return together, normals, cell * normals.gather(1, torch.cat(axes))[:, 0].abs(), which

    def random_lines(self, count: int, method: str, generator: torch.Generator | None) -> list[tuple[Tensor, Tensor]]:
        """Lines of equal weights, ``count`` an axis for a face of mean area."""
        drawn = [self.starts(axis, int(lines), method, generator) for axis, lines in enumerate(self.lines(count).tolist())]
        return [(starts, torch.full((len(starts),), 1 / len(starts), dtype=torch.float64)) for starts in drawn]

    def surface_rule(self, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What :meth:`crossings` finds on the lines of a rule."""
        return self.crossings([self.lines_for(axis, n) for axis in range(self.dim)])

    @cached_property
    def surfaces(self) -> list[tuple[float, Tensor]]:
        """The length or area of each surface, and points all over it."""
        many = self.random_lines(2**14, "sobol", torch.Generator().manual_seed(0)) if self.dim > 3 else None
        points, _, weights, which = self.surface_rule(FINE) if many is None else self.crossings(many)
        owners = [which == k for k in range(self.levels(self.low[None]).shape[1])]
        return [(float(weights[own].sum()), points[own]) for own in owners]

    @cached_property
    def measure(self) -> float:
        """Length, area or volume."""
        if self.dim > 3:
            points = self.box.sample(2**17, "sobol", generator=torch.Generator().manual_seed(0))
            return self.box.measure * float((self.highest(points) <= 0).double().mean())
        return float(self.rule(FINE, 1 if self.dim == 3 else 2)[1].sum())

    def check_rule(self, n: int) -> None:
        """Raise ValueError unless there is a rule of lines, and n is not too large for it."""
        if self.dim > 3:
            raise ValueError(f"A level set of {self.dim} dimensions has no rule of lines: take the rule 'sobol'.")
        if max((4 * n) ** (self.dim - 1) * self.resolution, n**self.dim) > MOST_NODES:
            raise ValueError(f"The rule with n = {n} has too many nodes: take a smaller n, or the rule 'sobol'.")

    def rule(self, n: int, nodes: int) -> tuple[Tensor, Tensor]:
        """Gauss nodes on all pieces, inside, of the lines of the last axis, with weights."""
        self.check_rule(n)
        axis = self.dim - 1
        starts, shares = self.lines_for(axis, n)
        line, place = self.zeros(axis, starts)
        ends = starts.clone()
        ends[:, axis] += self.length[axis]
        here, there = self.highest(starts) <= 0, self.highest(ends) <= 0
        # Where a line starts or ends inside, its end is an end of a piece: then ends come in pairs, in order.
        rows = torch.cat([here.nonzero()[:, 0], line, there.nonzero()[:, 0]])
        places = torch.cat([torch.zeros(int(here.sum())), place, torch.ones(int(there.sum()))]).double()
        order = (rows + places / 2).argsort(stable=True)
        rows, places = rows[order][::2], places[order].reshape(-1, 2)
        inner, within = rule_on_unit_interval(nodes, "gauss-legendre")
        along = places[:, :1] + (places[:, 1:] - places[:, :1]) * inner
        points = starts[rows].repeat_interleave(nodes, dim=0)
        points[:, axis] = self.low[axis] + along.flatten() * self.length[axis]
        weights = shares[rows, None] * (places[:, 1:] - places[:, :1]) * within
        return points, weights.flatten() * float(self.length.prod())
