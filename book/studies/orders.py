"""In which order frequencies are learned: by regression, and by a physics-informed network that is given the second derivative.

The target is a sum of seven sines on the circle, with amplitudes such that each has the same share of what the network sees. One
hidden layer of 512 neurons, its start subtracted, 120 steps of gradient descent with the rate one over the largest eigenvalue.
The forecast is that of the linear theory: a factor 1 - eta mu_k for each step.
"""

from math import pi

import numpy as np
import torch
from torch import nn

from pinnedu import Box, FourierFeatures, GradientDescent, Problem
from pinnedu.studies import Claim, Study
from pinnedu.theory import kernels, operator, tangent
from pinnedu.trainers import Objective

FREQUENCIES = (1, 2, 4, 7, 10, 14, 20)
ACTIVATIONS = {"tanh": nn.Tanh, "SiLU": nn.SiLU}
STEPS = 120


def run(activation, order, seed):
    """What is left of each frequency after twenty steps and at the end, and how well its half-time was forecast."""
    box = Box(x=(-pi, pi))
    points = box.quadrature(256, "midpoint")[0][::2]
    sines = torch.sin(points * torch.tensor(FREQUENCIES))
    heights = torch.tensor([0.05 / k**order for k in FREQUENCIES]).double()

    def equation(u, x):
        waves = 0.05 * sum(torch.sin(k * x) for k in FREQUENCIES)
        return u.xx + waves if order else u - waves

    problem = Problem(box, {"task": equation})
    circle = FourierFeatures(torch.tensor([1.0]), torch.tensor([2.0]))
    start = kernels.WideNetwork(circle, (512,), ACTIVATIONS[activation](), bias=True, seed=seed)
    model = kernels.Centered(start)
    largest = float(torch.linalg.eigvalsh(tangent.kernel(start, points, problem))[-1]) / len(points)
    step, objective = GradientDescent(1 / largest).start(model), Objective(model, problem, {"interior": points})
    slow = 1 - operator.frequency_response(start, FREQUENCIES, order=order) / (2 * pi * largest)
    errors = []
    for _ in range(STEPS + 1):
        with torch.no_grad():
            errors.append((1 - 2 / len(points) * (sines * model(points)).sum(dim=0) / heights).abs().numpy())
        step(objective)
    off = []
    for seen, expected in zip(np.array(errors).T, np.log(0.5) / np.log(slow), strict=True):
        half = np.flatnonzero(seen > 0.5)[-1] + 1
        if expected >= 3 and half <= 100:  # neither gone at once nor left over
            off.append(abs(np.log(half / expected)))
    return {
        "lowest": float(errors[-1][0]),
        "highest": float(errors[-1][-1]),
        "off": float(np.exp(max(off))),
        "low": float(errors[20][0]),
        "middle": float(errors[20][3]),
    }


def of(results, activation, order, what):
    """A number of every seed."""
    return results.where(activation=activation, order=order)[what]


CLAIMS = [
    Claim(
        "low-frequencies-first",
        "By regression less than a twentieth of the lowest frequency is left in every run, and over nine tenths of the highest, "
        "with either activation; for SiLU it is so for second derivatives as well.",
        lambda results: all(
            of(results, *task, "lowest").max() < 0.05 and of(results, *task, "highest").min() > 0.9
            for task in (("tanh", 0), ("SiLU", 0), ("SiLU", 2))
        ),
        row="R22",
    ),
    Claim(
        "the-middle-first",
        "Given second derivatives, tanh lacks over a tenth of the lowest frequency after twenty steps in every run, and less "
        "than a tenth of k = 7.",
        lambda results: of(results, "tanh", 2, "low").min() > 0.1 and of(results, "tanh", 2, "middle").max() < 0.1,
        row="R22",
    ),
    Claim(
        "half-times",
        "The half-times of all frequencies are forecast within a factor of 1.5 in every run by regression, and within a factor "
        "of 2 in the median of all runs for second derivatives.",
        lambda results: results.where(order=0)["off"].max() < 1.5 and np.median(results.where(order=2)["off"]) < 2,
        row="R22",
    ),
]

study = Study(
    run,
    grid=[
        {"activation": activation, "order": order, "seed": seed}
        for seed in range(5)
        for activation in ACTIVATIONS
        for order in (0, 2)
    ],
    claims=CLAIMS,
    cheap={"activation": "tanh", "order": 0, "seed": 0},
    agree={"low": 1e-6, "middle": 1e-4},
)
