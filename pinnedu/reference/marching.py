"""What solvers that march in time on a periodic grid have in common: states that are kept, and times between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Factors = tuple[NDArray[Any], NDArray[Any]]


def fill(
    values: Values, x: NDArray[np.float64], t: NDArray[np.float64], solution: Callable[[float, NDArray[Any]], Values]
) -> Values:
    """Replace the initial values by the solution wherever t > 0: one call of ``solution(time, x)`` for each time."""
    times, place = np.unique(t, return_inverse=True)
    place = place.reshape(t.shape)
    for i, time in enumerate(times):
        if time > 0:
            own = place == i
            values[own] = solution(float(time), x[own])
    return values


def state_at(time: float, states: Values, duration: float, step: Callable[[Values, float], Values]) -> Values:
    """The state at any time: the last one before it, of those kept from 0 to the duration, and one shorter step."""
    steps = len(states) - 1
    before = min(int(time / duration * steps), steps)
    rest = time - before * duration / steps
    return states[before] if rest <= 0 else step(states[before], rest)


def fourth_order(split: Callable[[Values, float, NDArray[Any]], Values], values: Values, h: float, factors: Factors) -> Values:
    """A step of order four of two of order two, h and twice h / 2 (Richardson).

    ``split(values, h, factor)`` is a symmetric splitting (Strang 1968), whose error has even powers of h alone; the factors
    are those of its half steps, for h and for h / 2.
    """
    half, quarter = factors
    whole = split(values, h, half)
    return np.asarray((4 * split(split(values, h / 2, quarter), h / 2, quarter) - whole) / 3)


__all__ = ["fill", "fourth_order", "state_at"]
