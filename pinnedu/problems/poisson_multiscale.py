"""Poisson's equation on a square with a solution of several frequencies at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor

from pinnedu.checks import require, whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem


def poisson_multiscale(frequencies: Sequence[int] = (4, 8, 12, 16)) -> Problem:
    """-Delta u = f on (0, 1)^2, zero on the boundary, with the solution u = mean of sin(w pi x) sin(w pi y) over frequencies w.

    The source weighs each frequency by 2 pi^2 w^2, so that the residual sees the last sixteen times as large as the first.
    Fields: u. Coordinates: x, y.

    Parameters
    ----------
    frequencies : sequence of int
        The w, each at least 1.
    """
    require(isinstance(frequencies, Sequence) and len(frequencies) > 0, "frequencies", "a tuple such as (4, 8)", frequencies)
    waves = [whole(w, "Each of the frequencies") for w in frequencies]

    def total(x: Tensor, y: Tensor, power: int) -> Tensor:
        tones = [(2 * pi**2 * w**2) ** power * torch.sin(w * pi * x) * torch.sin(w * pi * y) for w in waves]
        return torch.stack(tones).mean(dim=0)

    return Problem(
        domain=Box(x=(0, 1), y=(0, 1)),
        equations={"poisson": lambda u, x, y: u.laplacian() + total(x, y, 1)},
        conditions={"boundary": On("boundary", equation=lambda u: u)},
        exact=lambda x, y: total(x, y, 0),
    )
