"""Laplace's equation on a square with four round holes, by the method of images."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinnedu import checks

Array = NDArray[np.float64]

RADIUS, OFFSET, HALF = 0.1, 0.3, 0.5
"""Holes of this radius around (+-OFFSET, +-OFFSET), in the square (-HALF, HALF)^2."""

POLES, POWERS, CELLS = 20, 9, 2


def exact(x: ArrayLike, y: ArrayLike) -> Array:
    """u with u_xx + u_yy = 0, 1 on the square's sides and 0 on the circles, to 1e-12.

    v = 1 - u is zero on the sides, so that it is odd about each of them, and by symmetry even about the axes: it goes on to
    the whole plane with v(x + 1, y) = -v(x, y). It is a sum of log r and Re(a_k s^-k) about every hole and every image of
    one, with the same a_k everywhere; of the images those of 25 cells are kept, and the rest is harmonic in a disk of radius 2:
    a sum of c_m Re z^(4m). The coefficients are the least squares fit of the values on one circle and one side.
    By the maximum principle the error inside is at most the one on the boundary.

    Parameters
    ----------
    x, y : array
        In the square, outside of the holes.
    """
    x, y = checks.together(x=checks.numbers(x, "x", -HALF, HALF), y=checks.numbers(y, "y", -HALF, HALF))
    distance = np.hypot(np.abs(x) - OFFSET, np.abs(y) - OFFSET)
    if x.size and distance.min() < RADIUS * (1 - 1e-6):
        raise ValueError("The solution is known between the square and the holes, but some points lie in a hole.")
    z = (x + 1j * y).reshape(-1)
    values = np.concatenate([_basis(part) @ _coefficients() for part in np.array_split(z, -(-len(z) // 2000) or 1)])
    return 1 - values.reshape(x.shape)


def boundary_error() -> float:
    """The largest error on the boundary, between the points of the fit: a bound for that inside."""
    circle, side = _boundary(331)
    found = [_basis(points) @ _coefficients() for points in (circle, side)]
    return float(max(np.abs(found[0] - 1).max(), np.abs(found[1]).max()))


def _boundary(count: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Points of the hole in the first quadrant, and of half of the right side."""
    angle = 2 * np.pi * np.arange(count) / count
    circle = np.asarray(OFFSET * (1 + 1j) + RADIUS * np.exp(1j * angle), dtype=np.complex128)
    side = np.asarray(HALF + 1j * np.linspace(0, HALF, count), dtype=np.complex128)
    return circle, side


@cache
def _coefficients() -> Array:
    circle, side = _boundary(200)
    rows = _basis(np.concatenate([circle, side]))
    sizes = np.abs(rows).max(axis=0)
    wanted = np.concatenate([np.ones(len(circle)), np.zeros(len(side))])
    found = np.linalg.lstsq(rows / sizes, wanted, rcond=1e-15)[0] / sizes
    return np.asarray(found)


def _basis(z: NDArray[np.complex128]) -> Array:
    """Functions with the symmetries of the square and, but for the last ones, those of the images, (N, number)."""
    columns = np.zeros((len(z), 1 + POLES + 1 + POWERS))
    cells = range(-CELLS, CELLS + 1)
    for i in cells:
        for j in cells:
            sign = (-1) ** (i + j)
            for turn in range(4):  # the four holes of a cell, each turned into the first quadrant
                s = ((z - i - 1j * j) * 1j**-turn - OFFSET * (1 + 1j)) * np.exp(-1j * np.pi / 4) / RADIUS
                columns[:, 0] += sign * np.log(np.abs(s))
                power = np.ones_like(s)
                for k in range(1, POLES + 1):
                    power = power / s
                    columns[:, k] += sign * power.real
    quartic, power = (z / CELLS) ** 4, np.ones_like(z)
    for m in range(POWERS + 1):
        columns[:, 1 + POLES + m] = power.real
        power = power * quartic
    return columns


__all__ = ["boundary_error", "exact"]
