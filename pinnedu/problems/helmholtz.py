"""Helmholtz' equation on a square: standing waves, driven."""

from __future__ import annotations

from math import pi

import torch

from pinnedu.checks import number, whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def helmholtz(a: int = 1, b: int = 4, k: float = 1.0) -> Problem:
    """u_xx + u_yy + k^2 u = q on (-1, 1)^2, zero on the boundary, with the solution u = sin(a pi x) sin(b pi y).

    The example of Wang, Teng & Perdikaris (2021), section 3.3, where a = 1, b = 4 and k = 1. Fields: u. Coordinates: x, y.

    Parameters
    ----------
    a, b : int
        Frequencies of the solution, at least 1.
    k : float
        Wave number.
    """
    a, b, k = whole(a, "The frequency a"), whole(b, "The frequency b"), number(k, "The wave number k")
    factor = k**2 - pi**2 * (a**2 + b**2)
    return Problem(
        domain=Box(x=(-1, 1), y=(-1, 1)),
        equations={
            "helmholtz": lambda u, x, y: (
                u.laplacian() + k**2 * u - factor * torch.sin(a * pi * x) * torch.sin(b * pi * y)
            )
        },
        conditions={"boundary": On("boundary", equation=lambda u: u)},
        exact=lambda x, y: torch.sin(a * pi * x) * torch.sin(b * pi * y),
    )
