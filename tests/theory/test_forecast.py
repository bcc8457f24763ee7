"""The law of linearized training: exact for linear models, and honest about the others."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch

from pinnedu import MLP, GradientDescent, PeriodicEmbedding, Points
from pinnedu.problems import advection, poisson
from pinnedu.theory import kernels, operator, tangent
from pinnedu.theory.forecast import METHODS, MOVED, Forecast, horizon
from pinnedu.trainers import Objective

MU = np.array([3.0, 1.0, 0.2, 1e-3, 0.0])
C = np.array([1.0, -2.0, 0.5, 3.0, 0.7])


def simulated(found, steps):
    """Loss after so many steps on the residuals themselves, in a basis in which K is no diagonal matrix."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(len(MU), len(MU))))[0]
    K, r = Q * MU @ Q.T, Q @ C
    before = r
    for _ in range(steps):
        if found.method == "Gauss-Newton":
            r = r - found.rate * K @ np.linalg.solve(K + found.damping * MU[0] * np.eye(len(K)), r)
        else:
            pull = found.momentum * (r - before) if found.method == "heavy ball" else 0
            r, before = r - found.rate * K @ r + pull, r
    return 0.5 * r @ r


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", [None, 0.31])
def test_the_law_is_that_of_the_iteration(method, rate):
    found = Forecast(MU, C, method=method, rate=rate, momentum=0.7, damping=1e-3)
    for n in (0, 1, 2, 7, 100):
        assert found.loss(n) == pytest.approx(simulated(found, n), rel=1e-9)


def test_the_law_of_a_linear_model_is_that_of_its_training(decay):
    """thm-tk-law: the loss of the linearized model, step by step."""
    model, sample = MLP(decay, hidden=(6,)), decay.sample(Points(20, 1))
    weights = {"start": 3.0}
    run = tangent.compare(model, decay, sample, 40, weights=weights)
    found = tangent.forecast(model, decay, sample, 40, weights=weights)
    assert found.rate == pytest.approx(run.rate)
    np.testing.assert_allclose(found.loss(np.arange(41)), run.linearized_loss, rtol=1e-9)
    assert found.spectrum[-1] == 0  # 21 residuals and 19 weights: a part is out of reach


def test_fewer_residuals_than_weights(decay):
    model, sample = MLP(decay, hidden=(6,)), decay.sample(Points(5, 1))
    run = tangent.compare(model, decay, sample, 20)
    found = tangent.forecast(model, decay, sample, 20)
    assert len(found.spectrum) == 6
    np.testing.assert_allclose(found.loss(np.arange(21)), run.linearized_loss, rtol=1e-9)


def test_a_model_whose_kernel_stays_is_trusted():
    problem = poisson(2)
    model = operator.fourier_model(3)
    found = tangent.forecast(model, problem, Points(64, 1, method="grid"), 1000)
    assert max(found.movement.values()) < 1e-12
    assert found.trusted == 1000
    assert "trust the forecast to its end" in str(found)
    newton = tangent.forecast(model, problem, Points(64, 1, method="grid"), 1, method="Gauss-Newton", damping=1e-15)
    assert newton.loss(1) < 1e-20 * newton.loss(0)


def descend(model, problem, sample, rate, steps):
    after = copy.deepcopy(model)
    step, objective = GradientDescent(rate).start(after), Objective(after, problem, sample)
    for _ in range(steps):
        step(objective)
    return after, float(objective.evaluate().loss)


def test_a_network_that_cannot_learn_a_wave_is_known_before_training():
    """Speeds 1 and 30 have much the same spectrum: where the residual lies in it decides."""
    plateau, counts = [], []
    for beta in (1.0, 30.0):
        problem = advection(beta)
        model = MLP(problem, hidden=(40,), embedding=PeriodicEmbedding(problem.domain, x=1), seed=0)
        sample = problem.sample(Points(120, {"initial": 30, "periodic": 1}), generator=torch.Generator().manual_seed(0))
        found = tangent.forecast(model, problem, sample, 10**6)
        after, loss = descend(model, problem, sample, found.rate, 40)
        if beta == 30:
            assert tangent.moved(model, after, problem, sample) < MOVED
            assert loss == pytest.approx(found.loss(40), rel=0.05)
            assert 0.18 < found.loss(10**6) < 0.25  # u = 0 has 1/4
        plateau.append(found.loss(10**6))
        counts.append(found.count(1e-6))
    assert plateau[0] < 1e-2
    assert abs(counts[0] - counts[1]) < 6


def test_it_says_when_the_kernel_has_moved_too_far():
    problem = poisson()
    model = MLP(problem, hidden=(5,), seed=0)
    sample = problem.sample(Points(12, 1, method="grid"))
    found = tangent.forecast(model, problem, sample, 20_000)
    assert found.trusted < 50
    assert f"Trust it to step {found.trusted}" in str(found)
    after, loss = descend(model, problem, sample, found.rate, 50)
    assert tangent.moved(model, after, problem, sample) > MOVED
    assert abs(loss / found.loss(50) - 1) > 0.05
    assert tangent.moved(model, model, problem, sample) == 0


def test_a_wider_network_is_trusted_for_longer():
    problem = poisson()
    sample = {"interior": problem.domain.quadrature(24, "midpoint")[0]}
    far = [
        tangent.forecast(kernels.WideNetwork(1, (width,), bias=True), problem, sample, 10**5).trusted for width in (8, 512)
    ]
    assert far[1] > 10 * far[0]


def test_shares_text_and_picture():
    found = Forecast(MU[::-1], C[::-1], movement={1: 0.01, 4: 0.02, 12: 0.3}, steps=500)
    assert found.count(1e-3) == 3
    assert found.share(1e-2) == pytest.approx((1 + 4 + 0.25) / (C @ C))
    assert found.trusted == 4
    text = str(found)
    assert "Trust it to step 4: by step 12 the kernel would have moved by 30 %" in text
    assert "5 eigenvalues, 3, 4 and 4 above" in text
    assert len(found.plot().axes) == 2
    assert horizon(1000)[0] == 1
    assert horizon(1000)[-1] == 1000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "Adam"}, "The method 'Adam' is unknown"),
        ({"rate": 0.7}, r"The rate must be below 0\.6667, where gradient descent diverges"),
        ({"rate": -1.0}, "The rate must be a positive number"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"momentum": 1.0}, "The momentum must be"),
        ({"damping": 0.0}, "The damping must be a positive number"),
        ({"coefficients": C[1:]}, "The coefficients must be 5 numbers"),
        ({"spectrum": -MU}, "The spectrum must lie in"),
        ({"spectrum": 0 * MU}, "The largest eigenvalue must be"),
    ],
)
def test_bad_input(given, says):
    with pytest.raises(ValueError, match=says):
        Forecast(**{"spectrum": MU, "coefficients": C, **given})


def test_the_linear_part_of_the_theory_does_not_import_torch():
    modules = "conditioning, fourier, regression, forecast"
    code = f"import sys; from pinnedu.theory import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
