"""The best fit of a smooth function in H^2 by few neurons, followed over many more steps than the chapter takes at first.

The proof promises at least the accuracy of polynomials. The question is whether training reaches it, and when.
"""

import numpy as np
import torch
from numpy.polynomial.legendre import Legendre, leggauss

from pinnedu import MLP, Box, GaussNewton, Points, Problem, fit
from pinnedu.studies import Claim, Study
from pinnedu.theory import errors

STEPS = (20, 50, 100, 200, 300, 400, 600, 800, 1000, 1200)
PROBLEM = Problem(
    domain=Box(x=(-1, 1)),
    equations={"poisson": lambda u, x: u.xx + torch.exp(-x) * (8 * torch.sin(3 * x) + 6 * torch.cos(3 * x))},
    exact=lambda x: torch.exp(-x) * torch.sin(3 * x),
)
POINTS = Points(100, 1, "grid", resample=0)


def run(width, seed):
    """Fit with Gauss-Newton, and look at the error in H^2 at some steps."""
    model = MLP(PROBLEM, hidden=(width,))
    seen = {}

    def look(state):
        if state.step in STEPS:
            seen[state.step] = errors.sobolev_error(model, PROBLEM, order=2)

    found = fit(
        errors.ErrorOf(model, PROBLEM),
        errors.sobolev(PROBLEM, order=2),
        optimizer=GaussNewton(),
        steps=max(STEPS),
        points=POINTS,
        seed=seed,
        callbacks=[look],
        device="cpu",
        progress=False,
    )
    last = errors.sobolev_error(model, PROBLEM, order=2)  # a run ends early where no step leads down any more
    return {
        "early": float(found.history["loss"][2]),
        "steps": len(found.history["loss"]),
        "at 200": seen.get(200, last),
        "error": last,
        "errors": [float(f"{seen.get(step, last):.3g}") for step in STEPS],
    }


def best_polynomial(degree, c=3j - 1):
    """The smallest error in H^2 of a polynomial: the bound of the theorem for one neuron more than the degree."""
    x, w = leggauss(64)
    root, rows, values = np.sqrt(w), [], []
    for k in range(3):
        basis = [Legendre.basis(j).deriv(k)(x) for j in range(degree + 1)]
        rows.append(root[:, None] * np.transpose(basis))
        values.append(root * (c**k * np.exp(c * x)).imag)
    rows, values = np.concatenate(rows), np.concatenate(values)
    q = np.linalg.lstsq(rows, values, rcond=None)[0]
    return float(np.linalg.norm(rows @ q - values))


CLAIMS = [
    Claim(
        "slow",
        "With 16 neurons every run is, after 200 steps, still over twice the bound that is proven for the best fit.",
        lambda results: results.where(width=16)["at 200"].min() > 2 * best_polynomial(15),
    ),
    Claim(
        "not-blind",
        "With 16 neurons the median after 1200 steps is below that bound.",
        lambda results: np.median(results.where(width=16)["error"]) < best_polynomial(15),
        row="R6",
    ),
    Claim(
        "few-neurons-do-better",
        "With 4 neurons every run ends over 20 times below the bound, and with 8 over 10,000 times.",
        lambda results: all(
            results.where(width=width)["error"].max() < best_polynomial(width - 1) / factor
            for width, factor in ((4, 20), (8, 10_000))
        ),
        row="R6",
    ),
]

study = Study(
    run,
    grid=[{"width": width, "seed": seed} for seed in range(5) for width in (4, 8, 16)],
    claims=CLAIMS,
    cheap={"width": 4, "seed": 0},
    agree={"early": 1e-6},
)
