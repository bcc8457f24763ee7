"""Gradient flow of a kernel: against gradient descent, its limits, bad input."""

import numpy as np
import pytest

from pinnedu.theory.regression import gradient_flow

RNG = np.random.default_rng(0)
J = RNG.standard_normal((6, 9))
K, Y = J @ J.T, RNG.standard_normal(6)


def test_is_the_limit_of_gradient_descent():
    elsewhere, theta, rate = RNG.standard_normal((3, 9)), np.zeros(9), 1e-3
    for _ in range(2000):
        theta -= rate * J.T @ (J @ theta - Y) / 6
    np.testing.assert_allclose(gradient_flow(K, Y, 2000 * rate)[0], J @ theta, atol=2e-3)
    np.testing.assert_allclose(gradient_flow(K, Y, [2000 * rate], elsewhere @ J.T)[0], elsewhere @ theta, atol=2e-3)


def test_starts_at_zero_and_ends_at_the_values():
    first, last = gradient_flow(K, Y, [0, np.inf])
    assert not first.any()
    np.testing.assert_allclose(last, Y, atol=1e-10)


def test_what_a_singular_kernel_does_not_see_is_not_learned():
    v = np.ones(6)
    np.testing.assert_allclose(gradient_flow(np.outer(v, v), Y, np.inf)[0], Y.mean(), atol=1e-10)


def test_an_eigenvector_is_learned_at_the_rate_of_its_eigenvalue():
    mu, Q = np.linalg.eigh(K)
    np.testing.assert_allclose(gradient_flow(K, Q[:, 2], 1.5)[0], (1 - np.exp(-1.5 * mu[2] / 6)) * Q[:, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "values", "times", "says"),
    [(K, Y[:5], 1, "are needed"), (J, Y, 1, "are needed"), (K + np.triu(K), Y, 1, "symmetric"), (K, Y, -1, "negative")],
)
def test_bad_input(kernel, values, times, says):
    with pytest.raises(ValueError, match=says):
        gradient_flow(kernel, values, times)
