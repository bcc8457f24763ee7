"""SPRING: its step is the formula of the paper, with J written down."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pinnedu import MLP, SPRING, GaussNewton, Points, fit, problems
from pinnedu.trainers import Objective
from pinnedu.trainers.spring import FactoredTangent

FEW = Points(20, 5)


class Scale(nn.Module):
    """A model with a weight outside linear layers."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, points):
        return self.scale * self.inner(points)


def flat(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


def start(optimizer, dtype=torch.float64, hidden=(9, 9), wrap=lambda model: model):
    heat = problems.heat()
    model = wrap(MLP(heat, hidden=hidden, dtype=dtype))
    return model, Objective(model, heat, heat.sample(FEW, dtype=dtype)), optimizer.start(model)


def dense(objective):
    pairs = objective.linearize()
    return torch.cat([r for r, _ in pairs]), torch.cat([rows for _, rows in pairs]).clone()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("wrap", [lambda model: model, Scale], ids=["factors", "rows"])
def test_steps_with_a_fixed_damping_are_the_formula(momentum, wrap):
    model, objective, step = start(SPRING(damping=1e-3, momentum=momentum, adaptive=False), wrap=wrap)
    last = torch.zeros_like(flat(model))
    for _ in range(4):
        residual, rows = dense(objective)
        kernel = rows @ rows.T
        kernel += 1e-3 * kernel.diagonal().max() * torch.eye(len(kernel), dtype=kernel.dtype)
        last = momentum * last - rows.T @ torch.linalg.solve(kernel, residual + momentum * (rows @ last))
        expected = flat(model) + last
        step(objective)
        torch.testing.assert_close(flat(model), expected, rtol=1e-8, atol=1e-8)


def test_the_formula_is_the_nearest_to_the_last_step():
    """In the weights: the minimizer of |r + J d|^2 + mu |d - m d'|^2."""
    model, objective, step = start(SPRING(damping=1e-2, momentum=0.8, adaptive=False))
    step(objective)
    last, before = step.last.clone(), flat(model)
    residual, rows = dense(objective)
    mu = 1e-2 * (rows @ rows.T).diagonal().max()
    matrix = rows.T @ rows + mu * torch.eye(rows.shape[1], dtype=rows.dtype)
    step(objective)
    expected = torch.linalg.solve(matrix, 0.8 * mu * last - rows.T @ residual)
    torch.testing.assert_close(flat(model) - before, expected, rtol=1e-8, atol=1e-8)


def test_with_adaptive_damping_it_is_gauss_newton():
    ways = []
    for optimizer in (SPRING(), GaussNewton(acceleration=0.0, momentum=0.9, resample=1)):
        heat = problems.heat()
        run = fit(MLP(heat, (9, 9)), heat, optimizer=optimizer, steps=5, points=FEW, seed=0)
        ways.append(run.history["loss"])
    assert ways[0] == pytest.approx(ways[1], rel=1e-8)


def test_more_residuals_than_weights_are_solved_in_the_weights():
    _, objective, step = start(SPRING(), hidden=(4,))
    assert not isinstance(step.tangent(objective), FactoredTangent)
    _, objective, step = start(SPRING(), hidden=(9, 9))
    assert isinstance(step.tangent(objective), FactoredTangent)


def test_single_precision_solves_in_double():
    single, objective, step = start(SPRING(damping=1e-9, momentum=0.0, adaptive=False), torch.float32)
    double, other = copy.deepcopy(single).double(), problems.heat()
    step(objective)
    sample = {name: points.double() for name, points in objective.sample.items()}
    SPRING(damping=1e-9, momentum=0.0, adaptive=False).start(double)(Objective(double, other, sample))
    assert float(torch.linalg.norm(flat(single) - flat(double)) / torch.linalg.norm(flat(double))) < 1e-2


@pytest.mark.parametrize("adaptive", [True, False])
def test_ten_thousand_weights(adaptive):
    heat = problems.heat()
    run = fit(
        MLP(heat, (70, 70, 70)), heat, optimizer=SPRING(adaptive=adaptive), steps=25, points=Points(100, 20), seed=0
    )
    assert run.error < 0.05


@pytest.mark.parametrize(
    ("options", "message"), [({"adaptive": 1}, "adaptive must be True or False"), ({"momentum": 1}, "momentum")]
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SPRING(**options)
