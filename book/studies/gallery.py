"""The gallery under one recipe: nothing is chosen for any of its problems.

The baseline is one fixed setting, drawn up before any of the problems was run: what a recipe that looks at the problem must
beat. It has one seed, on problems 1 to 9. All takes hours, so it is run by `make gallery`, and `make gallery ONLY=wave` runs
one problem. The first look is one seed and a few seconds a problem: `make gallery LOOK=1`. The odd problems were not solved by
this recipe before it.
"""

import time

import torch

from pinnedu import MLP, GaussNewton, Points, fit, solve
from pinnedu.problems import GALLERY
from pinnedu.studies import Study
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
    claims=[],
    cheap=CHEAP,
    agree={"start": 1e-6},
    hours=True,
)
