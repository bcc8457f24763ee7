"""Steps of Adam to an error of 1e-3, with Fourier features that are scaled in four ways, on Poisson's equation.

The solution is sin 3x, the network has one hidden layer of 32 neurons on the waves of frequency 1 to 10. Features divided by
k^2 are preconditioned for two derivatives. Two controls: divided by k, which is half of that, and by sqrt(10), which is smaller
and no better balanced.
"""

import numpy as np
import torch

from pinnedu import MLP, Adam, FourierFeatures, Points, fit, problems, relative_error
from pinnedu.studies import Claim, Study

LIMIT = 6000  # a run that has not arrived is counted with so many steps
EVERY = 20
WAVE = torch.arange(1.0, 11.0)
SCALES = {"plain": 1 + 0 * WAVE, "constant": 10**-0.5 + 0 * WAVE, "1/k": 1 / WAVE, "1/k²": 1 / WAVE**2}


def run(scale, seed):
    """Train until the error is below 1e-3."""
    problem = problems.poisson(3)
    grid = problem.domain.grid(200)
    torch.manual_seed(seed)
    model = MLP(problem, hidden=(32,), embedding=FourierFeatures(WAVE, SCALES[scale]))
    found = fit(
        model,
        problem,
        optimizer=Adam(1e-3),
        steps=LIMIT,
        points=Points(128, 1, method="grid", resample=0),
        seed=seed,
        callbacks=[lambda state: state.step % EVERY == 0 and relative_error(state.model, problem, grid) < 1e-3],
        device="cpu",
        progress=False,
    )
    return {
        "steps": len(found.history["step"]),
        "arrived": len(found.history["step"]) < LIMIT,
        "first": float(found.history["loss"][0]),
        "hundred": float(found.history["loss"][100]),
    }


def times(results, scale):
    """How many times the steps of 1/k² another scaling needs, from each start."""
    return results.where(scale=scale)["steps"] / results.where(scale="1/k²")["steps"]


CLAIMS = [
    Claim(
        "divided-by-the-square",
        "Features divided by k² arrive from every start, and plain ones need over three times as many steps from each, over "
        "five times in the median.",
        lambda results: (
            results.where(scale="1/k²")["arrived"].all()
            and times(results, "plain").min() > 3
            and np.median(times(results, "plain")) > 5
        ),
        row="R30",
    ),
    Claim(
        "the-size-is-not-enough",
        "Features divided by the square root of 10 need over 1.5 times the steps of those divided by k² in the median.",
        lambda results: np.median(times(results, "constant")) > 1.5,
        row="R30",
    ),
    Claim(
        "half-the-power-is-nearly-as-good",
        "Features divided by k need at most twice the steps in the median: training does not show the exact power.",
        lambda results: np.median(times(results, "1/k")) < 2,
        row="R30",
    ),
]

study = Study(
    run,
    grid=[{"scale": scale, "seed": seed} for seed in range(5) for scale in SCALES],
    claims=CLAIMS,
    cheap={"scale": "1/k²", "seed": 0},
    agree={"first": 1e-6, "hundred": 1e-2},
)
