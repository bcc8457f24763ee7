"""A string of two tones, held at both ends."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.checks import positive
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def wave(speed: float = 2.0) -> Problem:
    """u_tt = c^2 u_xx on (0, 1) x (0, 1], u = 0 at both ends, u = sin(pi x) + sin(4 pi x) / 2 and u_t = 0 at first.

    The example of Wang, Yu & Perdikaris (2022), section 7.3. The solution is
    sin(pi x) cos(c pi t) + sin(4 pi x) cos(4 c pi t) / 2. Fields: u. Coordinates: x, t.

    Parameters
    ----------
    speed : float
        c, positive.
    """
    c = positive(speed, "The speed")

    def start(x: Tensor) -> Tensor:
        return torch.sin(pi * x) + torch.sin(4 * pi * x) / 2

    return Problem(
        domain=Box(x=(0, 1), t=(0, 1)),
        equations={"wave": lambda u: u.tt - c**2 * u.xx},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - start(x)),
            "at_rest": On(t=0, equation=lambda u: u.t),
            "left": On(x=0, equation=lambda u: u),
            "right": On(x=1, equation=lambda u: u),
        },
        exact=lambda x, t: (
            torch.sin(pi * x) * torch.cos(c * pi * t) + torch.sin(4 * pi * x) * torch.cos(4 * c * pi * t) / 2
        ),
    )
