"""Burgers' equation with a shock that viscosity keeps thin."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference.burgers import exact as cole_hopf


def burgers(nu: float = 0.01 / pi) -> Problem:
    """u_t + u u_x = nu u_xx on (-1, 1) x (0, 1], u = -sin(pi x) at first, zero at both ends.

    The example of Raissi, Perdikaris & Karniadakis (2019), section 3.1. The exact solution is
    computed by the Cole-Hopf transform. Fields: u. Coordinates: x, t.

    Parameters
    ----------
    nu : float
        Viscosity, positive.
    """

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return torch.as_tensor(cole_hopf(x.cpu().double().numpy(), t.cpu().double().numpy(), nu)).to(x)

    return Problem(
        domain=Box(x=(-1, 1), t=(0, 1)),
        equations={"burgers": lambda u: u.t + u * u.x - nu * u.xx},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u + torch.sin(pi * x)),
            "left": On(x=-1, equation=lambda u: u),
            "right": On(x=1, equation=lambda u: u),
        },
        exact=exact,
    )
