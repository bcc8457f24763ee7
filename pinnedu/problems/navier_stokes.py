"""Incompressible flow behind a cylinder: find the equation's parameters and the pressure from velocities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pinnedu.domain import Box
from pinnedu.observations import Observed
from pinnedu.problem import Problem

TRUTH: Mapping[str, float] = {"lambda_1": 1.0, "lambda_2": 0.01}
"""The parameters with which the data were made: 1 and 1 / Re, Re = 100."""


def navier_stokes(points: np.ndarray, velocities: np.ndarray) -> Problem:
    """Momentum and mass balance with unknown parameters, tied to measured velocities.

    u_t + lambda_1 (u u_x + v u_y) = -p_x + lambda_2 (u_xx + u_yy), the same for v, and
    u_x + v_y = 0, on the wake x in (1, 8), y in (-2, 2), t in (0, 19.9), everything without unit.
    Raissi, Perdikaris & Karniadakis (2019), section 4.1.1. As there, the velocity comes from a stream
    function, u = psi_y and v = -psi_x, so that mass is balanced exactly. Pressure is found up to a
    function of time.

    Fields: psi (stream function), p (pressure). Derived: u, v (velocity). Coordinates: x, y, t.
    Unknowns: lambda_1, lambda_2, both guessed 0 at first.

    Parameters
    ----------
    points : array, shape (N, 3)
        Columns x, y, t.
    velocities : array, shape (N, 2)
        Columns u, v.
    """
    return Problem(
        domain=Box(x=(1, 8), y=(-2, 2), t=(0, 19.9)),
        fields=("psi", "p"),
        derived={"u": lambda psi: psi.y, "v": lambda psi: -psi.x},
        unknowns={"lambda_1": 0.0, "lambda_2": 0.0},
        equations={
            "momentum_x": lambda u, v, p, lambda_1, lambda_2: (
                u.t + lambda_1 * (u * u.x + v * u.y) + p.x - lambda_2 * u.laplacian("x", "y")
            ),
            "momentum_y": lambda u, v, p, lambda_1, lambda_2: (
                v.t + lambda_1 * (u * v.x + v * v.y) + p.y - lambda_2 * v.laplacian("x", "y")
            ),
        },
        conditions={"data": Observed(points, u=velocities[:, 0], v=velocities[:, 1])},
    )
