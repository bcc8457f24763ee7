"""Advection: the exact solution has residual zero, and the speed is checked."""

import pytest
import torch

from pinnedu import Points
from pinnedu.problems import advection


@pytest.mark.parametrize("beta", [-3.0, 0.0, 30.0])
def test_exact_solution_has_residual_zero(beta, closed_form):
    problem = advection(beta)
    sample = problem.sample(Points(50, 20))
    for residual in problem.residuals(closed_form(problem.exact), sample).values():
        assert residual.abs().max() < 1e-12 * (1 + abs(beta))


def test_solution_is_periodic_and_starts_as_a_sine():
    exact = advection(30.0).exact
    x, t = torch.linspace(0, 6, 7, dtype=torch.float64), torch.full((7,), 0.3, dtype=torch.float64)
    torch.testing.assert_close(exact(x, t), exact(x + 2 * torch.pi, t))
    torch.testing.assert_close(exact(x, 0 * t), torch.sin(x))


@pytest.mark.parametrize("beta", [float("nan"), float("inf")])
def test_bad_speed(beta):
    with pytest.raises(ValueError, match="beta must be a finite number"):
        advection(beta)
