"""One recipe: what it reaches on small problems, whether its estimate is honest, and what it says where nothing can be solved.

All runs are bounded by steps, so nothing here depends on the speed of the machine.
"""

from __future__ import annotations

import re
from math import pi
from types import SimpleNamespace

import pytest
import shapely
import torch
from scipy.integrate import solve_ivp

from pinnedu import MLP, Box, Fit, On, Problem, Region, problems, solve
from pinnedu.recipe import (
    Clock,
    Corrected,
    Solver,
    Watch,
    forward,
    is_linear,
    looked_at,
    random_waves,
    rates_of,
    weights_of,
)
from pinnedu.trainers import clock as clocks
from pinnedu.trainers.record import Status


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
    torch.testing.assert_close(names["model"](points), heat.model(points))


def test_a_solution_is_saved_with_its_estimate_and_its_recipe(heat, tmp_path):
    heat.save(tmp_path / "heat.pt")
    there = Fit.load(tmp_path / "heat.pt", problems.heat())
    assert (there.error_estimate, there.recipe) == (heat.error_estimate, heat.recipe)
    points = heat.problem.domain.evaluation_points(100)
    assert torch.equal(there.model(points), heat.model(points))


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


def test_weights_make_a_term_an_error_of_the_fields():
    problem = Problem(
        Box(x=(0, 1)), {"ode": lambda u: u.x}, {"value": On(x=0, equation=lambda u: 10 * u)}, exact=lambda x: 0 * x
    )
    model = random_waves(problem, torch.tensor([20.0]), 2000)
    weights = weights_of(problem, model, looked_at(problem, 64))
    assert weights["value"] == pytest.approx(1 / 100, rel=0.02)
    assert weights["ode"] == pytest.approx(1 / 400, rel=0.1)


