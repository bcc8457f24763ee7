"""The heat equation on the unit cube in many dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from pinnedu.checks import whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def heat_cube(dim: int = 4) -> Problem:
    """u_t = Delta u / 4 on (0, 1)^d x (0, 1], with the solution e^-t times the sum of sin(2 x_i) given at first and on the walls.

    The example in 4 + 1 dimensions of Dangel, Mueller & Zeinhofer (2024). Fields: u. Coordinates: x1, ..., xd, t.

    Parameters
    ----------
    dim : int
        The number of dimensions d of space, at least 1.
    """
    dim = whole(dim, "dim", 1, 10_000)
    space = [f"x{i + 1}" for i in range(dim)]

    def exact(points: Tensor) -> Tensor:
        return torch.exp(-points[:, -1]) * torch.sin(2 * points[:, :-1]).sum(dim=1)

    def miss(u: Tensor, points: Tensor) -> Tensor:
        return u - exact(points)

    return Problem(
        domain=Box(**dict.fromkeys(space, (0, 1)), t=(0, 1)),
        equations={"heat": lambda u: u.t - u.laplacian(*space) / 4},
        conditions={"initial": On(t=0, equation=miss), "walls": On("walls", equation=miss)},
        exact=exact,
    )
