"""Burgers' equation: the exact solution solves it, and Gauss-Newton finds the shock."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pinnedu import MLP, GaussNewton, HardConstraint, Points, Problem, fit, problems

NU = 0.01 / math.pi


def solution(problem, x, t):
    x, t = np.broadcast_arrays(x, t)
    points = torch.tensor(np.stack([x.ravel(), t.ravel()], axis=1))
    return problem.solution(points)["u"].numpy().reshape(x.shape)


@pytest.mark.parametrize("nu", [NU, 0.1])
def test_the_exact_solution_has_a_small_residual(nu):
    """Central differences of the values leave a residual of the order of their error, away from the shock."""
    problem, h = problems.burgers(nu), 1e-3
    x, t = np.linspace(0.2, 0.9, 30)[:, None], np.linspace(0.05, 0.9, 20)
    u, east, west = (solution(problem, x + shift, t) for shift in (0, h, -h))
    u_t = (solution(problem, x, t + h) - solution(problem, x, t - h)) / (2 * h)
    residual = u_t + u * (east - west) / (2 * h) - nu * (east - 2 * u + west) / h**2
    assert abs(residual).max() < 3e-4


def test_the_exact_solution_meets_the_conditions(closed_form):
    problem = problems.burgers()
    sample = problem.sample(Points(1, 50))
    for name, condition in problem.conditions.items():
        wanted = problem.solution(sample[name])["u"]
        if name == "initial":
            torch.testing.assert_close(wanted, -torch.sin(math.pi * sample[name][:, 0]))
        else:
            assert wanted.abs().max() == 0, condition


def test_domain_and_terms():
    problem = problems.burgers()
    assert problem.domain.bounds == {"x": (-1, 1), "t": (0, 1)}
    assert problem.terms == ("burgers", "initial", "left", "right")


@pytest.fixture(scope="module")
def gentle():
    """Ten times the viscosity of the classical test: a layer of a tenth of the domain, quick to learn."""
    return problems.burgers(0.1 / math.pi)


def test_gauss_newton_learns_a_gentle_shock(gentle):
    run = fit(
        MLP(gentle, hidden=(15, 15)), gentle, optimizer=GaussNewton(), steps=40, seed=0,
        points=Points(600, 60, resample=5), progress=False,
    )  # fmt: skip
    assert run.error < 5e-3


def test_fixed_points_are_fitted_in_place_of_the_equation():
    """What the chapter shows: a tiny loss, a wrong answer, and a run that says so."""
    problem = problems.burgers()
    run = fit(
        MLP(problem, hidden=(20, 20)), problem, optimizer=GaussNewton(), steps=60, seed=0,
        points=Points(200, 50, resample=0), progress=False,
    )  # fmt: skip
    assert run.loss < 1e-3
    assert run.error > 0.1
    assert any("points were fitted" in warning for warning in run.warnings)


def test_hard_conditions_hold_exactly():
    problem = problems.burgers()
    interior = Problem(domain=problem.domain, equations=problem.equations, exact=problem.exact)
    model = HardConstraint(
        MLP(interior), interior, u=lambda u, x, t: -torch.sin(math.pi * x) + t * (1 - x**2) * u
    )  # fmt: skip
    sample = problem.sample(Points(1, 50))
    residuals = problem.residuals(model, sample)
    for name in problem.conditions:
        assert residuals[name].abs().max() < 1e-15
