"""sqrt(kappa): heavy ball, Chebyshev, conjugate gradients and L-BFGS on a quadratic loss."""

import numpy as np
import pytest

from pinnedu.theory import condition_number, fourier, gradient_descent, steps_to
from pinnedu.theory.acceleration import chebyshev, conjugate_gradients, heavy_ball, lbfgs

METHODS = [heavy_ball, chebyshev, conjugate_gradients, lbfgs]


def problem(K, lam=1.0):
    A = fourier.poisson(K, lam)
    return A, A @ np.ones(len(A))


@pytest.mark.parametrize("method", METHODS)
def test_they_find_the_solution(method):
    A, b = problem(4)
    run = method(A, b, 5000, tolerance=1e-9)
    np.testing.assert_allclose(run.theta, 1, atol=1e-7)
    again = method(A, b, 3, start=np.arange(9.0))
    assert again.steps == 3
    assert again.errors[0] == pytest.approx(np.linalg.norm(np.arange(9.0) - 1))


@pytest.mark.parametrize("method", [heavy_ball, chebyshev])
def test_steps_grow_as_the_square_of_the_frequency(method):
    Ks = (6, 10, 16, 24)
    steps = [method(*problem(K), 10**5, tolerance=1e-6).steps for K in Ks]
    assert np.polyfit(np.log(Ks), np.log(steps), 1)[0] == pytest.approx(2, abs=0.1)
    plain = [steps_to(fourier.poisson(K, 1.0), 1e-6) for K in Ks]
    assert np.polyfit(np.log(Ks), np.log(plain), 1)[0] == pytest.approx(4, abs=0.1)


def test_gradient_descent_takes_as_many_steps_as_predicted_and_the_others_the_root():
    A, b = problem(4)
    plain = gradient_descent(A, b, 10**6, tolerance=1e-6).steps
    root = condition_number(A) ** 0.5
    assert plain == pytest.approx(steps_to(A, 1e-6), rel=0.2)
    assert all(method(A, b, plain, tolerance=1e-6).steps < 15 * root < plain / 6 for method in METHODS)


def test_chebyshev_keeps_its_bound_at_every_step():
    A, b = problem(5)
    run, kappa = chebyshev(A, b, 300), condition_number(A)
    n = np.arange(301)
    bound = 1 / np.cosh(n * np.arccosh((kappa + 1) / (kappa - 1)))
    assert (run.errors <= run.errors[0] * bound * (1 + 1e-9) + 1e-12).all()
    assert run.errors[300] > 1e-3 * run.errors[0] * bound[300]  # and it is no empty one


def test_conjugate_gradients_end_after_as_many_steps_as_there_are_eigenvalues():
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 40)))[0]
    A = Q * np.repeat([1.0, 2.0, 5.0, 9.0], 10) @ Q.T
    run = conjugate_gradients(A, np.arange(40.0), 4)
    assert run.errors[3] > 1e-3 * run.errors[0]
    assert run.errors[4] < 1e-12 * run.errors[0]


def test_lbfgs_on_a_quadratic_is_conjugate_gradients():
    A, b = problem(6)
    first, second = conjugate_gradients(A, b, 10), lbfgs(A, b, 10)
    np.testing.assert_allclose(second.errors, first.errors, rtol=1e-8)
    np.testing.assert_allclose(lbfgs(A, b, 6, memory=1).errors, first.errors[:7], rtol=1e-8)  # of one step, even


def test_preconditioning_still_wins():
    """Its number of steps is one for all K."""
    K = 24
    A, b = problem(K)
    better = fourier.precondition(A, 1.0)
    run = gradient_descent(better, better @ np.ones(len(A)), 10**4, tolerance=1e-6)
    assert run.steps < 200
    assert chebyshev(A, b, 10**5, tolerance=1e-6).steps > 50 * run.steps


def test_bad_input():
    A, b = problem(2)
    for method in METHODS:
        with pytest.raises(ValueError, match="b must be of shape"):
            method(A, b[1:], 3)
        with pytest.raises(ValueError, match="steps must be a whole number"):
            method(A, b, 0)
        with pytest.raises(ValueError, match="singular"):
            method(fourier.poisson(2, 0.0), b, 3)
    with pytest.raises(ValueError, match="memory must be"):
        lbfgs(A, b, 3, memory=0)
