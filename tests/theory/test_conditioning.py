"""Condition numbers, gradient descent, the best weight; and the numbers of the linear chapters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnedu.theory import (
    best_weight,
    condition_number,
    conditioning,
    contraction,
    eigenvalues,
    fourier,
    gradient_descent,
    steps_to,
)

# A loaded machine is no failure: no deadline.
few = settings(deadline=None, max_examples=25)
sizes = st.integers(1, 12)
weights = st.floats(1e-3, 1e4)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


# --- the tools ---


@few
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_condition_number_of_a_random_matrix(size, seed):
    root = np.random.default_rng(seed).normal(size=(size, size + 2))
    A = root @ root.T
    assert condition_number(A) == pytest.approx(np.linalg.cond(A), rel=1e-6)
    np.testing.assert_allclose(eigenvalues(A), np.linalg.eigvalsh(A), rtol=1e-9, atol=1e-12 * np.abs(A).max())


def test_condition_number_is_accurate_where_an_eigenvalue_routine_is_not():
    """diag(s) M diag(s) with s over ten decades: kappa from the exact 2 x 2 formula, block by block."""
    scale = np.array([1.0, 1e10])
    A = np.array([[1.0, 0.5], [0.5, 1.0]]) * np.outer(scale, scale)
    trace, det = 1 + 1e20, 0.75e20
    exact = (trace + np.sqrt(trace**2 - 4 * det)) ** 2 / (4 * det)
    assert condition_number(A) == pytest.approx(exact, rel=1e-14)


@few
@given(sizes, weights)
def test_secular_equation_agrees_with_the_matrix(K, lam):
    low, high = conditioning.poisson_extremes(K, lam)
    assert high / low == pytest.approx(condition_number(fourier.poisson(K, lam)), rel=1e-9)
    assert 0 < low < 1
    assert high > K**4


@few
@given(sizes, st.floats(1e-2, 1e3), st.floats(1.01, 10))
def test_both_ends_of_the_spectrum_grow_with_the_weight(K, lam, factor):
    before, after = conditioning.poisson_extremes(K, lam), conditioning.poisson_extremes(K, factor * lam)
    assert before[0] < after[0]
    assert before[1] < after[1]


@few
@given(sizes, weights)
def test_matrix_norm_bounds(K, lam):
    """kappa grows with K at a fixed weight: each model contains the smaller ones."""
    assert condition_number(fourier.poisson(K + 1, lam)) > condition_number(fourier.poisson(K, lam))


@few
@given(st.integers(1, 5), weights, st.integers(0, 2**32 - 1), st.floats(0.1, 1.0))
def test_error_obeys_the_bound_at_every_step(K, lam, seed, c):
    """thm-gd-contraction: at every step, from random starts."""
    A = fourier.poisson(K, lam)
    start = np.random.default_rng(seed).normal(size=len(A))
    high = eigenvalues(A)[-1]
    run = gradient_descent(A, fourier.poisson_load(K), 50, rate=c / high, start=start)
    bound = (1 - c / condition_number(A)) ** np.arange(51) * run.errors[0]
    assert (run.errors <= bound * (1 + 1e-12)).all()


def test_gradient_descent_finds_the_solution_and_stops():
    A, b = fourier.poisson(2, 10.0), fourier.poisson_load(2)
    run = gradient_descent(A, b, 10_000, tolerance=1e-8)
    assert run.steps < 10_000
    assert run.errors[-1] <= 1e-8 * run.errors[0] < run.errors[-2]
    np.testing.assert_allclose(run.theta, np.linalg.solve(A, b), atol=1e-7)
    assert run.path is None
    kept = gradient_descent(A, b, 20, keep=True)
    assert kept.path.shape == (21, 5)
    np.testing.assert_array_equal(kept.path[-1], kept.theta)


def test_a_run_that_starts_at_the_solution():
    run = gradient_descent(np.eye(2), np.zeros(2), 3)
    assert run.steps == 3
    assert run.contraction == 0
    assert gradient_descent(np.eye(2), np.zeros(2), 3, tolerance=0.1).contraction == 0


def test_newton_is_one_step():
    """thm-so-newton: Preconditioning by A^-1 at rate 1 is Newton's method, and ends in one step."""
    A, b = fourier.poisson(6, 3.0), fourier.poisson_load(6)
    run = gradient_descent(A, b, 1, rate=1.0, preconditioner=np.linalg.inv(A), start=np.ones(13))
    assert run.errors[-1] < 1e-10


