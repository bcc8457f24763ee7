"""A potential between a square and four round holes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.level_set import LevelSet
from pinnedu.problem import Problem
from pinnedu.reference import laplace_holes as reference


def laplace_holes() -> Problem:
    """u_xx + u_yy = 0 on a square without four disks; u is 1 on the square's sides and 0 on the circles.

    The square has the side 1 and the center 0, the disks the radius 0.1 and the centers (+-0.3, +-0.3). The example "Poisson2d-C"
    of Hao et al. (2023), PINNacle. The exact solution comes from the method of images, see `pinnedu.reference.laplace_holes`.
    Fields: u. Coordinates: x, y. Parts: "outside", "hole 1" to "hole 4", and "surface", all holes.
    """
    h, a = reference.HALF, reference.OFFSET

    def exact(x: Tensor, y: Tensor) -> Any:
        return reference.exact(x.cpu().double().numpy(), y.cpu().double().numpy())

    return Problem(
        domain=LevelSet(
            Box(x=(-h, h), y=(-h, h)),
            {f"hole {k}": hole(*center, reference.RADIUS) for k, center in enumerate([(a, a), (-a, a), (-a, -a), (a, -a)], 1)},
        ),
        equations={"laplace": lambda u: u.laplacian()},
        conditions={
            "outside": On("outside", equation=lambda u: u - 1),
            "holes": On("surface", equation=lambda u: u),
        },
        exact=exact,
    )


def hole(a: float, b: float, radius: float) -> Any:
    """A level function that is positive in a disk, with slope 1 at its rim."""
    return lambda x, y: (radius**2 - (x - a) ** 2 - (y - b) ** 2) / (2 * radius)
