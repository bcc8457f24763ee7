"""The screened Poisson equation on a square with four round holes, by closed forms and the method of images."""

from __future__ import annotations

from functools import cache
from math import pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import kve

from pinnedu import checks

Array = NDArray[np.float64]

K = 8.0
"""-(u_xx + u_yy) + K^2 u = f."""
HOLES = ((0.5, 0.5, 0.2), (0.4, -0.4, 0.4), (-0.2, -0.7, 0.1), (-0.6, 0.5, 0.3))
"""Center and radius of each."""
OUTSIDE, INSIDE = 0.2, 1.0
"""The values on the sides of the square (-1, 1)^2 and on the circles."""

ORDERS, IMAGES, MODES = 40, 2, 1000
FAR = 30.0
"""What is e^-30 of its value at the hole is left out."""


def source(x: Array, y: Array) -> Array:
    """f = 10 (17 + x^2 + y^2) sin(pi x) sin(4 pi y)."""
    return 10 * (17 + x**2 + y**2) * np.sin(pi * x) * np.sin(4 * pi * y)


def exact(x: ArrayLike, y: ArrayLike) -> Array:
    """u, to 1e-7 near the sides of the square and to 1e-9 elsewhere.

    A sum of three: (1) a function with the right-hand side f and 0 on the sides, a closed form; (2) the one with no
    right-hand side and OUTSIDE on the sides, a sum of MODES sines, whose n-th is n^-3 at a side; (3) for each hole modified
    Bessel functions K_k(K r) times cos k theta and sin k theta about its center, with images that make them 0
    on the sides. The coefficients of (3) are the least squares fit of the values on the circles.
    By the maximum principle the error inside is at most the one on the boundary.

    Parameters
    ----------
    x, y : array
        In the square, outside of the holes.
    """
    x, y = checks.together(x=checks.numbers(x, "x", -1.0, 1.0), y=checks.numbers(y, "y", -1.0, 1.0))
    px, py = x.reshape(-1), y.reshape(-1)
    for a, b, radius in HOLES:
        if px.size and np.hypot(px - a, py - b).min() < radius * (1 - 1e-6):
            raise ValueError("The solution is known between the square and the holes, but some points lie in a hole.")
    parts = np.array_split(np.arange(len(px)), -(-len(px) // 2000) or 1)
    values = [smooth(px[rows], py[rows]) + _holes(px[rows], py[rows]) @ _coefficients() for rows in parts]
    return np.concatenate(values).reshape(x.shape)


def boundary_error() -> float:
    """The largest error on the circles, between the points of the fit: a bound for that inside but for the sum of sines."""
    x, y = _circles(97)
    return float(np.abs(smooth(x, y) + _holes(x, y) @ _coefficients() - INSIDE).max())


def smooth(x: Array, y: Array) -> Array:
    """The solution on the square without holes, (1) and (2).

    With S = sin(pi x) sin(4 pi y) and L = K^2 + 17 pi^2, minus the Laplacian plus K^2 makes L S of S, and so on: x^2 S
    gives L x^2 S - 2 S - 4 pi x cos(pi x) sin(4 pi y), and x cos(pi x) sin(4 pi y) gives L times itself plus 2 pi S. What
    those leave on the sides is taken off by sinh.
    """
    sx, cx, sy, cy = np.sin(pi * x), np.cos(pi * x), np.sin(4 * pi * y), np.cos(4 * pi * y)
    size = K**2 + 17 * pi**2
    b = 10 / size
    c, d = 4 * pi * b / size, 16 * pi * b / size
    a = (170 + 4 * b - 2 * pi * c - 8 * pi * d) / size
    particular = (a + b * (x**2 + y**2)) * sx * sy + c * x * cx * sy + d * y * cy * sx
    particular += c * _sinh(sqrt(K**2 + 16 * pi**2), x) * sy - d * _sinh(sqrt(K**2 + pi**2), y) * sx
    # cosh K x / cosh K is 1 on two sides; what is missing on the other two is 1 - cosh K x / cosh K there.
    n = np.arange(1, MODES, 2)
    q = n * pi / 2
    heights = 2 * (1 / q - q / (q**2 + K**2)) * np.sin(q)
    rates = np.sqrt(q**2 + K**2)
    column = _cosh(rates, y[:, None]) * np.cos(q * x[:, None])
    return particular + OUTSIDE * (_cosh(K, x) + column @ heights)


def _cosh(rate: float | Array, s: Array) -> Array:
    """cosh(rate s) / cosh(rate), for |s| <= 1 and any rate."""
    far = np.abs(s)
    return np.exp(rate * (far - 1)) * (1 + np.exp(-2 * rate * far)) / (1 + np.exp(-2 * np.asarray(rate)))


def _sinh(rate: float, s: Array) -> Array:
    """sinh(rate s) / sinh(rate), for |s| <= 1 and any rate."""
    far = np.abs(s)
    return np.sign(s) * np.exp(rate * (far - 1)) * (1 - np.exp(-2 * rate * far)) / (1 - np.exp(-2 * rate))


def _circles(count: int) -> tuple[Array, Array]:
    """Points on all circles."""
    angle = 2 * pi * np.arange(count) / count
    x = np.concatenate([a + radius * np.cos(angle) for a, _, radius in HOLES])
    y = np.concatenate([b + radius * np.sin(angle) for _, b, radius in HOLES])
    return x, y


@cache
def _coefficients() -> Array:
    x, y = _circles(160)
    rows = _holes(x, y)
    sizes = np.abs(rows).max(axis=0)
    return np.asarray(np.linalg.lstsq(rows / sizes, INSIDE - smooth(x, y), rcond=1e-14)[0] / sizes)


def _holes(x: Array, y: Array) -> Array:
    """K_k(K r) cos(k theta) and sin(k theta) about each hole with their images, over K_k at the hole, (N, number)."""
    columns = []
    for a, b, radius in HOLES:
        heights = _bessel(np.array([K * radius]))[:, 0]
        total = np.zeros((ORDERS, len(x)), dtype=complex)
        for i in range(-IMAGES, IMAGES + 1):
            for j in range(-IMAGES, IMAGES + 1):
                # x -> 2 i + (-1)^i x is the reflection about the side x = i, and several of them together.
                z = (x - 2 * i) * (-1) ** i - a + 1j * ((y - 2 * j) * (-1) ** j - b)
                near = np.flatnonzero(np.abs(z) < radius + FAR / K)
                if len(near):
                    z = z[near]
                    turns = np.cumprod(np.stack([np.ones_like(z), *[z / np.abs(z)] * (ORDERS - 1)]), axis=0)
                    decay = (-1) ** (i + j) * np.exp(K * (radius - np.abs(z)))
                    total[:, near] += _bessel(K * np.abs(z)) / heights[:, None] * decay * turns
        columns.append(np.concatenate([total.real, total.imag[1:]]))
    return np.concatenate(columns).T


def _bessel(r: Array) -> Array:
    """e^r K_k(r) for the orders k, upwards by K_(k+1) = K_(k-1) + 2 k K_k / r, which is stable: (ORDERS, N)."""
    rows = [kve(0, r), kve(1, r)]
    for k in range(1, ORDERS - 1):
        rows.append(rows[k - 1] + 2 * k / r * rows[k])
    return np.stack(rows)


__all__ = ["boundary_error", "exact", "smooth", "source"]
