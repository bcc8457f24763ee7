"""Shapes where a function is negative, in any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pinnedu.checks import as_number, named, one_of, require, shown, whole
from pinnedu.conditions import check_signature
from pinnedu.domain import Box, Part, Union
from pinnedu.equations import by_name, run
from pinnedu.implicit import Implicit
from pinnedu.product import RULES, Shape, chosen
from pinnedu.sampling import check_count, check_sampling

LEAST = 1e-4
"""A shape that fills a smaller share of its box is refused: most points would be drawn in vain."""


class LevelSet(Shape):
    """The points of a box where a function is negative; or all of several functions.

    The parts of the boundary are "surface", where a function is zero, with the names of the functions where there are
    several; the faces of the box as far as they bound the shape, by their names ("x low"), but for those of which
    less than 1e-4 does, "outside", all of these; and "boundary".

    Parameters
    ----------
    box : Box
        Bounds; a part of its boundary belongs to the shape where the function is negative there.
    f : callable, or dict of name to callable
        Gets coordinates by name, or ``points``, (N, d); returns (N,). It is made of functions of torch, smooth near its
        zeros, with a slope there.
    resolution : int
        In how many steps a line through the box looks for zeros: what is thinner than a step is not seen.

    Raises
    ------
    ValueError
        If the function cannot be used, is negative nowhere, or the shape fills less than 1e-4 of the box.

    Notes
    -----
    Areas come from lines parallel to the axes (Crofton): with normals n, the lines of axis k meet a piece dS of the surface
    |n_k| dS times. Each zero has the weight |n_k|, which makes n_k^2 dS, and the sum over k is dS. In two dimensions the
    lines are Gauss nodes between the positions where zeros appear or vanish, so that smooth shapes are measured to 1e-6 and
    better; in three they are a grid.

    Examples
    --------
    >>> disk = LevelSet(Box(x=(-1, 1), y=(-1, 1)), lambda x, y: x**2 + y**2 - 0.5)
    """

    def __init__(
        self, box: Box, f: Callable[..., Any] | Mapping[str, Callable[..., Any]], *, resolution: int = 100
    ) -> None:
        require(isinstance(box, Box), "The box of LevelSet", "a Box such as Box(x=(0, 1), y=(0, 1))", box)
        self.box, self.bounds = box, dict(box.bounds)
        self.functions = dict(f) if isinstance(f, Mapping) else {"surface": f}
        named(self.functions, "f", "a function such as lambda x, y: x**2 + y**2 - 1, or a dict of name to such")
        require(len(self.functions) > 0, "f", "a function, or a dict with at least one", f)
        taken = {"boundary", "outside", *box.parts} | ({"surface"} if len(self.functions) > 1 else set())
        for name, function in self.functions.items():
            if name in taken:
                raise ValueError(f"The level function {name!r} needs another name: that of a part of every LevelSet.")
            check_signature(name, function, (*box.names, "points"))
        self.resolution = whole(resolution, "resolution", 2)
        self.inner = Implicit(box, self.levels, self.resolution)
        share = self.measure / box.measure
        if share == 0:
            raise ValueError(f"The LevelSet is empty: its function is negative nowhere in {box}.")
        if share < LEAST:
            raise ValueError(f"The LevelSet fills less than {LEAST:g} of {box}: take a box that is close around it.")

    def __repr__(self) -> str:
        names = "" if len(self.functions) == 1 else f", {len(self.functions)} functions"
        return f"LevelSet({self.box!r}{names})"

    def levels(self, points: Tensor) -> Tensor:
        """The values of all level functions, (N, K)."""
        columns = []
        for name, function in self.functions.items():
            value = run(name, function, by_name(points, self.names))
            if not isinstance(value, Tensor) or value.shape != (len(points),) or not value.is_floating_point():
                raise ValueError(f"The level function {name!r} must return one number a point, (N,), not {shown(value)}.")
            if not torch.isfinite(value).all():
                raise ValueError(f"The level function {name!r} is NaN or infinite within the box: define it everywhere there.")
            columns.append(value)
        return torch.stack(columns, dim=1)

    @cached_property
    def measure(self) -> float:
        """The volume: to 1e-6 and better in two dimensions where the functions are smooth, 1e-4 in three, 1e-3 in more."""
        return self.inner.measure

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The surfaces, what is left of the faces of the box, and all together."""
        surfaces = {name: Surface(self.inner, k, f) for k, (name, f) in enumerate(self.functions.items())}
        surfaces = {name: part for name, part in surfaces.items() if part.measure > 0}
        faces: dict[str, Part] = {}
        for axis, (name, ends) in enumerate(self.bounds.items()):
            for side, value in zip(("low", "high"), ends, strict=True):
                face = Slice(self, {axis: value}, outward=1.0 if side == "high" else -1.0)
                if face.measure > LEAST * self.box.measure / (ends[1] - ends[0]):
                    faces[f"{name} {side}"] = face
        parts: dict[str, Part] = {**surfaces, **faces}
        if len(surfaces) > 1 or (surfaces and "surface" not in surfaces):
            parts["surface"] = Union(list(surfaces.values()))
        if faces:
            parts["outside"] = Union(list(faces.values()))
        return {**parts, "boundary": Union([*surfaces.values(), *faces.values()])}

    def face(self, fixed: Mapping[str, float], what: str = "The face") -> Part:
        """Where coordinates are fixed, as far as it lies in the shape."""
        values = self.box.check_face(fixed, what)
        at = {self.names.index(name): value for name, value in values.items()}
        outward = math.nan
        if len(at) == 1:
            ((name, value),) = values.items()
            outward = {self.bounds[name][0]: -1.0, self.bounds[name][1]: 1.0}.get(value, math.nan)
        part = Slice(self, at, outward)
        if not part.measure > 0:
            raise ValueError(f"{what} is empty: nothing of {self!r} lies at {dict(fixed)}.")
        return part

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in the closed shape: bool, shape (N,)."""
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        inside = self.box.contains(points, slack)
        own = points[inside].detach().to("cpu", torch.float64)
        inside[inside.clone()] = self.inner.contains(own, float(slack)).to(inside.device)
        return inside

    def excess(self, points: Tensor) -> Tensor:
        """About how far each point lies outside, by the slope of the function: shape (N,)."""
        own = points.detach().to("cpu", torch.float64)
        far = torch.maximum(self.box.excess(own), self.inner.height(own).clamp_min(0))
        return far.to(points)

    def _draw(self, n: int, method: str, generator: torch.Generator | None) -> Tensor:
        """The points of the box that lie inside, of as many as needed."""
        share = self.measure / self.box.measure
        count = math.ceil(1.1 * n / share) + 10
        while True:
            points = self.box.sample(count, method, generator=generator)
            points = points[self.inner.contains(points, 0.0)]
            if len(points) >= n:
                return points[:n]
            count *= 2

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Nodes and weights, see :meth:`Domain.quadrature`: Gauss rules on what lines have of the shape.

        In up to three dimensions; "monte-carlo" and "sobol" have ``n`` nodes with equal weights.
        """
        one_of(rule, RULES, "The quadrature rule on a level set")
        if rule != "gauss-legendre":
            return self._random_rule(n, rule, generator)
        return self.inner.rule(n := whole(n, "The nodes along each coordinate"), n if self.dim < 3 else 8)


