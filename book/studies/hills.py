"""Two hard problems, and an optimizer each: the same network, the same number of points drawn in the same way.

The steps are chosen so that Adam and L-BFGS take at least the seconds of Gauss-Newton, half a minute or more on one core.
"""

import numpy as np

from pinnedu import LBFGS, MLP, Adam, GaussNewton, Points, fit, problems
from pinnedu.studies import Claim, Study
from pinnedu.trainers import ExponentialDecay

PROBLEMS = {  # a network, and how points are drawn
    "advection": (lambda: problems.advection(30.0), (16, 16, 16), (1000, 100), 0.0),
    "burgers": (problems.burgers, (20, 20, 20), (2000, 100), 0.8),
}
PLANS = {  # an optimizer, steps for each problem, and how often points are drawn again
    "Adam": (Adam(5e-3, schedule=ExponentialDecay(0.9, 200)), {"advection": 4000, "burgers": 3000}, 10),
    "L-BFGS": (LBFGS(), {"advection": 2500, "burgers": 2000}, 50),
    "Gauss-Newton": (GaussNewton(momentum=0.9), {"advection": 240, "burgers": 120}, 2),
    "Gauss-Newton, no momentum": (GaussNewton(), {"advection": 240, "burgers": 120}, 2),
}


def run(problem, optimizer, seed):
    """Train once; the error at forty steps, with the seconds."""
    make, hidden, (interior, sides), adaptive = PROBLEMS[problem]
    method, steps, resample = PLANS[optimizer]
    case = make()
    found = fit(
        MLP(case, hidden=hidden),
        case,
        optimizer=method,
        steps=steps[problem],
        points=Points(interior, sides, "sobol", adaptive=adaptive, resample=resample),
        seed=seed,
        error_every=steps[problem] // 40,
        device="cpu",
        progress=False,
    )
    known = np.isfinite(found.history["error"])
    return {
        "error": found.error,
        "loss": found.loss,
        "fresh": float(found.history["fresh"][-1]),
        "first": float(found.history["loss"][0]),
        "seconds": [float(f"{value:.3g}") for value in found.history["seconds"][known]],
        "errors": [float(f"{value:.3g}") for value in found.history["error"][known]],
    }


def best(results, problem, optimizer):
    """The best error of the seeds."""
    return results.where(problem=problem, optimizer=optimizer)["error"].min()


def worst(results, problem, optimizer):
    """The worst error of the seeds."""
    return results.where(problem=problem, optimizer=optimizer)["error"].max()


CLAIMS = [
    Claim(
        f"{problem}-{rival.lower()}",
        f"{title}: in no more seconds the worst run of Gauss-Newton is over {factor} times better than the best of {rival}.",
        lambda results, problem=problem, rival=rival, factor=factor: (
            factor * worst(results, problem, "Gauss-Newton") < best(results, problem, rival)
        ),
        row="R32",
    )
    for problem, title, factor in (("advection", "Advection at speed 30", 5), ("burgers", "Burgers' equation", 2))
    for rival in ("Adam", "L-BFGS")
]

study = Study(
    run,
    grid=[
        {"problem": problem, "optimizer": optimizer, "seed": seed}
        for seed in range(5)
        for problem in PROBLEMS
        for optimizer in PLANS
    ],
    claims=CLAIMS,
    cheap={"problem": "advection", "optimizer": "Gauss-Newton", "seed": 0},
    agree={"first": 1e-6},
)
