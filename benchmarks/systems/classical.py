"""What one would use in place of a network: numpy and scipy. A measure of all, outside the ranking.

Spectral methods by `pinnedu.reference` (heat, Poisson, Burgers, Allen-Cahn) and the first comparison's script (advection, and
the wake by a least-squares fit); a sine series for the wave; least squares at Chebyshev points and Newton's method for
Kovasznay's flow; linear finite elements on the square with holes; Chebyshev collocation with one diagonalization for all
directions in five dimensions. Each at several sizes, from the beginning each time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np
from clock import Watch
from first.systems import classical as first
from numpy.polynomial import chebyshev
from problems import Array, measurements
from scipy import sparse
from scipy.fft import dst
from scipy.sparse.linalg import spsolve
from scipy.spatial import Delaunay
from settings import Settings

from pinnedu.reference import allen_cahn as reference
from pinnedu.reference.spectral import chebyshev as collocation

HALF, OFFSET, RADIUS = 0.5, 0.3, 0.1
Size = tuple[Any, ...]


def on_axes(solve: Callable[..., Array]) -> Callable[[Array, Size], Array]:
    """Of the first comparison: solvers that want the axes of the grid."""
    return lambda points, size: solve(*size, *(np.unique(column) for column in points.T)).reshape(len(points), 1)


def allen_cahn(points: Array, size: Size) -> Array:
    """Fourier and splitting."""
    return reference.exact(*points.T, points=size[0], steps=size[1])[:, None]


def wave(points: Array, size: Size) -> Array:
    """A sine series of what is there at first; every mode swings at its own rate."""
    n = size[0]
    nodes = np.arange(1, n) / n
    modes = dst(np.sin(pi * nodes) + np.sin(4 * pi * nodes) / 2, type=1) / n
    k = pi * np.arange(1, n)
    return (np.sin(np.outer(points[:, 0], k)) * np.cos(2 * np.outer(points[:, 1], k)) @ modes)[:, None]


def kovasznay(points: Array, size: Size) -> Array:
    """Polynomials, equations and conditions at Chebyshev points in the sense of least squares, Newton's method."""
    degree, re = size[0], 20
    low, half = np.array([-0.5, -0.5]), np.array([0.75, 1.0])
    nodes = -np.cos(pi * np.arange(degree + 5) / (degree + 4))
    mesh = np.stack([part.ravel() for part in np.meshgrid(nodes, nodes, indexing="ij")], axis=1)

    def basis(scaled: Array, i: int, j: int) -> Array:
        parts = []
        for column, order, length in zip(scaled.T, (i, j), half, strict=True):
            derivative = chebyshev.chebder(np.eye(degree + 1), order) if order else np.eye(degree + 1)
            parts.append(chebyshev.chebval(column, derivative).T / length**order)
        return np.asarray((parts[0][:, :, None] * parts[1][:, None, :]).reshape(len(scaled), -1))

    edge = mesh[np.abs(mesh).max(axis=1) == 1]
    rate = re / 2 - sqrt(re**2 / 4 + 4 * pi**2)
    x, y = (low + half * (edge + 1)).T
    given = np.concatenate(
        [1 - np.exp(rate * x) * np.cos(2 * pi * y), rate / (2 * pi) * np.exp(rate * x) * np.sin(2 * pi * y), [0.0]]
    )
    value, dx, dy = basis(mesh, 0, 0), basis(mesh, 1, 0), basis(mesh, 0, 1)
    bend, zero = basis(mesh, 2, 0) + basis(mesh, 0, 2), np.zeros_like(value)
    on_edge, none, corner = basis(edge, 0, 0), np.zeros((len(edge), value.shape[1])), basis(mesh[:1], 0, 0)
    fixed = np.block([[on_edge, none, none], [none, on_edge, none], [0 * corner, 0 * corner, corner]])
    found = np.zeros(3 * value.shape[1])
    for _ in range(12):
        a, b, p = np.split(found, 3)
        u, v, (u_x, u_y), (v_x, v_y) = value @ a, value @ b, (dx @ a, dy @ a), (dx @ b, dy @ b)
        flow = u[:, None] * dx + v[:, None] * dy - bend / re
        jacobian = np.block(
            [
                [flow + u_x[:, None] * value, u_y[:, None] * value, dx],
                [v_x[:, None] * value, flow + v_y[:, None] * value, dy],
                [dx, dy, zero],
            ]
        )
        residual = np.concatenate([flow @ a + dx @ p, flow @ b + dy @ p, u_x + v_y])
        step = np.linalg.lstsq(
            np.concatenate([jacobian, 100 * fixed]),
            -np.concatenate([residual, 100 * (fixed @ found - given)]),
            rcond=None,
        )[0]
        found = found + step
        if np.linalg.norm(step) < 1e-10 * np.linalg.norm(found):
            break
    there = basis((points - low) / half - 1, 0, 0)
    return np.stack([there @ part for part in np.split(found, 3)], axis=1)


