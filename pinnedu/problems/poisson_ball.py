"""Poisson's equation on the unit ball in many dimensions, with a solution that couples neighbors."""

from __future__ import annotations

import torch
from torch import Tensor

from pinnedu.ball import Ball
from pinnedu.checks import positive
from pinnedu.problem import Problem


def poisson_ball(dim: int, frequency: float = 1.0) -> Problem:
    """-Delta u = f on the unit ball in d dimensions, with the solution u = (1 - |x|^2) g(x),

        g(x) = d^-1/2 sum_i sin(y_i) cos(y_{i+1}),    y = frequency d^1/2 x,    y_{d+1} = y_1.

    In a ball of many dimensions the x_i are of the size d^-1/2. So the y_i, and with them g, vary equally
    much in any dimension: no constant and no linear function comes close. g is an eigenfunction of the
    Laplacian, Delta g = -2 d frequency^2 g, and with E g = x . grad g the right-hand side is

        f = 2 d (1 + frequency^2 (1 - |x|^2)) g + 4 E g.

    There is no boundary condition: build it into the model, by ``HardConstraint(model, problem,
    u=lambda u, points: (1 - points.square().sum(1)) * u)``. Fields: u. Coordinates: x1, ..., xd.

    Parameters
    ----------
    dim : int
        The number of dimensions d, at least 2.
    frequency : float
        The larger, the more the solution varies.

    References
    ----------
    In the manner of Hu, Shi, Karniadakis & Kawaguchi (2024), whose solutions use x instead of y.
    """
    frequency = positive(frequency, "frequency")
    domain, factor = Ball(dim), frequency * dim**0.5

    def waves(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute 1 - |x|^2, g and E g, each (N,)."""
        y = factor * points
        after = torch.cat([y[:, 1:], y[:, :1]], dim=1)
        g = torch.sin(y) * torch.cos(after)
        slope = y * torch.cos(y) * torch.cos(after) - after * torch.sin(y) * torch.sin(after)
        return 1 - points.square().sum(dim=1), g.sum(dim=1) / dim**0.5, slope.sum(dim=1) / dim**0.5

    def force(points: Tensor) -> Tensor:
        inside, g, slope = waves(points)
        return 2 * dim * (1 + frequency**2 * inside) * g + 4 * slope

    def exact(points: Tensor) -> Tensor:
        inside, g, _ = waves(points)
        return inside * g

    return Problem(
        domain=domain,
        equations={"poisson": lambda u, points: u.laplacian() + force(points)},
        exact=exact,
    )
