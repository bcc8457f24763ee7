"""What the proofs of the book say beyond its computed bounds: each constant held against a case in which it is attained.

The label in front of a docstring is that of the statement in the book; tests/book/test_theorems.py asks every one for a test.
"""

from math import pi

import numpy as np
import pytest
import torch
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.optimize import brentq

from pinnedu import Box, FourierFeatures, Points, Problem, relative_error
from pinnedu.problems import advection, heat, poisson
from pinnedu.theory import (
    Basis,
    Waves,
    condition_number,
    conditioning,
    eigenvalues,
    errors,
    fourier,
    kernels,
    operator,
    tangent,
)
from pinnedu.theory.acceleration import conjugate_gradients, heavy_ball
from pinnedu.theory.bounds import advection_gap


def norm(values, weights):
    return float(np.sqrt(weights @ values**2))


# Linear models


@pytest.mark.parametrize(("symbol", "order"), [({2: 1.0, 1: 0.5, 0: -2.0}, 2), ({3: 1.0, 1: -4.0}, 3), ({4: 1.0}, 4)])
def test_an_elliptic_equation_of_order_m_has_the_power_2m(symbol, order):
    """thm-gd-order: A is diagonal with |p(k)|^2, and kappa lies between the two bounds; equal where c = C."""
    for K in (2, 7, 15):
        basis = Basis(K)
        x, w = basis.quadrature()
        A = fourier.gram(sum(factor * basis.values(x, power) for power, factor in symbol.items()), w)
        k = np.abs(basis.modes)
        p = np.abs(sum(factor * (1j * k) ** power for power, factor in symbol.items()))
        np.testing.assert_allclose(A, np.diag(p**2), atol=1e-9 * p.max() ** 2)
        away = np.delete(np.arange(basis.size), K)
        ratio = p[away] / k[away] ** order
        kappa = condition_number(np.diag(p[away] ** 2))
        c, C = ratio.min(), ratio.max()
        assert c**2 / C**2 * K ** (2 * order) <= kappa * (1 + 1e-12)
        assert kappa <= C**2 / c**2 * K ** (2 * order) * (1 + 1e-12)
        if len(symbol) == 1:
            assert kappa == pytest.approx(K ** (2 * order), rel=1e-12)


def test_the_three_waves_of_the_speed_bound():
    """thm-speed-bound: the norm, the start and the residual of each, by quadrature."""
    beta, T = 3.0, 5.0
    (x, wx), (t, wt) = fourier.gauss_legendre(0, 2 * pi, 60), fourier.gauss_legendre(0, T, 60)
    X, t_all = np.meshgrid(x, t, indexing="ij")
    w = np.outer(wx, wt)
    turn = 2 * pi / T
    cases = {  # the function, its residual, and the integrals of its square, of its start's and of its residual's
        "left": (np.sin(X + beta * t_all), 2 * beta * np.cos(X + beta * t_all), pi * T, pi, 4 * beta**2 * pi * T),
        "right": (np.sin(X - beta * t_all), 0 * X, pi * T, pi, 0.0),
        "difference": (
            np.sin(X - beta * t_all) - np.sin(X - beta * t_all + turn * t_all),
            -turn * np.cos(X - beta * t_all + turn * t_all),
            2 * pi * T,
            0.0,
            4 * pi**3 / T,
        ),
    }
    starts = {"left": np.sin(x), "right": np.sin(x), "difference": 0 * x}
    for name, (u, residual, size, start, rest) in cases.items():
        assert (w * u**2).sum() == pytest.approx(size, rel=1e-10)
        assert wx @ starts[name] ** 2 == pytest.approx(start, abs=1e-10)
        assert (w * residual**2).sum() == pytest.approx(rest, rel=1e-10)


