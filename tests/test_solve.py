"""One recipe: what it reaches on small problems, whether its estimate is honest, and what it says where nothing can be solved.

All runs are bounded by steps, so nothing here depends on the speed of the machine.
"""

from __future__ import annotations

import re
from math import pi
from types import SimpleNamespace

import pytest
import torch
from scipy.integrate import solve_ivp

from pinnedu import MLP, Box, Fit, Observed, On, Problem, problems, solve
from pinnedu.derivatives.requests import Laplacian
from pinnedu.derivatives.taylor import taylor
from pinnedu.jacobian import jacobian
from pinnedu.recipe import (
    Clock,
    Corrected,
    Solver,
    Watch,
    amplification,
    explodes,
    forward,
    frequencies,
    growth,
    is_linear,
    looked_at,
    periodic_coordinates,
    random_waves,
    rates_of,
    solved_by_waves,
    waves,
    weights_of,
    widened,
    without,
)
from pinnedu.recipe import clock as clocks
from pinnedu.recipe.solver import LOST
from pinnedu.recipe.waves import derivatives, least_squares, linearized, rows
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


def test_waves_are_periodic_where_they_are_told():
    problem = problems.allen_cahn()
    assert periodic_coordinates(problem) == {"periodic": "x"}
    model = random_waves(problem, torch.tensor([9.0, 3.0]), 30, ("x",))
    points = problem.domain.sample(20)
    there = points.clone()
    there[:, 0] += 2
    torch.testing.assert_close(model(points), model(there))
    assert without(problem, "periodic").terms == ("allen_cahn", "initial")


def test_frequencies_are_drawn_by_the_spectrum_of_a_function():
    problem = Problem(Box(x=(0, 1)), {"ode": lambda u: u.x}, {})
    tone = waves(problem, torch.tensor([[60.0]]))
    tone.layers[0].weight.data[0, 0] = 1
    plain = frequencies(problem, (50.0,), 400)
    found = frequencies(problem, (50.0,), 400, like=tone)

    def near(b):
        return float(((b.abs() - 60).abs() < 10).double().mean())

    assert near(found) > 2 * near(plain)


def test_in_many_dimensions_a_wave_turns_in_few():
    problem = problems.poisson_cube(8, "square")
    assert (frequencies(problem, (1.0,) * 8, 50) != 0).sum(dim=1).max() <= 3


@pytest.mark.parametrize(
    "make", [problems.kovasznay, problems.wave, problems.korteweg_de_vries, problems.lorenz, problems.l_shape]
)
def test_the_jacobian_by_symbols_is_that_of_reverse_mode(make):
    problem = make()
    sample = looked_at(problem, 20)
    model = random_waves(problem, 2 / (problem.domain.high - problem.domain.low), 7)
    b, fields, names = model.embedding.frequencies, len(problem.fields), list(problem.unknowns)
    blocks = linearized(problem, model, sample, dict.fromkeys(problem.terms, 1.0), problem.unknowns)
    wanted = jacobian(model, problem, sample)
    for name in problem.terms:
        own = [block for block in blocks if block.name == name]
        residual, slope = wanted[name]
        torch.testing.assert_close(torch.cat([block.residual for block in own]), residual)
        found = torch.cat([rows(block, b, fields, names) for block in own])[:, : slope.shape[1]]
        torch.testing.assert_close(found, slope, rtol=1e-9, atol=1e-9 * float(slope.abs().max()))


def test_derivatives_of_waves_are_those_of_taylor_mode():
    problem = problems.heat()
    model = random_waves(problem, torch.tensor([3.0, 2.0]), 9)
    points = problem.domain.sample(30)
    requests = [(0, (0, 0)), (0, (1, 0)), (0, (2, 1)), (0, (0, 3)), (0, Laplacian((0, 1)))]
    wanted = taylor(model, points, requests)
    for request, value in derivatives(model, points, requests).items():
        torch.testing.assert_close(value, wanted[request].detach())


def test_least_squares_holds_where_normal_equations_do_not():
    x = torch.linspace(0, 1, 200, dtype=torch.float64)
    matrix = x[:, None] ** torch.arange(14)  # its condition number squared is above 1e16
    right = torch.exp(x)
    assert (matrix @ least_squares(matrix, right) - right).abs().max() < 1e-11


