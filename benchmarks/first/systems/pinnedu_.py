"""The package of this book: Gauss-Newton, with momentum where the points are drawn again.

Hard problems begin with few points: while the error is near one, a step that is cheap is worth more than one that
is exact, and fresh points make up for their number.

Every problem is written out, also where the package has it ready made: the table counts these lines.
"""

from __future__ import annotations

from math import pi

import torch

from first.problems import BETA, NU, K, Predict, measurements
from first.watch import Watch
from pinnedu import (
    MLP,
    Box,
    GaussNewton,
    HardConstraint,
    Observed,
    On,
    Periodic,
    PeriodicEmbedding,
    Points,
    Problem,
    fit,
)


def heat():
    """Two hidden layers; start and ends built in."""
    problem = Problem(domain=Box(x=(0, pi), t=(0, 1)), equations={"heat": lambda u: u.t - u.xx})
    network = MLP(problem, hidden=(20, 20))
    return problem, HardConstraint(network, problem, u=lambda u, x, t: torch.sin(x) + t * x * (pi - x) * u)


def poisson():
    """Three hidden layers; ends built in."""
    problem = Problem(
        domain=Box(x=(-pi, pi)),
        equations={"poisson": lambda u, x: u.xx + K**2 * torch.sin(K * x)},
    )
    return problem, HardConstraint(MLP(problem, hidden=(20, 20, 20)), problem, u=lambda u, x: (pi**2 - x**2) * u)


def burgers(hidden=(24, 24, 24)):
    """Three hidden layers; start and ends built in."""
    problem = Problem(
        domain=Box(x=(-1, 1), t=(0, 1)),
        equations={"burgers": lambda u: u.t + u * u.x - NU * u.xx},
    )
    network = MLP(problem, hidden=hidden)
    return problem, HardConstraint(network, problem, u=lambda u, x, t: -torch.sin(pi * x) + t * (1 - x**2) * u)


def advection():
    """Three hidden layers."""
    problem = Problem(
        domain=Box(x=(0, 2 * pi), t=(0, 1)),
        equations={"advection": lambda u: u.t + BETA * u.x},
        conditions={
            "initial": On(t=0, equation=lambda u, x: u - torch.sin(x)),
            "periodic": Periodic("x", order=0),
        },
    )
    return problem, MLP(problem, hidden=(20, 20, 20))


def wake(seed: int):
    """Three hidden layers, a stream function, and a period that is learned."""
    points, velocity = measurements(seed)
    problem = Problem(
        domain=Box(x=(1, 8), y=(-2, 2), t=(0, 19.9)),
        fields=("psi", "p"),
        derived={"u": lambda psi: psi.y, "v": lambda psi: -psi.x},
        unknowns={"lambda_1": 0.0, "lambda_2": 0.0},
        equations={
            "momentum_x": lambda u, v, p, lambda_1, lambda_2: (
                u.t + lambda_1 * (u * u.x + v * u.y) + p.x - lambda_2 * u.laplacian("x", "y")
            ),
            "momentum_y": lambda u, v, p, lambda_1, lambda_2: (
                v.t + lambda_1 * (u * v.x + v * v.y) + p.y - lambda_2 * v.laplacian("x", "y")
            ),
        },
        conditions={"data": Observed(points, u=velocity[:, 0], v=velocity[:, 1])},
    )
    embedding = PeriodicEmbedding(problem.domain, {"t": 6.0}, t=1)
    return problem, MLP(problem, hidden=(24, 24, 24), embedding=embedding)


RECIPES = {
    "heat": [(GaussNewton(), 3000, {"resample": 0})],
    "poisson": [
        (GaussNewton(momentum=0.9), 300, {"resample": 5}),
        (GaussNewton(damping=1e-10), 3000, {"resample": 10}),
    ],
    "burgers": [
        (GaussNewton(momentum=0.9), 80, {"interior": 1000, "adaptive": 0.8, "resample": 2}),
        (GaussNewton(momentum=0.9, damping=1e-6), 10_000, {"adaptive": 0.8, "resample": 2}),
    ],
    "advection": [
        (GaussNewton(momentum=0.9), 130, {"interior": 200, "conditions": 40, "resample": 2}),
        (GaussNewton(momentum=0.9, damping=1e-6), 100, {"interior": 500, "conditions": 60, "resample": 2}),
        (GaussNewton(momentum=0.9, damping=1e-6), 10_000, {"resample": 2}),
    ],
    "wake": [
        (GaussNewton(momentum=0.9), 60, {"interior": 200, "conditions": {"data": 200}, "resample": 1}),
        (GaussNewton(momentum=0.9, damping=1e-5), 10_000, {"resample": 1}),
    ],
}


def train(name: str, watch: Watch, seed: int) -> None:
    """Train until the watch says stop."""
    torch.set_num_threads(1)
    problem, model = wake(seed) if name == "wake" else globals()[name]()
    fields = ["u", "v", "p"] if name == "wake" else ["u"]

    def predict(points) -> Predict:
        with torch.no_grad():
            values = problem.values(model, torch.as_tensor(points), fields)
        return torch.stack([values[field] for field in fields], dim=1).numpy()

    def look(state) -> str:
        if not watch.due():
            return ""
        return watch.look(predict, {name: value.item() for name, value in state.unknowns.items()})

    all_points = {
        "interior": watch.task.interior,
        "conditions": {"data": watch.task.boundary} if name == "wake" else watch.task.boundary,
        "method": "uniform" if name == "wake" else "sobol",
    }
    run = None
    for optimizer, steps, how in RECIPES[name]:
        points = Points(**(all_points | how))
        weights = {"data": 100.0} if name == "wake" else None
        run = fit(
            model, problem, optimizer=optimizer, steps=steps, points=points, weights=weights, seed=seed,
            progress=False, callbacks=[look], after=run,
        )  # fmt: skip
        if watch.stopped:
            return
    watch.look(predict)
    watch.stopped = run.stopped
