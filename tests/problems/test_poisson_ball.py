"""Poisson on the ball: the exact solution has residual zero, zero on the sphere, and is no linear function."""

import pytest
import torch
from torch import nn

from pinnedu import MLP, Adam, Ball, HardConstraint, Points, fit
from pinnedu.derivatives import hutchinson
from pinnedu.problems import poisson_ball


class Exact(nn.Module):
    def __init__(self, problem):
        super().__init__()
        self.problem = problem

    def forward(self, points):
        return self.problem.exact(points)[:, None]


@pytest.mark.parametrize(("dim", "frequency"), [(2, 1.0), (5, 0.4), (20, 2.0)])
def test_exact_solution_has_residual_zero(dim, frequency):
    problem = poisson_ball(dim, frequency)
    points = problem.domain.sample(50)
    residual = problem.residuals(Exact(problem), points)["poisson"]
    assert residual.abs().max() < 1e-11 * dim
    on_sphere = points / points.norm(dim=1, keepdim=True)
    assert problem.exact(on_sphere).abs().max() < 1e-14


def test_no_linear_function_comes_close():
    problem = poisson_ball(20, 0.5)
    x = problem.domain.sample(5000)
    u = problem.exact(x)[:, None]
    A = (1 - x.square().sum(dim=1, keepdim=True)) * torch.cat([torch.ones(5000, 1, dtype=x.dtype), x], dim=1)
    assert (A @ torch.linalg.lstsq(A, u).solution - u).norm() > 0.1 * u.norm()


def test_trains_with_random_directions_and_a_hard_constraint():
    problem = poisson_ball(5, 0.4)
    model = HardConstraint(MLP(problem, (16,)), problem, u=lambda u, points: (1 - points.square().sum(1)) * u)
    run = fit(
        model, problem, optimizer=Adam(1e-2), steps=200, points=Points(64), seed=0,
        derivatives=hutchinson(1, "radial", unbiased=True),
    )  # fmt: skip
    assert isinstance(problem.domain, Ball)
    assert run.error < 0.2


@pytest.mark.parametrize("frequency", [0, -1.0, float("nan"), "1"])
def test_bad_frequency(frequency):
    with pytest.raises(ValueError, match="frequency must be a positive number"):
        poisson_ball(3, frequency)
