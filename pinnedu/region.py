"""Polygons with holes, by shapely: their points, their rings with normals, their quadrature."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from scipy.special import roots_jacobi
from torch import Tensor

from pinnedu.checks import as_number, named, one_of, reason, require, shown, whole
from pinnedu.conditions import check_signature
from pinnedu.domain import Part, check_coordinate
from pinnedu.equations import by_name, run
from pinnedu.product import RULES, MappedShape
from pinnedu.sampling import MOST_NODES, check_sampling, rule_on_unit_interval, unit_points

Array = NDArray[np.float64]


class Region(MappedShape):
    """What a shapely geometry encloses: a polygon with holes, or several that do not touch.

    shapely makes shapes of shapes: ``shapely.box(0, 0, 1, 1) - shapely.Point(0.5, 0.5).buffer(0.2)`` is a square with a hole.
    Circles are polygons there; ``buffer(r, quad_segs=256)`` has 1024 edges and misses the circle by 5e-6 r.

    The parts of the boundary are "outside", the outer rings; "hole", or "hole 1", "hole 2", ... in the geometry's order, and
    "holes", all of them, where there are any; the parts that are named, and "rest", the edges without a name; and "boundary".

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon, str or dict
        A str is WKT or GeoJSON, a dict is GeoJSON.
    x, y : str
        Names of the coordinates.
    parts : dict of name to callable, optional
        Pieces of the boundary: ``{"inlet": lambda x: x == 0}`` has all edges whose midpoint says True.

    Raises
    ------
    ValueError
        If the geometry is none, has no area, crosses or touches itself, or a part has no edges.

    Examples
    --------
    >>> square = shapely.box(0, 0, 1, 1)
    >>> plate = Region(square - shapely.Point(0.5, 0.5).buffer(0.2), parts={"left": lambda x: x == 0})
    """

    cube = 2

    def __init__(
        self, geometry: Any, x: str = "x", y: str = "y", *, parts: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        for name in (x, y):
            check_coordinate(name)
        require(x != y, "The coordinates of a Region", "two different names", (x, y))
        self.geometry = _read(geometry)
        left, below, right, above = self.geometry.bounds
        self.bounds = {x: (left, right), y: (below, above)}
        shapely.prepare(self.geometry)
        named({} if parts is None else parts, "parts", "a dict of name to function")
        self._predicates = dict(parts or {})
        self._check_parts()

    def __repr__(self) -> str:
        holes = sum(len(polygon.interiors) for polygon in shapely.get_parts(self.geometry))
        edges = len(self._edges[0])
        with_holes = f", {holes} hole{'s' * (holes > 1)}" if holes else ""
        within = ", ".join(f"{name}=({a:g}, {b:g})" for name, (a, b) in self.bounds.items())
        return f"Region({within}, {edges} edges{with_holes})"

    @property
    def measure(self) -> float:
        """The area."""
        return float(self.geometry.area)

    @property
    def size(self) -> float:
        """The longer side of the box around it."""
        return max(b - a for a, b in self.bounds.values())

    @cached_property
    def _edges(self) -> tuple[Array, NDArray[np.int64]]:
        """Edges (E, 2, 2), with the inside to their left, and the ring of each: 0 for outer ones, k for hole k."""
        edges, rings, hole = [], [], 0
        for polygon in shapely.get_parts(self.geometry):
            polygon = shapely.orient_polygons(polygon)
            for k, ring in enumerate((polygon.exterior, *polygon.interiors)):
                hole += k > 0
                corners = shapely.get_coordinates(ring)
                edges.append(np.stack([corners[:-1], corners[1:]], axis=1))
                rings.append(np.full(len(corners) - 1, hole if k else 0))
        return np.concatenate(edges), np.concatenate(rings)

    def edges_at(self, corner: Tensor) -> tuple[Tensor, Tensor]:
        """The ways from a corner along its two edges, (2,) each: the edge behind it, and the edge before it.

        Raises
        ------
        ValueError
            If the boundary has no corner there.
        """
        edges, _ = self._edges
        start, end = (np.abs(edges[:, k] - corner.numpy()).max(axis=1) <= 1e-9 * self.size for k in (0, 1))
        if not (start.any() and end.any()):
            raise ValueError(f"{self!r} has no corner at ({float(corner[0]):g}, {float(corner[1]):g}).")
        behind, before = edges[start.argmax()], edges[end.argmax()]
        return torch.from_numpy(behind[1] - behind[0]), torch.from_numpy(before[0] - before[1])

    def corners(self) -> list[tuple[tuple[float, float], float]]:
        """The corners of the boundary, and the angle at which the region opens there, between 0 and 2 pi."""
        edges, _ = self._edges
        ending = {tuple(end): edge for edge, end in zip(edges, edges[:, 1].tolist(), strict=True)}
        found = []
        for start, end in edges:
            behind, before = end - start, ending[tuple(start.tolist())][0] - start
            angle = np.arctan2(before[1], before[0]) - np.arctan2(behind[1], behind[0])
            found.append(((float(start[0]), float(start[1])), float(angle % (2 * np.pi))))
        return found

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The rings, what was named, and "boundary"."""
        edges, rings = self._edges
        holes = int(rings.max())
        chosen = {"boundary": np.ones(len(rings), bool), "outside": rings == 0}
        if holes:
            chosen["holes"] = rings > 0
            chosen |= {f"hole {k}": rings == k for k in range(1, holes + 1)} if holes > 1 else {"hole": rings == 1}
        middles = torch.from_numpy(edges.mean(axis=1))
        rest = np.ones(len(rings), bool)
        for name, predicate in self._predicates.items():
            found = run(name, predicate, by_name(middles, self.names))
            found = np.asarray(found.numpy() if isinstance(found, Tensor) else found)
            if found.shape != (len(edges),) or found.dtype != bool:
                raise ValueError(f"The part {name!r} must say True or False for each edge, such as lambda x: x == 0.")
            if not found.any():
                raise ValueError(f"The part {name!r} has no edge of {self!r}: it is asked at the midpoint of each edge.")
            chosen[name], rest = found, rest & ~found
        if self._predicates and rest.any():
            chosen["rest"] = rest
        return {name: Edges(edges[which], self.size) for name, which in chosen.items()}

    def _check_parts(self) -> None:
        """Raise ValueError unless each named part has a name of its own, and edges."""
        for name, predicate in self._predicates.items():
            check_signature(name, predicate, (*self.names, "points"))
            if name in ("boundary", "outside", "holes", "rest") or name.split()[:1] == ["hole"]:
                raise ValueError(f"The part {name!r} of a Region has its meaning: choose another name.")
        if self._predicates:
            _ = self.parts

    @cached_property
    def triangles(self) -> Tensor:
        """The triangles that it consists of (constrained Delaunay), float64, shape (T, 3, 2)."""
        cells = shapely.get_parts(shapely.constrained_delaunay_triangles(self.geometry))
        corners = shapely.get_coordinates(cells).reshape(-1, 4, 2)[:, :3]
        # Neighbors stand near each other (Morton's order): so a low-discrepancy sequence is one in the region, too.
        cells = (corners.mean(axis=1) - [low for low, _ in self.bounds.values()]) / self.size * 2**16
        bits = (cells.astype(np.int64)[:, :, None] >> np.arange(16)) & 1
        order = (bits << (2 * np.arange(16) + np.arange(2)[:, None])).sum(axis=(1, 2))
        return torch.from_numpy(corners[order.argsort(kind="stable")])

    @cached_property
    def _areas(self) -> Tensor:
        a, b, c = self.triangles.unbind(dim=1)
        return (torch.linalg.det(torch.stack([b - a, c - a], dim=1)) / 2).abs()

    def unfold(self, unit: Tensor) -> Tensor:
        """Points of the unit square as points of the region: the first coordinate chooses the triangle."""
        ends = self._areas.cumsum(dim=0)
        place = unit[:, 0].contiguous() * ends[-1]
        which = torch.searchsorted(ends, place, right=True).clamp(max=len(ends) - 1)
        left = ((place - (ends - self._areas)[which]) / self._areas[which]).clamp(0, 1)
        a, b, c = self.triangles[which].unbind(dim=1)
        return a + left.sqrt()[:, None] * ((b - a) + unit[:, 1:] * (c - b))

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in the closed region: bool, shape (N,)."""
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        x, y = points.detach().cpu().double().numpy().T
        inside = shapely.intersects_xy(self.geometry, x, y)
        if slack > 0 and not inside.all():
            outside = ~inside & np.isfinite(x) & np.isfinite(y)
            near = shapely.dwithin(self.geometry, shapely.points(x[outside], y[outside]), float(slack) * self.size)
            inside[outside] = near
        return torch.from_numpy(inside).to(points.device)

    def excess(self, points: Tensor) -> Tensor:
        """How far each point lies outside, shape (N,)."""
        places = shapely.points(points.detach().cpu().double().numpy())
        return torch.from_numpy(shapely.distance(self.geometry, places)).to(points)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Nodes and weights, see :meth:`Domain.quadrature`.

        "gauss-legendre" has n^2 nodes in each triangle, and is exact for polynomials of degree 2n - 1; a triangle has
        an edge for its apex, which Jacobi's weight (1 - s) allows for. Where an edge is shorter than a tenth of the region, as
        those of round holes are, there are as many fewer nodes along it. "monte-carlo" and "sobol" are random.
        """
        one_of(rule, RULES, "The quadrature rule on a region")
        if rule != "gauss-legendre":
            return self._random_rule(n, rule, generator)
        n = whole(n, "The nodes along each coordinate")
        cells, along, across = self._slender(n)
        if int((along * across).sum()) > MOST_NODES:
            raise ValueError(
                f"The rule with up to {n * n} nodes in each of {len(cells)} triangles has too many nodes: take "
                "fewer, or the rule 'sobol', whose n counts them all."
            )
        nodes, weights = [], []
        for s_count, v_count in torch.stack([along, across], dim=1).unique(dim=0).tolist():
            own = (along == s_count) & (across == v_count)
            points, shares = _triangle_rule(cells[own], s_count, v_count)
            nodes.append(points)
            weights.append((self._areas[own, None] * shares).flatten())
        return torch.cat(nodes), torch.cat(weights)

    def _slender(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """The triangles, those with a short edge turned to have it opposite their apex, and their nodes in both directions."""
        cells = self.triangles
        lengths = (cells.roll(-1, dims=1) - cells.roll(1, dims=1)).norm(dim=2)  # of the edge opposite each corner
        shortest = lengths.argmin(dim=1)
        short = lengths.amin(dim=1) < self.size / 10
        order = (torch.arange(3) + (shortest * short)[:, None]) % 3
        turned = cells.gather(1, order[:, :, None].expand(-1, -1, 2))
        across, along = ((10 * n * side / self.size).ceil().clamp(1, n).long() for side in lengths.sort(dim=1).values.T[:2])
        return turned, along, across

    def __or__(self, other: Region) -> Region:
        return self._combined(other, shapely.union)

    def __and__(self, other: Region) -> Region:
        return self._combined(other, shapely.intersection)

    def __sub__(self, other: Region) -> Region:
        return self._combined(other, shapely.difference)

    def _combined(self, other: Region, how: Callable[[Any, Any], Any]) -> Region:
        if not isinstance(other, Region):
            return NotImplemented
        if self.names != other.names:
            raise ValueError(f"Regions need the same coordinates, not {self.names} and {other.names}.")
        return Region(how(self.geometry, other.geometry), *self.names)


class Edges:
    """Straight edges, a :class:`pinnedu.domain.Part`.

    Parameters
    ----------
    edges : array (E, 2, 2)
        Start and end of each, with the inside to the left.
    size : float
        The length that n nodes of a quadrature rule are for.
    """

    dim, normal = 1, True

    def __init__(self, edges: Array, size: float) -> None:
        self.start, self.end = (torch.from_numpy(edges[:, k].copy()) for k in (0, 1))
        self.way = self.end - self.start
        self.lengths = torch.from_numpy(np.hypot(*self.way.numpy().T))
        self.normals = torch.stack([self.way[:, 1], -self.way[:, 0]], dim=1) / self.lengths[:, None]
        self.measure, self.size = math.fsum(self.lengths.tolist()), size

    def meeting(self, other: Part) -> Tensor | None:
        """The corners that it has in common with other edges; None where they are none."""
        if not isinstance(other, Edges):
            return None
        own, others = ({*map(tuple, [*edges.start.tolist(), *edges.end.tolist()])} for edges in (self, other))
        return torch.tensor(sorted(own & others), dtype=torch.float64).reshape(-1, 2)

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw points, uniform along the edges, and the normals there, each (n, 2)."""
        check_sampling(n, method, generator)
        ends = self.lengths.cumsum(dim=0)
        place = unit_points(n, 1, method, generator)[:, 0].contiguous() * ends[-1]
        which = torch.searchsorted(ends, place, right=True).clamp(max=len(ends) - 1)
        share = ((place - (ends - self.lengths)[which]) / self.lengths[which]).clamp(0, 1)
        return self.start[which] + share[:, None] * self.way[which], self.normals[which]

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A Gauss rule of n nodes on an edge as long as the region, of fewer on shorter ones, at least 2; or random nodes."""
        one_of(rule, RULES, "The quadrature rule on edges")
        if rule != "gauss-legendre":
            points, normals = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, normals, torch.full((n,), self.measure / n, dtype=torch.float64)
        n = whole(n, "The nodes along each coordinate")
        counts = (n * self.lengths / self.size).ceil().clamp(min(2, n), n).to(torch.int64)
        nodes, outward, weights = [], [], []
        for count in counts.unique().tolist():
            own = counts == count
            along, shares = rule_on_unit_interval(count, "gauss-legendre")
            nodes.append((self.start[own, None] + along[:, None] * self.way[own, None]).reshape(-1, 2))
            outward.append(self.normals[own].repeat_interleave(count, dim=0))
            weights.append((self.lengths[own, None] * shares).flatten())
        return torch.cat(nodes), torch.cat(outward), torch.cat(weights)


def _triangle_rule(triangles: Tensor, along: int, across: int) -> tuple[Tensor, Tensor]:
    """Nodes in all triangles (T, 3, 2) one after the other, so many from the apex on and across; weights that sum to 1."""
    roots, shares = roots_jacobi(along, 0, 1)  # along the way from the apex, where the cut is as long as the way
    way, way_shares = torch.from_numpy((roots + 1) / 2), torch.from_numpy(shares / 2)
    aside, aside_shares = rule_on_unit_interval(across, "gauss-legendre")
    s, v = (g.reshape(-1, 1) for g in torch.meshgrid(way, aside, indexing="ij"))
    a, b, c = (corner[:, None, :] for corner in triangles.unbind(dim=1))
    nodes = a + s * ((b - a) + v * (c - b))
    return nodes.reshape(-1, 2), torch.outer(way_shares, aside_shares).flatten()


def _read(given: Any) -> Any:
    """A polygon, or several, from what is given; ValueError where it is none, or not a shape to solve on."""
    what = "Region needs a shapely Polygon, or WKT or GeoJSON of one"
    geometry = given
    try:
        if isinstance(given, Mapping):
            geometry = shapely.from_geojson(json.dumps(given))
        elif isinstance(given, str):
            geometry = shapely.from_geojson(given) if given.lstrip().startswith("{") else shapely.from_wkt(given)
    except (shapely.errors.ShapelyError, ValueError, TypeError) as error:
        raise ValueError(f"{what}, but {shown(given)} is none ({reason(error)}).") from None
    if not isinstance(geometry, shapely.Geometry):
        raise ValueError(f"{what}, not {shown(given)}.")
    pieces = [piece for piece in shapely.get_parts(geometry) if not piece.is_empty]
    pieces = [inner for piece in pieces for inner in shapely.get_parts(piece)]
    if not pieces:
        raise ValueError("The geometry of Region is empty: nothing is left of it, check what was cut from what.")
    for piece in pieces:
        if piece.geom_type != "Polygon":
            raise ValueError(f"{what}, but there is a {piece.geom_type} in it, which has no area.")
        if not np.isfinite(shapely.get_coordinates(piece)).all():
            raise ValueError("The geometry of Region has corners that are NaN or infinite: remove them.")
        if piece.has_z:
            raise ValueError("The geometry of Region has a third coordinate: drop it by shapely.force_2d(geometry).")
    geometry = shapely.remove_repeated_points(pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces))
    if not geometry.is_valid:
        raise ValueError(
            f"The geometry of Region crosses or overlaps itself ({_place(shapely.is_valid_reason(geometry))}): repair it by "
            "shapely.make_valid, and join pieces by shapely.union_all."
        )
    left, below, right, above = geometry.bounds
    if not geometry.area > 1e-12 * (right - left) * (above - below):
        raise ValueError("The geometry of Region has no area: its corners lie on a line.")
    rings = np.array([ring for piece in shapely.get_parts(geometry) for ring in (piece.exterior, *piece.interiors)])
    first, second = shapely.STRtree(rings).query(rings, predicate="intersects")
    touching = np.flatnonzero(first < second)
    if len(touching):
        a, b = rings[first[touching[0]]], rings[second[touching[0]]]
        x, y = shapely.get_coordinates(shapely.intersection(a, b))[0]
        raise ValueError(
            f"Two rings of the geometry of Region touch, at ({x:g}, {y:g}), where the boundary has no two sides: move them "
            "apart, or join them by a small shapely buffer."
        )
    return geometry


def _place(said: str) -> str:
    """What shapely says of an invalid geometry, "Self-intersection[1 2]", in words."""
    return said.replace("[", " at (").replace("]", ")").replace("\n", " ").lower()