class Surface:
    """Where one level function is zero and no other is positive, a :class:`pinnedu.domain.Part`."""

    normal = True

    def __init__(self, inner: Implicit, which: int, function: Callable[..., Any]) -> None:
        self.function = function
        self.which, self.dim = which, inner.dim - 1
        self.measure, points = inner.surfaces[which]  # length or area; the number of its points in one dimension
        self.inner = inner
        if 1 < inner.dim <= 3 and len(points):  # lines elsewhere would be in vain
            margin = 0.02 * inner.length
            low = torch.maximum(points.amin(dim=0) - margin, inner.low)
            high = torch.minimum(points.amax(dim=0) + margin, inner.low + inner.length)
            share = float(((high - low) / inner.length).max())
            bounds = zip(inner.box.names, zip(low.tolist(), high.tolist(), strict=True), strict=True)
            self.inner = Implicit(Box(**dict(bounds)), inner.levels, max(10, math.ceil(share * inner.resolution)))

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw points, uniform on the surface: zeros on lines, of which the share |n_k| is kept."""
        check_sampling(n, method, generator)
        if self.dim == 0:
            return self.quadrature(1)[:2]
        count = math.ceil(1.2 * n * float(self.inner.areas.mean()) / self.measure) + 10
        while True:
            points, normals, weights, which = self.inner.crossings(self.inner.random_lines(count, method, generator))
            weights = torch.where(which == self.which, weights, 0.0)
            largest = float((self.inner.areas / self.inner.lines(count)).max())
            kept = torch.rand(len(points), dtype=torch.float64, generator=generator) * largest < weights
            if int(kept.sum()) >= n:
                rows = kept.nonzero()[:, 0]
                rows = rows[chosen(n, len(rows), generator)]
                return points[rows], normals[rows]
            count *= 2

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Zeros on the lines of a rule, see ``Implicit``, with their weights; or random nodes."""
        one_of(rule, RULES, "The quadrature rule on a level set")
        if rule != "gauss-legendre":
            check_count(n)
            points, normals = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, normals, torch.full((len(points),), self.measure / len(points), dtype=torch.float64)
        n = whole(n, "The nodes along each coordinate")
        self.inner.check_rule(n)
        points, normals, weights, which = self.inner.surface_rule(n)
        own = which == self.which
        return points[own], normals[own], weights[own]

    def meeting(self, other: Part) -> Tensor | None:
        """Some points that it has in common with a face of the box; None for others."""
        return other.meeting(self) if isinstance(other, Slice) else None


