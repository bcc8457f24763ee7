"""Problems in other units than those near 1."""

from __future__ import annotations

import math

import torch

from pinnedu import (
    Box,
    Observed,
    On,
    Points,
    Problem,
)

FEW = Points(60, 10)


def logistic(capacity=1000.0, start=200.0, end=5.0):
    """Values from 200 to nearly 1000."""
    return Problem(
        Box(t=(0, end)),
        {"logistic": lambda u: u.t - u * (1 - u / capacity)},
        {"start": On(t=0, equation=lambda u: u - start)},
        exact=lambda t: capacity / (1 + (capacity / start - 1) * torch.exp(-t)),
    )


def decay(true, guess):
    """u' = -0.7 u, where 0.7 is an unknown in another unit."""
    t = torch.linspace(0, 2, 41, dtype=torch.float64)[:, None]
    return Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k: u.t + 0.7 / true * k * u},
        {"data": Observed(t, u=torch.exp(-0.7 * t[:, 0]))},
        unknowns={"k": guess},
        exact=lambda t: torch.exp(-0.7 * t),
    )


def hot(low=350.0, high=370.0):
    """Heat that an Arrhenius law makes in a wall, whose solution is manufactured: T = low + ... + 5 sin(pi x)."""

    def rate(T):
        return 30 * torch.exp(-8000 * (1 / T - 1 / 350))

    def exact(x):
        return low + (high - low) * x + 5 * torch.sin(math.pi * x)

    return Problem(
        Box(x=(0, 1)),
        {"energy": lambda T, x: T.xx + rate(T) - rate(exact(x)) + 5 * math.pi**2 * torch.sin(math.pi * x)},
        {"left": On(x=0, equation=lambda T: T - low), "right": On(x=1, equation=lambda T: T - high)},
        fields=("T",),
        exact=exact,
    )


def wide(length=300.0):
    """Poisson on [-300, 300], whose equation is of size 1e-4."""
    w = math.pi / length
    return Problem(
        Box(x=(-length, length)),
        {"poisson": lambda u, x: u.xx + w**2 * torch.sin(w * x)},
        {"left": On(x=-length, equation=lambda u: u), "right": On(x=length, equation=lambda u: u)},
        exact=lambda x: torch.sin(w * x),
    )


def heat(size=1.0, shift=0.0):
    """The heat equation in other units."""
    return Problem(
        Box(x=(0, math.pi), t=(0, 1)),
        {"heat": lambda u: u.t - u.xx},
        {
            "initial": On(t=0, equation=lambda u, x: u - shift - size * torch.sin(x)),
            "left": On(x=0, equation=lambda u: u - shift),
            "right": On(x=math.pi, equation=lambda u: u - shift),
        },
        exact=lambda x, t: shift + size * torch.exp(-t) * torch.sin(x),
    )


def deviation(model, problem, shift):
    """The error relative to what varies, without the shift."""
    points = problem.domain.evaluation_points(400)
    exact = problem.solution(points)["u"]
    with torch.no_grad():
        found = model(points)[:, 0]
    return float((found - exact).norm() / (exact - shift).norm())


def outputs(model, problem):
    with torch.no_grad():
        return model(problem.domain.sample(50, "grid"))
