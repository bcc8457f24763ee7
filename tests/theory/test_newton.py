"""Gauss-Newton in function space: the projector, both forms of the direction, and the energy natural gradient."""

from dataclasses import replace
from math import pi

import pytest
import torch

from pinnedu import MLP, Box, On, Points, Problem
from pinnedu.theory import newton, tangent


def network(problem, hidden=(8,)):
    return MLP(problem, hidden=hidden, seed=0)


def jacobian(decay, points=12, hidden=(8,)):
    return tangent.scaled(network(decay, hidden), decay, decay.sample(Points(points, 1)))


@pytest.mark.parametrize("points", [4, 40])
@pytest.mark.parametrize("eps", [1e-1, 1e-4])
def test_the_operator_of_the_preconditioned_gradient_is_nearly_a_projector(decay, points, eps):
    """thm-pg-projection: the identity, and the eigenvalues."""
    _, J = jacobian(decay, points)
    found = newton.preconditioned_operator(J, eps)
    torch.testing.assert_close(found, newton.projector(J, eps), rtol=0, atol=1e-10)
    values = torch.linalg.eigvalsh(found)
    assert values.min() > -1e-10
    assert values.max() < 1
    mu = torch.linalg.eigvalsh(J @ J.T).clamp(min=0)
    torch.testing.assert_close(values, mu / (mu + eps), rtol=0, atol=1e-10)


def test_it_tends_to_the_projector_onto_the_range_and_leaves_what_is_out_of_reach(decay):
    """thm-pg-projection: the limit, and the step."""
    residual, J = jacobian(decay, 40, hidden=(2,))
    P = newton.projector(J)
    torch.testing.assert_close(P @ P, P, rtol=0, atol=1e-12)
    torch.testing.assert_close(P @ J, J, rtol=0, atol=1e-12)
    assert round(float(P.trace())) == torch.linalg.matrix_rank(J) < 41
    distances = [float((newton.projector(J, eps) - P).norm()) for eps in (1e-2, 1e-4, 1e-6)]
    assert distances[0] > distances[1] > distances[2]
    # A full step takes the projection of the residual away: it is Newton's step in function space, projected.
    step = torch.linalg.lstsq(J, residual[:, None], driver="gelsd").solution[:, 0]
    torch.testing.assert_close(residual - J @ step, residual - P @ residual, rtol=0, atol=1e-10)


@pytest.mark.parametrize("points", [6, 40])
@pytest.mark.parametrize("relative", [False, True])
def test_both_forms_are_the_same_direction(decay, points, relative):
    model, sample = network(decay), decay.sample(Points(points, 1))
    objective = tangent.Objective(model, decay, sample)
    A = tangent.gram(model, decay, sample)
    eps = 1e-3 * (float(torch.linalg.eigvalsh(A)[-1]) if relative else 1.0)
    gradient = torch.randn(len(A), dtype=torch.float64)
    for form in ("primal", "dual", "auto"):
        direction = tangent.gauss_newton_preconditioner(1e-3, form=form, relative=relative)(objective, gradient)
        torch.testing.assert_close(A @ direction + eps * direction, gradient, rtol=1e-9, atol=1e-9)


def membrane():
    """-Laplace u = 2 sin x sin y on a square, by its energy: the functions vanish on the boundary by a penalty."""
    box = Box(x=(0, pi), y=(0, pi))
    sides = {f"{axis}{end}": On(**{axis: value}, equation=lambda u: u) for axis in "xy" for end, value in ((0, 0), (1, pi))}
    parts = Problem(box, {"x": lambda u: u.x, "y": lambda u: u.y}, sides)
    return newton.Energy(parts, lambda p: 2 * p.sin().prod(dim=1), dict.fromkeys(sides, 50.0))


