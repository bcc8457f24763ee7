"""Wide networks: how far the tangent features and the kernel move, and how far training is from its linearization.

u' = -u from 1 on (0, 2), one hidden layer of SiLU whose start is subtracted. "moved": the relative change of features and kernels
in 30 steps of gradient descent, for output weights of both signs and of one. "lemma": the distance of true and linearized
weights as a share of its bound, at most, in 400 steps, and the largest deviation epsilon of the gradient. "convolution": by how
much the kernel of a network behind Fourier features differs from its limit.
"""

import copy

import numpy as np
import torch
from torch import nn

from pinnedu import Box, FourierFeatures, GradientDescent, On, Points, Problem
from pinnedu.studies import Claim, Study
from pinnedu.theory import kernels, tangent
from pinnedu.trainers import Objective

WIDTHS = {"moved": (64, 256, 1024, 4096), "lemma": (16, 64, 256), "convolution": (16384,)}


def decay():
    """The problem, and its points."""
    problem = Problem(
        Box(t=(0, 2)), {"decay": lambda u: u.t + u}, {"start": On(t=0, equation=lambda u: u - 1)}, exact=lambda t: torch.exp(-t)
    )
    return problem, problem.sample(Points(64, 1, method="grid"))


def moved(width, seed, positive):
    """Relative changes of the features, of the kernel, and of the kernel of the residuals."""
    problem, sample = decay()
    after = kernels.WideNetwork(1, (width,), nn.SiLU(), bias=True, seed=seed)
    if positive:
        with torch.no_grad():
            after.layers[-1].weight.abs_()
    before, model = copy.deepcopy(after), kernels.Centered(after)
    step, objective = GradientDescent(0.1).start(model), Objective(model, problem, sample)
    for _ in range(30):
        step(objective)
    points = sample["interior"]
    first, last = (tangent.features(m, points) for m in (before, after))
    changes = [float((last - first).norm() / first.norm())]
    return changes + [tangent.drift(before, after, points, p) for p in (None, problem)]


def run(measured, width, seed):
    """One measurement at one width."""
    if measured == "moved":
        signs = moved(width, seed, positive=False)
        return {"features": signs[0], "kernel": signs[1], "residuals": signs[2], "one sign": moved(width, seed, True)[1]}
    if measured == "lemma":
        problem, sample = decay()
        model = kernels.Centered(kernels.WideNetwork(1, (width,), nn.SiLU(), bias=True, seed=seed))
        found = tangent.compare(model, problem, sample, 400, rate=0.1)
        return {"share": float((found.distance[2:] / found.bound[2:]).max()), "epsilon": float(found.deviation.max())}
    x = torch.linspace(-torch.pi, torch.pi, 65, dtype=torch.float64)[:-1, None]
    features = FourierFeatures(torch.arange(1.0, 6.0, dtype=torch.float64), torch.full((5,), 5**-0.5))
    network = kernels.WideNetwork(features, (width,), kernels.Rectifier(), seed=seed)
    limit = torch.as_tensor(kernels.relu((kernels.dirichlet((x - x.T).numpy(), 5) - 1) / 10))
    return {"off": float((tangent.kernel(network, x) - limit).norm() / limit.norm())}


def power(results, measured, what):
    """The power of the width with which the mean over the seeds falls."""
    widths = WIDTHS[measured]
    means = [np.mean(results.where(measured=measured, width=width)[what]) for width in widths]
    return np.polyfit(np.log(widths), np.log(means), 1)[0]


CLAIMS = [
    Claim(
        "features-stay-put",
        "The tangent features move as the width to a power between -0.65 and -0.35, and so does the kernel where output weights "
        "have one sign.",
        lambda results: all(-0.65 < power(results, "moved", what) < -0.35 for what in ("features", "one sign")),
        row="R19",
    ),
    Claim(
        "kernels-at-least-so",
        "With weights of both signs the kernel, and that of the residuals, move as the width to a power below -0.35.",
        lambda results: max(power(results, "moved", what) for what in ("kernel", "residuals")) < -0.35,
        row="R19",
    ),
    Claim(
        "closed-form",
        "The kernel of each network of width 16384 behind Fourier features differs from the closed form by less than 5 %.",
        lambda results: results.where(measured="convolution")["off"].max() < 0.05,
        row="R25",
    ),
    Claim(
        "within-the-bound",
        "In every run the weights stay within the bound of the lemma.",
        lambda results: results.where(measured="lemma")["share"].max() <= 1,
        row="R26",
    ),
    Claim(
        "the-deviation-falls",
        "The largest deviation of the gradient falls as the width to a power between -0.8 and -0.3.",
        lambda results: -0.8 < power(results, "lemma", "epsilon") < -0.3,
        row="R26",
    ),
]

study = Study(
    run,
    grid=[
        {"measured": measured, "width": width, "seed": seed}
        for seed in range(5)
        for measured, widths in WIDTHS.items()
        for width in widths
    ],
    claims=CLAIMS,
    cheap={"measured": "moved", "width": 64, "seed": 0},
    agree={"features": 1e-6, "kernel": 1e-6},
)
