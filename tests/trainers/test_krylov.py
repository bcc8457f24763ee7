"""Newton's step by GMRES: its waves, its two preconditioners, and that it is the step that factors give."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from pinnedu import Box, On, Problem, problems, relative_error
from pinnedu.recipe import Products, solved_forward, without
from pinnedu.trainers import krylov, spectral
from pinnedu.trainers.krylov import Part, Waves, amplitudes, coefficients, differences, frozen, three_points
from pinnedu.trainers.products import TIMES
from pinnedu.trainers.spectral import OnWindow, collocation, factored, iterated, kept, linearized

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
    x = spectral.nodes(9, 0.0, 3.0)
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
    inverse = differences(parts, lambda x: kept(at.model, x, 31, -1), 2, 31, TIMES)
    torch.testing.assert_close(inverse(torch.cat([part(change).flatten() for part in parts])), change, rtol=1e-6, atol=1e-6)


def test_it_is_for_grids_only():
    """Random points of a wall, a third derivative between walls, more equations than coefficients: factors then."""
    at, blocks = linear(walls, False)
    parts = [Part(block, at.grid(block.points)) for block in blocks]
    at, blocks = linear(lambda: evolution("korteweg_de_vries"), False)
    assert iterated(at, blocks) is None
    assert frozen(parts, 2, TIMES) is None
    assert differences(parts[:-1], lambda x: kept(at.model, x, 31, -1), 2, 31, TIMES) is None


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
