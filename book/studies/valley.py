"""Where L-BFGS stops on advection at speed 30: a trap, or a valley? Gauss-Newton goes on from there."""

import numpy as np
import torch

from pinnedu import LBFGS, MLP, GaussNewton, Points, fit, problems
from pinnedu.studies import Claim, Study
from pinnedu.trainers import Objective

DECADES = 4


def run(seed):
    """Which share of the loss could be removed where L-BFGS ends, and what Gauss-Newton makes of it."""
    wave = problems.advection(30.0)
    model = MLP(wave, hidden=(16, 16, 16))
    given = {"seed": seed, "device": "cpu", "progress": False}
    stuck = fit(model, wave, optimizer=LBFGS(), steps=250, points=Points(600, 60, "sobol", resample=50), **given)
    sample = wave.sample(Points(2000, 200, "sobol"), generator=torch.Generator().manual_seed(9))
    pairs = Objective(model, wave, sample).linearize()
    residual, rows = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    U, S, _ = torch.linalg.svd(rows, full_matrices=False)
    removable = (U.T @ residual) ** 2 / (residual @ residual)
    limit = 10.0 ** (-DECADES / 2) * S[0]
    steep = limit < S
    on = fit(
        model,
        wave,
        optimizer=GaussNewton(momentum=0.9),
        steps=100,
        points=Points(600, 60, "sobol", resample=2),
        **given,
    )
    return {
        "removable": float(removable.sum()),
        "steep": float(removable[steep].sum()),
        "before": stuck.error,
        "after": on.error,
        "first": float(stuck.history["loss"][0]),
    }


CLAIMS = [
    Claim(
        "loss-can-go",
        "Where L-BFGS ends, to first order over 90 % of the loss can be removed, in every run.",
        lambda results: results["removable"].min() > 0.9,
    ),
    Claim(
        "flat-directions",
        "At most an eighth of the loss lies in directions within four decades of the steepest in the median, never over half.",
        lambda results: np.median(results["steep"]) < 1 / 8 and results["steep"].max() < 0.5,
    ),
    Claim(
        "stuck",
        "L-BFGS leaves an error of at least 0.5, in every run.",
        lambda results: results["before"].min() >= 0.5,
    ),
    Claim(
        "some-leave",
        "From there 100 steps of Gauss-Newton bring at least three runs in ten below an error of 0.1.",
        lambda results: (results["after"] < 0.1).mean() >= 0.3,
    ),
]

study = Study(run, grid={"seed": range(10)}, claims=CLAIMS, cheap={"seed": 0}, agree={"first": 1e-6})
