"""A wave that moves along at a constant speed: the easiest equation on which a PINN fails."""

from __future__ import annotations

from math import pi

import torch

from pinnedu.checks import number
from pinnedu.conditions import On, Periodic
from pinnedu.domain import Box
from pinnedu.problem import Problem


def advection(beta: float = 30.0) -> Problem:
    """u_t + beta u_x = 0 on (0, 2 pi) x (0, 1], periodic in x, u = sin x at first.

    The example of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021). The solution is
    sin(x - beta t): beta / (2 pi) waves pass by in the time given. Fields: u. Coordinates: x, t.

    Parameters
    ----------
    beta : float
        Speed (length / time), of either sign.
    """
    beta = number(beta, "The speed beta")
    return Problem(
        domain=Box(x=(0, 2 * pi), t=(0, 1)),
        equations={"advection": lambda u: u.t + beta * u.x},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - torch.sin(x)),
            "periodic": Periodic("x", order=0),
        },
        exact=lambda x, t: torch.sin(x - beta * t),
    )