def test_unknowns_are_found_by_the_same_steps():
    x = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    problem = Problem(
        Box(x=(0, 1)),
        {"ode": lambda u, k: u.x + k * u},
        {"start": On(x=0, equation=lambda u: u - 1), "seen": Observed(x, u=torch.exp(-3 * x[:, 0]))},
        unknowns={"k": 1.0},
    )
    found = frequencies(problem, (3.0,), 20)
    _, solved = solved_by_waves(problem, dict.fromkeys(problem.terms, 1.0), found)
    assert solved.unknowns["k"] == pytest.approx(3, rel=1e-6)


def test_weights_make_a_term_an_error_of_the_fields():
    problem = Problem(
        Box(x=(0, 1)), {"ode": lambda u: u.x}, {"value": On(x=0, equation=lambda u: 10 * u)}, exact=lambda x: 0 * x
    )
    model = random_waves(problem, torch.tensor([20.0]), 2000)
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
    model = Corrected(base, random_waves(problem, torch.tensor([1.0, 1.0]), 5))
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


SQUARE = Box(x=(0, 1), t=(0, 1))
SIDES = {"left": On(x=0, equation=lambda u: u), "right": On(x=1, equation=lambda u: u)}
START = {"start": On(t=0, equation=lambda u, x: u - torch.sin(pi * x))}


@pytest.mark.parametrize(
    ("problem", "enough"),
    [
        (Problem(SQUARE, {"heat": lambda u: u.t - u.xx}, SIDES | START), True),
        (Problem(SQUARE, {"heat": lambda u: u.t - 0.1 * u.xx}, SIDES), False),  # what fades in a tenth of the time is not seen
        (Problem(SQUARE, {"wave": lambda u: u.tt - u.xx}, SIDES | START), False),
        (Problem(SQUARE, {"advection": lambda u: u.t + u.x}, START), False),
        (Problem(Box(t=(0, 10)), {"growth": lambda u: u.t - u}, {"start": On(t=0, equation=lambda u: u - 1)}), True),
    ],
)
def test_amplification_tells_whether_there_are_conditions_enough(problem, enough):
    assert (amplification(problem, (), looked_at(problem)) < LOST) is enough


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


@pytest.mark.parametrize(
    ("losses", "wants"),
    [
        ([10.0**-k for k in range(40)], ""),  # it goes down
        ([1.0, 0.95, 0.92, 0.91, 0.9] * 8, "neurons"),
        ([1.0, 0.5, 0.3, 0.2, 0.1] * 8, "points"),
        ([1e-12] * 16, "nothing"),
    ],
)
def test_a_watch_sees_what_a_network_wants(losses, wants):
    watch = Watch(Clock(1e9), 1.0, enough=1e-60 if not wants else 1e-11)
    for loss in losses:
        watch(SimpleNamespace(loss=loss))
    assert watch.wants == wants


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
    with pytest.raises(ValueError, match="some of waves, spectrum"):
        Solver(problems.heat(), Clock(1.0), without=("salt",))


def test_windows_are_joined_where_the_whole_is_not_solved(tmp_path):
    fall = Problem(
        Box(t=(0, 2)), {"ode": lambda u: u.t + u * u}, {"start": On(t=0, equation=lambda u: u - 1)}, exact=lambda t: 1 / (1 + t)
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
        lambda t, z: (z[0] * (1 - z[1]), z[1] * (z[0] - 1)), (0, times[-1]), (2.0, 1.0), t_eval=times, rtol=1e-10, atol=1e-12
    )
    return times, torch.from_numpy(found.y[0])


def test_a_false_solution_is_noticed():
    """A predator and its prey over three periods: dying out at once leaves small residuals in most of the time."""
    found = run(problems_of_prey(20.0), 40)
    truth = trajectory(found.problem.domain.evaluation_points(200)[:, 0])
    error = float((torch.as_tensor(found.predict("x", t=truth[0])) - truth[1]).norm() / truth[1].norm())
    assert found.error_estimate > min(1.0, error / 10)
    assert found.error_estimate < 0.05 or any("not solved" in said for said in found.warnings)
