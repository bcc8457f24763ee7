"""One recipe: what it reaches on small problems, whether its estimate is honest, and what it says where nothing can be solved.

All runs are bounded by steps, so nothing here depends on the speed of the machine.
"""

from __future__ import annotations

import re
from math import pi
from types import SimpleNamespace

import pytest
import torch

from pinnedu import MLP, Box, Fit, On, Problem, problems, solve
from pinnedu.recipe import (
    Corrected,
    Watch,
    amplification,
    explodes,
    forward,
    growth,
    is_linear,
    looked_at,
    periodic_coordinates,
    rates_of,
    waves,
    weights_of,
    widened,
    without,
)
from pinnedu.recipe.solver import Clock, _Solver


def run(problem, steps):
    return solve(problem, seconds=10_000, steps=steps, device="cpu", progress=False)


def honest(found):
    """The estimate is within a factor of 10 of the error."""
    return found.error / 10 < found.error_estimate < 10 * found.error


@pytest.fixture(scope="module")
def heat():
    return run(problems.heat(), 12)


def test_a_linear_problem_that_nobody_tuned(heat):
    assert heat.error < 1e-4
    assert isinstance(heat, Fit)
    assert honest(heat)
    assert heat.problem.exact is not None
    assert f"error_estimate={heat.error_estimate:.1e}" in repr(heat)


def test_the_recipe_is_a_program_that_gives_the_same_model(heat):
    names = {"problem": problems.heat()}
    exec(heat.recipe, names)
    points = heat.problem.domain.evaluation_points(100)
    torch.testing.assert_close(names["run"].model(points), heat.model(points))
    assert repr(heat.recipe) == str(heat.recipe)


def test_a_linear_problem_is_told_from_others():
    for problem, linear in ((problems.wave(), True), (problems.poisson(3), True), (problems.burgers(), False)):
        assert is_linear(problem, looked_at(problem)) is linear


def test_the_rates_of_a_wave_are_its_frequencies():
    problem = Problem(
        Box(x=(0, 2), y=(0, 1)),
        {"poisson": lambda u, x, y: u.laplacian() - torch.sin(7 * x) * torch.cos(3 * y)},
        {"left": On(x=0, equation=lambda u: u)},
    )
    rates = rates_of(problem, looked_at(problem, 4096))
    assert rates.tolist() == pytest.approx([7, 3], rel=0.1)


def test_waves_are_periodic_where_they_are_told():
    problem = problems.allen_cahn()
    assert periodic_coordinates(problem) == {"periodic": "x"}
    model = waves(problem, torch.tensor([9.0, 3.0]), 30, ("x",), seed=1)
    points = problem.domain.sample(20)
    there = points.clone()
    there[:, 0] += 2
    torch.testing.assert_close(model(points), model(there))
    assert without(problem, "periodic").terms == ("allen_cahn", "initial")


def test_weights_make_a_term_an_error_of_the_fields():
    problem = Problem(
        Box(x=(0, 1)), {"ode": lambda u: u.x}, {"value": On(x=0, equation=lambda u: 10 * u)}, exact=lambda x: 0 * x
    )
    model = waves(problem, torch.tensor([20.0]), 2000)
    weights = weights_of(problem, model, looked_at(problem, 64))
    assert weights["value"] == pytest.approx(1 / 100, rel=0.02)
    assert weights["ode"] == pytest.approx(1 / 400, rel=0.1)


def test_a_wider_network_is_the_same_function():
    problem = problems.burgers()
    model = MLP(problem, (8, 8, 8), seed=0)
    wide = widened(model, problem, 13)
    points = problem.domain.sample(50)
    torch.testing.assert_close(wide(points), model(points))
    assert len(wide.layers[1].bias) == 13
    wide(points).sum().backward()
    assert wide.layers[-1].weight.grad[:, 8:].abs().min() > 0  # the new neurons can be used


def test_a_corrected_model_moves_its_correction_alone():
    problem = problems.heat()
    base = MLP(problem, (6,), seed=0)
    model = Corrected(base, waves(problem, torch.tensor([1.0, 1.0]), 5))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 11


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({}, "do not determine one solution"),
        ({"l": On(x=0, equation=lambda u: u.x), "r": On(x=1, equation=lambda u: u.x)}, "do not determine one solution"),
        (
            {"l": On(x=0, equation=lambda u: u), "r": On(x=1, equation=lambda u: u), "s": On(x=1, equation=lambda u: u - 1)},
            "most of it in .*: either conditions contradict each other",
        ),
    ],
)
def test_what_cannot_be_solved_ends_with_a_sentence(conditions, sentence):
    found = run(Problem(Box(x=(0, 1)), {"poisson": lambda u, x: u.xx + torch.sin(2 * pi * x)}, conditions), 24)
    assert any(re.search(sentence, said) for said in found.warnings)
    assert found.error_estimate > 0.05


