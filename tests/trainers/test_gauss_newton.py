"""Gauss-Newton: one step solves a linear problem, both spaces give the same step, accuracy on the heat equation."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, GaussNewton, HardConstraint, On, Points, Problem, fit, problems
from pinnedu.parameters import vector
from pinnedu.trainers import Objective, stop_below
from pinnedu.trainers.gauss_newton import LevenbergMarquardt, Tangent, add_gram
from pinnedu.trainers.optimizers import Finished


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
    points = Points(300, 40, "sobol", resample=0 if momentum == 0 else 1)
    run = fit(
        MLP(problem, (12, 12)), problem, optimizer=GaussNewton(momentum=momentum), steps=80, points=points,
        seed=0, progress=False,
    )  # fmt: skip
    assert run.error < (5e-6 if momentum == 0 else 1e-4)
    assert not run.warnings


def test_acceleration_pays():
    problem = problems.heat()
    loss = {}
    for acceleration in (0.0, 0.75):
        run = fit(
            MLP(problem, (10, 10)), problem, optimizer=GaussNewton(acceleration=acceleration), steps=30,
            points=Points(200, 30, "sobol", resample=0), seed=1, progress=False,
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
    tall = Tangent([(residual[:10], rows[:10].clone()), (residual[10:], rows[10:].clone())], {})
    wide = Tangent([(residual[:8], rows[:8].clone())], {})
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
    add_gram(total, rows, 2)
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
    [
        ({"damping": 0.0}, "damping must be positive"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"momentum": -0.1}, "momentum must lie in"),
        ({"acceleration": -1.0}, "acceleration must not be negative"),
        ({"trials": 0}, "trials must be a whole number of at least 1"),
        ({"resample": -1}, "resample"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        GaussNewton(**options)


def test_the_options_by_default():
    assert GaussNewton() == GaussNewton(damping=1e-3, acceleration=0.75, momentum=0.0, trials=15, resample=10)


def test_what_is_restored_has_the_precision_of_the_weights():
    """Also where there is one weight only."""
    step = LevenbergMarquardt(GaussNewton(), Quadratic())
    step.restore({"mu": 0.5, "raise_by": 4.0, "last": torch.tensor([1.0, 2.0, 3.0])}, None)
    assert (step.mu, step.raise_by) == (0.5, 4.0)
    assert torch.equal(step.last, torch.tensor([1, 2, 3], dtype=torch.float64))


def started(count, **options):
    """A step on the heat equation with more or fewer points than weights, its objective, J and r."""
    torch.manual_seed(0)
    problem = problems.heat()
    model = MLP(problem, (5,))
    objective = Objective(model, problem, problem.sample(Points(count, 3), generator=torch.Generator().manual_seed(0)))
    pairs = objective.linearize().pairs
    rows = torch.cat([rows.clone() for _, rows in pairs])
    return LevenbergMarquardt(GaussNewton(**options), model), objective, rows, torch.cat([r for r, _ in pairs])


@pytest.mark.parametrize("count", [4, 40])
def test_momentum_is_the_formula_of_spring(count):
    """The minimizer of |r + J d|^2 + mu |d - m last|^2, written as the paper does: m last + J^T (J J^T + mu)^-1 (...)."""
    step, objective, rows, residual = started(count, momentum=0.8, acceleration=0.0, damping=1e-2)
    step.last = torch.linspace(-1e-3, 1e-3, rows.shape[1], dtype=torch.float64)
    mu = step.mu = 0.03 * float(rows.square().sum(dim=0).max())
    pull = 0.8 * step.last
    kernel = rows @ rows.T + mu * torch.eye(len(rows), dtype=torch.float64)
    expected = pull - rows.T @ torch.linalg.solve(kernel, residual + rows @ pull)
    start = vector(step.weights)
    step(objective)
    torch.testing.assert_close(vector(step.weights) - start, expected, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(step.last, expected, rtol=1e-6, atol=1e-12)


def test_damping_follows_the_gain():
    step, objective, rows, residual = started(40, acceleration=0.0, damping=1e-2)
    mu = 1e-2 * float(rows.square().sum(dim=0).max())
    delta = -torch.linalg.solve(rows.T @ rows + mu * torch.eye(rows.shape[1], dtype=torch.float64), rows.T @ residual)
    predicted = 0.5 * float(residual.square().sum() - (residual + rows @ delta).square().sum())
    before = float(objective.loss().detach())
    step(objective)
    gain = min((before - float(objective.loss().detach())) / predicted, 1.0)
    assert step.mu == pytest.approx(mu * max(1 / 3, 1 - (2 * gain - 1) ** 3), rel=1e-6)
    assert step.raise_by == 2.0


def test_rejected_trials_raise_the_damping_by_2_4_8_and_leave_the_weights(monkeypatch):
    step, objective, _, _ = started(40, trials=4)
    start, seen = vector(step.weights), []
    monkeypatch.setattr(LevenbergMarquardt, "propose", lambda *args: seen.append(args[0].mu) or (torch.ones_like(start), None))
    monkeypatch.setattr(Tangent, "decrease", lambda *args: -1.0)  # so that no trial is taken
    with pytest.raises(Finished, match="no step lowers the loss any more"):
        step(objective)
    assert [mu / seen[0] for mu in seen] == [1, 2, 8, 64]
    assert torch.equal(vector(step.weights), start)
    assert step.last is None
    # 1e-3 * 2 * 4 * 8 * 16 is more than the largest diagonal entry: no damping need be larger.
    assert step.mu == pytest.approx(1e3 * seen[0])
    assert step.raise_by == 2


def test_a_step_that_the_tangent_does_not_promise_is_not_taken(monkeypatch):
    step, objective, _, _ = started(40, trials=2)
    start = vector(step.weights)
    monkeypatch.setattr(Tangent, "decrease", lambda *args: -1.0)
    with pytest.raises(Finished):
        step(objective)
    assert torch.equal(vector(step.weights), start)
    assert step.mu == pytest.approx(8e-3 * Tangent(objective.linearize().pairs, {}).largest)


def test_where_rounding_spoils_the_factor_there_is_no_proposal():
    step, objective, _, _ = started(40)
    tangent = Tangent(objective.linearize().pairs, {})
    step.mu = -2 * tangent.largest  # as if rounding had left the matrix without a Cholesky factor
    assert not tangent.factor(step.mu)
    assert step.propose(objective, tangent) == (None, None)


def test_the_damping_has_a_floor():
    objective = Objective(model := Quadratic(), problem := parabola(), problem.sample(Points(20)))
    step = LevenbergMarquardt(GaussNewton(damping=1e-17), model)
    largest = Tangent(objective.linearize().pairs, {}).largest
    step(objective)
    assert step.mu == pytest.approx(1e-16 * largest)


def test_the_bend_is_that_of_the_residuals_along_the_step():
    """(J^T J + mu) bend = -J^T r'', with the second derivative by central differences; large mu: a short step, hardly bent."""
    step, objective, rows, residual = started(40)
    tangent = Tangent(objective.linearize().pairs, {})
    mu, start = 30 * tangent.largest, vector(step.weights)
    step.mu = mu
    delta, bend = step.propose(objective, tangent)
    ahead, behind = (step.residual(objective, tangent, start + sign * delta) for sign in (1, -1))
    matrix = rows.T @ rows + mu * torch.eye(rows.shape[1], dtype=torch.float64)
    torch.testing.assert_close(delta, -torch.linalg.solve(matrix, rows.T @ residual), rtol=1e-8, atol=1e-12)
    expected = -torch.linalg.solve(matrix, rows.T @ (ahead - 2 * residual + behind))
    torch.testing.assert_close(bend, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_a_bend_that_is_too_long_is_refused():
    step, objective, _, _ = started(40, acceleration=1e9)
    tangent = Tangent(objective.linearize().pairs, {})
    step.mu, start = 1e-3 * tangent.largest, vector(step.weights)
    delta, bend = step.propose(objective, tangent)
    ratio = 2 * float(bend.norm() / delta.norm())
    assert ratio > 0
    for acceleration, taken in ((1.01 * ratio, True), (0.99 * ratio, False)):
        step.options = GaussNewton(acceleration=acceleration)
        assert (step.propose(objective, tangent)[0] is not None) == taken
    assert torch.equal(vector(step.weights), start)


@pytest.mark.parametrize("acceleration", [0.75, 0.0])
def test_overflow_on_the_way_is_a_rejected_step(acceleration):
    """exp(u) = 1e6 from u = 0: a full step ends at u = 1e6, a tenth of it at 1e5, where exp is infinite."""
    problem = Problem(Box(x=(0, 1)), {"e": lambda u: torch.exp(u) - 1e6})
    model, optimizer = MLP(problem, (8,)), GaussNewton(acceleration=acceleration)
    run = fit(model, problem, optimizer=optimizer, steps=200, points=Points(50), seed=0, callbacks=[stop_below(1e-12)])
    assert run.loss < 1e-9
    assert float(model(torch.tensor([[0.5]], dtype=torch.float64)).detach()) == pytest.approx(13.815510557964274, abs=1e-5)


def test_where_the_jacobian_is_not_finite_no_step_is_taken():
    problem = Problem(Box(x=(0, 1)), {"root": lambda u: torch.sqrt(u.value * 0) + 1})
    step, _, _, _ = started(4)
    model = MLP(problem, (3,))
    step = LevenbergMarquardt(GaussNewton(), model)
    objective, start = Objective(model, problem, problem.sample(Points(5))), vector(model.parameters())
    with pytest.raises(Finished, match="not finite"):
        step(objective)
    assert torch.equal(vector(model.parameters()), start)
    assert step.mu is None


def test_an_integral_is_solved_as_an_equation_on_points_is():
    box = Box(x=(0, 1))
    nodes, weights = box.quadrature(20)
    problem = Problem(
        box,
        {"poisson": lambda u, x: u.xx + torch.pi**2 * torch.cos(torch.pi * x)},
        {
            "left": On(x=0, equation=lambda u: u.x),
            "right": On(x=1, equation=lambda u: u.x),
            "integral is 1": On(x=0, equation=lambda u: 0 * u + weights @ model(nodes)[:, 0] - 1),
        },
        exact=lambda x: 1 + torch.cos(torch.pi * x),
    )
    model = MLP(problem, hidden=(12,))
    run = fit(model, problem, optimizer=GaussNewton(), steps=40, seed=0, points=Points(60, 1), progress=False)
    assert run.error < 1e-4
