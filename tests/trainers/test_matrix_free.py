"""Matrix-free Gauss-Newton: conjugate gradients and their preconditioner against dense algebra."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinnedu import MLP, GaussNewton, GaussNewtonCG, Points, fit, problems
from pinnedu.trainers import Objective
from pinnedu.trainers.matrix_free import GraphProducts, MatrixFreeTangent, Nystroem, conjugate_gradients


def spectrum(count, decay=1.0):
    """A symmetric matrix with the eigenvalues 10^(-decay i)."""
    basis = torch.linalg.qr(torch.randn(count, count, dtype=torch.float64)).Q
    values = 10.0 ** (-decay * torch.arange(count, dtype=torch.float64))
    return basis @ torch.diag(values) @ basis.T, values, basis


def test_conjugate_gradients_solve():
    matrix, *_ = spectrum(12, 0.25)
    right = torch.randn(12, dtype=torch.float64)
    found = conjugate_gradients(lambda v: matrix @ v, right, lambda v: v, 40, 1e-13)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right), rtol=1e-8, atol=1e-8)


def test_conjugate_gradients_of_nothing_are_nothing():
    zero = torch.zeros(3, dtype=torch.float64)
    assert torch.equal(conjugate_gradients(lambda v: v, zero, lambda v: v, 25, 1e-3), zero)


def test_conjugate_gradients_end_at_their_tolerance():
    calls = []

    def product(v):
        calls.append(v)
        return 2 * v

    conjugate_gradients(product, torch.ones(4, dtype=torch.float64), lambda v: v, 100, 1e-3)
    assert len(calls) == 10


def test_nystroem_of_a_matrix_of_low_rank_is_that_matrix():
    half = torch.randn(30, 4, dtype=torch.float64)
    matrix = half @ half.T
    found = Nystroem.of(lambda rows: rows @ matrix, torch.randn(6, 30, dtype=torch.float64))
    torch.testing.assert_close(found.basis @ torch.diag(found.values) @ found.basis.T, matrix, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(6, dtype=torch.float64))


def test_its_solve_is_the_inverse_on_its_basis():
    matrix, *_ = spectrum(20, 0.5)
    found = Nystroem.of(lambda rows: rows @ matrix, torch.randn(8, 20, dtype=torch.float64))
    inside = torch.eye(20, dtype=torch.float64) - found.basis @ found.basis.T
    mu = 1e-3
    dense = found.basis @ torch.diag((found.values[-1] + mu) / (found.values + mu)) @ found.basis.T + inside
    vector = torch.randn(20, dtype=torch.float64)
    torch.testing.assert_close(found.solve(vector, mu), dense @ vector, rtol=1e-8, atol=1e-8)


def test_the_preconditioner_saves_iterations():
    matrix, *_ = spectrum(60, 0.2)
    right = torch.randn(60, dtype=torch.float64)
    known = Nystroem.of(lambda rows: rows @ matrix, torch.randn(40, 60, dtype=torch.float64))
    mu, errors = 1e-7, []
    exact = torch.linalg.solve(matrix + mu * torch.eye(60, dtype=torch.float64), right)
    for precondition in (lambda v: v, lambda v: known.solve(v, mu)):
        found = conjugate_gradients(lambda v: matrix @ v + mu * v, right, precondition, 20, 1e-12)
        errors.append(float(torch.linalg.norm(found - exact) / torch.linalg.norm(exact)))
    assert errors[1] < 1e-2 * errors[0]


@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_a_step_is_that_of_dense_least_squares(activation):
    heat = problems.heat()
    model = MLP(heat, hidden=(6, 6), activation=activation)
    objective = Objective(model, heat, heat.sample(Points(60, 9)))
    pairs = objective.linearize()
    residual, rows = torch.cat([r for r, _ in pairs]), torch.cat([j for _, j in pairs]).clone()
    step = GaussNewtonCG(damping=1e-3, iterations=400, tolerance=1e-14).start(model)
    tangent = step.tangent(objective)
    assert isinstance(tangent, MatrixFreeTangent)
    mu = 1e-3 * tangent.largest
    assert tangent.largest == pytest.approx(float(torch.linalg.eigvalsh(rows.T @ rows)[-1]), rel=0.01)
    before = torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])
    step(objective)
    matrix = rows.T @ rows + mu * torch.eye(rows.shape[1], dtype=rows.dtype)
    expected = torch.linalg.solve(matrix, -rows.T @ residual)
    moved = torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]) - before
    torch.testing.assert_close(moved, expected, rtol=1e-8, atol=1e-8)


def test_solved_to_the_end_it_is_gauss_newton():
    losses = []
    for optimizer in (GaussNewtonCG(iterations=300, tolerance=1e-13, refresh=1), GaussNewton(acceleration=0.0)):
        heat = problems.heat()
        torch.manual_seed(0)
        model = MLP(heat, (6, 6))
        step = optimizer.start(model)
        objective = Objective(model, heat, heat.sample(Points(100, 20), generator=torch.Generator().manual_seed(0)))
        step.mu = 1e-3
        losses.append([float(step(objective).sum()) for _ in range(4)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)


class Scale(nn.Module):
    """A model with a weight outside linear layers."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, points):
        return self.scale * self.inner(points)


def test_weights_outside_linear_layers():
    heat = problems.heat()
    model = Scale(MLP(heat, (9, 9)))
    run = fit(model, heat, optimizer=GaussNewtonCG(), steps=6, points=Points(100, 20), seed=0)
    assert run.loss < 0.1 * run.history["loss"][0]
    step = GaussNewtonCG().start(model)
    assert isinstance(step.tangent(Objective(model, heat, heat.sample(Points(20, 5)))).products, GraphProducts)


def test_ten_thousand_weights():
    heat = problems.heat()
    run = fit(MLP(heat, (70, 70, 70)), heat, optimizer=GaussNewtonCG(), steps=5, points=Points(100, 20), seed=0)
    assert run.loss < 0.1 * run.history["loss"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations must be a whole number of at least 1, not 0"),
        ({"rank": 1.5}, "rank must be a whole number"),
        ({"refresh": 0}, "refresh must be a whole number"),
        ({"tolerance": 0}, "tolerance must be a number between 0 and 1, not 0"),
        ({"damping": -1}, "damping must be positive"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        GaussNewtonCG(**options)
