"""Advection at speed 30 with one hidden layer: (A + eps I)^-1 before the gradient, beside Adam.

Adam with a constant rate and with one that falls; all with and without the period built in, on points drawn anew in each
step. Adam takes seven steps for each of the other's, which is more than its share of seconds on one core.
"""

import numpy as np

from pinnedu import MLP, Adam, GradientDescent, PeriodicEmbedding, Points, fit, problems
from pinnedu.studies import Claim, Study
from pinnedu.theory import tangent
from pinnedu.trainers import ExponentialDecay

METHODS = {  # an optimizer and its steps
    "preconditioned": (GradientDescent(lr=0.3, preconditioner=tangent.gauss_newton_preconditioner(3e-4)), 500),
    "Adam": (Adam(1e-3), 3500),
    "Adam, rate falls": (Adam(1e-2, schedule=ExponentialDecay(0.9, 70)), 3500),
}


def run(method, period, seed):
    """Train once; the error at fifty steps, with the seconds."""
    wave = problems.advection(30.0)
    optimizer, steps = METHODS[method]
    embedding = PeriodicEmbedding(wave.domain, x=1) if period == "built in" else None
    found = fit(
        MLP(wave, hidden=(100,), embedding=embedding),
        wave,
        optimizer=optimizer,
        steps=steps,
        points=Points(600, 100),
        seed=seed,
        error_every=steps // 50,
        device="cpu",
        progress=False,
    )
    known = np.isfinite(found.history["error"])
    return {
        "error": found.error,
        "first": float(found.history["loss"][0]),
        "took": found.seconds,
        "seconds": [float(f"{value:.3g}") for value in found.history["seconds"][known]],
        "errors": [float(f"{value:.3g}") for value in found.history["error"][known]],
    }


def adam(results):
    """The best error of any run of Adam."""
    return min(results.where(method=method)["error"].min() for method in METHODS if method != "preconditioned")


CLAIMS = [
    Claim(
        "preconditioned",
        "With the period built in every preconditioned run ends below 0.05.",
        lambda results: results.where(method="preconditioned", period="built in")["error"].max() < 0.05,
        row="R29",
    ),
    Claim(
        "adam",
        "No run of Adam ends below 0.5: with a constant rate or a falling one, with the period built in or not.",
        lambda results: adam(results) > 0.5,
        row="R29",
    ),
]

study = Study(
    run,
    grid={"method": METHODS, "period": ("built in", "learned"), "seed": range(5)},
    claims=CLAIMS,
    cheap={"method": "preconditioned", "period": "built in", "seed": 0},
    agree={"first": 1e-6},
)
