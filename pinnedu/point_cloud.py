"""Domains that are known by their points alone, such as those of a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from pinnedu.checks import as_number, named, numbers, one_of, real_array, reason, require, shown
from pinnedu.domain import Part, check_coordinate
from pinnedu.product import Shape, chosen
from pinnedu.sampling import check_count, check_sampling

Array = NDArray[np.float64]

CELLS = {"line": 1, "triangle": 2, "tetra": 3}
"""Cells of a mesh that a cloud is made of, with their dimensions."""


class PointCloud(Shape):
    """Points inside and on the boundary of a shape, from a mesh, a scan or another program.

    A sample is a choice of the cloud's points, whatever the method: the cloud knows no others.

    Parameters
    ----------
    points : array (N, d)
    normals : array (N, d), optional
        Outward normals of the points on the boundary, of any length; NaN in the rows of points inside.
    weights : array (N,), optional
        What each point stands for: volume inside, area on the boundary. Without them all inside stand for the same
        share of the box around them, and all on the boundary for the same share of 1.
    names : sequence of str, optional
        Names of the coordinates: x, y, z in up to three dimensions and x1, x2, ... in more.
    parts : dict of name to array (N,) of bool, optional
        Pieces of the boundary; "boundary" is all of it.

    Raises
    ------
    ValueError
        If arrays do not fit each other, points are equal, or there is none inside.
    """

    def __init__(
        self,
        points: Any,
        normals: Any = None,
        weights: Any = None,
        *,
        names: Sequence[str] | None = None,
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        where = numbers(points, "The points of PointCloud")
        if where.ndim != 2 or where.shape[0] < 2 or where.shape[1] < 1:
            raise ValueError(f"The points of PointCloud must have shape (N, d) with at least 2 rows, not {where.shape}.")
        count, dim = where.shape
        names = list("xyz"[:dim] if dim <= 3 else [f"x{i}" for i in range(1, dim + 1)]) if names is None else names
        good = isinstance(names, list | tuple) and len(names) == dim == len(set(map(str, names)))
        require(good, "names", f"{dim} different names of coordinates", names)
        for name in names:
            check_coordinate(name)
        low, high = where.min(axis=0), where.max(axis=0)
        for name, a, b in zip(names, low, high, strict=True):
            if not a < b:
                raise ValueError(f"All points of PointCloud have the same {name}: leave that coordinate out.")
        self.bounds = {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
        self.points, self._tree = torch.from_numpy(where), cKDTree(where)
        spacing, _ = self._tree.query(where, k=2)
        if not (spacing[:, 1] > 0).all():
            raise ValueError(f"Row {int((spacing[:, 1] == 0).argmax())} of the points of PointCloud is there twice: remove it.")
        self._read_normals(normals)
        inside = int((~self.rim).sum())
        if not inside:
            raise ValueError("All points of PointCloud have normals: there is none inside, where the equations hold.")
        self._read_weights(weights)
        self._read_parts(parts)
        # As far from a point as its neighbors are, the cloud is taken to reach.
        far, _ = self._tree.query(where, k=min(2**dim, count))
        self._reach = far[:, -1]

    def _read_normals(self, normals: Any) -> None:
        shape = tuple(self.points.shape)
        rows = np.full(shape, np.nan) if normals is None else real_array(normals, "The normals of PointCloud")
        if rows.shape != shape:
            raise ValueError(f"The normals of PointCloud must have shape {shape}, as its points have, not {rows.shape}.")
        length = np.linalg.norm(rows, axis=1)
        if (np.isnan(rows).any(axis=1) != np.isnan(rows).all(axis=1)).any() or np.isinf(rows).any() or (length == 0).any():
            raise ValueError("Each row of the normals of PointCloud must be a finite vector other than 0, or all NaN.")
        self.normals = torch.from_numpy(rows / length[:, None])
        self.rim = torch.from_numpy(~np.isnan(length))

    def _read_weights(self, weights: Any) -> None:
        if weights is None:
            inside = int((~self.rim).sum())
            box = math.prod(b - a for a, b in self.bounds.values())
            share = torch.where(self.rim, 1 / max(1, len(self.rim) - inside), box / inside)
            self.weights = share.double()
            return
        given = numbers(weights, "The weights of PointCloud", 0.0)
        if given.shape != (len(self.points),):
            raise ValueError(f"The weights of PointCloud must have shape ({len(self.points)},), not {given.shape}.")
        self.weights = torch.from_numpy(given)
        require(float(self.weights[~self.rim].sum()) > 0, "The weights of PointCloud", "positive somewhere inside", weights)

    def _read_parts(self, parts: Mapping[str, Any] | None) -> None:
        named({} if parts is None else parts, "parts", "a dict of name to an array of bool")
        self._chosen: dict[str, Tensor] = {}
        for name, mask in (parts or {}).items():
            try:
                which = np.asarray(mask)
            except ValueError:
                which = np.zeros(0)
            good = which.dtype == bool and which.shape == (len(self.points),) and name != "boundary"
            if not good or not which.any() or not self.rim.numpy()[which].all():
                raise ValueError(
                    f"The part {name!r} of PointCloud must be an array of {len(self.points)} bool, True for some points "
                    "that have normals, under a name other than 'boundary'."
                )
            self._chosen[name] = torch.from_numpy(which)

    @classmethod
    def from_mesh(cls, mesh: Any, *, names: Sequence[str] | None = None) -> PointCloud:
        """The centers of a mesh's triangles (of a plane) or tetrahedra, and of the facets around them.

        Parameters
        ----------
        mesh : meshio.Mesh, or path
            A path is read by meshio, which must be installed. Facets with names there (physical groups) become parts.
        names : sequence of str, optional
            Of the coordinates.

        Raises
        ------
        ValueError
            If the file cannot be read, or there are no such cells in it.
        """
        if isinstance(mesh, str | Path):
            mesh = _read_mesh(mesh)
        if not (hasattr(mesh, "points") and hasattr(mesh, "cells_dict")):
            raise ValueError(f"from_mesh needs a meshio.Mesh, or the path of a file of one, not {shown(mesh)}.")
        corners, cells = np.asarray(mesh.points, dtype=float), mesh.cells_dict
        kind = "tetra" if len(cells.get("tetra", ())) else "triangle"
        volumes = np.asarray(cells.get(kind, np.zeros((0, 3))), dtype=np.int64)
        if not len(volumes):
            raise ValueError(f"The mesh has no triangles or tetrahedra: it has {', '.join(cells) or 'no cells'}.")
        dim = CELLS[kind]
        if corners.shape[1] > dim and np.ptp(corners[:, dim:], axis=0).max() > 0:
            raise ValueError("The triangles of the mesh do not lie in the plane z = constant: PointCloud needs a volume.")
        corners = corners[:, :dim]
        # A facet that belongs to one cell lies on the boundary; the cell's other corner lies inside.
        sides = np.concatenate([np.delete(volumes, k, axis=1) for k in range(dim + 1)])
        apex = np.concatenate([volumes[:, k] for k in range(dim + 1)])
        keys, first, count = np.unique(np.sort(sides, axis=1), axis=0, return_index=True, return_counts=True)
        first, keys = first[count == 1], keys[count == 1]
        middles = corners[sides[first]].mean(axis=1)
        normals, areas = _facets(corners[sides[first]])
        inward = ((corners[apex[first]] - middles) * normals).sum(axis=1) > 0
        normals[inward] *= -1
        edges = corners[volumes[:, 1:]] - corners[volumes[:, :1]]
        sizes = np.abs(np.linalg.det(edges)) / math.factorial(dim)
        points = np.concatenate([corners[volumes].mean(axis=1), middles])
        rows = np.concatenate([np.full((len(volumes), dim), np.nan), normals])
        parts = {}
        facet = "triangle" if kind == "tetra" else "line"
        place = {tuple(key): len(volumes) + i for i, key in enumerate(keys.tolist())}
        for name, sets in getattr(mesh, "cell_sets_dict", {}).items():
            own = np.sort(np.asarray(cells[facet])[sets[facet]], axis=1).tolist() if facet in sets else []
            mask = np.zeros(len(points), bool)
            mask[[place[tuple(key)] for key in own if tuple(key) in place]] = True
            if mask.any() and not name.startswith("gmsh:"):
                parts[name] = mask
        return cls(points, rows, np.concatenate([sizes, areas]), names=names, parts=parts)

    def __repr__(self) -> str:
        inside = int((~self.rim).sum())
        within = ", ".join(f"{name}=({a:g}, {b:g})" for name, (a, b) in self.bounds.items())
        return f"PointCloud({within}, {inside} points inside, {len(self.rim) - inside} on the boundary)"

    @cached_property
    def measure(self) -> float:
        """The sum of the weights inside."""
        return float(self.weights[~self.rim].sum())

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The points with normals, as "boundary", and what was named of them."""
        chosen_rows = self._chosen | ({"boundary": self.rim} if self.rim.any() else {})
        return {name: Rim(self.points[rows], self.normals[rows], self.weights[rows]) for name, rows in chosen_rows.items()}

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie as near to a point of the cloud as its own neighbors do: bool, shape (N,)."""
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        size = max(b - a for a, b in self.bounds.values())
        far, nearest = self._nearest(points)
        return torch.from_numpy(far <= self._reach[nearest] + float(slack) * size).to(points.device)

    def excess(self, points: Tensor) -> Tensor:
        """How far each point lies beyond the reach of the cloud, shape (N,)."""
        far, nearest = self._nearest(points)
        return torch.from_numpy(np.maximum(far - self._reach[nearest], 0)).to(points)

    def _nearest(self, points: Tensor) -> tuple[Array, NDArray[np.int64]]:
        own = points.detach().cpu().double().numpy()
        finite = np.isfinite(own).all(axis=1)
        far, nearest = self._tree.query(np.where(finite[:, None], own, 0.0))
        return np.where(finite, far, np.inf), nearest

    def _draw(self, n: int, method: str, generator: torch.Generator | None) -> Tensor:
        inside = self.points[~self.rim]
        return inside[chosen(n, len(inside), generator)]

    def _grid(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self._draw(n, "uniform", generator)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """All points inside with their weights, whatever ``n`` and the rule: the cloud has no others."""
        one_of(rule, ("gauss-legendre", "monte-carlo", "sobol"), "The quadrature rule on a cloud")
        check_count(n)
        return self.points[~self.rim].clone(), self.weights[~self.rim].clone()

    def evaluation_points(self, count: int = 10_201) -> Tensor:
        """The points inside, the same at each call; no more than ``count``."""
        inside = self.points[~self.rim]
        return inside[torch.arange(min(count, len(inside))) * len(inside) // min(count, len(inside))]


class Rim:
    """Points of a boundary, a :class:`pinnedu.domain.Part`."""

    normal = True

    def __init__(self, points: Tensor, normals: Tensor, weights: Tensor) -> None:
        self.points, self.normals, self.weights = points, normals, weights
        self.dim, self.measure = points.shape[1] - 1, float(weights.sum())

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sampling(n, method, generator)
        rows = chosen(n, len(self.points), generator)
        return self.points[rows], self.normals[rows]

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        one_of(rule, ("gauss-legendre", "monte-carlo", "sobol"), "The quadrature rule on a cloud")
        check_count(n)
        return self.points.clone(), self.normals.clone(), self.weights.clone()


def _read_mesh(path: str | Path) -> Any:
    try:
        import meshio
    except ImportError:
        raise ValueError("Reading a mesh from a file needs the package meshio: pip install meshio.") from None
    try:
        return meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio leaves the program where it does not know a format
        raise ValueError(f"The mesh {shown(str(path))} cannot be read ({reason(error)}).") from None


def _facets(corners: Array) -> tuple[Array, Array]:
    """Unit normals (F, d) and areas (F,) of edges in a plane or triangles in space, (F, d, d)."""
    ways = corners[:, 1:] - corners[:, :1]
    if corners.shape[2] == 2:
        normals, factor = np.stack([ways[:, 0, 1], -ways[:, 0, 0]], axis=1), 1.0
    else:
        normals, factor = np.cross(ways[:, 0], ways[:, 1]), 0.5
    length = np.linalg.norm(normals, axis=1)
    return normals / length[:, None], factor * length
