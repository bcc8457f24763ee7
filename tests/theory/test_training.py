"""What the chapters on networks train: both orders of learning, preconditioned gradients and features."""

from math import pi

import numpy as np
import pytest
import torch

from pinnedu import MLP, Adam, Box, FourierFeatures, GradientDescent, PeriodicEmbedding, Points, Problem, fit
from pinnedu.problems import advection, poisson
from pinnedu.theory import kernels, tangent
from pinnedu.trainers import Objective

FREQUENCIES = (1, 2, 3, 4)
BOX = Box(x=(-pi, pi))
TASKS = {
    "regression": lambda u, x: u - sum(torch.sin(k * x) for k in FREQUENCIES),
    "PINN": lambda u, x: u.xx + sum(k**2 * torch.sin(k * x) for k in FREQUENCIES),
}


@pytest.mark.parametrize(("task", "last"), [("regression", 4), ("PINN", 1)])
def test_the_order_of_learning(task, last):
    """Regression learns frequency 1 first and 4 last; with two derivatives 1 comes last."""
    problem, (points, _) = Problem(BOX, {"task": TASKS[task]}), BOX.quadrature(128, "midpoint")
    circle = FourierFeatures(torch.tensor([1.0]), torch.tensor([2.0]))
    model = kernels.WideNetwork(circle, (512,), bias=True)
    largest = float(torch.linalg.eigvalsh(tangent.kernel(model, points, problem))[-1]) / len(points)
    step, objective = GradientDescent(1 / largest).start(model), Objective(model, problem, {"interior": points})
    for _ in range(60):
        step(objective)
    waves = torch.sin(points * torch.tensor(FREQUENCIES))
    with torch.no_grad():
        errors = (2 / len(points) * waves * (waves.sum(dim=1, keepdim=True) - model(points))).sum(dim=0).abs()
    assert FREQUENCIES[int(errors.argmax())] == last
    assert FREQUENCIES[int(errors.argmin())] == 5 - last


def test_preconditioned_gradient_learns_advection_where_adam_does_not():
    """What the chapter shows, with a third of its speed: Adam for about as many seconds does not even begin."""
    problem, points = advection(beta=10.0), Points(150, {"initial": 40, "periodic": 1})

    def network():
        return MLP(problem, hidden=(40,), embedding=PeriodicEmbedding(problem.domain, x=1))

    newton = GradientDescent(lr=0.3, preconditioner=tangent.gauss_newton_preconditioner(1e-3))
    assert fit(network(), problem, optimizer=newton, steps=100, points=points, seed=0).error < 0.1
    assert fit(network(), problem, optimizer=Adam(1e-3), steps=300, points=points, seed=0).error > 0.9


def test_preconditioned_features_need_fewer_than_half_the_steps():
    problem, k = poisson(3), torch.arange(1.0, 11.0)

    def error(scales, steps):
        model = MLP(problem, hidden=(32,), embedding=FourierFeatures(k, scales))
        points = Points(128, 1, method="grid", resample=0)
        return fit(model, problem, optimizer=Adam(3e-3), steps=steps, points=points, seed=0).error

    assert error(1 / k**2, 250) < 1e-3
    assert error(None, 500) > 2e-3


def test_spectrum_follows_the_distribution_of_frequencies():
    grid = np.linspace(-pi, pi, 2048, endpoint=False)
    k = np.arange(1, 41)
    reach = []
    for std in (2.0, 5.0, 15.0):
        b = np.round(FourierFeatures.gaussian(1, 256, std, seed=0).frequencies[:, 0].numpy())  # whole: eigenvalues, no window
        kernel = kernels.relu(np.clip(kernels.convolution(grid, b), -1, 1))
        values = np.array([(kernel * np.cos(j * grid)).mean() for j in k])
        reach.append(int(k[values > 0.1 * values.max()].max()))
    assert reach == [5, 12, 39]  # as the chapter prints them
