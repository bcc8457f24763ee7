"""Error bounds: the constants are those of the proofs, no model breaks a bound, quadrature has its rates."""

from math import exp, pi, sqrt

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, GaussNewton, Observed, On, Periodic, Points, Problem, fit
from pinnedu.problems import advection, heat, poisson
from pinnedu.theory import errors
from pinnedu.theory.linearity import _Waves


def helmholtz(k):
    return Problem(
        Box(x=(0, pi)),
        {"helmholtz": lambda u, x: u.xx + k**2 * u - (k**2 - 4) * torch.sin(2 * x)},
        {"left": On(x=0, equation=lambda u: u), "right": On(x=pi, equation=lambda u: u)},
        exact=lambda x: torch.sin(2 * x),
    )


def growing(growth, D=1.0):
    """The heat equation with a reaction, and the solution exp(-D t) sin x all the same."""
    plain = heat(D)
    return Problem(
        plain.domain,
        {"heat": lambda u, x, t: u.t - D * u.xx - growth * (u - torch.exp(-D * t) * torch.sin(x))},
        plain.conditions,
        exact=plain.exact,
    )


def bound(model, problem, stability):
    record = errors.Certificate(stability, nodes=48)
    return record.look(model, problem), record.errors[-1]


# The error and its norms


def test_sobolev_error_of_a_known_difference(closed_form):
    problem = poisson()  # sin x on (-pi, pi)
    model = closed_form(lambda x: torch.sin(x) + 0.1 * torch.cos(3 * x))
    for order, square in ((0, 1), (1, 1 + 9), (2, 1 + 9 + 81)):
        assert errors.sobolev_error(model, problem, order) == pytest.approx(0.1 * sqrt(pi * square), rel=1e-10)


def test_sobolev_has_one_equation_for_each_derivative():
    assert list(errors.sobolev(heat(), 2).equations) == ["e", "e.x", "e.t", "e.x.x", "e.x.t", "e.t.t"]


def test_norms_are_integrals_over_each_set(closed_form):
    problem = Problem(
        Box(x=(0, 2), t=(0, 1)),
        {"equation": lambda u: u.t},
        {"start": On(t=0, equation=lambda u: u), "corner": On(x=1, t=1, equation=lambda u: u), "tie": Periodic("x")},
    )
    found = errors.norms(closed_form(lambda x, t: x * (1 + t)), problem)
    assert found["equation"] == pytest.approx(sqrt(8 / 3))
    assert found["start"] == pytest.approx(sqrt(8 / 3))
    assert found["corner"] == pytest.approx(2)
    assert found["tie"] == pytest.approx(sqrt(4 * 7 / 3))  # value: 2 (1 + t); slope: no jump


def test_wider_networks_fit_better():
    """Training the error trains the model."""
    problem = Problem(Box(x=(-1, 1)), {"poisson": lambda u: u.xx}, exact=lambda x: torch.exp(-x) * torch.sin(3 * x))

    def best(width):
        model = MLP(problem, hidden=(width,))
        fit(errors.ErrorOf(model, problem), errors.sobolev(problem, 2), optimizer=GaussNewton(), steps=100,
            points=Points(60, 1, "grid", resample=0), seed=0)  # fmt: skip
        return errors.sobolev_error(model, problem, 2)

    assert best(8) < 1e-3 < 1e-2 * best(2)


# The residual is bounded by the error


