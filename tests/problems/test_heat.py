"""The heat equation: its exact solution solves it, and the talk's recipe learns it."""

from __future__ import annotations

import math

import pytest
import torch

from pinnedu import MLP, Adam, Points, fit, problems, relative_error


@pytest.mark.parametrize("D", [1.0, 0.25, 3.0])
def test_the_exact_solution_has_residual_zero(closed_form, D):
    problem = problems.heat(D)
    exact = closed_form(problem.exact)
    for name, residual in problem.residuals(exact, problem.sample(Points(50, 20)), "autograd").items():
        assert residual.abs().max() < 1e-14, name
    assert relative_error(exact, problem) == 0


def test_the_exact_solution_is_the_one_of_the_talk():
    point = torch.tensor([[math.pi / 2, 0.5], [1.0, 0.0]], dtype=torch.float64)
    assert problems.heat().solution(point)["u"].tolist() == pytest.approx([math.exp(-0.5), math.sin(1)])
    assert problems.heat(2.0).solution(point)["u"].tolist() == pytest.approx([math.exp(-1), math.sin(1)])


def test_each_condition_rules_something_out(closed_form):
    """A function that misses one condition is seen by that one alone."""
    problem = problems.heat()
    wrong = {
        "initial": lambda x, t: 2 * torch.exp(-t) * torch.sin(x),
        "heat": lambda x, t: torch.sin(x),
        "left": lambda x, t: torch.exp(-t) * torch.sin(x) + t * (math.pi - x),
        "right": lambda x, t: torch.exp(-t) * torch.sin(x) + t * x,
    }
    sample = problem.sample(Points(50, 20))
    for name, function in wrong.items():
        residuals = problem.residuals(closed_form(function), sample, "autograd")
        missed = {term for term, residual in residuals.items() if residual.abs().max() > 1e-9}
        assert name in missed
        assert missed <= {name, "heat"}


def test_domain_and_terms():
    problem = problems.heat()
    assert problem.domain.bounds == {"x": (0, math.pi), "t": (0, 1)}
    assert problem.terms == ("heat", "initial", "left", "right")
    assert problem.fields == ("u",)


@pytest.mark.parametrize("D", [0, -1.0, math.nan])
def test_heat_does_not_flow_backwards(D):
    with pytest.raises(ValueError, match="The diffusivity D must be positive, not"):
        problems.heat(D)


def test_the_recipe_of_the_talk_learns_it():
    problem = problems.heat()
    model = MLP(problem, hidden=(10, 20))
    run = fit(model, problem, optimizer=Adam(0.05), steps=250, points=Points(100, 20), seed=0)
    assert run.error < 0.15