@pytest.mark.parametrize(("K", "lam"), [(1, 0.1), (1, 1.0), (2, 1.0)])
def test_the_law_of_speed_has_its_constant(K, lam):
    """thm-speed-law: kappa / beta^2 tends to (K + 1)^2 / s^2 from below."""
    limit = (K + 1) ** 2 / advection_gap(lam) ** 2
    share = [condition_number(fourier.advection(K, beta, lam=lam)) / beta**2 / limit for beta in (10, 20, 40)]
    assert share[0] < share[1] < share[2] < 1
    assert share[2] > 0.99


def test_the_roots_of_the_secular_equation_interlace():
    """thm-cl-secular: one eigenvalue in (0, 1), one in each gap, one above, each a root of the printed sum."""
    K, lam = 6, 3.0
    block = fourier.poisson(K, lam)[: K + 1, : K + 1]  # cosines and the constant
    mu = np.sort(eigenvalues(block))
    poles = np.arange(K + 1.0) ** 4
    assert (mu > poles).all()
    assert (mu[:-1] < poles[1:]).all()
    for root in mu:
        assert 1 / (2 * pi * root) + (1 / (root - poles[1:])).sum() / pi == pytest.approx(1 / lam, rel=1e-6)
    assert conditioning.poisson_extremes(K, lam) == pytest.approx((mu[0], mu[-1]), rel=1e-9)


def test_the_weight_does_not_move_the_answer_of_poisson_and_of_helmholtz_it_does():
    """thm-cl-answer: any load without a part along the constant; with c u in the equation the constant is seen."""
    K = 5
    load = np.random.default_rng(0).normal(size=2 * K + 1)
    load[K] = 0.0  # int phi_0'' f = 0
    v = Basis(K).boundary
    found = [np.linalg.solve(fourier.poisson(K, lam), load) for lam in (0.1, 10.0, 1e4)]
    for theta in found:
        assert abs(v @ theta) < 1e-10
        np.testing.assert_allclose(theta, found[0], atol=1e-9)
    symbol = 10.3 - Basis(K).modes ** 2.0
    moved = [np.linalg.solve(np.diag(symbol**2) + lam * np.outer(v, v), load + 1) for lam in (0.1, 1e4)]
    assert np.abs(moved[1] - moved[0]).max() > 1e-2


def test_best_constants_are_the_condition_number():
    """thm-pg-equivalence: with the largest c_1 and the least c_2 the bound is attained."""
    draw = np.random.default_rng(0)
    roots = draw.normal(size=(2, 9, 12))
    A, A0 = (root @ root.T for root in roots)
    ratio = eigh(A, A0, eigvals_only=True)
    P = solve_triangular(cholesky(A0, lower=True), np.eye(9), lower=True).T  # P P^T = A0^-1
    np.testing.assert_allclose(P @ P.T @ A0, np.eye(9), atol=1e-8)
    assert np.linalg.cond(P.T @ A @ P) == pytest.approx(ratio[-1] / ratio[0], rel=1e-6)


def test_momentum_obeys_its_bound_at_every_step_and_attains_its_growth():
    """thm-so-root: (2 l + 1) q^l for the heavy ball, in two norms, and for conjugate gradients in that of A."""
    A = fourier.poisson(4, 2.0)
    mu, Q = np.linalg.eigh(A)
    root = np.sqrt(mu[-1] / mu[0])
    q, steps = (root - 1) / (root + 1), np.arange(301)
    bound = (2 * steps + 1) * q**steps
    solution = np.random.default_rng(0).normal(size=9)
    b, zero = A @ solution, np.zeros(9)
    ball = heavy_ball(A, b, 300, start=zero)
    assert (ball.errors <= bound * ball.errors[0] * (1 + 1e-9)).all()

    def energy(theta):
        return float(np.sqrt((theta - solution) @ A @ (theta - solution)))

    for method in (heavy_ball, conjugate_gradients):
        found = [energy(method(A, b, int(n), start=zero).theta) for n in range(1, 40)]
        assert (found <= bound[1:40] * energy(zero) * (1 + 1e-9)).all()
    # along the steepest direction the error is exactly (1 + l (1 + q)) q^l: nearly the bound, so 2 l + 1 is needed
    steep = heavy_ball(A, A @ Q[:, -1], 60, start=zero)
    n = np.arange(61)
    np.testing.assert_allclose(steep.errors, (1 + n * (1 + q)) * q**n, rtol=1e-6)
    assert (steep.errors > 0.97 * bound[:61]).all()
    assert (steep.errors <= bound[:61] * (1 + 1e-9)).all()


