"""The spectral method in space and time: its derivatives, its order, what it solves, and where it gives up."""

from __future__ import annotations

import itertools
from math import pi

import pytest
import torch
from scipy.integrate import solve_ivp

from pinnedu import Box, Fit, On, Periodic, Problem, problems, relative_error
from pinnedu.derivatives.requests import Laplacian
from pinnedu.derivatives.taylor import taylor
from pinnedu.recipe import Clock, Products, Solver, solved_forward, without
from pinnedu.trainers import spectral
from pinnedu.trainers.products import TIMES, chebyshev
from pinnedu.trainers.spectral import (
    MOST,
    OnWindow,
    Pace,
    collocation,
    continued,
    factored,
    linearized,
    newton,
    solutions,
    tails,
)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moving(speed=1.0):
    """A wave that moves through a nonlinear equation with a source."""
    return Problem(
        Box(x=(0, 2 * pi), t=(0, 2)),
        {
            "transport": lambda u, x, t: u.t
            + u * u.x
            - u.xx / 10
            - (torch.cos(x - speed * t) * (torch.sin(x - speed * t) - speed) + torch.sin(x - speed * t) / 10)
        },
        {"start": On(t=0, equation=lambda u, x: u - torch.sin(x)), "ends": Periodic("x")},
        exact=lambda x, t: torch.sin(x - speed * t),
    )


def fall():
    """An equation in time alone."""
    return Problem(
        Box(t=(0, 2)),
        {"ode": lambda u: u.t + u * u},
        {"start": On(t=0, equation=lambda u: u - 1)},
        exact=lambda t: 1 / (1 + t),
    )


def rod():
    """Heat between a wall and an insulated end."""
    return Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"heat": lambda u: u.t - u.xx / 5},
        {
            "start": On(t=0, equation=lambda u, x: u - torch.sin(pi * x / 2)),
            "wall": On(x=0, equation=lambda u: u),
            "insulated": On("x high", equation=lambda u: u.n),
        },
        exact=lambda x, t: torch.exp(-(pi**2) * t / 20) * torch.sin(pi * x / 2),
    )


def string():
    """A wave equation, which needs two conditions at first."""
    return Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"wave": lambda u: u.tt - 4 * u.xx},
        {
            "start": On(t=0, equation=lambda u, x: u - torch.sin(pi * x)),
            "rest": On(t=0, equation=lambda u: u.t),
            "left": On(x=0, equation=lambda u: u),
            "right": On(x=1, equation=lambda u: u),
        },
        exact=lambda x, t: torch.sin(pi * x) * torch.cos(2 * pi * t),
    )


@pytest.mark.parametrize("periodic", [True, False])
def test_derivatives_on_a_window_are_those_of_taylor_mode(periodic):
    domain, c = Box(x=(-1, 2), t=(0, 3)), random(2, 7, TIMES)
    model = Products(domain, "t", 2, periodic)
    model.append(0.0, 3.0, c)
    points = domain.sample(20)
    requests = [(0, (0, 0)), (1, (1, 0)), (0, (2, 1)), (1, (0, 2)), (0, Laplacian((0,)))]
    found = OnWindow(model, (0.0, 3.0), c).derivatives(points, requests)
    for request, value in taylor(model, points, requests).items():
        torch.testing.assert_close(found[request], value.detach())


def test_waves_in_space_are_periodic_and_each_is_new():
    model = Products(Box(x=(-1, 2), t=(0, 3)), "t", 1, True)
    x = torch.linspace(-1, 2, 22, dtype=torch.float64)[:-1, None]
    shapes = model.in_space(x, 9)
    torch.testing.assert_close(model.in_space(x + 3, 9), shapes)
    gram = shapes.T @ shapes / 21
    torch.testing.assert_close(gram, torch.diag(torch.tensor([1.0, *[0.5] * 8])).double())


def test_each_window_answers_from_its_start_on():
    model = Products(Box(t=(0, 3)), "t", 1, False)
    assert model.space is None
    for k, (start, end) in enumerate([(0.0, 1.0), (1.0, 1.5), (1.5, 3.0)]):
        c = torch.zeros(1, 1, TIMES).double()
        c[0, 0, 0], c[0, 0, 1] = k, 0.5
        model.append(start, end, c)
    points = torch.tensor([[0.0], [0.999], [1.0], [1.25], [3.0]], dtype=torch.float64)
    torch.testing.assert_close(model(points)[:, 0], torch.tensor([-0.5, 0.499, 0.5, 1.0, 2.5]).double())
    assert model(points[:0]).shape == (0, 1)


