"""A wave of speed 50: windows in time, one network on all of it, and a curriculum, at the same points and steps altogether.

Three windows of 60 steps on 400 points each cost what one network costs in 60 steps on 1200 points.
"""

from pinnedu import MLP, GaussNewton, Points, curriculum, fit, march, problems
from pinnedu.studies import Claim, Study

SPEEDS = (10, 20, 30, 40, 50)
STAGES = {"curriculum": [6] * 4 + [36], "long curriculum": [18] * 4 + [108]}
WIDE, DEEP = (29, 29), (20, 20, 20)  # 987 and 941 weights; three windows of (16, 16) have 1011


def run(plan, seed):
    """Train once: ``plan`` is a number of windows, or one network in one of several ways."""
    wave = problems.advection(50.0)
    given = {"seed": seed, "device": "cpu", "progress": False}
    if isinstance(plan, int):
        points = Points(400, 80, "sobol", resample=0)
        found = march(
            lambda window: MLP(window, hidden=(16, 16)),
            wave,
            plan,
            optimizer=GaussNewton(),
            steps=60,
            points=points,
            **given,
        )
        fresh = max(float(part.history["fresh"][-1]) for part in found.fits)
    elif plan in STAGES:
        waves = [problems.advection(float(beta)) for beta in SPEEDS]
        points = Points(1200, 240, "sobol", resample=0)
        found = curriculum(
            MLP(wave, hidden=WIDE), waves, optimizer=GaussNewton(), steps=STAGES[plan], points=points, **given
        )
        fresh = float(found.history["fresh"][-1])
    else:
        hidden, steps, momentum, resample = {
            "wide": (WIDE, 60, 0.0, 0),
            "long": (WIDE, 180, 0.0, 0),
            "long, deep, renewed": (DEEP, 180, 0.9, 2),
        }[plan]
        points = Points(1200, 240, "sobol", resample=resample)
        found = fit(
            MLP(wave, hidden=hidden),
            wave,
            optimizer=GaussNewton(momentum=momentum),
            steps=steps,
            points=points,
            **given,
        )
        fresh = float(found.history["fresh"][-1])
    weights = sum(weight.numel() for weight in found.model.parameters())
    first = float(found.history["loss"][0])
    return {"error": found.error, "fresh": fresh, "weights": weights, "seconds": found.seconds, "first": first}


def errors(results, plan):
    """The errors of all seeds."""
    return results.where(plan=plan)["error"]


CLAIMS = [
    Claim(
        "windows-at-equal-cost",
        "At equal points and steps every run in three windows ends below 0.02, and none of one network below 0.5.",
        lambda results: errors(results, 3).max() < 0.02 and errors(results, "wide").min() > 0.5,
        row="R11",
    ),
    Claim(
        "five-windows",
        "In five windows every run ends below 0.02, in one window of the same size none below 0.5.",
        lambda results: errors(results, 5).max() < 0.02 and errors(results, 1).min() > 0.5,
        row="R11",
    ),
    Claim(
        "not-impossible",
        "One network with three times the steps ends below 0.02 in at least two runs of five.",
        lambda results: (errors(results, "long") < 0.02).mean() >= 0.4,
    ),
]

study = Study(
    run,
    grid=[
        {"plan": plan, "seed": seed}
        for seed in range(5)
        for plan in (1, 2, 3, 5, 8, "wide", "curriculum", "long", "long, deep, renewed", "long curriculum")
    ],
    claims=CLAIMS,
    cheap={"plan": 1, "seed": 0},
    agree={"first": 1e-6},
)
