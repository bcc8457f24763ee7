"""Lorenz' equations: find their three numbers from a few readings of one trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from torch import Tensor

from pinnedu.checks import whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.observations import Observed
from pinnedu.problem import Problem
from pinnedu.reference import lorenz as reference

TRUTH: Mapping[str, float] = MappingProxyType({"sigma": 10.0, "rho": 15.0, "beta": 8 / 3})
"""The numbers with which the readings were made."""


def lorenz(readings: int = 25) -> Problem:
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z for t in (0, 3], from (-8, 7, 27).

    The example of DeepXDE (Lu, Meng, Mao & Karniadakis 2021): sigma, rho and beta are unknown, guessed 1 at first; the trajectory
    is read at equidistant times from 0 to 3. The exact solution is computed by a Runge-Kutta method, see
    `pinnedu.reference.lorenz`. Fields: x, y, z. Coordinates: t. Unknowns: sigma, rho, beta.

    Parameters
    ----------
    readings : int
        How many, at least 2.
    """
    times = np.linspace(0, reference.END, whole(readings, "readings", 2))
    x, y, z = reference.exact(times)

    def exact(t: Tensor) -> dict[str, np.ndarray]:
        return dict(zip("xyz", reference.exact(t.cpu().double().numpy()), strict=True))

    return Problem(
        domain=Box(t=(0, reference.END)),
        fields=("x", "y", "z"),
        unknowns=dict.fromkeys(TRUTH, 1.0),
        equations={
            "x": lambda x, y, sigma: x.t - sigma * (y - x),
            "y": lambda x, y, z, rho: y.t - x * (rho - z) + y,
            "z": lambda x, y, z, beta: z.t - x * y + beta * z,
        },
        conditions={
            "initial": On(t=0, equation=lambda x, y, z: (x + 8, y - 7, z - 27)),
            "readings": Observed(times[:, None], x=x, y=y, z=z),
        },
        exact=exact,
    )
