"""Lorenz' equations by an explicit Runge-Kutta method of order eight."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from pinnedu import checks

END = 3.0
"""The solution is known up to this time."""
START = (-8.0, 7.0, 27.0)
SIGMA, RHO, BETA = 10.0, 15.0, 8 / 3


def rate(t: float, state: NDArray[np.float64]) -> list[float]:
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z."""
    x, y, z = state
    return [SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z]


def exact(t: ArrayLike) -> NDArray[np.float64]:
    """Evaluate the solution that starts from (-8, 7, 27).

    Parameters
    ----------
    t : array_like
        Times in [0, 3].

    Returns
    -------
    ndarray, shape (3, ...)
        x, y and z, each of the shape of `t`, to 1e-9.

    Raises
    ------
    ValueError
        If a time is out of its range.
    """
    t = checks.numbers(t, "t", 0.0, END)
    return np.asarray(_trajectory()(t.ravel())).reshape(3, *t.shape)


@cache
def _trajectory() -> Any:
    """The solution as a function of the time. Short steps: between them a polynomial of degree seven is taken."""
    found = solve_ivp(rate, (0.0, END), START, method="DOP853", rtol=1e-12, atol=1e-12, max_step=0.01, dense_output=True)
    return found.sol


__all__ = ["END", "START", "exact", "rate"]