def test_polynomials_in_time_go_on_in_the_next_window():
    c = random(1, 3, TIMES)
    z = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    there = continued(c, 1.7) @ chebyshev(z, TIMES).T
    torch.testing.assert_close(there, c @ chebyshev(1 + (1 + z) * 1.7, TIMES).T)


def test_the_rows_are_the_derivatives_of_the_residuals():
    problem = problems.schroedinger()
    c, edges = random(2, 5, TIMES), (0.0, 0.1)
    model = Products(problem.domain, "t", 2, True)
    sample = collocation(without(problem, "periodic"), model, edges, 5, TIMES - 1)
    ones = dict.fromkeys(problem.terms, 1.0)

    def residuals(c):
        return linearized(problem, OnWindow(model, edges, c), sample, ones, {})

    step = 1e-6 * random(2, 5, TIMES)
    at = OnWindow(model, edges, c)
    for block, before, after in zip(residuals(c), residuals(c - step), residuals(c + step), strict=True):
        change = at.grid(block.points).rows(block) @ step.flatten()
        torch.testing.assert_close((after.residual - before.residual) / 2, change, rtol=1e-6, atol=1e-9)


def test_where_a_window_ends_it_is_of_the_order_of_radau():
    """Two times 5 points less 1: half a window is wrong by 2^-10 as much there."""
    errors = []
    for end in (1.0, 0.5):
        at = OnWindow(Products(Box(t=(0, end)), "t", 1, False), (0.0, end), torch.zeros(1, 1, TIMES).double())
        problem = Problem(Box(t=(0, end)), {"ode": lambda u: u.t + u}, {"start": On(t=0, equation=lambda u: u - 1)})
        assert newton(problem, at, 1e-10, (1, 0))
        errors.append(abs(float(at.coefficients.sum()) - torch.exp(torch.tensor(-end).double()).item()))
    assert errors[1] < errors[0] / 500


def test_tails_say_what_is_missing():
    c = torch.zeros(1, 33, TIMES).double()
    c[0, 0] = 10.0 ** -torch.arange(TIMES)
    c[0, 32, 0] = 1e-3
    in_space, in_time = tails(c)
    assert in_space == pytest.approx(1e-3, rel=0.01)
    assert in_time == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize(
    ("make", "periodic"), [(moving, ("x",)), (fall, ()), (rod, ()), (string, ())], ids=["transport", "ode", "rod", "string"]
)
def test_what_is_smooth_is_solved_to_its_tolerance(make, periodic):
    problem = make()
    own = without(problem, "ends") if periodic else problem
    errors = [relative_error(solved_forward(own, "t", periodic, tolerance), problem) for tolerance in (1e-4, 1e-8)]
    assert errors[0] < 1e-3
    assert errors[1] < 1e-7


