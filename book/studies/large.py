"""Networks of a thousand to a hundred thousand weights: the error against seconds, method by method.

Seconds are those of one core, spent in training: the error is measured while the clock stands. All methods have the same
networks, in float64, and rates and points of their own, which do not change with the problem.
"""

import time
from math import pi

import numpy as np
import torch

from pinnedu import (
    KFAC,
    MLP,
    SOAP,
    SPRING,
    Adam,
    GaussNewtonCG,
    GradientDescent,
    HardConstraint,
    Muon,
    PeriodicEmbedding,
    Points,
    Problem,
    fit,
    problems,
)
from pinnedu.studies import Claim, Study
from pinnedu.trainers import Objective

WIDTHS = {1_000: 21, 10_000: 69, 100_000: 222}  # of three hidden layers with about so many weights
SECONDS = {1_000: 1.5, 10_000: 3, 100_000: 6}
FIRST, GROWTH = 0.2, 1.2  # when to look at the error: after so many seconds, and then ever less often
RANK, ITERATIONS = 20, 15  # of Gauss-Newton by conjugate gradients: a step must stay cheap on one core
METHODS = {  # an optimizer, its rate times a factor where it has one, and how many points it draws in each step
    "Adam": (lambda rate: Adam(5e-3 * rate), 300),
    "SOAP": (lambda rate: SOAP(1e-2 * rate), 300),
    "Muon": (lambda rate: Muon(2e-2 * rate, adam_lr=2e-3 * rate), 300),
    "K-FAC": (lambda rate: KFAC(), 300),
    "Gauss-Newton, CG": (lambda rate: GaussNewtonCG(rank=RANK, iterations=ITERATIONS), 200),
    "SPRING": (lambda rate: SPRING(), 150),
}
DECADES = 12  # of eigenvalues; the last holds all that are smaller


def burgers(width):
    """Burgers' equation, start and ends built in."""
    full = problems.burgers()
    problem = Problem(full.domain, full.equations, exact=full.exact)
    network = MLP(problem, hidden=(width,) * 3)
    return problem, HardConstraint(network, problem, u=lambda u, x, t: -torch.sin(pi * x) + t * (1 - x**2) * u)


def allen_cahn(width):
    """The Allen-Cahn equation, start and period built in."""
    full = problems.allen_cahn()
    problem = Problem(full.domain, full.equations, exact=full.exact)
    network = MLP(problem, hidden=(width,) * 3, embedding=PeriodicEmbedding(problem.domain, x=1))
    return problem, HardConstraint(network, problem, u=lambda u, x, t: x**2 * torch.cos(pi * x) + t * u)


def poisson(width):
    """Poisson's equation in 10 dimensions, the boundary condition as a term of the loss."""
    problem = problems.poisson_cube(10, "products")
    return problem, MLP(problem, hidden=(width,) * 3)


PROBLEMS = {"Burgers": burgers, "Allen-Cahn": allen_cahn, "Poisson, 10 dimensions": poisson}


