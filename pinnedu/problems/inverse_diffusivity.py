"""An unknown function: how well a plate conducts at each point, from noisy readings of its temperature."""

from __future__ import annotations

from math import pi

import numpy as np
import torch
from torch import Tensor

from pinnedu.checks import number, whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.observations import Observed
from pinnedu.problem import Problem


def inverse_diffusivity(noise: float = 0.1, seed: int = 0) -> Problem:
    """div(a grad u) + f = 0 on (0, 1)^2 with unknown a, from 50^2 readings of u; a is known on the boundary.

    The example "PInv" of Hao et al. (2023), PINNacle: u = sin(pi x) sin(pi y) and
    a = 1 / (1 + x^2 + y^2 + (x - 1)^2 + (y - 1)^2). Fields: u, a. Coordinates: x, y.

    Parameters
    ----------
    noise : float
        Standard deviation of the readings' Gaussian noise.
    seed : int
        Of the noise: one seed, one set of readings.
    """
    noise, seed = number(noise, "noise", 0.0), whole(seed, "seed", 0)
    along = (np.arange(50) + 0.5) / 50
    where = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)
    readings = np.sin(pi * where).prod(axis=1) + noise * np.random.default_rng(seed).standard_normal(len(where))

    def exact(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        a = 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)
        return {"u": torch.sin(pi * x) * torch.sin(pi * y), "a": a}

    def source(x: Tensor, y: Tensor) -> Tensor:
        """-div(a grad u), by a_x = -(4 x - 2) a^2."""
        known = exact(x, y)
        u, a = known["u"], known["a"]
        u_x, u_y = pi * torch.cos(pi * x) * torch.sin(pi * y), pi * torch.sin(pi * x) * torch.cos(pi * y)
        return a**2 * ((4 * x - 2) * u_x + (4 * y - 2) * u_y) + 2 * pi**2 * a * u

    return Problem(
        domain=Box(x=(0, 1), y=(0, 1)),
        fields=("u", "a"),
        equations={"diffusion": lambda u, a, x, y: a.x * u.x + a.y * u.y + a * u.laplacian() + source(x, y)},
        conditions={
            "boundary": On("boundary", equation=lambda a, x, y: a - exact(x, y)["a"]),
            "readings": Observed(where, u=readings),
        },
        exact=exact,
    )