def test_predicted_steps_suffice():
    A, b = fourier.poisson(3, 20.0), fourier.poisson_load(3)
    solution = np.linalg.solve(A, b)
    predicted = steps_to(A, 1e-3)
    slowest = np.linalg.eigh(A)[1][:, 0]
    assert gradient_descent(A, b, 2 * predicted, start=solution + slowest, tolerance=1e-3).steps == predicted
    start = np.random.default_rng(0).normal(size=7)
    assert gradient_descent(A, b, 2 * predicted, start=start, tolerance=1e-3).steps <= predicted
    assert steps_to(np.eye(3), 1e-3) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: condition_number(fourier.poisson(3, 0.0)), "A is singular or indefinite"),
        (lambda: condition_number(np.ones((3, 3))), "A is singular or indefinite"),
        (lambda: condition_number(-np.eye(3)), "A is singular or indefinite"),
        (lambda: gradient_descent(fourier.poisson(3, 0.0), np.zeros(7), 5), "A is singular or indefinite"),
        (lambda: condition_number(np.ones((2, 3))), r"A must be a square matrix, and its shape is \(2, 3\)"),
        (lambda: condition_number([[1.0, 2.0], [0.0, 1.0]]), "A must be symmetric"),
        (lambda: condition_number([[np.nan]]), "A must hold finite numbers"),
        (lambda: gradient_descent(np.eye(2), np.zeros(3), 5), r"b must be of shape \(2,\)"),
        (lambda: gradient_descent(np.eye(2), np.zeros(2), 0), "steps must be a whole number"),
        (
            lambda: gradient_descent(np.eye(2), np.zeros(2), 5, rate=2.5),
            "beyond which gradient descent diverges",
        ),
        (lambda: gradient_descent(np.eye(2), np.zeros(2), 5, rate=-1), "rate must lie between 0 and"),
        (lambda: gradient_descent(np.eye(2), np.zeros(2), 5, preconditioner=np.eye(3)), "shape of A"),
        (lambda: contraction(np.eye(2), rate=3.0), "rate must lie between 0 and"),
        (lambda: steps_to(np.eye(2), 1.5), "tolerance must lie between 0 and 1"),
        (lambda: best_weight(0), "K must be a whole number of at least 1"),
        (lambda: conditioning.poisson_extremes(3, 0.0), "lam must be a positive number"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- R16: gradient descent contracts as predicted ---


@pytest.mark.parametrize("c", [0.5, 1.0])
def test_measured_rate_is_the_predicted_one(c):
    A = fourier.poisson(5, 1.0)
    start = np.random.default_rng(0).normal(size=11)
    run = gradient_descent(A, fourier.poisson_load(5), 60_000, rate=c / eigenvalues(A)[-1], start=start)
    predicted = -np.log1p(-c / condition_number(A))
    assert -np.log(run.contraction) == pytest.approx(predicted, rel=0.01)


def test_five_times_the_frequencies_cost_625_times_the_steps():
    """The talk: if K = 5 needs 500 steps, K = 25 needs 312 500. Tolerance 0.45 is what 500 steps reach at K =
    5.
    """
    steps = {}
    for K in (5, 25):
        A, b = fourier.poisson(K, 1.0), fourier.poisson_load(K)
        steps[K] = gradient_descent(A, b, 400_000, tolerance=0.45).steps
    assert steps[5] == pytest.approx(500, rel=0.05)
    assert steps[25] / steps[5] == pytest.approx(5**4, rel=0.05)


# --- R17: K^4, and constant ---


def test_condition_number_grows_as_the_fourth_power():
    K = np.arange(10, 101, 10)
    assert slope(K, [condition_number(fourier.poisson(int(k), 1.0)) for k in K]) == pytest.approx(4, abs=0.05)


def test_preconditioned_condition_number_is_constant():
    kappa = [condition_number(fourier.precondition(fourier.poisson(K, 1.0), 1.0)) for K in range(10, 101, 10)]
    assert max(kappa) / min(kappa) < 1.01


# --- R18, R23: beta^2, and beta^2 / N^2 ---


@pytest.mark.parametrize("K", [1, 3])
def test_advection_grows_as_the_square_of_the_speed(K):
    beta = [6, 10, 15, 20, 30, 40, 60]
    assert slope(beta, [condition_number(fourier.advection(K, b)) for b in beta]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("K", [1, 3])
def test_windows_divide_by_their_square(K):
    windows = [1, 2, 3, 4, 5, 6, 10]
    kappa = [condition_number(fourier.advection(K, 60, windows=N)) for N in windows]
    assert slope(windows, kappa) == pytest.approx(-2, abs=0.1)


@few
@given(st.integers(1, 2), st.integers(2, 12), weights)
def test_advection_bound_holds_at_every_weight(K, beta, lam):
    """thm-speed-bound: kappa >= (4 beta^2 + lam/T) / min(lam/T, 2 pi^2/T^2): two trial functions, one for each end."""
    T = 2 * np.pi
    bound = (4 * beta**2 + lam / T) / min(lam / T, 2 * np.pi**2 / T**2)
    assert condition_number(fourier.advection(K, beta, lam=lam)) >= bound * (1 - 1e-9)


# --- R27: choosing lambda ---


@pytest.mark.parametrize("K", [1, 2, 5, 20])
def test_best_weight_is_a_minimum(K):
    lam = best_weight(K)
    kappa = [np.divide(*conditioning.poisson_extremes(K, lam * f)[::-1]) for f in (0.8, 1.0, 1.25)]
    assert kappa[1] < min(kappa[0], kappa[2])


def test_best_weight_of_the_smallest_model_is_exact():
    assert best_weight(1) == pytest.approx(2 * np.pi / 3, rel=1e-9)


def test_large_models_follow_the_law():
    """thm-cl-law: both limits, at K = 3000."""
    a = conditioning.clamped_tone()
    assert 1 / a**4 == pytest.approx(3.1136, abs=5e-5)
    K = 3000
    lam, kappa = conditioning.weight_law(K)
    low, high = conditioning.poisson_extremes(K, best_weight(K))
    assert lam / K**2 == pytest.approx(2.092, abs=5e-4)
    assert best_weight(K) == pytest.approx(lam, rel=2e-3)
    assert high / low == pytest.approx(kappa, rel=1e-6)


@few
@given(sizes, weights)
def test_condition_number_exceeds_three_times_the_fourth_power(K, lam):
    """thm-pl-three: 1 + cos x vanishes at the boundary and has the Rayleigh quotient 1/3, whatever the weight."""
    assert condition_number(fourier.poisson(K, lam)) >= 3 * K**4


def test_tangent_balanced_weight_equalizes_the_traces():
    K = 9
    lam = conditioning.tangent_balanced_weight(K)
    assert lam * np.trace(fourier.poisson(K, 1.0) - fourier.poisson(K, 0.0)) == pytest.approx(np.trace(fourier.poisson(K, 0.0)))


def test_gradient_balanced_weight_is_the_ratio_of_the_gradients():
    rng = np.random.default_rng(0)
    theta, b = rng.normal(size=9), fourier.poisson_load(4)
    residual = fourier.poisson(4, 0.0) @ theta - b
    boundary = (fourier.poisson(4, 1.0) - fourier.poisson(4, 0.0)) @ theta
    expected = np.abs(residual).max() / np.abs(boundary).mean()
    assert conditioning.gradient_balanced_weight(4, theta, b) == pytest.approx(expected)


# --- R28, R31: preconditioning linear models ---


def exact_kappa(K, lam, gamma):
    """kappa of P A P from the 2 x 2 matrix to which it reduces."""
    s2 = np.sum(1 / np.arange(1, K + 1) ** 4.0) / np.pi
    det = lam * gamma**2 / (2 * np.pi)
    trace = 1 + det + lam * s2
    return (trace + np.sqrt(trace**2 - 4 * det)) ** 2 / (4 * det)


@few
@given(sizes, weights, st.floats(0.1, 100))
def test_theorem_1_and_2(K, lam, gamma):
    """thm-pl-main: statements 1 and 2, and the exact number."""
    A = fourier.poisson(K, lam)
    assert condition_number(A) >= K**4
    kappa = condition_number(fourier.precondition(A, gamma))
    assert kappa == pytest.approx(exact_kappa(K, lam, gamma), rel=1e-8)
    assert kappa <= exact_kappa(10_000, lam, gamma) * (1 + 1e-8)


@pytest.mark.parametrize(("gamma", "trial"), [(10, 1.3418), (100, 1.0299), (1000, 1.0029)])
def test_theorem_3(gamma, trial):
    """thm-pl-main: statement 3, with its exact formula."""
    kappa = condition_number(fourier.precondition(fourier.poisson(100, 2 * np.pi / gamma**2), gamma))
    s = np.sqrt(np.sum(1 / np.arange(1, 101) ** 4.0) / np.pi)
    assert kappa == pytest.approx(trial, abs=5e-5)
    assert kappa == pytest.approx(np.exp(4 * np.arcsinh(np.sqrt(np.pi / 2) * s / gamma)), rel=1e-10)


@few
@given(st.integers(1, 8), st.floats(0.1, 10), st.floats(0.5, 10), st.integers(0, 2**32 - 1))
def test_reparameterizing_is_preconditioning_the_gradient(K, lam, gamma, seed):
    """thm-pl-same: R31: theta = P theta_hat, trained in theta_hat, and theta trained with the gradient times P P^T."""
    A, b, p = fourier.poisson(K, lam), fourier.poisson_load(K), fourier.preconditioner(K, gamma)
    start = np.random.default_rng(seed).normal(size=2 * K + 1)
    hat = gradient_descent(fourier.precondition(A, gamma), p * b, 200, start=start, keep=True)
    direct = gradient_descent(A, b, 200, rate=hat.rate, start=p * start, preconditioner=np.diag(p**2), keep=True)
    np.testing.assert_allclose(p * hat.path, direct.path, atol=1e-10 * np.abs(direct.path).max())


@pytest.mark.parametrize("K", [5, 20, 40])
def test_newtons_method_is_one_step(K):
    """The preconditioned matrix is the identity up to rounding, on which LAPACK's search for one eigenvalue fails."""
    A, b = fourier.poisson(K, 2 * np.pi / 100), np.ones(2 * K + 1)
    assert gradient_descent(A, b, 1, rate=1.0, preconditioner=np.linalg.inv(A)).errors[-1] < 1e-9
