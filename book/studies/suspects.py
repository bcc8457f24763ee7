"""Why advection at speed 30 is not learned: three suspects, each there or removed, alone and together with the others.

Few points drawn once, or enough of them drawn again; L-BFGS or Gauss-Newton; float32 or float64. The network is the same.
"""

import torch

from pinnedu import LBFGS, MLP, GaussNewton, Points, fit, problems
from pinnedu.studies import Claim, Study

POINTS = {"few": (100, 100), "fresh": (600, 60)}
STEPS = {"L-BFGS": 250, "Gauss-Newton": 100}
OPTIMIZERS = {"L-BFGS": LBFGS(), "Gauss-Newton": GaussNewton(momentum=0.9)}
RENEW = {"few": {"L-BFGS": 0, "Gauss-Newton": 0}, "fresh": {"L-BFGS": 50, "Gauss-Newton": 2}}  # every so many steps


def run(points, optimizer, dtype, seed):
    """Train one network."""
    precision = getattr(torch, dtype)
    wave = problems.advection(30.0)
    found = fit(
        MLP(wave, hidden=(16, 16, 16), dtype=precision),
        wave,
        optimizer=OPTIMIZERS[optimizer],
        steps=STEPS[optimizer],
        points=Points(*POINTS[points], "sobol", resample=RENEW[points][optimizer]),
        dtype=precision,
        seed=seed,
        device="cpu",
        progress=False,
    )
    return {
        "error": found.error,
        "loss": found.loss,
        "fresh": float(found.history["fresh"][-1]),
        "first": float(found.history["loss"][0]),
    }


def guilty(results):
    """All runs in which the points or the optimizer are a suspect."""
    return [run for run in results.runs if (run[0]["points"], run[0]["optimizer"]) != ("fresh", "Gauss-Newton")]


CLAIMS = [
    Claim(
        "both-removed",
        "With fresh points and Gauss-Newton every run ends with an error below 0.05, in both precisions.",
        lambda results: results.where(points="fresh", optimizer="Gauss-Newton")["error"].max() < 0.05,
        row="R9",
    ),
    Claim(
        "one-is-enough",
        "With few points, or with L-BFGS, every run ends with an error of at least 0.5, in both precisions.",
        lambda results: min(value["error"] for _, value in guilty(results)) >= 0.5,
        row="R9",
    ),
    Claim(
        "fitted",
        "On few points Gauss-Newton ends with a loss on fresh points over a thousand times the loss, in every run.",
        lambda results: (
            (
                results.where(points="few", optimizer="Gauss-Newton")["fresh"]
                / results.where(points="few", optimizer="Gauss-Newton")["loss"]
            ).min()
            > 1000
        ),
    ),
]

study = Study(
    run,
    grid=[
        {"points": points, "optimizer": optimizer, "dtype": dtype, "seed": seed}
        for seed in range(5)
        for points in POINTS
        for optimizer in OPTIMIZERS
        for dtype in ("float32", "float64")
    ],
    claims=CLAIMS,
    cheap={"points": "few", "optimizer": "L-BFGS", "dtype": "float64", "seed": 0},
    agree={"first": 1e-6},
)