def laplace_holes(points: Array, size: Size) -> Array:
    """Linear finite elements on triangles (Delaunay) between a lattice and the circles."""
    n = size[0]
    h = 2 * HALF / n
    axis = np.linspace(-HALF, HALF, n + 1)
    lattice = np.stack([part.ravel() for part in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    depth = lambda where: np.hypot(np.abs(where[:, 0]) - OFFSET, np.abs(where[:, 1]) - OFFSET) - RADIUS
    angle = 2 * pi * np.arange(round(2 * pi * RADIUS / h)) / round(2 * pi * RADIUS / h)
    circle = RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rims = np.concatenate([circle + center for center in OFFSET * np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])])
    nodes = np.concatenate([lattice[depth(lattice) > h / 2], rims])
    mesh = Delaunay(nodes)
    triangles = mesh.simplices[depth(nodes[mesh.simplices].mean(axis=1)) > 0]
    corners = nodes[triangles]
    edges = corners[:, [2, 0, 1]] - corners[:, [1, 2, 0]]
    area = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / 2
    local = np.einsum("tid,tjd->tij", edges, edges) / (4 * area[:, None, None])
    rows, columns = np.repeat(triangles, 3, axis=1).ravel(), np.tile(triangles, (1, 3)).ravel()
    matrix = sparse.csr_matrix((local.ravel(), (rows, columns)), shape=(len(nodes), len(nodes)))
    outer, inner = np.abs(nodes).max(axis=1) > HALF - 1e-12, np.arange(len(nodes)) >= len(nodes) - len(rims)
    u, free = outer.astype(np.float64), ~(outer | inner)
    u[free] = spsolve(matrix[free][:, free].tocsc(), -(matrix[free] @ u))
    inside = mesh.find_simplex(points)
    transform = mesh.transform[inside]
    two = np.einsum("tij,tj->ti", transform[:, :2], points - transform[:, 2])
    shares = np.concatenate([two, 1 - two.sum(axis=1, keepdims=True)], axis=1)
    return np.einsum("ti,ti->t", shares, u[mesh.simplices[inside]])[:, None]


def poisson_5(points: Array, size: Size) -> Array:
    """Collocation in each direction, and all directions at once by the eigenvectors of one."""
    n, dim = size[0], 5
    nodes, derivative = collocation(n, (0.0, 1.0))
    whole = np.cos(pi * nodes)
    second = derivative @ derivative
    cosines = sum(whole.reshape([-1 if k == axis else 1 for k in range(dim)]) for axis in range(dim)) * np.ones(
        [n] * dim
    )
    u, inner = cosines.copy(), (slice(1, -1),) * dim
    u[inner] = 0  # only the boundary is known
    right = -(pi**2) * cosines[inner]
    for axis in range(dim):
        right = (
            right
            - np.moveaxis(np.tensordot(second[1:-1], u, (1, axis)), 0, axis)[
                tuple(slice(None) if k == axis else slice(1, -1) for k in range(dim))
            ]
        )
    values, vectors = np.linalg.eig(second[1:-1, 1:-1])
    back = np.linalg.inv(vectors)
    for axis in range(dim):
        right = np.moveaxis(np.tensordot(back, right, (1, axis)), 0, axis)
    right = right / sum(values.reshape([-1 if k == axis else 1 for k in range(dim)]) for axis in range(dim))
    for axis in range(dim):
        right = np.moveaxis(np.tensordot(vectors, right, (1, axis)), 0, axis)
    u[inner] = right.real
    axes = [np.unique(column) for column in points.T]
    for axis in range(dim):
        coefficients = chebyshev.chebvander(2 * axes[axis] - 1, n - 1) @ np.linalg.inv(
            chebyshev.chebvander(2 * nodes - 1, n - 1)
        )
        u = np.moveaxis(np.tensordot(coefficients, u, (1, axis)), 0, axis)
    return u.reshape(-1, 1)


METHODS: dict[str, tuple[Callable[[Array, Size], Array], list[Size]]] = {
    **{
        name: (on_axes(getattr(first, name)), list(first.SIZES[name]))
        for name in ("heat", "poisson", "burgers", "advection")
    },
    "allen_cahn": (allen_cahn, [(256, 50), (512, 100), (1024, 200), (4096, 250)]),
    "wave": (wave, [(8,), (16,)]),
    "kovasznay": (kovasznay, [(6,), (8,), (10,), (12,), (14,)]),
    "laplace_holes": (laplace_holes, [(20,), (40,), (80,), (160,)]),
    "poisson_5": (poisson_5, [(4,), (6,), (8,), (10,)]),
}


def wake(points: Array, seed: int) -> Array:
    """The least-squares fit of the first comparison."""
    _, coefficients, omega = first.wake(*measurements(seed))
    along, across = (first._stream(points, omega, orders) @ coefficients for orders in ((0, 1, 0), (1, 0, 0)))
    return np.stack([along, -across], axis=1)


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Solve at every size, and note when its answer was there."""
    watch.declare()
    points = watch.judge.points
    if name == "wake":
        solve, sizes = lambda points, size: wake(points, seed), [()]
    else:
        solve, sizes = METHODS[name]  # type: ignore[assignment]
        solve(points, sizes[0])  # libraries loaded
    for size in sizes:
        begin = watch.wall()
        values = solve(points, size)
        taken = watch.wall() - begin
        watch.curve.append((taken, watch.judge.error(values)))
    watch.stopped = "all sizes done"
