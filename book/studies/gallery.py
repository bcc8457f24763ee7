"""The gallery under one recipe: nothing is chosen for any of its problems.

The baseline is one fixed setting, drawn up before any of the problems was run: what a recipe that looks at the problem must
beat. It has one seed, on problems 1 to 9. All takes hours, so it is run by `make gallery`, and `make gallery ONLY=wave` runs
one problem. The first look is one seed and a few seconds a problem: `make gallery LOOK=1`. The odd problems were not solved by
this recipe before it.
"""

import time

import numpy as np
import torch

from pinnedu import MLP, GaussNewton, Points, fit, solve
from pinnedu.problems import GALLERY
from pinnedu.studies import Claim, Study
from pinnedu.trainers import clock

EXHIBITS = {exhibit.name: exhibit for exhibit in GALLERY}
SEEDS = range(3)
SECONDS = 300  # of the processor, in one thread: what else runs on the machine takes nothing away
LOOK = 10
CHEAP = {"problem": "wave", "method": "baseline", "seconds": 2, "seed": 0}
BASELINE = "(32, 32, 32) tanh, GaussNewton(momentum=0.9), 2000 + 200 Sobol points, half adaptive, new in every second step"


def baseline(problem, seconds, seed):
    """Gauss-Newton with momentum under one setting for all."""
    torch.manual_seed(seed)
    return fit(
        MLP(problem, hidden=(32, 32, 32)),
        problem,
        optimizer=GaussNewton(momentum=0.9),
        seconds=seconds,
        points=Points(2000, 200, "sobol", resample=2, adaptive=0.5),
        seed=seed,
        device="cpu",
        progress=False,
    )


def recipe(problem, seconds, seed):
    """What `solve` chooses."""
    return solve(problem, seconds=seconds, seed=seed, device="cpu", progress=False)


# What solves: (problem, seconds, seed) -> Fit, and what it chooses.
METHODS = {"solve": (recipe, ""), "baseline": (baseline, BASELINE), "first look": (recipe, "")}


def run(problem, method, seconds, seed):
    """Solve one problem, and measure; seconds are those of the processor."""
    exhibit = EXHIBITS[problem]
    made = exhibit.problem()
    solve, choice = METHODS[method]
    before, clock.now = clock.now, time.process_time
    try:
        found = solve(made, seconds, seed)
    finally:
        clock.now = before
    loss = found.history["loss"]
    return {
        "error": exhibit.error(found.model, made, found.unknowns),
        "errors": found.errors,
        "unknowns": found.unknowns,
        "estimate": getattr(found, "error_estimate", None),
        "choice": str(getattr(found, "recipe", choice)),
        "start": float(loss[0]),
        "loss": float(loss[-1]),
        "steps": len(loss),
        "seconds": found.seconds,
        "stopped": found.stopped,
        "warnings": list(found.warnings),
    }


def median(results, name, method="solve"):
    """The median error over the seeds."""
    return float(np.median(results.where(problem=name, method=method)["error"]))


def at_their_aims(results):
    """How many of the eighteen problems have a median error at the aim, each in all of its variants."""
    there = {exhibit.number: True for exhibit in GALLERY}
    for exhibit in GALLERY:
        there[exhibit.number] &= median(results, exhibit.name) <= exhibit.aim
    return sum(there.values())


def honest(results):
    """The share of runs whose estimate is at least a tenth of the error, or that warn."""
    runs = [value for _, value in results.where(method="solve").runs]
    # The shake keeps no sentences: where it has no list of warnings, there were some.
    return np.mean([value["estimate"] >= value["error"] / 10 or bool(value.get("warnings", True)) for value in runs])


def above_baseline(results):
    """The problems of the baseline, and how many times smaller the error of the recipe is there."""
    names = {given["problem"] for given, _ in results.where(method="baseline", seconds=SECONDS).runs}
    return {name: median(results.where(seconds=SECONDS), name, "baseline") / median(results, name) for name in names}


CLAIMS = [
    Claim(
        "at-their-aims",
        "In the median over the seeds, `solve` reaches the aim of at least 14 of the 18 problems, each in all of its variants.",
        lambda results: at_their_aims(results) >= 14,
        row="R42",
    ),
    Claim(
        "honest",
        "In at least nine of ten runs of `solve` the estimate is at least a tenth of the error, or there is a warning.",
        lambda results: honest(results) >= 0.9,
        row="R42",
    ),
    Claim(
        "above-baseline",
        "On each problem that the fixed setting was given, `solve` has less than a tenth of its error.",
        lambda results: min(above_baseline(results).values()) > 10,
        row="R42",
    ),
]

study = Study(
    run,
    grid=[
        CHEAP,
        *({"problem": name, "method": "first look", "seconds": LOOK, "seed": 0} for name in EXHIBITS),
        *(
            {"problem": name, "method": method, "seconds": SECONDS, "seed": seed}
            for method, seeds in (("solve", SEEDS), ("baseline", [0]))
            for seed in seeds
            for name, exhibit in EXHIBITS.items()
            if method == "solve" or (exhibit.number < 10 and name != "burgers_thin")
        ),
    ],
    claims=CLAIMS,
    cheap=CHEAP,
    agree={"start": 1e-6},
    hours=True,
)
