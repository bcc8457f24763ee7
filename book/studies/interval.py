"""How often a 95 % interval holds the truth: two coefficients of a heat equation from noisy readings, drawn anew many times.

u_t = k u_xx - c u on (0, pi) x (0, 1), with the first values known. Laplace's approximation from one run, five runs from
different first weights on the same readings, and the least squares of the exact solution, which nobody has in practice.
"""

import time

import numpy as np
import torch
from scipy.optimize import curve_fit
from scipy.stats import t as student

from pinnedu import MLP, Box, GaussNewton, Observed, On, Points, Problem, fit
from pinnedu.studies import Claim, Study

TRUE = {"k": 0.5, "c": 0.3}
NOISE, READINGS, MEMBERS = 0.05, 100, 5
DRAWS = 100  # of the noise: so many that the share of one more draw is small


def formula(points, k, c):
    """The exact solution, of two waves that fade at different rates."""
    x, t = points.T
    return np.exp(-(k + c) * t) * np.sin(x) + np.exp(-(4 * k + c) * t) * np.sin(2 * x)


def rod(seed):
    """The inverse problem, and its readings."""
    draw = np.random.default_rng(seed)
    where = draw.uniform((0, 0), (np.pi, 1), (READINGS, 2))
    readings = formula(where, **TRUE) + NOISE * draw.standard_normal(READINGS)
    problem = Problem(
        Box(x=(0, np.pi), t=(0, 1)),
        {"heat": lambda u, k, c: u.t - k * u.xx + c * u},
        {
            "initial": On(t=0, equation=lambda u, x: u - torch.sin(x) - torch.sin(2 * x)),
            "left": On(x=0, equation=lambda u: u),
            "right": On(x=np.pi, equation=lambda u: u),
            "readings": Observed(where, u=readings),
        },
        unknowns={"k": 1.0, "c": 0.0},
    )
    return problem, where, readings


def train(problem, seed):
    """One run; the equation and what is known exactly weigh ten times as much as the readings."""
    exact = dict.fromkeys(("heat", "initial", "left", "right"), 10.0)
    return fit(
        MLP(problem, hidden=(12, 12)),
        problem,
        optimizer=GaussNewton(),
        steps=40,
        points=Points(150, 30, method="sobol"),
        weights=exact,
        seed=seed,
        device="cpu",
        progress=False,
    )


def run(method, seed):
    """The interval of each coefficient, from readings of their own."""
    problem, where, readings = rod(seed)
    found, began = {}, time.process_time()
    if method == "ensemble":
        runs = [train(problem, 1000 * seed + i) for i in range(MEMBERS)]
        for name in TRUE:
            values = np.array([one.unknowns[name] for one in runs])
            deviation = values.std(ddof=1)
            half = student.ppf(0.975, MEMBERS - 1) * deviation
            found[name] = values.mean(), deviation, values.mean() - half, values.mean() + half
    elif method == "laplace":
        one = train(problem, seed)
        for name, (low, high) in one.posterior(Points(400, 50, method="sobol")).interval().items():
            half = student.ppf(0.975, READINGS - len(TRUE))
            found[name] = one.unknowns[name], (high - low) / 2 / half, low, high
    else:
        values, covariance = curve_fit(formula, where, readings, p0=(1.0, 0.0))
        half = student.ppf(0.975, READINGS - len(TRUE))
        for name, value, deviation in zip(TRUE, values, np.sqrt(np.diag(covariance)), strict=True):
            found[name] = value, deviation, value - half * deviation, value + half * deviation
    result = {"seconds": time.process_time() - began}
    for name, (value, deviation, low, high) in found.items():
        result |= {name: float(value), f"deviation of {name}": float(deviation)}
        result[f"{name} covered"] = bool(low < TRUE[name] < high)
    return result


def coverage(results, method):
    """The share of the intervals of both coefficients that hold the truth."""
    runs = results.where(method=method)
    return float(np.mean([runs[f"{name} covered"] for name in TRUE]))


def spread(results, method):
    """For each coefficient, the standard deviation that is told (root mean square) over that of what was found."""
    runs = results.where(method=method)
    return [float(np.sqrt((runs[f"deviation of {name}"] ** 2).mean()) / runs[name].std(ddof=1)) for name in TRUE]


CLAIMS = [
    Claim(
        "laplace-covers",
        "A 95 % interval of Laplace's approximation holds the truth in 88 to 99 % of the noise draws.",
        lambda results: 0.88 <= coverage(results, "laplace") <= 0.99,
        row="R44",
    ),
    Claim(
        "laplace-is-as-wide-as-the-spread",
        "The standard deviation that one run tells is that of runs on other noise, to 30 %.",
        lambda results: all(0.7 < ratio < 1.3 for ratio in spread(results, "laplace")),
        row="R44",
    ),
    Claim(
        "ensemble-does-not",
        "An interval from runs that differ in their first weights holds the truth in less than half of the draws.",
        lambda results: coverage(results, "ensemble") < 0.5,
        row="R44",
    ),
]

study = Study(
    run,
    grid=[
        *({"method": "laplace", "seed": seed} for seed in range(DRAWS)),
        *({"method": "formula", "seed": seed} for seed in range(DRAWS)),
        *({"method": "ensemble", "seed": seed} for seed in range(4)),
    ],
    claims=CLAIMS,
    cheap={"method": "laplace", "seed": 0},
    agree={"k": 1e-2, "deviation of k": 5e-2},
)
