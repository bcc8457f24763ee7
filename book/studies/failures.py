"""The published recipe for advection, until it stops by itself: speeds, precisions, few and enough points.

L-BFGS with a strong Wolfe line search and the tolerances of the code of Krishnapriyan et al. (2021); ``rule="none"`` takes
the tolerances away.
"""

import numpy as np
import torch

from pinnedu import MLP, Points, fit, problems
from pinnedu.studies import Claim, Study

POINTS = {"few": (100, 100), "enough": (1000, 100)}  # drawn once
TOLERANCE = {"published": 1e-7, "none": 0.0}
MOST = {"published": 15_000, "none": 4_000}  # iterations; the published rule stops long before


def run(beta, points, dtype, rule, seed):
    """Train as published, and say why it stopped."""
    made = []

    def lbfgs(weights):
        made.append(
            torch.optim.LBFGS(
                weights,
                max_iter=MOST[rule],
                max_eval=10 * MOST[rule],
                history_size=50,
                line_search_fn="strong_wolfe",
                tolerance_grad=TOLERANCE[rule],
                tolerance_change=TOLERANCE[rule],
            )
        )
        return made[0]

    precision = getattr(torch, dtype)
    wave = problems.advection(float(beta))
    model = MLP(wave, hidden=(20, 20, 20), dtype=precision)
    found = fit(
        model,
        wave,
        optimizer=lbfgs,
        steps=1,  # one step is the whole of L-BFGS
        points=Points(*POINTS[points], resample=0),
        dtype=precision,
        seed=seed,
        device="cpu",
        progress=False,
    )
    state = next(iter(made[0].state.values()))
    return {
        "error": found.error,
        "start": found.loss,
        "loss": float(state["prev_loss"]),
        "fresh": float(found.history["fresh"][-1]),
        "iterations": state["n_iter"],
        "gradient": float(state["prev_flat_grad"].abs().max()),  # its largest component where it stopped
    }


def grid(seeds):
    """All runs: those that matter most come first."""
    arms = [(beta, points, "published") for points in ("few", "enough") for beta in (30, 10, 50)]
    arms.append((30, "enough", "none"))
    return [
        {"beta": beta, "points": points, "dtype": dtype, "rule": rule, "seed": seed}
        for seed in seeds
        for beta, points, rule in arms
        for dtype in ("float32", "float64")
    ]


def fast(results, what):
    """A number of every run of the published rule at the speeds that are not learned."""
    return [value for beta in (30, 50) for value in results.where(beta=beta, rule="published")[what]]


def overfit(results):
    """How many times the loss on fresh points is the loss, in the runs at speed 30 on few points."""
    few = results.where(beta=30, points="few", rule="published")
    return few["fresh"] / few["loss"]


CLAIMS = [
    Claim(
        "learned",
        "At speed 10 and with enough points every run ends with an error below 0.05, in both precisions.",
        lambda results: results.where(beta=10, points="enough", rule="published")["error"].max() < 0.05,
        row="R9",
    ),
    Claim(
        "not-learned",
        "At speeds 30 and 50 every run ends with an error of at least 0.5: few points or enough, in float32 and in float64.",
        lambda results: min(fast(results, "error")) >= 0.5,
        row="R9",
    ),
    Claim(
        "stops-by-itself",
        "Every run stops by the published rule, long before the most iterations allowed.",
        lambda results: results.where(rule="published")["iterations"].max() < 0.9 * MOST["published"],
    ),
    Claim(
        "not-at-a-minimum",
        "No run stops for a small gradient: its largest component is over a hundred times the tolerance, in both precisions.",
        lambda results: results.where(rule="published")["gradient"].min() > 100 * TOLERANCE["published"],
    ),
    Claim(
        "few-points-are-fitted",
        "At speed 30 on few points the loss on fresh points is, in the median, over a hundred times the loss.",
        lambda results: np.median(overfit(results)) > 100,
    ),
]

study = Study(
    run,
    grid=grid(seeds=range(5)),
    claims=CLAIMS,
    cheap={"beta": 10, "points": "enough", "dtype": "float64", "rule": "published", "seed": 0},
    agree={"start": 1e-6},
)
