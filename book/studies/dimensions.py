"""Poisson's equation on the unit ball in many dimensions, with the Laplacian exact or estimated by random directions.

One hidden layer of 64 sines with the boundary built in, Adam in float32, fresh points in each step. Plans are lists of rate,
steps and points. The best function of the form (1 - |x|^2) (a + b.x), fitted to the exact solution, stands beside it.
"""

import numpy as np
import torch
from torch import nn

from pinnedu import MLP, Adam, HardConstraint, Normalize, Points, fit
from pinnedu.derivatives import hutchinson
from pinnedu.problems import poisson_ball
from pinnedu.studies import Claim, Study

FREQUENCY = 0.5
PLANS = {
    "short": [(2e-2, 300, 256), (5e-3, 200, 256)],
    "long": [(2e-2, 800, 256), (7e-3, 600, 512), (2e-3, 300, 1024), (5e-4, 150, 1024)],
}
LAPLACIANS = {  # made anew for each run, whose seed fixes the directions
    "exact": lambda seed: "taylor",
    "signs": lambda seed: hutchinson(1, seed=seed),
    "radial": lambda seed: hutchinson(1, "radial", seed=seed),
}


class Sine(nn.Module):
    """The activation."""

    def forward(self, values):
        return torch.sin(values)


def linear(problem):
    """The relative error of the best of the functions (1 - |x|^2) (a + b.x)."""
    x = problem.domain.sample(10_000, generator=torch.Generator().manual_seed(0))
    inside = 1 - x.square().sum(dim=1, keepdim=True)
    basis, truth = inside * torch.cat([torch.ones(len(x), 1), x], dim=1), problem.exact(x)[:, None]
    return float((basis @ torch.linalg.lstsq(basis, truth).solution - truth).norm() / truth.norm())


def run(dim, laplacian, plan, seed):
    """Train once."""
    problem = poisson_ball(dim, FREQUENCY)
    body = MLP(problem, hidden=(64,), activation=Sine, embedding=Normalize(problem.domain, dim**0.5), seed=seed)
    model = HardConstraint(body, problem, u=lambda u, points: (1 - points.square().sum(1)) * u)
    derivatives = LAPLACIANS[laplacian](seed)
    for rate, steps, count in PLANS[plan]:
        found = fit(
            model,
            problem,
            optimizer=Adam(rate, betas=(0.9, 0.99)),
            steps=steps,
            points=Points(count),
            seed=seed,
            derivatives=derivatives,
            dtype=torch.float32,
            device="cpu",
            progress=False,
        )
    return {"error": found.error, "linear": linear(problem), "loss": float(found.history["loss"][0])}


def errors(results, dim, laplacian, plan):
    """The errors of all seeds."""
    return results.where(dim=dim, laplacian=laplacian, plan=plan)["error"]


CLAIMS = [
    Claim(
        "twenty-dimensions",
        "In 20 dimensions every long training with radial directions ends below 0.02, the best linear function above 0.1.",
        lambda results: (
            errors(results, 20, "radial", "long").max() < 0.02
            and results.where(dim=20, laplacian="radial", plan="long")["linear"].min() > 0.1
        ),
        row="R33",
    ),
    Claim(
        "radial-is-as-good",
        "In the short training radial directions end within 1.25 times the exact Laplacian's median, and signs do not.",
        lambda results: (
            np.median(errors(results, 20, "radial", "short"))
            < 1.25 * np.median(errors(results, 20, "exact", "short"))
            < np.median(errors(results, 20, "signs", "short"))
        ),
        row="R33",
    ),
    Claim(
        "not-a-hundred",
        "In 100 dimensions no short training is below the best linear function.",
        lambda results: (results.where(dim=100)["error"] > results.where(dim=100)["linear"]).all(),
        row="R33",
    ),
]

ARMS = [
    (20, "radial", "long"),
    *((20, laplacian, "short") for laplacian in LAPLACIANS),
    *((dim, "radial", "short") for dim in (10, 50, 100)),
]

study = Study(
    run,
    grid=[
        {"dim": dim, "laplacian": laplacian, "plan": plan, "seed": seed} for seed in range(5) for dim, laplacian, plan in ARMS
    ],
    claims=CLAIMS,
    cheap={"dim": 20, "laplacian": "radial", "plan": "short", "seed": 0},
    agree={"linear": 1e-6, "error": 0.5},
)
