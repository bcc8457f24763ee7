"""A wave of speed 30, learned at once or in stages of rising speed, with few and with enough points.

The network, the points and the number of iterations are the same for all plans of an optimizer.
"""

import numpy as np
import torch

from pinnedu import LBFGS, MLP, GaussNewton, Points, SelfScaledBroyden, curriculum, fit, problems
from pinnedu.studies import Claim, Study

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


def grid():
    """Five seeds of each arm, and eight of those that show what a stage hands on, and what short stages reach."""
    arms = [(name, plan, points) for points in POINTS for name in PLANS for plan in ("regular", "curriculum")]
    more = [("self-scaled Broyden", plan, "enough") for plan in ("regular", "curriculum", "erased")]
    more.append(("Gauss-Newton", "short", "enough"))
    arms += more[2:]
    return [
        {"optimizer": name, "plan": plan, "points": points, "seed": seed}
        for own, seeds in ((arms, range(5)), (more, range(5, 8)))
        for seed in seeds
        for name, plan, points in own
    ]


def errors(results, optimizer, plan, points="enough"):
    """The errors of all seeds."""
    return results.where(optimizer=optimizer, plan=plan, points=points)["error"]


def times_on_fresh(results):
    """How often the loss of regular self-scaled Broyden on enough points goes into that on fresh points."""
    enough = results.where(optimizer="self-scaled Broyden", plan="regular", points="enough")
    return enough["fresh"] / enough["loss"]


def fitted(results):
    """Runs of regular self-scaled Broyden on few points with a tiny loss, and a large one between the points."""
    few = results.where(optimizer="self-scaled Broyden", plan="regular", points="few")
    return (few["loss"] < 1e-8) & (few["fresh"] > 1e-2)


CLAIMS = [
    Claim(
        "enough-points",
        "On enough points the median of regular self-scaled Broyden is below 1e-3; a run that ends above has fitted the points: "
        "on fresh ones its loss is over a thousand times as large.",
        lambda results: (
            np.median(errors(results, "self-scaled Broyden", "regular")) < 1e-3
            and (times_on_fresh(results)[errors(results, "self-scaled Broyden", "regular") > 1e-3] > 1e3).all()
        ),
        row="R10",
    ),
    Claim(
        "few-points-are-fitted",
        "On few points at least one of its regular runs ends with a loss below 1e-8, and above 1e-2 on fresh points.",
        lambda results: fitted(results).any(),
    ),
    Claim(
        "broyden-loses",
        "On enough points its median is over ten times worse with a curriculum.",
        lambda results: (
            np.median(errors(results, "self-scaled Broyden", "curriculum"))
            > 10 * np.median(errors(results, "self-scaled Broyden", "regular"))
        ),
        row="R10",
    ),
    Claim(
        "gauss-newton-loses",
        "On enough points the median of Gauss-Newton is over five times worse with a curriculum, whichever way steps are shared.",
        lambda results: (
            min(np.median(errors(results, "Gauss-Newton", plan)) for plan in ("curriculum", "short"))
            > 5 * np.median(errors(results, "Gauss-Newton", "regular"))
        ),
        row="R10",
    ),
    Claim(
        "short-stages-reach-the-published-error",
        "With short stages the median of Gauss-Newton reaches the published 2e-2.",
        lambda results: np.median(errors(results, "Gauss-Newton", "short")) <= 0.02,
        row="R10",
    ),
    Claim(
        "few-points-and-l-bfgs",
        "On few points the worst run of L-BFGS with a curriculum is better than its best without.",
        lambda results: errors(results, "L-BFGS", "curriculum", "few").max() < errors(results, "L-BFGS", "regular", "few").min(),
    ),
]

study = Study(
    run,
    grid=grid(),
    claims=CLAIMS,
    cheap={"optimizer": "Gauss-Newton", "plan": "regular", "points": "few", "seed": 0},
    agree={"early": 1e-6},
)
