"""K-FAC: its factors, its inverse and its step against dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinnedu import KFAC, MLP, Box, Observed, Points, Problem, fit, problems
from pinnedu.trainers import Objective
from pinnedu.trainers.factored import FactoredJacobian
from pinnedu.trainers.kfac import KroneckerTangent, _damped, kronecker_factors, solve_kronecker


def positive(size, rank):
    half = torch.randn(size, rank, dtype=torch.float64)
    return half @ half.T


def dense(pairs, share):
    """The sum of the Kronecker products, for matrices laid out row by row."""
    inputs, outputs = _damped([a for a, _ in pairs], share), _damped([b for _, b in pairs], share)
    return sum(torch.kron(b, a) for a, b in zip(inputs, outputs, strict=True))


@pytest.mark.parametrize("conditions", [True, False])
def test_the_inverse_of_two_products(conditions):
    pairs = [(positive(4, 9), positive(3, 9)), (positive(4, 2) * conditions, positive(3, 1) * conditions)]
    gradient = torch.randn(3, 4, dtype=torch.float64)
    expected = torch.linalg.solve(dense(pairs, 0.01), gradient.flatten()).view(3, 4)
    torch.testing.assert_close(solve_kronecker(pairs, gradient, 0.01), expected, rtol=1e-8, atol=1e-8)


def test_a_layer_without_influence_stays():
    zero = [(torch.zeros(4, 4, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64))] * 2
    gradient = torch.zeros(3, 4, dtype=torch.float64)
    assert torch.equal(solve_kronecker(zero, gradient, 0.01), gradient)


def line(points=30):
    """Regression by one linear layer without bias: J^T J is the Kronecker product itself."""
    box = Box(**{f"x{i}": (0, 1) for i in range(4)})
    where = box.sample(points)
    values = where @ torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    problem = Problem(box, {}, {"data": Observed(where, u=values, v=-values)}, fields=("u", "v"))
    return problem, nn.Linear(4, 2, bias=False, dtype=torch.float64)


def test_for_a_linear_model_the_factors_are_exact():
    problem, model = line()
    objective = Objective(model, problem, problem.sample(Points(1)))
    ((_, rows),) = objective.linearize()
    (((a, b), (other_a, other_b)),) = kronecker_factors(FactoredJacobian(objective), {"data"})
    torch.testing.assert_close(torch.kron(b, a), rows.T @ rows)
    assert not other_a.any()
    assert not other_b.any()


def test_factors_of_equations_and_conditions():
    heat = problems.heat()
    model = MLP(heat, hidden=(5,))
    objective = Objective(model, heat, heat.sample(Points(20, 5)))
    jacobian = FactoredJacobian(objective)
    for layer, pairs in enumerate(kronecker_factors(jacobian, set(heat.equations))):
        for group, (a, b) in enumerate(pairs):
            parts = [part for part in jacobian.parts if (part.term in heat.equations) == (group == 0)]
            inputs = torch.cat([part.factors[layer][1].flatten(0, 1) for part in parts])
            slopes = torch.cat([part.factors[layer][0].flatten(0, 1) for part in parts])
            torch.testing.assert_close(a, sum(torch.outer(one, one) for one in inputs) / len(inputs))
            torch.testing.assert_close(b, sum(torch.outer(one, one) for one in slopes))


def test_one_step_solves_a_linear_problem():
    problem, model = line()
    fit(model, problem, optimizer=KFAC(damping=1e-12, factor_damping=1e-12, search=0), steps=1)
    expected = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(model.weight.detach(), torch.stack([expected, -expected]), rtol=1e-8, atol=1e-8)


def prepared():
    heat = problems.heat()
    model = MLP(heat, hidden=(6, 6))
    objective = Objective(model, heat, heat.sample(Points(40, 8)))
    pairs = objective.linearize()
    residual, rows = torch.cat([r for r, _ in pairs]), torch.cat([j for _, j in pairs]).clone()
    return model, objective, residual, rows


def test_the_direction_is_that_of_the_dense_matrix():
    _, objective, residual, rows = prepared()
    jacobian = FactoredJacobian(objective)
    factors = kronecker_factors(jacobian, set(objective.problem.equations))
    direction = KroneckerTangent(jacobian, factors, objective).preconditioned(1e-3)
    for layer, pairs in zip(jacobian.layers, factors, strict=True):
        gradient = layer.matrix(rows.T @ residual)
        expected = -torch.linalg.solve(dense(pairs, 1e-3), gradient.flatten()).view_as(gradient)
        torch.testing.assert_close(layer.matrix(direction), expected, rtol=1e-8, atol=1e-8)


def test_the_step_minimizes_the_quadratic_model_in_the_plane():
    _, objective, residual, rows = prepared()
    jacobian = FactoredJacobian(objective)
    tangent = KroneckerTangent(jacobian, kronecker_factors(jacobian, set(objective.problem.equations)), objective)
    one, other = torch.randn(2, rows.shape[1], dtype=rows.dtype)
    for last in (None, other):
        step = tangent.combine(one, last, 0.3)
        basis = torch.stack([one] if last is None else [one, last])
        model = basis @ (rows.T @ rows + 0.3 * torch.eye(rows.shape[1], dtype=rows.dtype)) @ basis.T
        expected = torch.linalg.solve(model, -basis @ (rows.T @ residual)) @ basis
        torch.testing.assert_close(step, expected, rtol=1e-8, atol=1e-8)
    # Twice the same direction, or one of length zero, is one direction.
    torch.testing.assert_close(tangent.combine(one, 2 * one, 0.3), tangent.combine(one, None, 0.3), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(tangent.combine(one, 0 * one, 0.3), tangent.combine(one, None, 0.3), rtol=1e-8, atol=1e-8)


def test_factors_are_averaged_and_kept():
    model, objective, *_ = prepared()
    step = KFAC(average=0.75, search=0).start(model)
    equations = set(objective.problem.equations)
    first = kronecker_factors(FactoredJacobian(objective), equations)
    step(objective)
    second = kronecker_factors(FactoredJacobian(objective), equations)
    step(objective)
    for kept, old, new in zip(step.factors, first, second, strict=True):
        torch.testing.assert_close(kept[0][0], 0.75 * old[0][0] + 0.25 * new[0][0])
        torch.testing.assert_close(kept[1][1], 0.75 * old[1][1] + 0.25 * new[1][1])


def test_the_search_takes_the_share_with_the_largest_fall():
    model, objective, *_ = prepared()
    step = KFAC(factor_damping=0.5, search=1).start(model)
    tangent = step.tangent(objective)
    step.mu = 1e-6 * tangent.largest
    step.propose(objective, tangent)
    steps = {share: tangent.combine(tangent.preconditioned(share), None, step.mu) for share in (0.125, 0.5, 2.0)}
    falls = {share: tangent.decrease(one) for share, one in steps.items()}
    assert step.share == min(max(falls, key=falls.get), 1.0)


def test_heat_to_three_digits():
    heat = problems.heat()
    run = fit(MLP(heat, (16, 16)), heat, optimizer=KFAC(), steps=60, points=Points(300, 40), seed=0)
    assert run.error < 5e-3


def test_ten_thousand_weights():
    heat = problems.heat()
    run = fit(MLP(heat, (70, 70, 70)), heat, optimizer=KFAC(), steps=25, points=Points(200, 20), seed=0)
    assert run.error < 0.05


def test_weights_outside_linear_layers():
    heat = problems.heat()
    model = MLP(heat, (6,))
    model.scale = nn.Parameter(torch.ones((), dtype=torch.float64))
    with pytest.raises(ValueError, match="KFAC needs all weights in linear layers, and .*: use GaussNewtonCG"):
        fit(model, heat, optimizer=KFAC(), steps=1, points=Points(20, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": 0}, "damping must be a positive number, not 0"),
        ({"factor_damping": -1}, "factor_damping must be a positive number, not -1"),
        ({"average": 1}, r"average must be a number in \[0, 1\), not 1"),
        ({"search": -1}, "search must be a whole number of at least 0, not -1"),
        ({"trials": 0}, "trials must be a whole number of at least 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        KFAC(**options)
