"""A known law with one unknown term: a pendulum with friction that nobody has a formula for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from pinnedu.checks import axis, number, require, whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.observations import Observed
from pinnedu.problem import Problem

END = 10.0
START = 2.0, 0.0
"""Angle and angular velocity at first."""


def friction(v: Any) -> Any:
    """What slows the pendulum down at angular velocity v: 0.15 v + 0.15 v |v|, bearing and air."""
    return 0.15 * v + 0.15 * v * abs(v)


def swing(
    law: Callable[[float], float], times: np.ndarray[Any, Any], start: Sequence[float] = START
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Angle and angular velocity of u'' + sin u + law(u') = 0, by a Runge-Kutta method (scipy).

    Parameters
    ----------
    law : callable
        Friction as a function of the angular velocity.
    times : array (N,), increasing from 0
    start : pair of float

    Returns
    -------
    two arrays (N,)

    Raises
    ------
    ValueError
        If the law is no function, or drives the pendulum to infinity.
    """
    require(callable(law), "law", "a function of the angular velocity", law)
    times = axis(times, "times", 0.0)
    require(isinstance(start, tuple | list) and len(start) == 2, "start", "an angle and an angular velocity", start)
    first = [number(value, "start") for value in start]
    run = solve_ivp(
        lambda _, y: [y[1], -np.sin(y[0]) - float(law(y[1]))], (0, times[-1]), first, t_eval=times, rtol=1e-7, atol=1e-9
    )
    if run.y.shape[1] < len(times):
        raise ValueError("With this law the pendulum goes to infinity: it must slow it down.")
    return run.y[0], run.y[1]


def pendulum(law: Callable[[Tensor], Tensor], noise: float = 0.02, seed: int = 0) -> Problem:
    """u'' + sin u + law(u') = 0, from 100 noisy readings of the angle. Fields: u. Coordinates: t.

    Parameters
    ----------
    law : callable, (N,) -> (N,)
        Friction as a function of the angular velocity: a network, to find it. The readings are those of ``friction``.
    noise : float
        Standard deviation of the readings' Gaussian noise.
    seed : int
        Of the noise.
    """
    require(callable(law), "law", "a function of the angular velocity", law)
    noise, seed = number(noise, "noise", 0.0), whole(seed, "seed", 0)
    times = np.linspace(0, END, 100)
    angles = swing(friction, times)[0] + noise * np.random.default_rng(seed).standard_normal(len(times))
    return Problem(
        domain=Box(t=(0, END)),
        equations={"motion": lambda u: u.tt + torch.sin(u) + law(u.t)},
        conditions={
            "start": On(t=0, equation=lambda u: (u - START[0], u.t - START[1])),
            "readings": Observed(times[:, None], u=angles),
        },
    )
