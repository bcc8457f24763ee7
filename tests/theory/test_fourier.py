"""The Fourier models: their matrices by formula, by quadrature and by autograd of the loss."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnedu.theory import fourier
from pinnedu.theory.fourier import Basis, Waves, advection, gram, poisson, poisson_load, precondition

# A loaded machine is no failure: no deadline.
few = settings(deadline=None, max_examples=25)
sizes = st.integers(1, 12)
weights = st.floats(1e-3, 1e3)


def test_theory_imports_without_torch():
    code = "import sys, pinnedu.theory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@few
@given(sizes)
def test_basis_is_orthonormal(K):
    basis = Basis(K)
    x, w = basis.quadrature()
    np.testing.assert_allclose(gram(basis.values(x), w), np.eye(basis.size), atol=1e-12)


@few
@given(sizes, st.integers(0, 4))
def test_basis_derivatives_agree_with_autograd(K, order):
    x = torch.linspace(-3, 3, 11, dtype=torch.float64, requires_grad=True)
    theta = np.linspace(-1, 2, 2 * K + 1)
    u = torch_model(theta, x)
    for _ in range(order):
        (u,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    expected = u.detach().numpy()
    np.testing.assert_allclose(
        Basis(K).evaluate(theta, x.detach().numpy(), order), expected, atol=1e-12 * (1 + K) ** (order + 1)
    )


def test_boundary_vector_is_the_basis_at_both_ends():
    for end in (-np.pi, np.pi):
        np.testing.assert_allclose(Basis(7).values(end)[0], Basis(7).boundary, atol=1e-14)


def torch_model(theta, x):
    """The model of the talk, written out in torch: constant, cosines for k < 0, sines for k > 0."""
    theta = torch.as_tensor(theta)
    K = len(theta) // 2
    u = theta[K] / np.sqrt(2 * np.pi) + 0 * x
    for k in range(1, K + 1):
        u = u + (theta[K - k] * torch.cos(k * x) + theta[K + k] * torch.sin(k * x)) / np.sqrt(np.pi)
    return u


def torch_poisson_loss(theta, lam, k, x, w):
    u = torch_model(theta, x)
    (u_x,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
    ends = torch_model(theta, torch.tensor([-np.pi, np.pi], dtype=torch.float64))
    return (w * (u_xx + k**2 * torch.sin(k * x)) ** 2).sum() / 2 + lam / 4 * (ends**2).sum()


@pytest.mark.parametrize(("K", "lam"), [(1, 1.0), (5, 1.0), (8, 130.0)])
def test_poisson_formula_quadrature_and_autograd_agree(K, lam):
    """thm-gd-gradient: R16: three matrices, and the load, to 1e-10 of the largest entry."""
    basis, A = Basis(K), poisson(K, lam)
    x, w = basis.quadrature()
    ends = basis.values([-np.pi, np.pi])
    by_quadrature = gram(basis.values(x, 2), w) + lam / 2 * ends.T @ ends
    x = torch.tensor(x, requires_grad=True)
    loss = lambda theta: torch_poisson_loss(theta, lam, 1, x, torch.tensor(w))
    zero = torch.zeros(basis.size, dtype=torch.float64, requires_grad=True)
    by_autograd = torch.autograd.functional.hessian(loss, zero).numpy()
    (gradient,) = torch.autograd.grad(loss(zero), zero)
    assert np.abs(by_quadrature - A).max() <= 1e-10 * A.max()
    assert np.abs(by_autograd - A).max() <= 1e-10 * A.max()
    np.testing.assert_allclose(gradient.numpy(), -poisson_load(K), atol=1e-10)


def test_slides_boundary_loss_would_double_the_matrix():
    """The loss with [u(-pi)^2 + u(pi)^2] / 2 has the Hessian 2 v v^T: the slip that the book sets right."""
    basis = Basis(3)
    ends = torch.tensor(basis.values([-np.pi, np.pi]))
    loss = lambda theta: ((ends @ theta) ** 2).sum() / 2
    hessian = torch.autograd.functional.hessian(loss, torch.zeros(7, dtype=torch.float64))
    np.testing.assert_allclose(hessian.numpy(), 2 * np.outer(basis.boundary, basis.boundary), atol=1e-14)


def test_poisson_load_is_solved_by_the_sine():
    x = np.linspace(-3, 3, 7)
    theta = np.linalg.solve(poisson(6, 2.0), poisson_load(6, 3))
    np.testing.assert_allclose(Basis(6).evaluate(theta, x), np.sin(3 * x), atol=1e-13)


@few
@given(sizes, weights)
def test_poisson_is_symmetric_and_positive_definite(K, lam):
    A = poisson(K, lam)
    assert (A == A.T).all()
    np.linalg.cholesky(A)


@few
@given(sizes, weights, st.floats(0.1, 1e3))
def test_precondition_is_the_matrix_of_the_scaled_features(K, lam, gamma):
    basis = Basis(K)
    x, w = basis.quadrature()
    scale = np.array([1 / k**2 if k else gamma for k in basis.modes])
    features, ends = basis.values(x, 2) * scale, basis.values([-np.pi, np.pi]) * scale
    expected = gram(features, w) + lam / 2 * ends.T @ ends
    np.testing.assert_allclose(precondition(poisson(K, lam), gamma), expected, rtol=1e-9, atol=1e-9 * expected.max())


@pytest.mark.parametrize(("K", "J", "T", "beta"), [(1, 1, 1.0, 3.0), (2, 3, 2 * np.pi, 1.5), (3, 2, 0.7, 30.0)])
def test_advection_formula_quadrature_and_autograd_agree(K, J, T, beta):
    """thm-speed-matrix: the matrix three ways, and the loss."""
    waves, lam = Waves(K, J, T), 1.7
    A = waves.matrix(beta, lam)
    x, t, w = waves.quadrature()
    assert np.abs(gram(waves.values(x, t), w) - np.eye(waves.size)).max() < 1e-12
    x0, w0 = fourier.gauss_legendre(0, 2 * np.pi, 64)
    initial = waves.values(x0, np.zeros_like(x0))
    by_quadrature = gram(waves.residuals(x, t, beta), w) + lam * gram(initial, w0)
    assert np.abs(by_quadrature - A).max() <= 1e-10 * A.max()
    np.testing.assert_allclose(lam * initial.T @ (w0 * np.sin(x0)), waves.load(lam), atol=1e-12)

    # The residual of a random model, by autograd of the waves written out in torch.
    theta = np.random.default_rng(0).normal(size=waves.size)
    xt = torch.tensor(np.c_[x, t], requires_grad=True)
    m, n, s = torch.tensor(waves.labels.T, dtype=torch.float64)
    phase = xt[:, :1] * m + xt[:, 1:] * (2 * np.pi / T * n)
    scale = (1 + ((m == 0) & (n == 0))).double() ** -0.5 / np.sqrt(np.pi * T)
    u = (scale * torch.where(s == 0, torch.cos(phase), torch.sin(phase))) @ torch.tensor(theta)
    (du,) = torch.autograd.grad(u.sum(), xt)
    np.testing.assert_allclose(
        waves.residuals(x, t, beta) @ theta, (du[:, 1] + beta * du[:, 0]).numpy(), atol=1e-9 * beta
    )
    loss = (torch.tensor(w) * (du[:, 1] + beta * du[:, 0]) ** 2).sum().item() / 2
    loss += lam / 2 * w0 @ (initial @ theta - np.sin(x0)) ** 2
    quadratic = theta @ A @ theta / 2 - theta @ waves.load(lam) + lam / 2 * np.pi
    assert loss == pytest.approx(quadratic, rel=1e-10)


def test_advection_holds_its_solution():
    """With T = 2 pi and a whole speed, the minimizer is sin(x - beta t), in the default model."""
    A = advection(2, 7)
    waves = Waves(2, 7)
    theta = np.linalg.solve(A, waves.load(1.0))
    x, t = np.random.default_rng(1).uniform(0, 2 * np.pi, (2, 50))
    np.testing.assert_allclose(waves.values(x, t) @ theta, np.sin(x - 7 * t), atol=1e-12)
    assert waves.index(1, -7, 1) == np.abs(theta).argmax()


def test_a_window_is_the_same_problem_at_a_lower_speed():
    np.testing.assert_array_equal(advection(2, 12, windows=4), advection(2, 3))


def test_window_matrix_is_that_of_the_stretched_window():
    """Derived by quadrature on (0, T/N), in the unstretched time: N^2 A(beta/N, lam/N) there."""
    K, J, T, beta, N, lam = 2, 3, 2 * np.pi, 12.0, 4, 0.9
    short = Waves(K, J, T / N)
    expected = N**2 * Waves(K, J, T).matrix(beta / N, lam / N)
    np.testing.assert_allclose(short.matrix(beta, lam), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: poisson(0, 1.0), "K must be a whole number of at least 1, not 0"),
        (lambda: poisson(2.5, 1.0), "K must be a whole number"),
        (lambda: Basis(True), "K must be a whole number"),
        (lambda: poisson(3, -1.0), "lam must be a finite number of at least 0, not -1.0"),
        (lambda: poisson(3, float("nan")), "lam must be a finite number of at least 0"),
        (lambda: poisson_load(3, 4), "k from 1 to K = 3, and k is 4"),
        (lambda: precondition(poisson(3, 1.0), 0.0), "gamma must be a positive number, not 0.0"),
        (lambda: precondition(np.eye(4), 1.0), r"odd size 2K\+1 and K >= 1, and its shape is \(4, 4\)"),
        (lambda: Basis(2).evaluate([1.0, 2.0], 0.0), r"theta must be of shape \(5,\), not \(2,\)"),
        (lambda: Basis(2).index(3), "the basis holds the modes -2 to 2, and k is 3"),
        (lambda: advection(0, 1.0), "K must be a whole number"),
        (lambda: advection(1, 0.0), "beta must be a positive number"),
        (lambda: advection(1, 1.0, T=-1.0), "T must be a positive number"),
        (lambda: advection(1, 1.0, windows=0), "windows must be a whole number"),
        (lambda: advection(1, 1.0, lam=-1.0), "lam must be a finite number of at least 0"),
        (lambda: advection(1, 1.0, J=0), "J must be a whole number"),
        (lambda: Waves(1, 1).index(2, 0, 0), r"no wave \(m, n, s\) = \(2, 0, 0\)"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
