"""The Kuramoto-Sivashinsky equation: long waves grow, short ones are damped, and the transport between them is chaos."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.conditions import On, Periodic
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference.periodic import KURAMOTO_SIVASHINSKY


def kuramoto_sivashinsky() -> Problem:
    """u_t + a u u_x + b u_xx + c u_xxxx = 0 on (0, 2 pi) x (0, 1], periodic, u = cos x (1 + sin x) at first.

    a = 100/16, b = 100/16^2 and c = 100/16^4, as in Wang, Sankaran & Perdikaris (2024). The exact solution is computed by
    exponential time differencing to 1e-7, see `pinnedu.reference.periodic`. Fields: u. Coordinates: x, t.
    """
    a, b, c = 100 / 16, 100 / 16**2, 100 / 16**4

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return torch.as_tensor(KURAMOTO_SIVASHINSKY(x.cpu().double().numpy(), t.cpu().double().numpy())).to(x)

    return Problem(
        domain=Box(x=(0, 2 * pi), t=(0, 1)),
        equations={"kuramoto_sivashinsky": lambda u: u.t + a * u * u.x + b * u.xx + c * u.xxxx},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - torch.cos(x) * (1 + torch.sin(x))),
            "periodic": Periodic("x", order=3),
        },
        exact=exact,
    )
