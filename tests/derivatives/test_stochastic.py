"""Random traces: no bias, the variance of the formulas, an error that falls as probes^-1/2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu.derivatives import Laplacian, evaluate, hutchinson, taylor
from pinnedu.derivatives.stochastic import DISTRIBUTIONS, directional, laplacian_power

DIM = 6
EVERYTHING = (0, Laplacian(tuple(range(DIM))))


class Quadratic(nn.Module):
    """x^T H x / 2: the Hessian is H at every point, so that one call gives many independent estimates."""

    def __init__(self):
        super().__init__()
        half = torch.randn(DIM, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        self.hessian = half + half.T

    def forward(self, points):
        return 0.5 * ((points @ self.hessian) * points).sum(dim=1, keepdim=True)


def variance_of_one_probe(hessian, distribution):
    total, diagonal = hessian.square().sum(), hessian.diagonal()
    if distribution == "gaussian":
        return float(2 * total)
    if distribution == "rademacher":
        return float(2 * (total - diagonal.square().sum()))
    return float(DIM**2 * (1 - 1 / DIM) * diagonal.var())


def estimates(distribution, probes, count=20_000, seed=0):
    points = torch.zeros(count, DIM, dtype=torch.float64)
    return hutchinson(probes, distribution, seed)(Quadratic(), points, [EVERYTHING])[EVERYTHING]


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian", "coordinates"])
@pytest.mark.parametrize("probes", [1, 3])
def test_no_bias_and_the_variance_of_the_formula(distribution, probes):
    hessian = Quadratic().hessian
    found = estimates(distribution, probes)
    variance = variance_of_one_probe(hessian, distribution) / probes
    if distribution == "coordinates":
        variance = float(DIM**2 * (1 / probes - 1 / DIM) * hessian.diagonal().var())
    assert abs(found.mean() - hessian.trace()) < 4 * (variance / len(found)) ** 0.5
    assert float(found.var()) == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_error_falls_as_one_over_the_root_of_the_probes(distribution):
    probes = [1, 4, 16, 64]
    trace = Quadratic().hessian.trace()
    errors = [(estimates(distribution, n, count=2000) - trace).square().mean().sqrt() for n in probes]
    slope = np.polyfit(np.log(probes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_signs_are_exact_for_a_diagonal_hessian(closed_form):
    model = closed_form(lambda *x: sum((k + 1) * c**3 for k, c in enumerate(x)))
    points = torch.rand(5, DIM, dtype=torch.float64)
    values = hutchinson(1, seed=0)(model, points, [EVERYTHING])[EVERYTHING]
    assert torch.allclose(values, taylor(model, points, [EVERYTHING])[EVERYTHING], rtol=1e-12)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(DIM, 8), nn.Tanh(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 2)).double()


POINTS = torch.rand(4, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_all_coordinates_without_replacement_are_the_laplacian_itself():
    requests = [(0, EVERYTHING[1]), (1, EVERYTHING[1])]
    values, exact = hutchinson(DIM, "coordinates")(network(), POINTS, requests), taylor(network(), POINTS, requests)
    for request in requests:
        assert torch.allclose(values[request], exact[request], rtol=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_networks_and_some_axes(distribution):
    request = (1, Laplacian((0, 2, 5)))
    exact = taylor(network(), POINTS, [request])[request]
    found = hutchinson(3, distribution, seed=0)(network(), POINTS.repeat(400, 1), [request])[request].reshape(400, len(POINTS))
    assert ((found.mean(dim=0) - exact).abs() <= 5 * found.std(dim=0) / 20 + 1e-12).all()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_seed_fixes_the_directions_and_every_call_draws_new_ones(distribution):
    first, again, other = (hutchinson(2, distribution, seed) for seed in (1, 1, 2))
    draws = [engine(network(), POINTS, [EVERYTHING])[EVERYTHING] for engine in (first, again, other, first)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_without_a_seed_the_global_generator_decides():
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append(hutchinson(2)(network(), POINTS, [EVERYTHING])[EVERYTHING])
    model = network()  # seeds the generator itself
    assert draws[0].shape == draws[1].shape == hutchinson(2)(model, POINTS, [EVERYTHING])[EVERYTHING].shape


def test_other_derivatives_are_exact_and_order_is_kept():
    requests = [(0, (1, 0, 0, 0, 0, 0)), EVERYTHING, (1, (0, 2, 0, 0, 0, 0))]
    values = evaluate(hutchinson(2, seed=0), network(), POINTS, requests)
    exact = taylor(network(), POINTS, requests)
    assert list(values) == requests
    assert torch.allclose(values[requests[0]], exact[requests[0]], rtol=1e-12)
    assert torch.allclose(values[requests[2]], exact[requests[2]], rtol=1e-12)


def test_gradients_by_the_weights_have_no_bias():
    model = network()
    weight = model[0].weight
    (exact,) = torch.autograd.grad(taylor(model, POINTS, [EVERYTHING])[EVERYTHING].sum(), weight)
    value = hutchinson(4000, seed=0)(model, POINTS, [EVERYTHING])[EVERYTHING].sum()
    (found,) = torch.autograd.grad(value, weight)
    assert torch.allclose(found, exact, atol=0.1 * float(exact.abs().max()))


# --- along a line, and higher powers


@pytest.mark.parametrize("order", range(1, 5))
def test_derivatives_along_a_line(closed_form, order):
    """Of exp(a . x) along v: (a . v)^k exp(a . x)."""
    a = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    model = closed_form(lambda x, y, z: torch.exp(a[0] * x + a[1] * y + a[2] * z))
    points, directions = torch.rand(2, 5, 3, dtype=torch.float64).unbind()
    expected = (directions @ a) ** order * torch.exp(points @ a)
    assert torch.allclose(directional(model, points, directions, order)[:, 0], expected, rtol=1e-12)


def test_biharmonic_operator_has_no_bias(closed_form):
    """Of x^4 + x^2 y^2: u_xxxx + 2 u_xxyy + u_yyyy = 24 + 8."""
    model = closed_form(lambda x, y: x**4 + x**2 * y**2)
    points = torch.rand(20_000, 2, dtype=torch.float64)
    found = laplacian_power(model, points, 2, probes=4, generator=torch.Generator().manual_seed(0))[:, 0]
    assert abs(found.mean() - 32) < 4 * found.std() / len(found) ** 0.5
    assert found.std() / len(found) ** 0.5 < 0.5


# --- bad input


@pytest.mark.parametrize("probes", [0, -1, 2.0])
def test_probes_are_counted(probes):
    with pytest.raises(ValueError, match="probes must be a positive integer"):
        hutchinson(probes)


def test_an_unknown_distribution_is_named():
    with pytest.raises(ValueError, match="distribution='uniform' is unknown: choose one of rademacher, gaussian, coord"):
        hutchinson(1, "uniform")


def test_more_axes_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="There are 6 coordinates: choose at most as many probes, not 7"):
        hutchinson(7, "coordinates")(network(), POINTS, [EVERYTHING])


def test_powers_need_normal_directions():
    with pytest.raises(ValueError, match="needs 'gaussian'"):
        laplacian_power(network(), POINTS, 2, probes=1, distribution="rademacher")


def test_a_missing_rule_is_named():
    model = nn.Sequential(network(), nn.Mish())
    with pytest.raises(TypeError, match="no rule for 'mish'.*use 'autograd'"):
        hutchinson(1)(model, POINTS, [EVERYTHING])


@pytest.mark.parametrize("probes", [1, 3])
def test_radial_directions_have_no_bias_and_see_the_radial_part_exactly(probes):
    model, point = Quadratic(), torch.randn(1, DIM, dtype=torch.float64)
    found = hutchinson(probes, "radial", 0)(model, point.expand(20_000, DIM), [EVERYTHING])[EVERYTHING]
    assert abs(found.mean() - model.hessian.trace()) < 4 * found.std() / len(found) ** 0.5
    e, g = point[0] / point.norm(), torch.randn(DIM, dtype=torch.float64)
    model.hessian = torch.outer(e, g) + torch.outer(g, e) + 2 * torch.eye(DIM, dtype=torch.float64)
    found = hutchinson(probes, "radial", 0)(model, point.expand(50, DIM), [EVERYTHING])[EVERYTHING]
    torch.testing.assert_close(found, model.hessian.trace().expand(50))


def test_the_unbiased_gradient_is_that_of_the_exact_residual():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(DIM, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    points = torch.randn(20, DIM, dtype=torch.float64)

    def gradient(engine, repeats):
        found = engine(model, points.repeat(repeats, 1), [EVERYTHING])[EVERYTHING]
        loss = 0.5 * (found - 1).square().mean()
        gradients = torch.autograd.grad(loss, model.parameters(), materialize_grads=True, allow_unused=True)
        return torch.cat([part.flatten() for part in gradients])

    exact = gradient(taylor, 1)
    biased = gradient(hutchinson(1, "gaussian", 0), 5000) - exact
    unbiased = gradient(hutchinson(1, "gaussian", 0, unbiased=True), 5000) - exact
    assert unbiased.norm() < 0.1 * exact.norm()
    assert biased.norm() > 5 * unbiased.norm()