# Networks


def test_a_damped_inverse_shrinks_each_direction_as_stated():
    """thm-pn-eps: 1 - eta mu / (mu + eps) along each eigenvector, and kappa at most (mu_min + eps) / mu_min."""
    problem, eta, eps = poisson(), 0.3, 0.2
    model, sample = operator.fourier_model(3), problem.sample(Points(40, 1, method="grid"))
    A = tangent.gram(model, problem, sample)
    mu, Q = torch.linalg.eigh(A)
    precondition, objective = tangent.gauss_newton_preconditioner(eps), tangent.Objective(model, problem, sample)
    for i in range(len(mu)):
        left = Q[:, i] - eta * precondition(objective, A @ Q[:, i])
        torch.testing.assert_close(left, (1 - eta * mu[i] / (mu[i] + eps)) * Q[:, i], rtol=0, atol=1e-10)
    values = torch.linalg.eigvals(torch.linalg.solve(A + eps * torch.eye(len(A), dtype=A.dtype), A)).real
    kappa, limit = float(values.max() / values.min()), float((mu[0] + eps) / mu[0])
    assert kappa <= limit
    assert kappa == pytest.approx(limit * float(mu[-1] / (mu[-1] + eps)), rel=1e-9)


def test_behind_whole_frequencies_waves_are_eigenfunctions_and_behind_others_they_are_not():
    """thm-ff-convolution: on the circle, with pi times the share of a frequency as eigenvalue of the linear model."""
    x = np.linspace(-pi, pi, 128, endpoint=False)
    drawn = FourierFeatures.gaussian(1, 256, 5.0, seed=0).frequencies[:, 0].numpy()
    for whole in (True, False):
        b = np.round(drawn) if whole else drawn
        h = kernels.convolution(x[:, None] - x, b)
        for kernel in (h, kernels.relu(np.clip(h, -1, 1))):
            for k in (1, 3, 8):
                wave = np.cos(k * x)
                image = kernel @ wave * 2 * pi / len(x)
                value = image @ wave / (wave @ wave)
                rest = np.linalg.norm(image - value * wave) / np.linalg.norm(image)
                assert rest < 1e-10 if whole else rest > 0.02
                if whole and kernel is h:
                    assert value == pytest.approx(pi * (np.abs(b) == k).mean(), rel=1e-9)


def test_neurons_make_powers():
    """thm-approximation-universal: in H^2, at the rate h, and only where no derivative of tanh vanishes."""
    x, w = fourier.gauss_legendre(-1, 1, 40)

    def distance(degree, h, b0):
        """From x^degree to the span of degree + 1 neurons tanh(i h x + b0)."""
        slope = h * np.arange(degree + 1)
        s = np.tanh(np.outer(x, slope) + b0)
        neurons = [s, slope * (1 - s**2), slope**2 * (-2 * s * (1 - s**2))]
        power = np.polynomial.Polynomial([0.0] * degree + [1.0])
        targets = [power(x), power.deriv(1)(x), power.deriv(2)(x)]
        root = np.sqrt(w)
        rows = np.concatenate([root[:, None] * part for part in neurons])
        values = np.concatenate([root * part for part in targets])
        return np.linalg.norm(rows @ np.linalg.lstsq(rows, values, rcond=1e-14)[0] - values) / np.linalg.norm(values)

    for degree in (1, 2, 3):
        coarse, fine = distance(degree, 0.025, 0.5), distance(degree, 0.0125, 0.5)
        assert fine < 0.2
        assert fine / coarse == pytest.approx(0.5, abs=0.06)
    assert distance(2, 0.05, 0.0) > 0.9  # tanh'' is zero at zero


