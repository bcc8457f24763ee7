"""Random waves and Newton's method: frequencies, derivatives by symbols, least squares, unknowns."""

from __future__ import annotations

import pytest
import torch

from pinnedu import Box, Observed, On, Problem, problems
from pinnedu.derivatives.requests import Laplacian
from pinnedu.derivatives.taylor import taylor
from pinnedu.jacobian import jacobian
from pinnedu.recipe import looked_at, periodic_coordinates, random_waves, without
from pinnedu.trainers.waves import derivatives, frequencies, least_squares, linearized, rows, solved_by_waves, waves


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
