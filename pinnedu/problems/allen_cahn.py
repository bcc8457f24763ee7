"""The Allen-Cahn equation: two phases, and thin layers between them."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.conditions import On, Periodic
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference import allen_cahn as reference


def allen_cahn(diffusion: float = reference.DIFFUSION) -> Problem:
    """u_t = D u_xx + 5 u - 5 u^3 on (-1, 1) x (0, 1], periodic, u = x^2 cos(pi x) at first.

    The example of Raissi, Perdikaris & Karniadakis (2019), section 3.2. The exact solution is
    computed by splitting, see `pinnedu.reference.allen_cahn`. Fields: u. Coordinates: x, t.

    Parameters
    ----------
    diffusion : float
        D, in [1e-5, 1].
    """

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return torch.as_tensor(reference.exact(x.cpu().double().numpy(), t.cpu().double().numpy(), diffusion)).to(x)

    return Problem(
        domain=Box(x=(-1, 1), t=(0, 1)),
        equations={"allen_cahn": lambda u: u.t - diffusion * u.xx - 5 * u + 5 * u * u * u},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - x**2 * torch.cos(pi * x)),
            "periodic": Periodic("x"),
        },
        exact=exact,
    )
