"""The nonlinear Schroedinger equation: a pulse that steepens and opens again."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.conditions import On, Periodic
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference import schroedinger as reference


def schroedinger() -> Problem:
    """i h_t + h_xx / 2 + |h|^2 h = 0 on (-5, 5) x (0, pi/2], periodic, h = 2 sech x at first; h = u + i v.

    The example of Raissi, Perdikaris & Karniadakis (2019), section 3.1.1. The exact solution is computed by splitting to
    1e-6, see `pinnedu.reference.schroedinger`: the formula for two solitons on the whole line is none here.
    Fields: u, v. Coordinates: x, t.
    """

    def exact(x: Tensor, t: Tensor) -> dict[str, Tensor]:
        h = torch.as_tensor(reference.exact(x.cpu().double().numpy(), t.cpu().double().numpy()))
        return {"u": h.real.to(x), "v": h.imag.to(x)}

    return Problem(
        domain=Box(x=(-5, 5), t=(0, pi / 2)),
        fields=("u", "v"),
        equations={
            "real": lambda u, v: -v.t + u.xx / 2 + (u * u + v * v) * u,
            "imaginary": lambda u, v: u.t + v.xx / 2 + (u * u + v * v) * v,
        },
        conditions={
            "initial": On(t=0, equation=lambda u, v, x: (u - 2 / torch.cosh(x), v)),
            "periodic": Periodic("x"),
        },
        exact=exact,
    )