# What a residual says


@pytest.mark.parametrize(("before", "delta"), [(25.0, 5.0), (1.0, 0.3), (10.0, -2.0)])
def test_where_a_stage_starts(before, delta, closed_form):
    """thm-curriculum-start: by the residuals and the error of the wave of the stage before."""
    problem = advection(before + delta)
    wave = closed_form(lambda x, t: torch.sin(x - before * t))
    nodes, weights = problem.domain.quadrature(64)
    r = problem.residuals(wave, nodes)["advection"].detach()
    assert float(weights @ r**2 / weights.sum()) == pytest.approx(delta**2 / 2, rel=1e-8)
    wanted = np.sqrt(2 * (1 - np.sin(delta) / delta))
    grid = problem.domain.grid(201)
    assert relative_error(wave, problem, grid) == pytest.approx(wanted, rel=0.01)
    off = (wave(nodes)[:, 0].detach() - problem.solution(nodes)["u"]) ** 2
    assert float(weights @ off / (weights @ problem.solution(nodes)["u"] ** 2)) == pytest.approx(wanted**2, rel=1e-8)


def at(problem, model, t, nodes=64):
    """Norms over x of the error and of the residual at one time."""
    x, w = fourier.gauss_legendre(*(float(end) for end in (problem.domain.low[0], problem.domain.high[0])), nodes)
    points = torch.tensor(np.stack([x, np.full_like(x, t)], axis=1))
    r = next(iter(problem.residuals(model, points).values())).detach().numpy()
    e = (model(points)[:, 0].detach() - problem.solution(points)["u"]).numpy()
    return norm(e, w), norm(r, w)


def test_advection_carries_errors_and_heat_forgets_them(closed_form):
    """thm-march-memory: the inequality for any error, equality where it is attained, and the decay of heat."""
    wave, rod = advection(3.0), heat()
    t, w = fourier.gauss_legendre(0.2, 0.9, 24)
    errors_of = {
        "any": lambda x, t: torch.cos(2 * t) * torch.sin(x) + 0.3 * torch.cos(2 * x - t),
        "growing": lambda x, t: (1 + t**2) * torch.sin(x - 3 * t),
        "carried": lambda x, t: torch.cos(x - 3 * t),
    }
    for name, error in errors_of.items():
        model = closed_form(lambda x, t, error=error: wave.exact(x, t) + error(x, t))
        first, last = at(wave, model, 0.2)[0], at(wave, model, 0.9)[0]
        added = w @ [at(wave, model, float(s))[1] for s in t]
        assert last <= (first + added) * (1 + 1e-9)
        if name != "any":
            assert last == pytest.approx(first + added, rel=1e-6)
    assert added < 1e-8
    for k, share in ((1, 1.0), (2, np.exp(-3 * 0.7))):  # sin 2x falls as exp(-4 t)
        model = closed_form(lambda x, t, k=k: rod.exact(x, t) + torch.exp(-(k**2) * t) * torch.sin(k * x))
        assert at(rod, model, 0.9)[0] == pytest.approx(share * np.exp(-0.7) * at(rod, model, 0.2)[0], rel=1e-8)


def test_the_constants_of_stability_are_nearly_attained(closed_form):
    """thm-stability-heat, thm-stability-advection: the worst residual a(t) sin x, and for the start equality."""
    rod, wave = heat(), advection(5.0)
    record = errors.Certificate(errors.heat_stability(rod.domain), nodes=48)
    omega = brentq(lambda w: np.sin(w) + w * np.cos(w), pi / 2, pi)
    bound = record.look(closed_form(lambda x, t: rod.exact(x, t) + torch.sin(omega * t) * torch.sin(x)), rod)
    assert record.errors[-1] / bound == pytest.approx((1 + omega**2) ** -0.5 / (1 - np.exp(-1)), rel=1e-6)
    assert record.errors[-1] / bound > 0.69
    record = errors.Certificate(errors.advection_stability(wave.domain, 5.0), nodes=48)
    slow = pi / 2  # T = 1: the error sin(pi t / 2 T) has the residual of the largest ratio, 2 T / pi
    bound = record.look(closed_form(lambda x, t: wave.exact(x, t) + torch.sin(slow * t) * torch.cos(x - 5 * t)), wave)
    assert record.errors[-1] / bound == pytest.approx(2 / pi, rel=1e-6)
    bound = record.look(closed_form(lambda x, t: 1.1 * wave.exact(x, t)), wave)
    assert record.errors[-1] == pytest.approx(bound, rel=1e-6)


