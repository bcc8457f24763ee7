"""Burgers' equation in three layers of 20 units: conditions learned or built in, points uniform or adaptive, few or many.

Everything else is the same: Gauss-Newton, 120 steps, Sobol points drawn again in every second step. What is learned of the
conditions has 100 points for each.
"""

import itertools
import math

import numpy as np
import torch

from pinnedu import MLP, GaussNewton, HardConstraint, Points, Problem, fit, problems, relative_error
from pinnedu.studies import Claim, Study

COUNT = {"few": 1000, "many": 2000}
SHARE = {"uniform": 0.0, "adaptive": 0.8}
STEPS = 120

BURGERS = problems.burgers()
INTERIOR = Problem(BURGERS.domain, BURGERS.equations, exact=BURGERS.exact)
GRID = torch.cartesian_prod(  # 801 places, so that some ten lie in the layer
    torch.linspace(-1, 1, 801, dtype=torch.float64), torch.linspace(0, 1, 51, dtype=torch.float64)
)


def run(conditions, points, count, seed):
    """Train once: the conditions are "learned" or "built in"."""
    built_in = conditions == "built in"
    problem = INTERIOR if built_in else BURGERS
    model = MLP(problem, hidden=(20, 20, 20))
    if built_in:
        model = HardConstraint(model, problem, u=lambda u, x, t: -torch.sin(math.pi * x) + t * (1 - x**2) * u)
    found = fit(
        model,
        problem,
        optimizer=GaussNewton(),
        steps=STEPS,
        points=Points(COUNT[count], 100, "sobol", resample=2, adaptive=SHARE[points]),
        seed=seed,
        device="cpu",
        progress=False,
    )
    return {
        "early": float(found.history["loss"][2]),
        "error": relative_error(model, problem, GRID),
        "loss": found.loss,
        "fresh": float(found.history["fresh"][-1]),
    }


CHANGES = {"conditions": ("learned", "built in"), "points": ("uniform", "adaptive"), "count": ("few", "many")}


def errors(results, **which):
    """The errors of all seeds of one recipe, or of several."""
    return results.where(**which)["error"]


def gains(results, name):
    """By how much a change divides the median error, in each of the four pairs that differ in nothing else."""
    others = [other for other in CHANGES if other != name]
    found = []
    for values in itertools.product(*(CHANGES[other] for other in others)):
        same = dict(zip(others, values, strict=True))
        before, after = (np.median(errors(results, **same, **{name: value})) for value in CHANGES[name])
        found.append(before / after)
    return found


def at_most_one(results):
    """The errors of all runs with one of the three changes, or none."""
    return [
        values["error"]
        for parameters, values in results.runs
        if sum(parameters[name] == after for name, (_, after) in CHANGES.items()) <= 1
    ]


CLAIMS = [
    Claim(
        "adaptive-points-help",
        "Adaptive points divide the median error by more than 3 in each pair that differs in nothing else.",
        lambda results: min(gains(results, "points")) > 3,
    ),
    Claim(
        "built-in-conditions-help",
        "Conditions that are built in divide the median error by more than 2, in the geometric mean of the four pairs.",
        lambda results: np.exp(np.mean(np.log(gains(results, "conditions")))) > 2,
    ),
    Claim(
        "more-points-help",
        "Twice as many points lower the median error in each pair that differs in nothing else.",
        lambda results: min(gains(results, "count")) > 1,
    ),
    Claim(
        "it-takes-all-three",
        "With all three changes every run ends below 6.7e-4, with one or none no run below 5e-3.",
        lambda results: (
            errors(results, conditions="built in", points="adaptive", count="many").max() < 6.7e-4
            and min(at_most_one(results)) > 5e-3
        ),
        row="R3",
    ),
]

study = Study(
    run,
    grid=[
        {"conditions": conditions, "points": points, "count": count, "seed": seed}
        for seed in range(5)
        for conditions in ("built in", "learned")
        for points in ("uniform", "adaptive")
        for count in ("few", "many")
    ],
    claims=CLAIMS,
    cheap={"conditions": "built in", "points": "uniform", "count": "few", "seed": 0},
    agree={"early": 1e-6},
)
