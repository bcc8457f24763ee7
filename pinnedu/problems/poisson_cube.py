"""Poisson's equation on the unit cube in many dimensions, with solutions of three kinds."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from pinnedu.checks import one_of, whole
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem

SOLUTIONS = ("cosines", "products", "square")


def poisson_cube(dim: int = 5, solution: str = "cosines") -> Problem:
    """Delta u = f on (0, 1)^d with its solution given on the boundary.

    The solution is the sum of cos(pi x_i) (Mueller & Zeinhofer 2023), the harmonic sum of x_(2k-1) x_(2k) (E & Yu 2018), or
    |x|^2 (Dangel, Mueller & Zeinhofer 2024). Fields: u. Coordinates: x1, ..., xd.

    Parameters
    ----------
    dim : int
        The number of dimensions d, at least 2; even for "products".
    solution : {"cosines", "products", "square"}
    """
    dim = whole(dim, "dim", 2, 10_000)
    one_of(solution, SOLUTIONS, "The solution")
    if solution == "products" and dim % 2:
        raise ValueError(f"dim must be even where the solution is a sum of products, not {dim}.")

    def exact(points: Tensor) -> Tensor:
        if solution == "cosines":
            return torch.cos(pi * points).sum(dim=1)
        if solution == "products":
            return (points[:, ::2] * points[:, 1::2]).sum(dim=1)
        return points.square().sum(dim=1)

    def source(points: Tensor) -> Tensor:
        """The Laplacian of the solution."""
        if solution == "cosines":
            return -(pi**2) * exact(points)
        return torch.full_like(points[:, 0], 2.0 * dim if solution == "square" else 0.0)

    return Problem(
        domain=Box(**{f"x{i + 1}": (0, 1) for i in range(dim)}),
        equations={"poisson": lambda u, points: u.laplacian() - source(points)},
        conditions={"boundary": On("boundary", equation=lambda u, points: u - exact(points))},
        exact=exact,
    )
