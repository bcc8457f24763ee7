"""Poisson's equation on an L, whose inner corner makes the slope of the solution infinite."""

from __future__ import annotations

from functools import cache
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinnedu import checks

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

CORNERS = np.array([0, 1j, -1 + 1j, -1 - 1j, 1 - 1j, 1], dtype=complex)
"""Of (-1, 1)^2 without [0, 1]^2, counterclockwise, the inner one first."""

POLES, NEAREST, POWERS = 60, 1e-10, 24


def exact(x: ArrayLike, y: ArrayLike) -> Array:
    """u with -(u_xx + u_yy) = 1 in the L and 0 on its boundary, to 1e-8.

    u + |z|^2 / 4 is harmonic. It is the real part of a polynomial and of simple poles on the bisectors of the corners,
    outside of the L, that come exponentially close to them ("lightning"); their coefficients are the least squares fit of the
    values on the boundary. By the maximum principle the error inside is at most the one on the boundary.

    Parameters
    ----------
    x, y : array
        In the closed L.

    References
    ----------
    Gopal & Trefethen (2019), Solving Laplace problems with corner singularities via rational functions.
    """
    x, y = _inside(x, y)
    z = (x + 1j * y).reshape(-1)
    values = [_basis(part) @ _coefficients() - np.abs(part) ** 2 / 4 for part in np.array_split(z, -(-len(z) // 5000) or 1)]
    return np.concatenate(values).reshape(x.shape)


def singular(x: ArrayLike, y: ArrayLike) -> Array:
    """r^(2/3) sin(2 theta / 3) about the inner corner, theta from the edge x = 0: harmonic, and 0 on both edges there."""
    x, y = _inside(x, y)
    theta = np.mod(np.arctan2(y, x) - pi / 2 + 1e-12, 2 * pi) - 1e-12
    return np.hypot(x, y) ** (2 / 3) * np.sin(2 * theta / 3)


def _inside(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Points of the closed L as float64; ValueError if one is none."""
    x, y = checks.together(x=checks.numbers(x, "x", -1.0, 1.0), y=checks.numbers(y, "y", -1.0, 1.0))
    if x.size and np.minimum(x, y).max() > 1e-9:
        raise ValueError("The solution is known on the L, but some points have x > 0 and y > 0.")
    return x, y


def boundary_error() -> float:
    """The largest error on the boundary, between the points of the fit: a bound for that inside."""
    z = _boundary(0.5)
    return float(np.abs(_basis(z) @ _coefficients() - np.abs(z) ** 2 / 4).max())


def _boundary(shift: float) -> Complex:
    """Points of all edges, as close to the corners as the poles."""
    s = NEAREST ** (1 - (np.arange(140) + shift) / 140) / 2
    along = np.concatenate([s, 1 - s])
    return np.concatenate([a + along * (b - a) for a, b in zip(CORNERS, np.roll(CORNERS, -1), strict=True)])


@cache
def _poles() -> tuple[Complex, Array]:
    """Where they are, and how far from their corner."""
    far = NEAREST ** (1 - (np.sqrt(np.arange(1, POLES + 1)) - 1) / (np.sqrt(POLES) - 1))
    before, after = np.roll(CORNERS, 1) - CORNERS, np.roll(CORNERS, -1) - CORNERS
    ways = before / np.abs(before) + after / np.abs(after)
    ways[1:] *= -1  # the bisector of the inner corner points out of the L
    ways /= np.abs(ways)
    return (CORNERS[:, None] + ways[:, None] * far).reshape(-1), np.tile(far, len(CORNERS))


@cache
def _coefficients() -> Array:
    z = _boundary(0.0)
    rows = _basis(z)
    return np.asarray(np.linalg.lstsq(rows, np.abs(z) ** 2 / 4, rcond=1e-14)[0])


def _basis(z: Complex) -> Array:
    """Real and imaginary parts of the poles' fractions and of powers, (N, number)."""
    poles, far = _poles()
    fractions = far / (z[:, None] - poles)
    powers = (z[:, None] / 2**0.5) ** np.arange(POWERS + 1)
    functions = np.concatenate([fractions, powers], axis=1)
    return np.concatenate([functions.real, functions.imag], axis=1)


__all__ = ["boundary_error", "exact", "singular"]
