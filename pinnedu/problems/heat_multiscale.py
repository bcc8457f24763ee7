"""Heat in a plate that conducts well across and badly along, with a fine pattern along."""

from __future__ import annotations

from math import pi

import torch

from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def heat_multiscale() -> Problem:
    """u_t = u_xx / (500 pi)^2 + u_yy / pi^2 on (0, 1)^2 x (0, 5], zero on the walls, u = sin(20 pi x) sin(pi y) at first.

    The example "Heat 2d, multi-scale" of Hao et al. (2023), PINNacle. The solution is
    e^(-(1 + 0.04^2) t) sin(20 pi x) sin(pi y). Fields: u. Coordinates: x, y, t.
    """
    return Problem(
        domain=Box(x=(0, 1), y=(0, 1), t=(0, 5)),
        equations={"heat": lambda u: u.t - u.xx / (500 * pi) ** 2 - u.yy / pi**2},
        conditions={
            "initial": On(t=0, equation=lambda u, x, y: u - torch.sin(20 * pi * x) * torch.sin(pi * y)),
            "walls": On("walls", equation=lambda u: u),
        },
        exact=lambda x, y, t: torch.exp(-(1 + 0.04**2) * t) * torch.sin(20 * pi * x) * torch.sin(pi * y),
    )