RODS = {
    "start": On(t=0, equation=lambda u, x: u - torch.sin(x)),
    "left": On(x=0, equation=lambda u: u),
    "right": On(x=pi, equation=lambda u: u),
}


@pytest.mark.parametrize(
    ("equation", "conditions", "ill"),
    [
        (lambda u: u.t - u.xx, RODS, False),
        (lambda u: u.t + u.xx, RODS, True),  # heat backward in time
        (lambda u: -u.t - u.xx, RODS, True),
        (lambda u, t: (1 + t) * (u.t + 0.1 * u.xx) + torch.sin(t), RODS, True),
        (lambda u: u.tt + u.xx, {**RODS, "speed": On(t=0, equation=lambda u: u.t)}, True),  # Laplace as an evolution
        (lambda u: u.tt - u.xx, {**RODS, "speed": On(t=0, equation=lambda u: u.t)}, False),
        (lambda u: u.t + 30 * u.x, RODS, False),
        (lambda u: u.t + u * u.x - 0.01 * u.xx, RODS, False),
        (lambda u: u.t + u * u.x + u.xx + u.xxxx, RODS, False),  # long waves grow, short ones fade
        (lambda u: u.t + u * u.x + u.xxx, RODS, False),
        (lambda u: u.t - 1e-4 * u.xx - 5 * u + 5 * u**3, RODS, False),
        (lambda u: u.t + u * u.x + u.xx - 1e-9 * u, RODS, True),
    ],
)
def test_what_explodes_is_told_from_what_does_not(equation, conditions, ill):
    problem = Problem(Box(x=(0, pi), t=(0, 1)), {"equation": equation}, conditions)
    assert explodes(problem, forward(problem), looked_at(problem)) is ill


def test_heat_backward_in_time_ends_with_a_sentence():
    found = run(Problem(Box(x=(0, pi), t=(0, 1)), {"heat": lambda u: u.t + u.xx}, RODS), 12)
    assert any("ill-posed forward in t" in said for said in found.warnings)
    assert found.error_estimate >= 1


def test_the_rate_of_a_wave_is_that_of_theory():
    problem = Problem(Box(x=(0, pi), t=(0, 1)), {"heat": lambda u: 2 * u.t - 3 * u.xx - 5 * u + 7}, RODS)
    assert growth(problem, "t", problem.domain.sample(20), 2) == pytest.approx((5 - 3 * 16) / 2, rel=1e-6)


def test_amplification_of_a_well_posed_problem_is_moderate():
    assert amplification(problems.heat(), (), looked_at(problems.heat())) < 100


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seconds": 0}, "seconds must be a positive number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"steps": 0}, "steps must be"),
        ({"progress": 1}, "progress must be True or False"),
    ],
)
def test_bad_input_gets_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve(problems.heat(), **options)
    with pytest.raises(ValueError, match="must be a Problem"):
        solve("heat")


def test_the_coordinate_along_which_a_problem_goes_forward():
    assert forward(problems.wave()) == forward(problems.burgers()) == "t"
    assert forward(problems.helmholtz()) == forward(problems.lorenz()) == ""


@pytest.mark.parametrize(
    ("losses", "wants"),
    [
        ([10.0**-k for k in range(16)], ""),  # it goes down
        ([1.0, 0.9] * 8, "neurons"),
        ([1.0, 0.1] * 8, "points"),
        ([1e-12] * 16, "nothing"),
    ],
)
def test_a_watch_sees_what_a_network_wants(losses, wants):
    watch = Watch(2, enough=1e-11)
    for loss in losses:
        watch(SimpleNamespace(loss=loss))
    assert watch.wants == wants


def test_a_network_goes_on_where_it_was_left():
    solver = _Solver(problems.burgers(), Clock(10_000, 15), 0, "cpu")
    solver.network(until=0.2)
    first = solver.best.run
    solver.correct(until=0.0)
    solver.network(until=0.6)
    assert len(first.history["step"]) == 3
    assert len(solver.net.run.history["step"]) > 3
    assert solver.estimate < 100


def test_windows_are_joined_where_the_whole_is_not_solved():
    fall = Problem(
        Box(t=(0, 2)), {"ode": lambda u: u.t + u * u}, {"start": On(t=0, equation=lambda u: u - 1)}, exact=lambda t: 1 / (1 + t)
    )
    solver = _Solver(fall, Clock(10_000, 60), 0, "cpu")
    solver.march()
    assert solver.marched
    found = solver.result()
    assert found.error < 1e-3
    assert found.error_estimate < 1e-2
    names = {"problem": fall}
    exec(found.recipe, names)
    points = fall.domain.evaluation_points(50)
    torch.testing.assert_close(names["run"].model(points), found.model(points))
