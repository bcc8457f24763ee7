"""Kovasznay's flow behind a grid: an exact solution of the Navier-Stokes equations with all of their terms."""

from __future__ import annotations

from math import pi, sqrt

import torch
from torch import Tensor

from pinnedu.checks import positive
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def kovasznay(reynolds: float = 20.0) -> Problem:
    """(w . grad) w + grad p = Delta w / Re and div w = 0 on (-1/2, 1) x (-1/2, 3/2), w = (u, v) given on the boundary.

    With l = Re/2 - sqrt(Re^2/4 + 4 pi^2) the solution is u = 1 - e^(l x) cos(2 pi y), v = l/(2 pi) e^(l x) sin(2 pi y) and
    p = (1 - e^(2 l x)) / 2 (Kovasznay 1948). The pressure is given in the corner of both low ends.
    Fields: u, v (velocity), p (pressure). Coordinates: x, y.

    Parameters
    ----------
    reynolds : float
        Re, positive.
    """
    reynolds = positive(reynolds, "The Reynolds number")
    rate = reynolds / 2 - sqrt(reynolds**2 / 4 + 4 * pi**2)

    def exact(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        decay = torch.exp(rate * x)
        return {
            "u": 1 - decay * torch.cos(2 * pi * y),
            "v": rate / (2 * pi) * decay * torch.sin(2 * pi * y),
            "p": (1 - decay * decay) / 2,
        }

    def inflow(u: Tensor, v: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        known = exact(x, y)
        return u - known["u"], v - known["v"]

    return Problem(
        domain=Box(x=(-0.5, 1), y=(-0.5, 1.5)),
        fields=("u", "v", "p"),
        equations={
            "momentum_x": lambda u, v, p: u * u.x + v * u.y + p.x - u.laplacian() / reynolds,
            "momentum_y": lambda u, v, p: u * v.x + v * v.y + p.y - v.laplacian() / reynolds,
            "mass": lambda u, v: u.x + v.y,
        },
        conditions={
            "boundary": On("boundary", equation=inflow),
            "pressure": On(x=-0.5, y=-0.5, equation=lambda p, x, y: p - exact(x, y)["p"]),
        },
        exact=exact,
    )