@pytest.mark.parametrize(
    ("problem", "constant"),
    [
        (poisson(), 1),
        (heat(0.5), sqrt(1 + 0.25)),
        (advection(30.0), sqrt(1 + 900)),
        (helmholtz(2.0), sqrt(1 + 16)),
        (Problem(Box(x=(0, 1), y=(0, 1)), {"poisson": lambda u, x: u.laplacian() - x}), sqrt(2)),
        (Problem(Box(x=(0, 2)), {"a": lambda u, x: x * u.x, "b": lambda u: 3 * u}), sqrt(4 + 9)),
    ],
)
def test_residual_constant(problem, constant):
    """thm-approximation-continuity: the constant of six equations by hand."""
    assert errors.residual_constant(problem, nodes=64) == pytest.approx(constant, rel=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_residual_of_any_model_is_below_its_sobolev_error(seed):
    for problem in (heat(), advection(10.0), helmholtz(3.0)):
        torch.manual_seed(seed)
        model = MLP(problem, hidden=(8,))
        residual = next(iter(errors.norms(model, problem).values()))
        order = 1 if "advection" in problem.equations else 2
        assert residual <= errors.residual_constant(problem) * errors.sobolev_error(model, problem, order)


# The error is bounded by the residual


def test_constants_by_hand():
    assert errors.heat_stability(heat().domain)["heat"] == pytest.approx(1 - exp(-1))
    assert errors.heat_stability(heat().domain, growth=1.0) == pytest.approx(
        {"heat": 1, "initial": 1, "left": 2 * sqrt(pi / 3), "right": 2 * sqrt(pi / 3)}
    )
    assert errors.heat_stability(heat().domain, growth=11.0)["heat"] == pytest.approx((exp(10) - 1) / 10)
    assert errors.advection_stability(Box(x=(0, 1), t=(0, 4)), -2.0) == {
        "advection": 4, "initial": 2, "periodic": sqrt(8 * 10)
    }  # fmt: skip
    assert errors.helmholtz_stability(Box(x=(0, pi)), 0.0)["helmholtz"] == pytest.approx(1)
    assert errors.helmholtz_stability(Box(x=(0, pi)), 1.6)["helmholtz"] == pytest.approx(1 / (4 - 1.6**2))
    assert errors.pde_constant({"a": 3.0, "b": 4.0}) == 5


CASES = [
    *[(growing(growth), errors.heat_stability(heat().domain, growth=growth)) for growth in (0.0, 3.0, -5.0)],
    (heat(0.1), errors.heat_stability(heat().domain, D=0.1)),
    *[(advection(beta), errors.advection_stability(advection().domain, beta)) for beta in (1.0, -7.0, 30.0)],
    *[(helmholtz(k), errors.helmholtz_stability(Box(x=(0, pi)), k)) for k in (0.0, 1.1, 2.3)],
]


@pytest.mark.parametrize(("problem", "stability"), CASES)
def test_no_function_breaks_the_bound(problem, stability):
    """Random waves of many sizes, none of which meets any condition."""
    generator = torch.Generator().manual_seed(0)
    for scale in (0.01, 1.0, 100.0):
        for _ in range(4):
            limit, error = bound(_Waves(problem, scale, generator), problem, stability)
            assert error <= limit


def test_the_bound_is_sharp_on_the_slowest_mode(closed_form):
    """thm-stability-heat, thm-stability-helmholtz: the start sin x decays as slowly as can be, so the constant is attained."""
    shifted = closed_form(lambda x, t: 1.1 * torch.exp(-t) * torch.sin(x))
    limit, error = bound(shifted, heat(), errors.heat_stability(heat().domain))
    assert error == pytest.approx(limit, rel=1e-9)
    near = closed_form(lambda x: torch.sin(2 * x) + torch.sin(x))
    limit, error = bound(near, helmholtz(sqrt(1.001)), errors.helmholtz_stability(Box(x=(0, pi)), sqrt(1.001)))
    assert error == pytest.approx(limit, rel=1e-6)


def test_a_large_constant_lets_a_tiny_residual_hide_a_large_error(closed_form):
    record = errors.Certificate(errors.helmholtz_stability(Box(x=(0, pi)), sqrt(1 + 1e-6)))
    record.look(closed_form(lambda x: torch.sin(2 * x) + torch.sin(x)), helmholtz(sqrt(1 + 1e-6)))
    assert record.residuals[-1] < 2e-6
    assert record.errors[-1] > 1


@pytest.mark.parametrize(
    ("problem", "stability"),
    [
        (heat(), errors.heat_stability(heat().domain)),
        (advection(5.0), errors.advection_stability(advection().domain, 5.0)),
    ],
)
def test_every_step_of_training_lies_under_the_bound(problem, stability):
    record = errors.Certificate(stability, every=5, nodes=24)
    fit(MLP(problem, hidden=(10,)), problem, optimizer=GaussNewton(), steps=40, points=Points(200, 40, "sobol"),
        seed=0, callbacks=[record])  # fmt: skip
    assert record.steps == list(range(5, 41, 5))
    measured, bounds, residuals = map(np.array, (record.errors, record.bounds, record.residuals))
    assert (measured <= bounds).all()
    assert (bounds <= errors.pde_constant(stability) * residuals * (1 + 1e-12)).all()
    assert measured[-1] < 0.1 * measured[0]


def test_certificate_needs_no_solution(closed_form, decay):
    unsolved = Problem(decay.domain, decay.equations, decay.conditions)
    record = errors.Certificate({"decay": 1.0, "start": 2.0})
    assert record.look(closed_form(lambda t: 0 * t), unsolved) == pytest.approx(2)
    assert record.errors == []


# The gap of the quadrature


@pytest.fixture(scope="module")
def half_trained():
    problem = poisson(2)
    model = MLP(problem, hidden=(12,))
    fit(model, problem, optimizer=GaussNewton(), steps=4, points=Points(100, 1), seed=0, progress=False)
    return model, problem


@pytest.mark.parametrize(
    ("rule", "counts", "repetitions", "low", "high"),
    [
        ("monte-carlo", [16, 64, 256, 1024], 200, -0.6, -0.4),
        ("sobol", [33, 129, 513, 2049], 100, -1.25, -0.85),
        ("sobol", [32, 128, 512, 2048], 100, -2.0, -1.3),
        ("midpoint", [32, 64, 128, 256], 1, -2.2, -1.8),
        ("gauss-legendre", [20, 28, 36, 44], 1, -99, -8),
    ],
)
def test_rates(half_trained, rule, counts, repetitions, low, high):
    nodes, gaps = errors.quadrature_gap(*half_trained, counts, rule, repetitions=repetitions, nodes=200)
    assert nodes.tolist() == counts
    assert low < np.polyfit(np.log(nodes), np.log(gaps), 1)[0] < high


def test_gap_of_a_known_residual(closed_form):
    """The residual 2x on (-pi, pi): two midpoints at +-pi/2 see pi^2, the mean is 4/3 pi^2."""
    problem = Problem(Box(x=(-pi, pi)), {"slope": lambda u: u.x})
    nodes, gaps = errors.quadrature_gap(closed_form(lambda x: x**2), problem, [2], "midpoint")
    assert nodes.tolist() == [2]
    assert gaps[0] == pytest.approx(1 / 4)


def test_grid_rules_count_nodes_in_all(closed_form):
    problem = Problem(Box(x=(0, 1), y=(0, 1)), {"slope": lambda u: u.x})
    nodes, _ = errors.quadrature_gap(closed_form(lambda x, y: x * y), problem, [2, 3], "midpoint")
    assert nodes.tolist() == [4, 9]


# Bad input


def test_bad_input(closed_form, decay):
    model = closed_form(lambda t: t)
    unsolved = Problem(decay.domain, decay.equations)
    two = Problem(Box(x=(0, 1)), {"sum": lambda u, v: u + v}, fields=("u", "v"))
    data = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t}, {"data": Observed([[0.5]], u=[1.0])})
    for call, message in (
        (lambda: errors.ErrorOf(model, unsolved), "no exact solution"),
        (lambda: errors.ErrorOf(model, two), "one field"),
        (lambda: errors.sobolev(decay, -1), "order must be a whole number"),
        (lambda: errors.norms(model, data), "data at points"),
        (lambda: errors.residual_constant(Problem(Box(x=(0, 1)), {"burgers": lambda u: u * u.x})), "not linear"),
        (lambda: errors.residual_constant(Problem(Box(x=(0, 1)), {})), "no equation"),
        (lambda: errors.heat_stability(Box(x=(0, 1))), "coordinates x and t"),
        (lambda: errors.heat_stability(heat().domain, D=-1.0), "must be positive"),
        (lambda: errors.heat_stability(heat().domain, growth=float("nan")), "growth must be a finite number"),
        (lambda: errors.advection_stability(heat().domain, float("inf")), "beta must be a finite number"),
        (lambda: errors.helmholtz_stability(heat().domain, 1.0), "coordinate x alone"),
        (lambda: errors.helmholtz_stability(Box(x=(0, pi)), 2.0), "eigenvalue"),
        (lambda: errors.Certificate({}, every=0), "every must be"),
        (lambda: errors.Certificate({"decay": 1.0}).look(model, decay), "the terms are decay, start"),
        (lambda: errors.quadrature_gap(model, decay, [4], "simpson"), "unknown"),
        (lambda: errors.quadrature_gap(model, decay, [4], "midpoint", repetitions=0), "repetitions must be"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_module_without_weights_is_a_model_too():
    class Zero(nn.Module):
        def forward(self, points):
            return 0 * points[:, :1]

    assert errors.sobolev_error(Zero(), heat()) == pytest.approx(sqrt(pi / 2 * (1 - exp(-2)) / 2))