def train(problem, model, optimizer, points, seconds, seed, device="cpu", note=lambda times, errors: None):
    """Train for so many seconds; the run, and the seconds and errors at which it was looked at. `make gpu` calls this too."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    grid = problem.domain.evaluation_points(2000).to(device)
    exact = problem.solution(grid)["u"]
    times, errors, stood = [], [], 0.0
    start = clock()

    def look(state):
        nonlocal stood
        if clock() - start - stood >= min(times[-1] * GROWTH if times else FIRST, seconds):
            if device == "cuda":
                torch.cuda.synchronize()  # it may still have steps to do
            now = clock()
            times.append(now - start - stood)
            with torch.no_grad():
                errors.append(float((model(grid)[:, 0] - exact).norm() / exact.norm()))
            note(times, errors)
            stood += clock() - now
        return bool(times) and times[-1] >= seconds

    run = fit(
        model,
        problem,
        optimizer=optimizer,
        steps=10**7,
        points=points,
        seed=seed,
        device=device,
        progress=False,
        callbacks=[look],
    )
    return run, times, errors


def race(method, problem, weights, rate, seed):
    """Train one of the problems for its time, after a step with a tiny network: what is loaded then is not timed."""
    make, count = METHODS[method]
    small, tiny = PROBLEMS[problem](4)
    fit(tiny, small, optimizer=make(rate), steps=1, points=Points(8, 8), seed=0, device="cpu", progress=False)
    made, model = PROBLEMS[problem](WIDTHS[weights])
    points = Points(count, count // 3, resample=1)
    run, times, errors = train(made, model, make(rate), points, SECONDS[weights], seed)
    return {
        "first": float(run.history["loss"][0]),
        "steps": len(run.history["loss"]),
        "error": min(errors),
        "seconds": [float(f"{value:.3g}") for value in times],
        "errors": [float(f"{value:.3g}") for value in errors],
    }


def residual(objective):
    """All residuals, scaled so that half their square norm is the loss."""
    with torch.no_grad():
        return torch.cat([objective.scale(name, r) * r for name, r in objective.residuals().items()])


def reach(method, seed):
    """The loss by eigendirection of the first tangent kernel, before and after 100 steps on fixed points, by decades."""
    heat = problems.heat()
    model = MLP(heat, hidden=(20, 20), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    objective = Objective(model, heat, heat.sample(Points(150, 20), generator=generator))
    _, rows = (torch.cat(parts) for parts in zip(*objective.linearize(), strict=True))
    U, S, _ = torch.linalg.svd(rows, full_matrices=False)
    optimizer = GradientDescent(1 / float(S[0]) ** 2) if method == "gradient descent" else METHODS[method][0](1.0)
    start = residual(objective)
    step = optimizer.start(model)
    for _ in range(100):
        step(objective)
    end = residual(objective)
    decades = (-2 * torch.log10(S / S[0])).floor().clamp(max=DECADES).long()

    def shares(values):
        """Half the squares of the coefficients, summed for each decade of eigenvalues, the largest first."""
        zero = torch.zeros(DECADES + 1, dtype=values.dtype)
        return zero.index_add(0, decades, 0.5 * (U.T @ values).square()).tolist()

    return {
        "first": float(0.5 * start @ start),
        "last": float(0.5 * end @ end),
        "before": shares(start),
        "after": shares(end),
    }


def cost(method, points, weights):
    """Milliseconds of a step, the least of some, on fixed points."""
    problem, model = burgers(WIDTHS[weights])
    objective = Objective(model, problem, problem.sample(Points(points), generator=torch.Generator().manual_seed(0)))
    step = METHODS[method][0](1.0).start(model)
    first, durations = float(objective.loss().detach()), []
    for _ in range(4):
        begin = time.process_time()
        step(objective)
        durations.append(time.process_time() - begin)
    return {"first": first, "ms": 1e3 * min(durations[1:])}


def run(what, method, problem="", weights=0, points=0, rate=1.0, seed=0):
    """One race, one look at the directions, or one price."""
    torch.manual_seed(seed)
    if what == "reach":
        return reach(method, seed)
    if what == "cost":
        return cost(method, points, weights)
    return race(method, problem, weights, rate, seed)


def plan():
    """Every run: what is quick first, then a whole set of races for each seed."""
    reached = [
        {"what": "reach", "method": method, "seed": seed}
        for seed in range(5)
        for method in ("gradient descent", *METHODS)
    ]
    sizes = [(300, 1_000), (300, 10_000), (300, 100_000), (100, 10_000), (1_000, 10_000)]
    costs = [{"what": "cost", "method": method, "points": n, "weights": p} for n, p in sizes for method in METHODS]
    rates = [
        {"what": "race", "problem": problem, "weights": 10_000, "method": method, "rate": rate, "seed": 0}
        for problem in ("Burgers", "Poisson, 10 dimensions")
        for method in FIRST_ORDER
        for rate in (1 / 3, 3.0)
    ]
    races = [
        {"what": "race", "problem": problem, "weights": weights, "method": method, "seed": seed}
        for seed in range(max(SEEDS.values()))
        for weights in WIDTHS
        for problem in PROBLEMS
        for method in METHODS
        if seed < SEEDS[weights]
    ]
    return [*reached, *costs, *races, *rates]


SEEDS = dict.fromkeys(WIDTHS, 3)
FIRST_ORDER = ("Adam", "SOAP", "Muon")


def left(results, method, decades):
    """Of the loss at so many decades of eigenvalues, the fraction that 100 steps leave: one for each seed."""
    runs = results.where(what="reach", method=method)
    return runs["after"][:, decades].sum(axis=1) / runs["before"][:, decades].sum(axis=1)


def last(results, method):
    """The loss after 100 steps, of every seed."""
    return results.where(what="reach", method=method)["last"]


def race_errors(results, problem, weights, method):
    """The errors of a race, one for each seed, with the method's own rate."""
    found = results.where(what="race", problem=problem, weights=weights, method=method).runs
    return np.array([value["error"] for given, value in found if "rate" not in given])