def test_a_corrected_model_moves_its_correction_alone():
    problem = problems.heat()
    base = MLP(problem, (6,), seed=0)
    model = Corrected(base, random_waves(problem, torch.tensor([1.0, 1.0]), 5))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 11


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({}, "do not determine one solution"),
        ({"l": On(x=0, equation=lambda u: u.x), "r": On(x=1, equation=lambda u: u.x)}, "do not determine one solution"),
        (
            {
                "l": On(x=0, equation=lambda u: u),
                "r": On(x=1, equation=lambda u: u),
                "s": On(x=1, equation=lambda u: u - 1),
            },
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


def test_heat_backward_in_time_ends_with_a_sentence():
    found = run(Problem(Box(x=(0, pi), t=(0, 1)), {"heat": lambda u: u.t + u.xx}, RODS), 12)
    assert any("ill-posed forward in t" in said for said in found.warnings)
    assert found.error_estimate >= 1


def falling(closed_form, solution):
    """u' = -u^2 from u = 1, and a candidate for its solution."""
    problem = Problem(Box(t=(0, 2)), {"falls": lambda u: u.t + u * u}, {"start": On(t=0, equation=lambda u: u - 1)})
    recipe = Solver(problem, Clock(1e6, 400))
    recipe.take(recipe.candidate(closed_form(solution), problem, ""))
    return recipe


@pytest.mark.parametrize(("start", "right"), [(1, True), (2, False)])
def test_a_false_solution_is_noticed_and_a_true_one_is_not_accused(closed_form, start, right):
    """1 / (2 + t) satisfies the equation everywhere, and starts at 1/2."""
    recipe = falling(closed_form, lambda t: 1 / (start + t))
    recipe.estimate = 1e-9
    recipe.follow()
    assert (recipe.estimate < 1e-6) is right
    assert right or recipe.estimate > 0.1


def test_a_loss_that_stands_still_is_an_error(closed_form):
    recipe = falling(closed_form, lambda t: 1 / (2 + t))
    recipe.take(recipe.best)
    assert recipe.estimate > 0.1


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


class Hands:
    """A clock that a test moves, and that moves a little each time somebody looks."""

    def __init__(self, tick=0.0):
        self.time, self.tick = 0.0, tick

    def __call__(self):
        self.time += self.tick
        return self.time


def test_a_watch_ends_a_run_before_a_step_would_pass_the_end(monkeypatch):
    hands = Hands()
    monkeypatch.setattr(clocks, "now", hands)
    watch, said = Watch(Clock(10.0), 1.0), []
    while not said and hands.time < 20:
        hands.time += 3.0  # a step takes so long
        said += [why for why in [watch(SimpleNamespace(loss=1.0))] if why]
    assert said == ["time is up"]
    assert hands.time == 9.0


@pytest.mark.parametrize("make", [problems.heat, problems.burgers])
def test_the_time_is_kept(monkeypatch, make):
    """Half a second for each step of a network, and for 64 waves; eight times as much for twice as many."""
    hands, count = Hands(), Clock.count
    monkeypatch.setattr(clocks, "now", hands)

    def slow(self, steps):
        hands.time += 0.5 * max(1.0, steps) ** 3
        count(self, steps)

    monkeypatch.setattr(Clock, "count", slow)
    found = solve(make(), seconds=12, device="cpu", progress=False)
    assert hands.time < 1.2 * 12
    assert hands.time > 6 or found.status is Status.CONVERGED
    assert found.seconds == pytest.approx(hands.time)


def test_a_network_goes_on_where_it_was_left():
    solver = Solver(problems.burgers(), Clock(10_000, 15), 0, "cpu")
    solver.by_network(until=0.2)
    first = solver.best.run
    solver.by_network(until=0.6)
    assert len(first.history["step"]) == 3
    assert len(solver.net.run.history["step"]) == 9
    assert solver.estimate < 100


def test_a_hole_is_seen_and_the_program_has_what_it_adds(tmp_path):
    def exact(x, y):
        return torch.log(x**2 + y**2) + x

    plate = Region(shapely.box(-1, -1, 1, 1) - shapely.Point(0, 0).buffer(0.2, 32))
    problem = Problem(
        plate,
        {"laplace": lambda u: u.laplacian()},
        {"rim": On("boundary", equation=lambda u, x, y: u - exact(x, y))},
        exact=exact,
    )
    found, plain = (Solver(problem, Clock(10_000, 6), 0, "cpu", without=("network", *more)).solve() for more in ((), ("shape",)))
    assert found.error < plain.error / 100
    assert "added=additions(problem.domain)" in found.recipe
    assert "additions(problem" not in plain.recipe
    names = {"problem": problem}
    exec(found.recipe, names)
    points = plate.sample(30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(names["model"](points), found.model(points))
    found.save(tmp_path / "plate.pt")
    torch.testing.assert_close(Fit.load(tmp_path / "plate.pt", problem).model(points), found.model(points))


def test_the_program_of_a_network():
    found = Solver(problems.burgers(), Clock(10_000, 12), 0, "cpu", without=("waves", "march", "correction")).solve()
    assert "fit(model" in found.recipe
    names = {"problem": problems.burgers()}
    exec(found.recipe, names)
    points = found.problem.domain.evaluation_points(50)
    torch.testing.assert_close(names["model"](points), found.model(points), rtol=1e-3, atol=1e-3)


def test_ingredients_can_be_left_out():
    plain = Solver(problems.poisson(3), Clock(10_000, 4), 0, "cpu", without=("weights", "search", "spectrum")).solve()
    assert "'poisson': 1" in plain.recipe
    assert "found, True" not in plain.recipe
    assert plain.error < 1e-3
    with pytest.raises(ValueError, match="some of smoothing, waves, shape"):
        Solver(problems.heat(), Clock(1.0), without=("salt",))


def test_windows_are_joined_where_the_whole_is_not_solved(tmp_path):
    fall = Problem(
        Box(t=(0, 2)),
        {"ode": lambda u: u.t + u * u},
        {"start": On(t=0, equation=lambda u: u - 1)},
        exact=lambda t: 1 / (1 + t),
    )
    solver = Solver(fall, Clock(10_000, 60), 0, "cpu")
    solver.march()
    found = solver.result()
    assert found.error < 1e-6
    assert found.error_estimate < 1e-4
    names = {"problem": fall}
    exec(found.recipe, names)
    points = fall.domain.evaluation_points(50)
    torch.testing.assert_close(names["model"](points), found.model(points))
    found.save(tmp_path / "fall.pt")
    assert torch.equal(Fit.load(tmp_path / "fall.pt", fall).model(points), found.model(points))


def problems_of_prey(end):
    """Lotka and Volterra's equations."""
    return Problem(
        Box(t=(0, end)),
        {"x": lambda x, y: x.t - x * (1 - y), "y": lambda x, y: y.t + y * (1 - x)},
        {"start": On(t=0, equation=lambda x, y: (x - 2, y - 1))},
        fields=("x", "y"),
    )


def trajectory(times):
    """The prey by a Runge-Kutta method."""
    times = times.sort().values.numpy()
    found = solve_ivp(
        lambda t, z: (z[0] * (1 - z[1]), z[1] * (z[0] - 1)),
        (0, times[-1]),
        (2.0, 1.0),
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    )
    return times, torch.from_numpy(found.y[0])


def test_a_false_solution_is_noticed():
    """A predator and its prey over three periods: dying out at once leaves small residuals in most of the time."""
    found = run(problems_of_prey(20.0), 40)
    truth = trajectory(found.problem.domain.evaluation_points(200)[:, 0])
    error = float((torch.as_tensor(found.predict("x", t=truth[0])) - truth[1]).norm() / truth[1].norm())
    assert found.error_estimate > min(1.0, error / 10)
    assert found.error_estimate < 0.05 or any("not solved" in said for said in found.warnings)


def test_what_an_ablation_leaves_is_a_result():
    """At zero the unknown function is seen by no equation, and without waves nothing but a network is left."""
    plate = problems.inverse_diffusivity()
    found = Solver(plate, Clock(10_000, 2), 0, "cpu", without=("waves", "smoothing")).solve()
    assert found.error_estimate >= 1
    assert found.warnings