def test_several_fields_over_a_long_time():
    prey = Problem(
        Box(t=(0, 20)),
        {"x": lambda x, y: x.t - x * (1 - y), "y": lambda x, y: y.t + y * (1 - x)},
        {"start": On(t=0, equation=lambda x, y: (x - 2, y - 1))},
        fields=("x", "y"),
    )
    model = solved_forward(prey, "t", (), 1e-8)
    t = torch.linspace(0, 20, 50, dtype=torch.float64)
    orbit = solve_ivp(lambda t, z: (z[0] * (1 - z[1]), z[1] * (z[0] - 1)), (0, 20), (2, 1), t_eval=t, rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        assert (model(t[:, None]).T - torch.from_numpy(orbit.y)).abs().max() < 1e-5


def test_it_gives_up_where_a_layer_is_too_thin_and_where_it_is_late():
    thin = Problem(
        Box(x=(-1, 1), t=(0, 1)),
        {"burgers": lambda u: u.t + u * u.x - 1e-4 * u.xx},
        {"start": On(t=0, equation=lambda u, x: u + 0.5 + torch.tanh(200 * x)), "left": On(x=-1, equation=lambda u: u - 0.5)},
    )
    assert solved_forward(thin, "t", (), 1e-3) is None
    seen = []
    assert solved_forward(fall(), "t", (), 1e-6, lambda share: seen.append(share) or share > 0.2) is None
    assert 0 == seen[0] < 0.2 < seen[-1] < 1


def test_what_is_too_slow_is_late():
    clock = Clock(1e6, 100)
    pace = Pace(clock, 0.5)
    assert not any(pace(k / 10) for k in range(10))
    slow = Pace(clock, 0.5)
    assert [slow(0.0) for _ in range(20)].index(True) == 10  # 4 * 0.05 of the half that it may use


def test_each_solution_is_sharper_than_the_last():
    problem = moving()
    found = list(solutions(without(problem, "ends"), "t", ("x",), Clock(1e6, 1000), 0.5))
    tolerances, counts, models = zip(*found, strict=True)
    assert tolerances[:3] == (1e-4, 1e-6, 1e-8)
    assert set(counts) == {MOST}
    errors = [relative_error(model, problem) for model in models[:3]]
    assert errors[2] < errors[1] / 10 < errors[0] / 100


def test_where_functions_in_space_are_missing_more_are_taken(monkeypatch):
    monkeypatch.setattr(spectral, "MOST", 21 * TIMES)
    problem = Problem(
        Box(x=(0, 2 * pi), t=(0, 1)),
        {"transport": lambda u: u.t + u.x},
        {"start": On(t=0, equation=lambda u, x: u - torch.exp(3 * torch.cos(x)))},
        exact=lambda x, t: torch.exp(3 * torch.cos(x - t)),
    )
    found = list(itertools.islice(solutions(problem, "t", ("x",), Clock(1e6, 10**4), 0.5), 4))
    errors = [relative_error(model, problem) for *_, model in found]
    assert [(tolerance, count // TIMES) for tolerance, count, _ in found] == [(1e-4, 21), (1e-6, 21), (1e-6, 42), (1e-8, 42)]
    assert errors[3] < errors[1] / 10


@pytest.mark.parametrize("walls", [2, 0], ids=["square", "least squares"])
def test_newton_solves_a_linear_problem_in_a_step(walls):
    """With two points less in space, for two walls, as many equations as coefficients; else more of them."""
    problem = string()
    at = OnWindow(Products(problem.domain, "t", 1, False), (0.0, 0.1), torch.zeros(1, 21, TIMES).double())
    sample = collocation(problem, at.model, at.edges, 21, TIMES - 2, walls)
    ones = dict.fromkeys(problem.terms, 1.0)
    blocks = linearized(problem, at, sample, ones, {})
    assert (sum(len(block.residual) for block in blocks) == at.coefficients.numel()) == bool(walls)
    at.coefficients = at.coefficients - factored(at, blocks)([block.residual for block in blocks])
    for block in linearized(problem, at, sample, ones, {}):
        assert block.residual.abs().max() < 1e-6, block.name


def test_what_has_no_condition_cannot_be_factored():
    problem = Problem(Box(x=(0, 1), t=(0, 1)), {"nothing": lambda u: 0 * u}, {"start": On(t=0, equation=lambda u: u)})
    at = OnWindow(Products(problem.domain, "t", 1, True), (0.0, 0.1), torch.zeros(1, 5, TIMES).double())
    sample = collocation(problem, at.model, at.edges, 5, TIMES - 1)
    assert factored(at, linearized(problem, at, sample, dict.fromkeys(problem.terms, 1.0), {})) is None


def test_the_recipe_goes_forward_and_knows_how_wrong_it_is(tmp_path):
    problem = moving()
    solver = Solver(problem, Clock(1e6, 60), 0, "cpu", without=("waves", "network", "march"))
    found = solver.solve()
    assert found.error < 1e-4
    assert found.error / 10 < found.error_estimate < 10 * found.error
    names = {"problem": problem}
    exec(found.recipe, names)
    points = problem.domain.evaluation_points(50)
    torch.testing.assert_close(names["model"](points), found.model(points))
    found.save(tmp_path / "forward.pt")
    assert torch.equal(Fit.load(tmp_path / "forward.pt", problem).model(points), found.model(points))