class Slice:
    """Where coordinates of a level set are fixed, a :class:`pinnedu.domain.Part`: a level set of fewer dimensions."""

    def __init__(self, shape: LevelSet, at: Mapping[int, float], outward: float) -> None:
        self.at, self.whole = dict(at), shape
        self.free = [i for i in range(shape.dim) if i not in self.at]
        self.dim = len(self.free)
        self.normal = not math.isnan(outward)
        self.outward = torch.full((shape.dim,), 0.0 if self.normal else math.nan, dtype=torch.float64)
        if self.normal:
            self.outward[next(iter(self.at))] = outward
        if self.free:
            box = Box(**{shape.names[i]: shape.bounds[shape.names[i]] for i in self.free})
            self.inner = Implicit(box, lambda points: shape.levels(self._raised(points)), shape.resolution)
            self.measure = self.inner.measure
        else:  # a point: 1 if it lies in the shape
            self.measure = float(shape.inner.contains(self._raised(torch.zeros(1, 0, dtype=torch.float64)), 0.0))

    def _raised(self, points: Tensor) -> Tensor:
        """Points of the slice with the coordinates that are fixed."""
        columns = [
            points.new_full((len(points),), self.at[i]) if i in self.at else points[:, self.free.index(i)]
            for i in range(self.whole.dim)
        ]
        return torch.stack(columns, dim=1)

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sampling(n, method, generator)
        if not self.free:
            points = self._raised(torch.zeros(1, 0, dtype=torch.float64))
            return points, self.outward.expand_as(points)
        count = math.ceil(1.1 * n * self.inner.box.measure / self.measure) + 10
        while True:
            points = self.inner.box.sample(count, method, generator=generator)
            points = points[self.inner.contains(points, 0.0)]
            if len(points) >= n:
                break
            count *= 2
        kept = torch.arange(n) * len(points) // n if method == "grid" else torch.arange(n)
        points = self._raised(points[kept])
        return points, self.outward.expand_as(points)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        one_of(rule, RULES, "The quadrature rule on a level set")
        if not self.free or rule != "gauss-legendre":
            points, normals = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, normals, torch.full((len(points),), self.measure / len(points), dtype=torch.float64)
        nodes, weights = self.inner.rule(n := whole(n, "The nodes along each coordinate"), n if self.dim < 3 else 8)
        points = self._raised(nodes)
        return points, self.outward.expand_as(points), weights

    def meeting(self, other: Part) -> Tensor | None:
        """Some points that it has in common with another face or with a surface; None where there are none."""
        if isinstance(other, Surface) and self.free:
            points, _, _, which = self.inner.surface_rule(5)
            return self._raised(points[which == other.which])
        if not isinstance(other, Slice) or self.whole is not other.whole or self.at == other.at:
            return None
        both = {**other.at, **self.at}
        if any(both[axis] != value for axis, value in other.at.items()):
            return None
        corner = Slice(self.whole, both, math.nan)
        return corner.sample(5, generator=torch.Generator().manual_seed(0))[0] if corner.measure > 0 else None
