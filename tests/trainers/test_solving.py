"""Problems get solved: unknowns are found, conditions hold, fields are solved together; the error is the error."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    GaussNewton,
    HardConstraint,
    Observed,
    On,
    Periodic,
    Points,
    Problem,
    fit,
    problems,
    relative_error,
)

FEW = Points(interior=30, conditions=5)


def small(problem, **options):
    return MLP(problem, hidden=(6,), **options)


# --- unknowns


def inverse(D=0.3, **more):
    """Heat with a diffusivity to be found from values of the solution."""
    truth = problems.heat(D)
    points = truth.domain.sample(100, generator=torch.Generator().manual_seed(5))
    return Problem(
        truth.domain,
        {"heat": lambda u, D: u.t - D * u.xx},
        {"data": Observed(points, u=truth.solution(points)["u"])},
        unknowns={"D": 1.0},
        **more,
    )


def test_an_unknown_is_found_from_data():
    problem = inverse()
    run = fit(MLP(problem, hidden=(12,)), problem, optimizer=LBFGS(), steps=250, points=Points(150), seed=0)
    assert set(run.unknowns) == {"D"}
    assert isinstance(run.unknowns["D"], float)
    assert run.unknowns["D"] == pytest.approx(0.3, rel=0.03)
    assert "D=0.3" in repr(run) or "D=0.29" in repr(run)


def test_unknowns_start_from_their_guess_and_go_on_from_what_was_found(scripted):
    problem = inverse()
    model = small(problem)
    first = fit(model, problem, optimizer=scripted(), steps=1, points=FEW, seed=0)
    assert first.unknowns == {"D": 1.0}
    run = fit(model, problem, optimizer=Adam(0.05), steps=20, points=FEW, seed=0)
    found = run.unknowns["D"]
    assert found != 1.0
    assert fit(model, problem, optimizer=scripted(), steps=1, points=FEW, seed=0, after=run).unknowns["D"] == found
    assert fit(model, run.problem, optimizer=scripted(), steps=1, points=FEW, seed=0).unknowns["D"] == found
    assert fit(model, problem, optimizer=scripted(), steps=1, points=FEW, seed=0).unknowns["D"] == found
    model.reset_parameters()
    assert fit(model, problem, optimizer=scripted(), steps=1, points=FEW, seed=0).unknowns["D"] == 1.0


def test_the_history_follows_the_unknowns():
    problem = inverse()
    seen = []
    run = fit(
        small(problem),
        problem,
        optimizer=Adam(0.05),
        steps=4,
        points=FEW,
        seed=0,
        callbacks=[lambda state: seen.append(state.unknowns["D"].item())],
    )
    assert list(run.history)[-1] == "D"
    assert run.history["D"].tolist() == seen
    assert len(set(seen)) == 4
    assert run.unknowns == {"D": seen[-1]}


def test_an_unknown_in_a_condition_is_found(decay):
    problem = Problem(
        decay.domain,
        decay.equations,
        {"start": On(t=0, equation=lambda u, a: u - a), "end": On(t=1, equation=lambda u: u - 2 * np.exp(-1))},
        unknowns={"a": 0.1},
        exact=lambda t: 2 * torch.exp(-t),
    )
    run = fit(small(problem), problem, optimizer=LBFGS(), steps=60, points=FEW, seed=0)
    assert run.unknowns["a"] == pytest.approx(2, rel=0.01)
    assert run.error < 0.01


def test_a_model_trained_on_another_problem_gets_the_unknowns_of_this_one(decay, scripted):
    def problem(name, guess):
        equation = {"a": lambda u, a: u.t + a * u, "b": lambda u, b: u.t + b * u}[name]
        return Problem(decay.domain, {"decay": equation}, decay.conditions, unknowns={name: guess})

    model = small(decay)
    fit(model, problem("a", 0.1), optimizer=Adam(), steps=1, points=FEW)
    run = fit(model, problem("b", 0.7), optimizer=scripted(), steps=1, points=FEW)
    assert run.unknowns == {"b": 0.7}
    moved = fit(model, problem("b", 0.7), optimizer=Adam(0.1), steps=5, points=FEW)
    assert abs(moved.unknowns["b"] - 0.7) > 0.1


# --- problems that get solved, each by its own conditions

LINE = Box(x=(0, 1))


@pytest.mark.parametrize(
    ("equation", "conditions", "dropped", "exact"),
    [
        pytest.param(
            lambda u, x: u.xx + pi**2 / 4 * torch.sin(pi * x / 2),
            {"left": On(x=0, equation=lambda u: u), "right": On(x=1, equation=lambda u: u.x)},
            "right",
            lambda x: torch.sin(pi * x / 2),
            id="Neumann",
        ),
        pytest.param(
            lambda u, x: u.xx + torch.sin(x),
            {
                "left": On(x=0, equation=lambda u: u),
                "right": On(x=1, equation=lambda u: u.x + 2 * u - (np.cos(1) + 2 * np.sin(1))),
            },
            "right",
            torch.sin,
            id="Robin",
        ),
        pytest.param(
            lambda u, x: (u.xx + 4 * pi**2 * torch.cos(2 * pi * x)) / 10,
            {"ends": Periodic("x"), "level": On(x=0, equation=lambda u: u - 1)},
            "ends",
            lambda x: torch.cos(2 * pi * x),
            id="periodic",
        ),
    ],
)
def test_conditions_choose_the_solution(equation, conditions, dropped, exact):
    def error(conditions, steps):
        problem = Problem(LINE, {"poisson": equation}, conditions, exact=lambda x: exact(x))
        model = MLP(problem, hidden=(12,))
        return fit(model, problem, optimizer=GaussNewton(), steps=steps, points=Points(60, 5), seed=0).error

    assert error(conditions, 40) < 0.02
    # The equation has many solutions: it is the condition that chose the right one.
    assert error({name: condition for name, condition in conditions.items() if name != dropped}, 40) > 0.1


def test_periodic_faces_agree_in_value_and_slope():
    # u'' = 2 pulls towards a parabola: without the tie the slopes at the ends differ by 2.
    problem = Problem(LINE, {"pull": lambda u: u.xx - 2}, {"ends": Periodic("x")})
    run = fit(
        MLP(problem, hidden=(12,)),
        problem,
        optimizer=LBFGS(),
        steps=80,
        points=Points(60, 1),
        weights={"ends": 1e4},
        seed=0,
    )
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    with torch.no_grad():
        found = Problem(LINE, {"u": lambda u: u, "slope": lambda u: u.x}).residuals(run.model, ends, "autograd")
    assert abs(float(found["u"].diff())) < 1e-2
    assert abs(float(found["slope"].diff())) < 1e-2


def test_several_fields_are_solved_together():
    problem = Problem(
        Box(t=(0, 3)),
        {"position": lambda u, v: u.t - v, "velocity": lambda u, v: v.t + u},
        {"start": On(t=0, equation=lambda u, v: (u, v - 1))},
        fields=("u", "v"),
        exact=lambda t: {"v": torch.cos(t), "u": torch.sin(t)},
    )
    run = fit(MLP(problem, hidden=(12,)), problem, optimizer=LBFGS(), steps=200, points=Points(60, 5), seed=0)
    assert run.error < 0.02
    with torch.no_grad():
        u, v = run.model(torch.tensor([[pi / 2]], dtype=torch.float64))[0].tolist()
    assert (u, v) == pytest.approx((1, 0), abs=0.02)


def test_a_hard_constraint_and_data_alone_can_be_trained(decay):
    hard = HardConstraint(small(decay), decay, u=lambda u, t: 1 + t * u)
    free = Problem(decay.domain, decay.equations, exact=decay.exact)
    assert fit(hard, free, optimizer=LBFGS(), steps=50, points=FEW, seed=0).error < 1e-3

    where = decay.domain.grid(20)
    regression = Problem(decay.domain, {}, {"data": Observed(where, u=torch.exp(-where[:, 0]))}, exact=decay.exact)
    assert fit(small(regression), regression, optimizer=LBFGS(), steps=50, points=FEW, seed=0).error < 5e-3


# --- the error


def test_relative_error_is_the_relative_l2_norm(closed_form):
    box = Box(x=(0, 1), t=(0, 1))
    problem = Problem(box, {}, exact=lambda x, t: 1 + x * t)
    assert relative_error(closed_form(lambda x, t: 1 + x * t), problem) == 0
    assert relative_error(closed_form(lambda x, t: 1.1 * (1 + x * t)), problem) == pytest.approx(0.1)
    # On chosen points: the exact values are 1 and 2, the model's 1 and 3.
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert relative_error(closed_form(lambda x, t: 1 + 2 * x * t), problem, points) == pytest.approx(1 / 5**0.5)


def test_relative_error_is_over_the_fields_the_solution_names(closed_form):
    problem = Problem(LINE, {}, fields=("u", "v", "p"), exact=lambda x: {"v": 0 * x + 4, "u": 0 * x + 3})
    model = closed_form(lambda x: 0 * x + 3, lambda x: 0 * x + 3, lambda x: x + 99)
    assert relative_error(model, problem) == pytest.approx(1 / 5)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 6])
def test_evaluation_points_are_about_ten_thousand_in_any_dimension(dim):
    box = Box(**{f"x{i}": (i, i + 2) for i in range(dim)})
    points = box.evaluation_points()
    assert 9000 < len(points) < 11000
    assert box.contains(points).all()
    assert torch.equal(points, box.evaluation_points())
    if dim <= 3:
        assert torch.equal(points.min(dim=0).values, box.low)
        assert torch.equal(points.max(dim=0).values, box.high)
