"""Gauss-Newton: one step solves a linear problem, both spaces give the same step, accuracy on the heat equation."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, GaussNewton, HardConstraint, On, Points, Problem, fit, problems
from pinnedu.trainers import Objective
from pinnedu.trainers.gauss_newton import _add_gram, _Tangent


class Quadratic(nn.Module):
    """u(x) = theta_0 + theta_1 x + theta_2 x^2: linear in its weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.linear.weight)

    def forward(self, points):
        return self.linear(torch.cat([points**0, points, points**2], dim=1))


def parabola():
    return Problem(
        domain=Box(x=(0, 1)),
        equations={"bend": lambda u: u.xx - 2},
        conditions={"left": On(x=0, equation=lambda u: u - 1), "right": On(x=1, equation=lambda u: u - 4)},
        exact=lambda x: 1 + 2 * x + x**2,
    )


def test_one_step_solves_a_linear_problem():
    run = fit(Quadratic(), parabola(), optimizer=GaussNewton(damping=1e-14), steps=1, seed=0, progress=False)
    assert run.error < 1e-10


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_heat_to_six_digits(momentum):
    problem = problems.heat()
    points = Points(500, 60, "sobol", resample=0 if momentum == 0 else 1)
    run = fit(
        MLP(problem, (16, 16)), problem, optimizer=GaussNewton(momentum=momentum), steps=120, points=points,
        seed=0, progress=False,
    )  # fmt: skip
    assert run.error < (2e-6 if momentum == 0 else 1e-4)
    assert not run.warnings


def test_acceleration_pays():
    problem = problems.heat()
    loss = {}
    for acceleration in (0.0, 0.75):
        run = fit(
            MLP(problem, (12, 12)), problem, optimizer=GaussNewton(acceleration=acceleration), steps=80,
            points=Points(300, 40, "sobol", resample=0), seed=1, progress=False,
        )  # fmt: skip
        loss[acceleration] = run.loss
    assert loss[0.75] < 0.1 * loss[0.0]


def test_on_fixed_points_the_loss_never_rises():
    problem = problems.heat()
    run = fit(
        MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=40, points=Points(200, 30, resample=0),
        seed=3, progress=False,
    )  # fmt: skip
    loss = run.history["loss"]
    assert (loss[1:] <= loss[:-1]).all()


def test_a_run_ends_where_nothing_is_left_to_gain():
    run = fit(Quadratic(), parabola(), optimizer=GaussNewton(resample=0), steps=200, seed=0, progress=False)
    assert run.error < 1e-9
    assert len(run.history["step"]) < 150
    assert "no step lowers the loss any more" in run.stopped


def test_weights_and_residuals_give_the_same_step():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(30, 12, dtype=torch.float64, generator=generator)
    residual = torch.randn(30, dtype=torch.float64, generator=generator)
    tall = _Tangent([(residual[:10], rows[:10].clone()), (residual[10:], rows[10:].clone())], {})
    wide = _Tangent([(residual[:8], rows[:8].clone())], {})
    assert not tall.dual
    assert wide.dual
    for tangent, count in ((tall, 30), (wide, 8)):
        assert tangent.factor(0.1)
        matrix = rows[:count].T @ rows[:count] + 0.1 * torch.eye(12, dtype=torch.float64)
        expected = torch.linalg.solve(matrix, -rows[:count].T @ residual[:count])
        torch.testing.assert_close(tangent.solve(tangent.residual), expected)
        moved = residual[:count] + rows[:count] @ expected
        decrease = 0.5 * (residual[:count].square().sum() - moved.square().sum())
        assert tangent.decrease(expected) == pytest.approx(float(decrease))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gram_matrix_is_added_in_place(dtype):
    rows = torch.randn(9, 4, dtype=dtype)
    total = torch.eye(4, dtype=dtype)
    _add_gram(total, rows, 2)
    torch.testing.assert_close(total.tril(), (torch.eye(4, dtype=dtype) + rows.T @ rows).tril())


def test_linearize_is_the_gradient_of_the_loss():
    problem = problems.heat()
    model = MLP(problem, (7, 5))
    objective = Objective(model, problem, problem.sample(Points(40, 9)), loss_weights={"left": 3.0})
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(objective.loss(), list(model.parameters()))])
    pairs = objective.linearize()
    torch.testing.assert_close(sum(rows.T @ residual for residual, rows in pairs), gradient)
    assert float(sum(0.5 * residual @ residual for residual, _ in pairs)) == pytest.approx(float(objective.loss().detach()))


def test_hard_constraints_and_adaptive_points():
    problem = problems.heat()
    free = replace(problem, conditions={})
    model = HardConstraint(MLP(problem, (16,)), problem, u=lambda u, x, t: torch.sin(x) + t * x * (torch.pi - x) * u)
    points = Points(300, method="sobol", adaptive=0.5, resample=2)
    run = fit(model, free, optimizer=GaussNewton(), steps=40, points=points, seed=0, progress=False)
    assert run.error < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [({"damping": 0.0}, "damping must be positive"), ({"momentum": 1.0}, "momentum"), ({"acceleration": -1.0}, "acceleration")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        GaussNewton(**options)
