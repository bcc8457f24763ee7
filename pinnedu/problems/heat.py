"""The heat equation on an interval with cold ends."""

from __future__ import annotations

from math import pi

import torch

from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def heat(D: float = 1.0) -> Problem:
    """u_t = D u_xx on (0, pi) x (0, 1], zero at both ends, u = sin x at first.

    The solution is exp(-D t) sin x. Fields: u. Coordinates: x (length), t (time).

    Parameters
    ----------
    D : float
        Diffusivity, positive (length^2 / time).
    """
    if not D > 0:
        raise ValueError(f"The diffusivity D must be positive, not {D}: heat flowing backwards has no stable solution.")
    return Problem(
        domain=Box(x=(0, pi), t=(0, 1)),
        equations={"heat": lambda u: u.t - D * u.xx},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - torch.sin(x)),
            "left": On(x=0, equation=lambda u: u),
            "right": On(x=pi, equation=lambda u: u),
        },
        exact=lambda x, t: torch.exp(-D * t) * torch.sin(x),
    )