def price(results, method, points, weights):
    """Milliseconds of a step."""
    return results.where(what="cost", method=method, points=points, weights=weights)["ms"][0]


SECOND_ORDER = ("K-FAC", "Gauss-Newton, CG", "SPRING")
CLAIMS = [
    Claim(
        "second-order-reaches-all",
        "At every decade of eigenvalues from 1e-2 to 1e-7 of the largest, 100 steps of K-FAC, conjugate gradients and SPRING "
        "leave less than 1e-3 of the loss, in every run.",
        lambda results: max(left(results, m, [k]).max() for m in SECOND_ORDER for k in range(2, 7)) < 1e-3,
        row="R45",
    ),
    Claim(
        "gradient-descent-stops",
        "At eigenvalues from 1e-4 to 1e-7 of the largest 100 steps of gradient descent leave over half of the loss, in every "
        "run.",
        lambda results: left(results, "gradient descent", [4, 5, 6]).min() > 0.5,
        row="R45",
    ),
    Claim(
        "soap-reaches-further",
        "SOAP ends with a smaller loss than Adam and Muon, in the median, and K-FAC, conjugate gradients and SPRING with one a "
        "thousand times smaller than SOAP, in every run.",
        lambda results: (
            np.median(last(results, "SOAP")) < 0.5 * min(np.median(last(results, m)) for m in ("Adam", "Muon"))
            and max(last(results, m).max() for m in SECOND_ORDER) < 1e-3 * last(results, "SOAP").min()
        ),
        row="R45",
    ),
    Claim(
        "spring-is-ahead",
        "In the same seconds the median error of SPRING is at most 0.9 of that of the best of Adam, SOAP and Muon, for each "
        "equation, at 1,000 and at 10,000 weights.",
        lambda results: all(
            np.median(race_errors(results, problem, weights, "SPRING"))
            < 0.9 * min(np.median(race_errors(results, problem, weights, method)) for method in FIRST_ORDER)
            for problem in PROBLEMS
            for weights in (1_000, 10_000)
        ),
        row="R45",
    ),
    Claim(
        "weights-are-cheap",
        "From 10,000 to 100,000 weights a step of SPRING becomes at most 6 times as dear, from 100 to 1000 points at least 6 "
        "times.",
        lambda results: (
            price(results, "SPRING", 300, 100_000) < 6 * price(results, "SPRING", 300, 10_000)
            and price(results, "SPRING", 1_000, 10_000) > 6 * price(results, "SPRING", 100, 10_000)
        ),
    ),
]

study = Study(
    run,
    grid=plan(),
    claims=CLAIMS,
    cheap={"what": "reach", "method": "SPRING", "seed": 0},
    agree={"first": 1e-6},
)
