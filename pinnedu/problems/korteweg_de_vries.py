"""The Korteweg-de Vries equation: a wave that breaks into solitons."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.conditions import On, Periodic
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference.periodic import KORTEWEG_DE_VRIES


def korteweg_de_vries() -> Problem:
    """u_t + u u_x + 0.022^2 u_xxx = 0 on (-1, 1) x (0, 1], periodic, u = cos(pi x) at first.

    The experiment of Zabusky & Kruskal (1965) with which the word soliton began. The exact solution is computed by
    exponential time differencing to 1e-9, see `pinnedu.reference.periodic`. Fields: u. Coordinates: x, t.
    """

    def exact(x: Tensor, t: Tensor) -> Tensor:
        return torch.as_tensor(KORTEWEG_DE_VRIES(x.cpu().double().numpy(), t.cpu().double().numpy())).to(x)

    return Problem(
        domain=Box(x=(-1, 1), t=(0, 1)),
        equations={"korteweg_de_vries": lambda u: u.t + u * u.x + 0.022**2 * u.xxx},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - torch.cos(pi * x)),
            "periodic": Periodic("x", order=2),
        },
        exact=exact,
    )
