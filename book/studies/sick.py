"""Ten sick problems and a healthy one, each diagnosed with five networks and five samples of points.

A rod that cools, u_t = u_xx with u = e^-t sin x, and a beam, u'' = load sin kx. One thing is wrong with each.
"""

from math import pi

import numpy as np
import torch

from pinnedu import MLP, Box, On, Points, Problem, diagnose
from pinnedu.studies import Claim, Study


def cooling(x, t):
    """The temperature of the rod."""
    return torch.exp(-t) * torch.sin(x)


def rod(equation=lambda u: u.t - u.xx, at=0.0, start=torch.sin, begin=0.0, exact=None):
    """The rod; each argument is one thing that may be wrong."""
    conditions = {
        "initial": On(t=begin + at, equation=lambda u, x: u - start(x)),
        "left": On(x=0, equation=lambda u: u),
        "right": On(x=pi, equation=lambda u: u),
    }
    return Problem(Box(x=(0, pi), t=(begin, begin + 1)), {"heat": equation}, conditions, exact=exact)


def beam(load, k):
    """A load that turns so often."""
    ends = {"left": On(x=0, equation=lambda u: u), "right": On(x=pi, equation=lambda u: u)}
    return Problem(
        Box(x=(0, pi)),
        {"beam": lambda u, x: u.xx - load * torch.sin(k * x)},
        ends,
        exact=lambda x: -load / k**2 * torch.sin(k * x),
    )


HEALTHY = rod(exact=cooling)
PATIENTS = {  # the problem, and what else is wrong
    "healthy": (HEALTHY, {}),
    "scale": (beam(1e5, 1), {}),
    "sign": (rod(lambda u: u.t + u.xx, exact=cooling), {}),
    "points": (HEALTHY, {"points": (8, 4)}),
    "float32": (rod(begin=1e7, exact=lambda x, t: cooling(x, t - 1e7)), {"dtype": torch.float32}),
    "weights": (HEALTHY, {"weights": {"initial": 1e-7}}),
    "frequency": (beam(225.0, 15), {}),
    "too small a network": (HEALTHY, {"hidden": (2,)}),
    "wrong condition": (rod(start=torch.ones_like), {}),
    "ill-posed": (rod(at=1.0), {}),
    "bug": (rod(lambda u: u.t - 2 * u.xx, exact=cooling), {}),
}


def run(patient, seed):
    """What the diagnosis names first."""
    problem, wrong = PATIENTS[patient]
    torch.manual_seed(seed)
    model = MLP(problem, hidden=wrong.get("hidden", (16, 16)), seed=seed, dtype=wrong.get("dtype", torch.float64))
    found = diagnose(model, problem, Points(*wrong.get("points", (300, 40))), weights=wrong.get("weights"))
    return {"named": found.cause == ("" if patient == "healthy" else patient), "findings": len(found.findings)}


def named(results):
    """How many of the ten are named, by seed."""
    sick = [results.where(patient=patient)["named"] for patient in PATIENTS if patient != "healthy"]
    return np.sum(sick, axis=0)


CLAIMS = [
    Claim(
        "named-first",
        "The first sentence of the diagnosis names the cause of at least eight of ten sick problems, with every network.",
        lambda results: named(results).min() >= 8,
        row="R46",
    ),
    Claim(
        "no-alarm",
        "Nothing is found wrong with the healthy rod, with any network.",
        lambda results: results.where(patient="healthy")["findings"].max() == 0,
        row="R46",
    ),
]

study = Study(
    run,
    grid=[{"patient": patient, "seed": seed} for seed in range(5) for patient in PATIENTS],
    claims=CLAIMS,
    cheap={"patient": "points", "seed": 0},
    agree={"findings": 1e-9},
)
