"""Newton's step by GMRES: its waves, its two preconditioners, and that it is the step that factors give."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from pinnedu import Box, On, Problem, problems, relative_error
from pinnedu.recipe import Products, solved_forward, without
from pinnedu.trainers import krylov, products, spectral
from pinnedu.trainers.grid import Waves, amplitudes, by_values, coefficients, nodes
from pinnedu.trainers.krylov import Part, differences, frozen, three_points
from pinnedu.trainers.products import TIMES
from pinnedu.trainers.spectral import OnWindow, collocation, conditions_of, factored, iterated, linearized

END = 0.01


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def walls():
    """Two fields between walls, of which one is insulated."""
    return Problem(
        Box(x=(-1, 1), t=(0, 1)),
        {
            "u": lambda u, v, x: u.t + u * u.x - (0.02 + 0.01 * x) * u.xx + v,
            "v": lambda u, v: v.t - 0.05 * v.xx - u * v,
        },
        {
            "start": On(t=0, equation=lambda u, v, x: (u + torch.sin(pi * x), v - 1)),
            "left": On(x=-1, equation=lambda u, v: (u, v.x)),
            "right": On(x=1, equation=lambda u, v: (u, v - 1)),
        },
        fields=("u", "v"),
    )


def evolution(name):
    made = getattr(problems, name)()
    return without(made, "periodic")


CASES = {
    "two fields, waves": (lambda: evolution("schroedinger"), True),
    "third order, waves": (lambda: evolution("korteweg_de_vries"), True),
    "two fields, walls": (walls, False),
    "inflow": (
        lambda: Problem(
            Box(t=(0, 1), x=(0, 1)),
            {"transport": lambda u, x: u.t + (1 + x) * u.x},
            {"start": On(t=0, equation=lambda u, x: u - torch.sin(x)), "in": On(x=0, equation=lambda u: u)},
        ),
        False,
    ),
}


def linear(make, periodic, count=31):
    """A window at some function, and what its equations are there."""
    problem = make()
    fields = len(problem.fields)
    walls = 0 if periodic else 1 if "in" in problem.conditions else 2
    at = OnWindow(Products(problem.domain, "t", fields, periodic), (0.0, END), 0.1 * random(fields, count, TIMES) / count)
    sample = collocation(problem, at.model, at.edges, count, TIMES - 1, walls)
    return at, linearized(problem, at, sample, dict.fromkeys(problem.terms, 1.0), {})


def test_values_and_amplitudes_of_waves():
    waves, k = Waves(9, 3.0), 2 * pi / 3
    x = nodes(9, 0.0, 3.0)
    c = random(9)
    here = c[0] + sum(c[2 * n - 1] * torch.cos(n * k * x) + c[2 * n] * torch.sin(n * k * x) for n in range(1, 5))
    slope = sum(n * k * (c[2 * n] * torch.cos(n * k * x) - c[2 * n - 1] * torch.sin(n * k * x)) for n in range(1, 5))
    torch.testing.assert_close(waves.values(amplitudes(c)), here)
    torch.testing.assert_close(waves.values(amplitudes(c), 1), slope)
    torch.testing.assert_close(coefficients(waves.amplitudes(here)), c)


def test_three_points_differentiate_a_parabola_anywhere():
    x = np.sort(np.random.default_rng(0).uniform(-1, 2, 9))
    first, second = three_points(x)
    np.testing.assert_allclose(first @ (3 * x**2 - x), 6 * x - 1, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(second @ (3 * x**2 - x), 6, rtol=1e-9)


@pytest.mark.parametrize(("make", "periodic"), CASES.values(), ids=CASES)
def test_a_part_is_the_derivative_of_its_residual(make, periodic):
    at, blocks = linear(make, periodic)
    change = random(*at.coefficients.shape)
    for block in blocks:
        grid = at.grid(block.points)
        part = Part(block, grid)
        torch.testing.assert_close(part(change), part.table(grid.rows(block) @ change.flatten()), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(("make", "periodic"), CASES.values(), ids=CASES)
def test_the_step_is_that_of_factors(make, periodic, monkeypatch):
    monkeypatch.setattr(krylov, "ACCURACY", 1e-10)
    at, blocks = linear(make, periodic)
    residuals = [block.residual for block in blocks]
    direct = factored(at, blocks)(residuals)
    step = iterated(at, blocks)(residuals)
    assert float((step - direct).norm() / direct.norm()) < 1e-6


def test_frozen_equations_are_exact_where_coefficients_are_constant():
    problem = Problem(
        Box(x=(0, 2), t=(0, 1)),
        {"third": lambda u: u.t + 3 * u.x + u.xxx - 0.1 * u.xx + 2 * u},
        {"start": On(t=0, equation=lambda u, x: u - torch.cos(pi * x))},
    )
    at, blocks = linear(lambda: problem, True)
    parts = [Part(block, at.grid(block.points)) for block in blocks]
    change = random(1, 31, TIMES)
    found = frozen(parts, 1, TIMES)(torch.cat([part(change).flatten() for part in parts]))
    torch.testing.assert_close(found, change, rtol=1e-6, atol=1e-7)


def test_finite_differences_are_exact_for_parabolas():
    at, blocks = linear(walls, False)
    parts = [Part(block, at.grid(block.points)) for block in blocks]
    change = torch.zeros(2, 31, TIMES).double()
    change[:, :3] = random(2, 3, TIMES)
    inverse = differences(parts, lambda x: by_values(at.model, x), 2, 31, TIMES)
    torch.testing.assert_close(inverse(torch.cat([part(change).flatten() for part in parts])), change, rtol=1e-6, atol=1e-6)


def test_it_is_for_grids_only():
    """Random points of a wall, a third derivative between walls, more equations than coefficients: factors then."""
    at, blocks = linear(walls, False)
    parts = [Part(block, at.grid(block.points)) for block in blocks]
    at, blocks = linear(lambda: evolution("korteweg_de_vries"), False)
    assert iterated(at, blocks) is None
    assert frozen(parts, 2, TIMES) is None
    assert differences(parts[:-1], lambda x: by_values(at.model, x), 2, 31, TIMES) is None


def on_a_rod(equations, fields=("u",), start=None, exact=None, **walls):
    """Walls by name: the side, and what holds there."""
    sides = {"left": 0, "right": 1}
    conditions = {name: On(x=sides[name.split("_")[0]], equation=one) for name, one in walls.items()}
    first = On(t=0, equation=start)
    return Problem(Box(x=(0, 1), t=(0, 1)), equations, {"start": first, **conditions}, fields=fields, exact=exact)


def zero(u):
    return u


def walls_of_each_kind():
    """A problem, how many points its conditions at walls take the place of, and why."""
    sine = lambda x, t: torch.sin(pi * x) * torch.exp(-0.1 * pi**2 * t)
    heat = {"u": lambda u: u.t - 0.1 * u.xx}
    begins = lambda u, x: u - torch.sin(pi * x)
    moving = lambda x, t: torch.sin(4 * (x - t))
    rate = 0.1 * pi**2
    return {
        "one at each wall": (on_a_rod(heat, start=begins, exact=sine, left=zero, right=zero), 2),
        "by derivatives in time": (
            on_a_rod(
                heat, start=lambda u, x: u - torch.cos(pi * x), exact=lambda x, t: torch.cos(pi * x) * torch.exp(-rate * t),
                left=lambda u, t: u.t + rate * torch.exp(-rate * t), right=lambda u, t: u.t - rate * torch.exp(-rate * t),
            ),
            0,
        ),
        "more than there are derivatives": (
            on_a_rod(
                {"u": lambda u: u.t + u.x}, start=lambda u, x: u - torch.sin(4 * x), exact=moving,
                left=lambda u, t: u + torch.sin(4 * t), right=lambda u, t: u - torch.sin(4 * (1 - t)),
            ),
            0,
        ),
        "of one field of two": (
            on_a_rod(
                {"a": lambda u, v: u.t - v, "b": lambda u, v: v.t - u.xx}, ("u", "v"),
                lambda u, v, x: (u - torch.sin(pi * x), v),
                lambda x, t: {
                    "u": torch.sin(pi * x) * torch.cos(pi * t), "v": -pi * torch.sin(pi * x) * torch.sin(pi * t),
                },
                left=lambda u, v: u, right=lambda u, v: u,
            ),
            0,
        ),
        "both at one wall": (on_a_rod(heat, start=begins, left=zero, left_too=lambda u: u.x), 0),
    }  # fmt: skip


@pytest.mark.parametrize(("problem", "walls"), walls_of_each_kind().values(), ids=walls_of_each_kind())
def test_conditions_at_walls_take_the_place_of_points_where_they_can(problem, walls):
    model = Products(problem.domain, "t", len(problem.fields), False)
    assert conditions_of(problem, model, "t") == (1, walls)
    if problem.exact is not None:
        assert relative_error(solved_forward(problem, "t", (), 1e-4), problem) < 1e-3


def test_where_gmres_gives_up_the_jacobian_is_factored(monkeypatch):
    """The highest derivative has a coefficient that varies: frozen in space, it is another equation."""
    monkeypatch.setattr(spectral, "DIRECT", 100)
    monkeypatch.setattr(krylov, "AT_MOST", 2)
    called = []
    monkeypatch.setattr(spectral, "factored", lambda at, blocks: called.append(1) or factored(at, blocks))
    problem = Problem(
        Box(x=(0, 2 * pi), t=(0, 0.1)),
        {"heat": lambda u, x, t: u.t - (1 + 0.8 * torch.sin(x)) * u.xx},
        {"start": On(t=0, equation=lambda u, x: u - torch.exp(torch.cos(x)))},
    )
    model = solved_forward(problem, "t", ("x",), 1e-6)
    assert called
    points, finer = problem.domain.sample(50), solved_forward(problem, "t", ("x",), 1e-9)
    assert (model(points) - finer(points)).abs().max() < 1e-5


def test_nothing_stays_nothing():
    problem = on_a_rod({"u": lambda u: u.t - u.xx}, start=zero, left=zero, right=zero)
    model = solved_forward(problem, "t", (), 1e-6)
    assert model is not None
    assert not model(problem.domain.sample(20)).any()


def test_many_points_are_evaluated_in_pieces(monkeypatch):
    problem = evolution("korteweg_de_vries")
    model = Products(problem.domain, "t", 1, True)
    model.append(0.0, 1.0, random(1, 31, TIMES))
    points = problem.domain.sample(200)
    whole = model(points)
    monkeypatch.setattr(products, "AT_ONCE", 31 * 7)
    assert torch.equal(model(points), whole)
    assert not whole.requires_grad  # or every piece would be kept for a gradient


def test_a_layer_that_needs_many_functions(monkeypatch):
    """A front that moves: 400 polynomials and more. Preconditioned, GMRES needs few steps, however many there are."""
    seen, gmres = [], krylov.gmres

    def counted(operator, right, **options):
        steps = []
        found = gmres(operator, right, callback=steps.append, callback_type="pr_norm", **options)
        seen.append(len(steps))
        return found

    monkeypatch.setattr(krylov, "gmres", counted)
    nu = 0.01
    front = Problem(
        Box(x=(-1, 1), t=(0, 0.2)),
        {"burgers": lambda u: u.t + u * u.x - nu * u.xx},
        {
            "start": On(t=0, equation=lambda u, x: u - 0.5 + 0.5 * torch.tanh(x / (4 * nu))),
            "left": On(x=-1, equation=lambda u: u - 1),
            "right": On(x=1, equation=lambda u: u),
        },
        exact=lambda x, t: 0.5 - 0.5 * torch.tanh((x - t / 2) / (4 * nu)),
    )
    model = solved_forward(front, "t", (), 1e-6)
    assert relative_error(model, front) < 1e-5
    assert max(len(one[0]) for one in model.coefficients) > 200
    assert seen
    assert np.mean(seen) < 20
