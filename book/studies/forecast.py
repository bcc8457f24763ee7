"""The loss of gradient descent, forecast before the first step and measured: advection at three speeds.

Networks of one hidden layer and 100 neurons. How far the kernel has moved is measured as `tangent.moved` does, and in the
Frobenius norm alone.
"""

import copy

import torch

from pinnedu import MLP, GradientDescent, PeriodicEmbedding, Points, problems
from pinnedu.studies import Claim, Study
from pinnedu.theory import tangent
from pinnedu.trainers import Objective

LOOKS = (10, 30, 100, 200)  # steps of true gradient descent after which both are compared


def run(beta, seed):
    """Forecast, then train, at the rate 1 / mu_max."""
    wave = problems.advection(float(beta))
    start = MLP(wave, hidden=(100,), embedding=PeriodicEmbedding(wave.domain, x=1), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    sample = wave.sample(Points(150, {"initial": 40, "periodic": 1}), generator=generator)
    told = tangent.forecast(start, wave, sample, 10**6)
    model = copy.deepcopy(start)
    step, objective = GradientDescent(told.rate).start(model), Objective(model, wave, sample)
    found = {"true": [], "forecast": [float(value) for value in told.loss(LOOKS)], "moved": [], "norm": []}
    done = 0
    for steps in LOOKS:
        while done < steps:
            step(objective)
            done += 1
        found["true"].append(float(objective.evaluate().loss))
        found["moved"].append(tangent.moved(start, model, wave, sample))
        found["norm"].append(tangent.drift(start, model, sample["interior"], wave))
    pairs = list(zip(found["true"], found["forecast"], found["moved"], found["norm"], strict=True))
    held = [abs(told_ / true - 1) for true, told_, moved, _ in pairs if moved < 0.1]
    return {
        **found,
        "counts": [told.count(floor) for floor in (1e-3, 1e-6, 1e-9)],
        "count": told.count(1e-6),
        "share": told.share(1e-6),
        "first": float(told.loss(10)),
        "hundred": float(told.loss(100)),
        "million": float(told.loss(10**6)),
        "trusted": told.trusted,
        "held": len(held),  # looks at which the kernel had not moved
        "worst": max(held, default=0.0),
        "norm_last": found["norm"][-1],
        "moved_last": found["moved"][-1],
    }


def at(results, beta, what):
    """A number of every run at one speed."""
    return results.where(beta=beta)[what]


CLAIMS = [
    Claim(
        "exact-while-the-kernel-stays",
        "Wherever the kernel has moved by less than 10 %, as the residual sees it, forecast and true loss agree to 5 %.",
        lambda results: results["worst"].max() < 0.05 and results["held"].sum() >= len(results),
        row="R34",
    ),
    Claim(
        "the-norm-does-not-see-it",
        "At speed 1 the kernel has moved by less than 10 % in the Frobenius norm after 200 steps, and by more than 50 % as the "
        "residual sees it: the norm alone does not say when to distrust a forecast.",
        lambda results: at(results, 1, "norm_last").max() < 0.1 and at(results, 1, "moved_last").min() > 0.5,
        row="R34",
    ),
    Claim(
        "the-spectra-hardly-differ",
        "The number of eigenvalues above 1e-6 of the largest is within 8 of 20 at every speed.",
        lambda results: abs(results["count"] - 20).max() <= 8,
        row="R34",
    ),
    Claim(
        "the-residual-decides",
        "After a million steps the forecast is below 1e-3 at speed 1, and above 0.1 at speeds 5 and 30.",
        lambda results: (
            at(results, 1, "million").max() < 1e-3
            and min(at(results, 5, "million").min(), at(results, 30, "million").min()) > 0.1
        ),
        row="R34",
    ),
]

study = Study(
    run,
    grid=[{"beta": beta, "seed": seed} for seed in range(5) for beta in (1, 5, 30)],
    claims=CLAIMS,
    cheap={"beta": 30, "seed": 0},
    agree={"first": 1e-3, "hundred": 1e-2},
)
