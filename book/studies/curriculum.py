"""A wave of speed 30, learned at once or in stages of rising speed, with few and with enough points.

The network, the points and the number of iterations are the same for all plans of an optimizer.
"""

import numpy as np
import torch

from pinnedu import LBFGS, MLP, GaussNewton, Points, SelfScaledBroyden, curriculum, fit, problems
from pinnedu.studies import Study

SPEEDS = (5, 10, 15, 20, 25, 30)
WAVES = [problems.advection(float(beta)) for beta in SPEEDS]
POINTS = {"few": (600, 60), "enough": (1500, 100)}  # drawn once
PLANS = {  # an optimizer, and the iterations of each stage
    "L-BFGS": (LBFGS(), [150] * 5 + [750]),
    "self-scaled Broyden": (SelfScaledBroyden(), [250] * 5 + [300]),
    "Gauss-Newton": (GaussNewton(), [12] * 5 + [40]),
}
SHORT = [6] * 5 + [70]  # stages for Gauss-Newton that leave more for the last

GRID = WAVES[-1].domain.grid(41)
EXACT = WAVES[-1].solution(GRID)["u"]
CANDIDATES = torch.linspace(0, 40, 161, dtype=torch.float64)
FAMILY = torch.sin(GRID[:, 0] - CANDIDATES[:, None] * GRID[:, 1])


def look(model):
    """Speed b and amplitude a of the wave a sin(x - b t) that is nearest to the network, and its error at speed 30."""
    with torch.no_grad():
        u = model(GRID)[:, 0]
    a = FAMILY @ u / FAMILY.square().sum(dim=1)
    best = int(a.argmax())
    return float(CANDIDATES[best]), float(a[best]), float((u - EXACT).norm() / EXACT.norm())


def run(optimizer, plan, points, seed):
    """Train once: at once ("regular"), in stages ("curriculum", "short"), or with the answer erased before the last."""
    method, steps = PLANS[optimizer]
    if plan == "short":
        steps = SHORT
    model = MLP(WAVES[-1], hidden=(20, 20, 20))
    seen = []  # every tenth step

    def watch(state):
        if state.step % 10 == 0:
            seen.append(look(model))

    given = {
        "optimizer": method,
        "points": Points(*POINTS[points], "sobol", resample=0),
        "seed": seed,
        "callbacks": [watch],
        "device": "cpu",
        "progress": False,
    }
    if plan == "regular":
        found = fit(model, WAVES[-1], steps=sum(steps), **given)
    elif plan == "erased":
        curriculum(model, WAVES[:-1], steps=steps[:-1], **given)
        with torch.no_grad():
            model.layers[-1].weight.zero_()
            model.layers[-1].bias.zero_()
        found = fit(model, WAVES[-1], steps=steps[-1], **given)
    else:
        found = curriculum(model, WAVES, steps=steps, **given)
    speed, amplitude, error = (np.array(column) for column in zip(*seen, strict=True))
    last = slice(0 if plan == "regular" else sum(steps[:-1]) // 10, None)  # what is seen at speed 30
    low = np.flatnonzero(amplitude[last] < 0.95)
    return {
        "error": found.error,
        "loss": found.loss,
        "fresh": float(found.history["fresh"][-1]),
        "early": float(found.history["loss"][3]),
        "rise": 10 * (int(low[-1]) + 2) if len(low) else 0,  # steps until the wave stands for good; more than all: never
        "speed": np.round(speed, 2),
        "amplitude": np.round(amplitude, 3),
        "errors": [float(f"{value:.3g}") for value in error],
    }


def grid(seeds):
    """All runs: those that matter most come first."""
    runs = [
        *((name, plan, "enough") for name in PLANS for plan in ("regular", "curriculum")),
        ("Gauss-Newton", "short", "enough"),
        ("self-scaled Broyden", "erased", "enough"),
        *((name, plan, "few") for name in PLANS for plan in ("regular", "curriculum")),
    ]
    return [
        {"optimizer": name, "plan": plan, "points": points, "seed": seed} for seed in seeds for name, plan, points in runs
    ]


study = Study(
    run,
    grid=grid(seeds=range(5)),
    claims=[],
    cheap={"optimizer": "Gauss-Newton", "plan": "regular", "points": "few", "seed": 0},
    agree={"early": 1e-6},
)