# Quadrature


def test_the_gap_of_midpoints_is_attained_by_squares(closed_form):
    """thm-quadrature-midpoint: g = x^2 + y^2 has constant second derivatives, so the bound is the gap."""
    problem = Problem(Box(x=(0, 2), y=(-1, 2)), {"x": lambda u: u.x, "y": lambda u: u.y})
    nodes, gaps = errors.quadrature_gap(closed_form(lambda x, y: (x**2 + y**2) / 2), problem, [2, 5], "midpoint")
    integral = 3 * 2**3 / 3 + 2 * (2**3 + 1) / 3
    bound = 6 / 24 * (2**2 * 2 + 3**2 * 2) / nodes  # |Omega| / 24 sum L_i^2 max, N^(-2/d) with d = 2
    np.testing.assert_allclose(gaps * integral, bound, rtol=1e-9)


def test_the_gap_of_independent_points_has_the_variance(closed_form):
    """thm-quadrature-monte-carlo: |Omega| sqrt(Var g / N), with g = x^2 on (0, 3)."""
    problem = Problem(Box(x=(0, 3)), {"x": lambda u: u.x})
    nodes, gaps = errors.quadrature_gap(closed_form(lambda x: x**2 / 2), problem, [20, 80], "monte-carlo", repetitions=800)
    variance = 3**4 / 5 - (3**2 / 3) ** 2
    np.testing.assert_allclose(gaps * 9, 3 * np.sqrt(variance / nodes), rtol=0.07)


# Uncertainty


def test_weights_scatter_by_at_most_the_covariance_that_is_said():
    """thm-un-wide: by the minimum itself for a unit of noise in each reading; equality where all rows are readings."""
    draw, s = np.random.default_rng(0), 0.3
    J = draw.normal(size=(14, 5))
    for readings in (8, 14):
        noise = np.eye(14)[:, :readings] * np.sqrt(s)
        moved = np.linalg.lstsq(J, noise, rcond=None)[0]  # what each does to the minimum
        scatter, inverse = moved @ moved.T, np.linalg.inv(J.T @ J)
        np.testing.assert_allclose(scatter, s * inverse @ J[:readings].T @ J[:readings] @ inverse, rtol=1e-8, atol=1e-12)
        gap = np.linalg.eigvalsh(s * inverse - scatter)
        assert gap[0] > -1e-12
        assert bool(gap[-1] < 1e-12) is (readings == 14)


def test_waves_of_a_window_in_its_own_time():
    """thm-speed-windows: by quadrature in the stretched time, without the factor N, it is the problem of speed beta / N."""
    K, J, T, beta, N, lam = 1, 3, 2 * pi, 12.0, 4, 0.9
    short = Waves(K, J, T / N)
    x, t, w = short.quadrature()
    x0, w0 = fourier.gauss_legendre(0, 2 * pi, 64)
    # d tau = N dt, and u_tau = u_t / N; features keep the norm one in (x, tau), where they are 1 / sqrt(N) as large
    residuals = short.residuals(x, t, beta) / N / np.sqrt(N)
    A = fourier.gram(residuals, N * w) + lam * fourier.gram(short.values(x0, 0 * x0) / np.sqrt(N), w0)
    np.testing.assert_allclose(A, Waves(K, J, T).matrix(beta / N, lam), atol=1e-10 * A.max())
