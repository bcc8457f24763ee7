"""Burgers' equation in three layers of 20 units: conditions learned or built in, points uniform or adaptive, few or many.

Everything else is the same: Gauss-Newton, 120 steps, Sobol points drawn again in every second step. What is learned of the
conditions has 100 points for each.
"""

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


CLAIMS = []

study = Study(
    run,
    grid=[
        {"conditions": conditions, "points": points, "count": count, "seed": seed}
        for seed in range(3)
        for conditions in ("built in", "learned")
        for points in ("uniform", "adaptive")
        for count in ("few", "many")
    ],
    claims=CLAIMS,
    cheap={"conditions": "built in", "points": "uniform", "count": "few", "seed": 0},
    agree={"early": 1e-6},
)
