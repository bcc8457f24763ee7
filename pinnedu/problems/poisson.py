"""Poisson's equation in one dimension, with a wave on the right-hand side."""

from __future__ import annotations

from math import pi

import torch

from pinnedu.checks import whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def poisson(k: int = 1) -> Problem:
    """u'' = -k^2 sin(k x) on (-pi, pi), zero at both ends.

    The solution is sin(k x). Fields: u. Coordinates: x.

    Parameters
    ----------
    k : int
        Frequency of the solution, at least 1.
    """
    k = whole(k, "The frequency k")
    return Problem(
        domain=Box(x=(-pi, pi)),
        equations={"poisson": lambda u, x: u.xx + k**2 * torch.sin(k * x)},
        conditions={"left": On(x=-pi, equation=lambda u: u), "right": On(x=pi, equation=lambda u: u)},
        exact=lambda x: torch.sin(k * x),
    )
