"""What you would use instead of a network: numpy and scipy.

Spectral solvers, at several sizes, for the four problems whose equation is known. For the wake, whose parameters are
not, a least-squares fit: the velocities by a stream function of harmonics in time and Chebyshev polynomials in
space, then the parameters that balance its vorticity, in which no pressure occurs.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from first.problems import BETA, NU, K, measurements
from first.watch import Watch
from pinnedu.reference import spectral

Array = NDArray[np.float64]


def heat(points: int, rtol: float, x: Array, t: Array) -> Array:
    """Chebyshev collocation and LSODA."""
    return spectral.heat(x, t, points=points, rtol=rtol, atol=rtol / 100)


def poisson(points: int, rtol: float, x: Array) -> Array:
    """Chebyshev collocation."""
    return spectral.poisson(x, lambda x: -(K**2) * np.sin(K * x), points=points)[:, None]


def burgers(points: int, rtol: float, x: Array, t: Array) -> Array:
    """Fourier collocation and an explicit Runge-Kutta method: it is not told where the shock will be."""
    return spectral.burgers(x, t, nu=NU, points=points, rtol=rtol, atol=rtol / 100)


def advection(points: int, rtol: float, x: Array, t: Array) -> Array:
    """Fourier collocation; every mode turns at its own rate."""
    nodes = 2 * pi * np.arange(points) / points
    modes = np.fft.rfft(np.sin(nodes)) / points
    k = np.arange(len(modes))
    turned = modes[:, None] * np.exp(-1j * BETA * np.outer(k, t))
    turned[1:] *= 2
    return (np.exp(1j * np.outer(x, k)) @ turned).real


SIZES = {
    "heat": [(4, 1e-3), (6, 1e-5), (8, 1e-6), (10, 1e-8), (12, 1e-10), (16, 1e-12)],
    "poisson": [(28, 0), (32, 0), (36, 0), (40, 0), (48, 0), (64, 0)],
    "burgers": [(128, 1e-4), (256, 1e-6), (512, 1e-7), (1024, 1e-9), (2048, 1e-11)],
    "advection": [(4, 0), (8, 0)],
}

DEGREES, HARMONICS = (16, 12), 3  # of the wake's stream function, in x, in y, in time
SMOOTH = 1e-3  # weight of the roughness: less overfits, more loses the vortices


def _basis(x: Array, degree: int, low: float, high: float, order: int = 0) -> Array:
    """Chebyshev polynomials scaled to an interval, or their derivatives: (N, degree + 1)."""
    scaled = 2 * (x - low) / (high - low) - 1
    derivatives = np.polynomial.chebyshev.chebder(np.eye(degree + 1), order) * (2 / (high - low)) ** order
    return np.polynomial.chebyshev.chebval(scaled, derivatives).T


def _turning(t: Array, omega: float, order: int = 0) -> Array:
    """1, cosines and sines of multiples of omega t, or their derivatives: (N, 2 HARMONICS + 1)."""
    columns = [np.full_like(t, float(order == 0))]
    for k in range(1, HARMONICS + 1):
        shift = k * omega * t + order * pi / 2
        columns += [(k * omega) ** order * np.cos(shift), (k * omega) ** order * np.sin(shift)]
    return np.stack(columns, axis=1)


def _stream(points: Array, omega: float, orders: tuple[int, int, int]) -> Array:
    """The derivative of every function of the basis by x, y and t so many times: (N, number of functions)."""
    parts = (
        _basis(points[:, 0], DEGREES[0], 1, 8, orders[0]),
        _basis(points[:, 1], DEGREES[1], -2, 2, orders[1]),
        _turning(points[:, 2], omega, orders[2]),
    )
    return np.einsum("ni,nj,nk->nijk", *parts).reshape(len(points), -1)


def wake(points: Array, velocity: Array) -> tuple[dict[str, float], Array, float]:
    """The two parameters, the coefficients of the stream function and its frequency."""
    i, j, k = np.meshgrid(
        np.arange(DEGREES[0] + 1), np.arange(DEGREES[1] + 1), np.arange(2 * HARMONICS + 1), indexing="ij"
    )
    roughness = (1 + i**2 + j**2 + ((k + 1) // 2) ** 2).ravel() ** 3.0  # polynomials of high degree swing at the edges

    def fit(omega: float, rows: slice) -> tuple[float, Array]:
        matrix = np.concatenate([_stream(points[rows], omega, (0, 1, 0)), -_stream(points[rows], omega, (1, 0, 0))])
        target = velocity[rows].T.ravel()
        found = np.linalg.solve(matrix.T @ matrix + np.diag(SMOOTH * roughness), matrix.T @ target)
        return float(np.linalg.norm(matrix @ found - target)), found

    some = slice(0, None, 2)
    omega = minimize_scalar(lambda w: fit(w, some)[0], bounds=(0.98, 1.14), method="bounded", options={"xatol": 2e-4}).x
    _, coefficients = fit(omega, slice(None))
    inside = points[(points[:, 0] > 1.3) & (points[:, 0] < 7.7) & (np.abs(points[:, 1]) < 1.8)][:2000]
    d = lambda *orders: _stream(inside, omega, orders) @ coefficients
    u, v = d(0, 1, 0), -d(1, 0, 0)
    vorticity = {order: -sum(d(*(np.add(order, twice))) for twice in ((2, 0, 0), (0, 2, 0)))
                 for order in ((0, 0, 1), (1, 0, 0), (0, 1, 0), (2, 0, 0), (0, 2, 0))}  # fmt: skip
    inertia = u * vorticity[1, 0, 0] + v * vorticity[0, 1, 0]
    friction = vorticity[2, 0, 0] + vorticity[0, 2, 0]
    found, *_ = np.linalg.lstsq(np.stack([-inertia, friction], axis=1), vorticity[0, 0, 1], rcond=None)
    return {"lambda_1": float(found[0]), "lambda_2": float(found[1])}, coefficients, float(omega)


def train(name: str, watch: Watch, seed: int) -> None:
    """Solve at every size, each from the beginning, and note when its answer was there."""
    if name == "wake":
        found, coefficients, omega = wake(*measurements(seed))

        def predict(points: Array) -> Array:
            u, v = _stream(points, omega, (0, 1, 0)) @ coefficients, -_stream(points, omega, (1, 0, 0)) @ coefficients
            return np.stack([u, v], axis=1)

        watch.look(predict, found)
    else:
        axes = [np.unique(column) for column in watch.task.points.T]
        globals()[name](*SIZES[name][0], *axes)  # libraries loaded
        for size in SIZES[name]:
            watch.restart()
            values = globals()[name](*size, *axes)
            watch.look(lambda points, values=values: values.reshape(len(points), 1))
    watch.stopped = "all sizes done"
