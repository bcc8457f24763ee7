"""A screened potential between a square and four round holes of different size."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor

from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.level_set import LevelSet
from pinnedu.problem import Problem
from pinnedu.problems.laplace_holes import hole
from pinnedu.reference import screened_poisson as reference


def screened_poisson() -> Problem:
    """-(u_xx + u_yy) + 64 u = 10 (17 + x^2 + y^2) sin(pi x) sin(4 pi y) on (-1, 1)^2 without four disks.

    u is 0.2 on the square's sides and 1 on the circles. The example "PoissonBoltzmann2d" of Hao et al. (2023), PINNacle. The
    exact solution is a closed form with Bessel functions about the holes, see `pinnedu.reference.screened_poisson`. Fields: u.
    Coordinates: x, y. Parts: "outside", "hole 1" to "hole 4", and "surface", all holes.
    """

    def exact(x: Tensor, y: Tensor) -> Any:
        return reference.exact(x.cpu().double().numpy(), y.cpu().double().numpy())

    return Problem(
        domain=LevelSet(
            Box(x=(-1, 1), y=(-1, 1)), {f"hole {k}": hole(*where) for k, where in enumerate(reference.HOLES, start=1)}
        ),
        equations={
            "balance": lambda u, x, y: (
                -u.laplacian()
                + reference.K**2 * u
                - 10 * (17 + x**2 + y**2) * torch.sin(pi * x) * torch.sin(4 * pi * y)
            )
        },
        conditions={
            "outside": On("outside", equation=lambda u: u - reference.OUTSIDE),
            "holes": On("surface", equation=lambda u: u - reference.INSIDE),
        },
        exact=exact,
    )