@pytest.mark.parametrize("by_rule", [False, True])
def test_the_parts_of_an_energy_are_its_derivatives(by_rule):
    energy = membrane()
    model = network(energy.problem, (4,))
    sample = energy.problem.sample(Points(30, 10))
    if by_rule:
        sample["interior"], rule = energy.problem.domain.quadrature(6)
        energy = replace(energy, rule=rule)
    J, gradient, value = energy.parts(model, sample)
    assert value == pytest.approx(energy.value(model, sample))
    weights, step = list(model.parameters()), 1e-6
    start = tangent.vector(weights)
    direction = torch.randn_like(start)
    values = []
    for sign in (1, -1):
        tangent.assign(weights, start + sign * step * direction)
        values.append(energy.value(model, sample))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient @ direction), rel=1e-6)
    assert J.shape[0] == 2 * len(sample["interior"]) + 4 * 10
    tangent.assign(weights, start)
    by_torch = torch.autograd.grad(energy.loss(model, sample), weights)
    torch.testing.assert_close(torch.cat([g.flatten() for g in by_torch]), gradient)


def test_a_rule_makes_the_energy_an_integral():
    """Of u = x^2: the mean of 1/2 (2x)^2 - x^2 over [0, 2] is 2 * 4/3 - 4/3."""

    class Square(torch.nn.Module):
        def forward(self, points):
            return points.square()

    line = Problem(Box(x=(0, 2)), {"x": lambda u: u.x})
    nodes, rule = line.domain.quadrature(3)
    by_rule, by_mean = (newton.Energy(line, lambda p: torch.ones(len(p)), rule=given) for given in (rule, None))
    sample = {"interior": nodes}
    assert by_rule.value(Square(), sample) == pytest.approx(4 / 3, rel=1e-14)
    assert by_mean.value(Square(), sample) != pytest.approx(4 / 3, rel=1e-2)


def test_on_a_linear_model_the_first_step_is_the_minimum():
    """u'' = -sin x, u(0) = u(pi) = 0, in the span of sines: the energy -pi/4, which is -1/4 a unit of length."""

    class Sines(torch.nn.Module):
        out_features = 5

        def forward(self, points):
            return torch.sin(points @ torch.arange(1.0, 6.0, dtype=torch.float64)[None])

    line = Problem(Box(x=(0, pi)), {"x": lambda u: u.x})
    energy = newton.Energy(line, lambda p: p[:, 0].sin())
    model = tangent.LinearModel(Sines())
    sample = {"interior": line.domain.quadrature(64, "midpoint")[0]}
    energies = newton.energy_natural_gradient(model, energy, sample, 3, eps=1e-14)
    assert energies[0] == 0
    assert energies[1] == pytest.approx(-0.25, rel=1e-10)
    torch.testing.assert_close(model.layer.weight[0].detach(), torch.tensor([1.0, 0, 0, 0, 0]).double(), atol=1e-9, rtol=0)


def test_it_solves_a_membrane():
    energy = membrane()
    model = network(energy.problem, (12,))
    points = energy.problem.sample(Points(600, 60, method="sobol"))
    seen = []
    energies = newton.energy_natural_gradient(model, energy, points, 25, watch=seen.append)
    assert all(after < before for before, after in zip(energies, energies[1:-1], strict=False))
    assert seen == list(range(1, len(seen) + 1))
    grid = energy.problem.domain.grid(15)
    with torch.no_grad():
        error = (model(grid)[:, 0] - grid.sin().prod(dim=1)).norm() / grid.sin().prod(dim=1).norm()
    assert error < 0.1  # the penalty alone leaves some percent


def test_bad_input(decay):
    with pytest.raises(ValueError, match="The form 'fast' is unknown"):
        tangent.gauss_newton_preconditioner(1e-3, form="fast")
    with pytest.raises(ValueError, match="eps of the dual form must be positive"):
        tangent.gauss_newton_preconditioner(0.0, form="dual")
    with pytest.raises(ValueError, match="eps must be"):
        newton.projector(torch.eye(3), -1.0)
    with pytest.raises(ValueError, match="steps must be"):
        newton.energy_natural_gradient(network(decay), membrane(), {}, 0)
    with pytest.raises(ValueError, match="Every weight of the rule must be positive, but the least is -1"):
        replace(membrane(), rule=torch.tensor([1.0, -1.0]))
    energy = replace(membrane(), rule=torch.ones(5))
    with pytest.raises(ValueError, match="The rule has 5 weights, and there are 30 interior points"):
        energy.value(network(energy.problem), energy.problem.sample(Points(30, 10)))
