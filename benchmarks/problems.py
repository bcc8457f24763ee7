"""The ten problems of the comparison, the four for tuning, and the only judge of both.

Each is stated once, in `pinnedu.problems` where it is there; its truth comes from there. What a run loads of this file is numpy:
the truth is worked out beforehand, by `prepare`, so that no system's process holds a library that is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pinnedu import Problem

Array = NDArray[np.float64]
Layers = Sequence[tuple[Array, Array]]  # weights (out, in) and biases (out,) of a network of tanh units
FRESH = 4000  # points of the loss by which settings are chosen
MEASURED = 5000  # velocities of the wake


@dataclass(frozen=True)
class Case:
    """One problem of the comparison.

    Attributes
    ----------
    title : str
    goal : float
        The error whose time of arrival is reported.
    source : str
        Where the goal is from.
    low, high : tuple of float
        The box around the domain, in the order of the coordinates: inputs of all networks are scaled from it to [-1, 1].
    grid : tuple of int
        Cells along each coordinate: the error is measured in their middles, where no system puts points on purpose.
    parameter : float or None
        Of the problem in `pinnedu.problems`; its default where None.
    judged : tuple of int
        Fields that make the error, u or u, v, p.
    centered : tuple of int
        Fields known up to a constant: their means are taken off.
    fields : int
        How many a network gives.
    """

    title: str
    goal: float
    source: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    grid: tuple[int, ...]
    parameter: float | None = None
    judged: tuple[int, ...] = (0,)
    centered: tuple[int, ...] = ()
    fields: int = 1


OURS = "ours: no published error was found"
HEAT = ((0.0, 0.0), (pi, 1.0), (100, 100))
LINE = ((-1.0, 0.0), (1.0, 1.0))
RING = ((0.0, 0.0), (2 * pi, 1.0), (200, 50))
CASES: dict[str, Case] = {
    "heat": Case("Heat", 1e-4, OURS, *HEAT),
    "poisson": Case("Poisson, k = 10", 1e-4, OURS, (-pi,), (pi,), (2000,), 10),
    "burgers": Case("Burgers", 6.7e-4, "Raissi, Perdikaris & Karniadakis (2019)", *LINE, (400, 25)),
    "advection": Case("Advection, speed 30", 2e-2, "Krishnapriyan et al. (2021)", *RING, 30.0),
    "wake": Case(
        "Cylinder wake",
        3e-2,
        "ours, set after the runs of the first comparison",
        (1.0, -2.0, 0.0),
        (8.0, 2.0, 19.9),
        (),
        None,
        (0, 1),
        (),
        3,
    ),
    "allen_cahn": Case("Allen-Cahn", 5.8e-4, "jaxpi, example allen_cahn", *LINE, (200, 50)),
    "wave": Case("Wave", 9.8e-2, "PINNacle, table 3", (0.0, 0.0), (1.0, 1.0), (100, 100)),
    "kovasznay": Case("Kovasznay flow", 1e-3, "ours", (-0.5, -0.5), (1.0, 1.5), (75, 100), None, (0, 1, 2), (2,), 3),
    "laplace_holes": Case("Square with four holes", 1.2e-2, "PINNacle, table 3", (-0.5, -0.5), (0.5, 0.5), (100, 100)),
    "poisson_5": Case("Poisson in five dimensions", 1e-3, "ours", (0.0,) * 5, (1.0,) * 5, (6,) * 5),
}
TUNING: dict[str, Case] = {
    "tune_heat": Case("Heat, D = 0.3", 1e-4, "", *HEAT, 0.3),
    "tune_burgers": Case("Burgers, nu = 0.02", 1e-4, "", *LINE, (400, 25), 0.02),
    "tune_advection": Case("Advection, speed 10", 1e-4, "", *RING, 10.0),
    "tune_poisson": Case("Poisson, k = 4", 1e-4, "", (-pi,), (pi,), (2000,), 4),
}
ALL = CASES | TUNING
DEFAULTS = {"heat": 1.0, "poisson": 10, "burgers": 0.01 / pi, "advection": 30.0}


def family(name: str) -> str:
    """The function in which a system states a problem: that of the scored one."""
    return name.removeprefix("tune_")


def parameter(name: str) -> float:
    """Diffusivity, viscosity, speed or frequency."""
    given = ALL[name].parameter
    return DEFAULTS[family(name)] if given is None else given


def scaled(points: Array, case: Case) -> Array:
    """Every coordinate from the box to [-1, 1]: what every network sees."""
    low, high = np.array(case.low), np.array(case.high)
    return 2 * (points - low) / (high - low) - 1


def forward(layers: Layers, inputs: Array) -> Array:
    """A network of tanh units, (N, d) -> (N, m): the same arithmetic for the answers of all systems."""
    for weights, biases in layers[:-1]:
        inputs = np.tanh(inputs @ weights.T + biases)
    weights, biases = layers[-1]
    return inputs @ weights.T + biases


@dataclass(frozen=True)
class Judge:
    """The grid of a problem and its truth there."""

    case: Case
    points: Array
    truth: Array

    def error(self, values: Array) -> float:
        """Relative L2 error of the judged fields together, (N, number of fields) on the grid."""
        columns = list(self.case.judged)
        found, truth = (np.array(array, dtype=np.float64)[:, columns] for array in (values, self.truth))
        for column in self.case.centered:
            k = columns.index(column)
            found[:, k] -= found[:, k].mean()
            truth[:, k] -= truth[:, k].mean()
        error = np.linalg.norm(found - truth) / np.linalg.norm(truth)
        return float(error) if np.isfinite(error) else float("inf")

    def network_error(self, layers: Layers) -> float:
        """The same, of a network whose inputs are scaled."""
        return self.error(forward(layers, scaled(self.points, self.case)))


def measurements(seed: int) -> tuple[Array, Array]:
    """The velocities of the wake, without noise, the same for all systems: points (5000, 3) and values (5000, 2)."""
    from pinnedu.data import cylinder_wake

    return cylinder_wake().sample(MEASURED, seed=seed)


def problem_of(name: str, seed: int = 0) -> Problem:
    """The statement of `pinnedu`, without its solution where that is not part of a condition."""
    from dataclasses import replace

    from pinnedu import problems

    made: dict[str, Callable[[], Any]] = {
        "heat": lambda: problems.heat(parameter(name)),
        "poisson": lambda: problems.poisson(int(parameter(name))),
        "burgers": lambda: problems.burgers(parameter(name)),
        "advection": lambda: problems.advection(parameter(name)),
        "wake": lambda: wake(*measurements(seed)),
        "allen_cahn": problems.allen_cahn,
        "wave": problems.wave,
        "kovasznay": problems.kovasznay,
        "laplace_holes": problems.laplace_holes,
        "poisson_5": problems.poisson_cube,
    }
    found: Problem = made[family(name)]()
    return found if found.exact is None else replace(found, exact=None)


def wake(points: Array, velocities: Array) -> Problem:
    """The wake without a stream function, which the rules give to nobody; whole, for its lines are counted."""
    from pinnedu import Box, Observed, Problem

    return Problem(
        domain=Box(x=(1, 8), y=(-2, 2), t=(0, 19.9)),
        fields=("u", "v", "p"),
        unknowns={"lambda_1": 0.0, "lambda_2": 0.0},
        equations={
            "momentum_x": lambda u, v, p, lambda_1, lambda_2: (
                u.t + lambda_1 * (u * u.x + v * u.y) + p.x - lambda_2 * u.laplacian("x", "y")
            ),
            "momentum_y": lambda u, v, p, lambda_1, lambda_2: (
                v.t + lambda_1 * (u * v.x + v * v.y) + p.y - lambda_2 * v.laplacian("x", "y")
            ),
            "mass": lambda u, v: u.x + v.y,
        },
        conditions={"data": Observed(points, u=velocities[:, 0], v=velocities[:, 1])},
    )


def grid_of(name: str) -> Array:
    """Where the error is measured."""
    case = ALL[name]
    if name == "wake":
        from pinnedu.data import cylinder_wake

        data = cylinder_wake()
        places = data.grid_xy.reshape(*data.grid_shape, 2)[::2, ::2].reshape(-1, 2)
        return np.concatenate([np.column_stack([places, np.full(len(places), t)]) for t in data.snapshot_t])
    axes = [
        low + (high - low) * (np.arange(count) + 0.5) / count
        for low, high, count in zip(case.low, case.high, case.grid, strict=True)
    ]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    if name == "laplace_holes":
        from pinnedu.reference.laplace_holes import OFFSET, RADIUS

        points = points[np.hypot(np.abs(points[:, 0]) - OFFSET, np.abs(points[:, 1]) - OFFSET) > RADIUS]
    return points


def truth_of(name: str, points: Array) -> Array:
    """The fields there, (N, number of fields), from the problem's own exact solution or from the wake's simulation."""
    import torch

    from pinnedu import problems

    if name == "wake":
        from pinnedu.data import cylinder_wake

        data = cylinder_wake()
        flow = np.concatenate([data.snapshot_uv, data.snapshot_p[..., None]], axis=2)
        return flow.reshape(len(flow), *data.grid_shape, 3)[:, ::2, ::2].reshape(-1, 3)
    made: Any = {"poisson_5": problems.poisson_cube}.get(name) or getattr(problems, family(name))
    given = ALL[name].parameter
    problem = made() if given is None else made(int(given) if family(name) == "poisson" else given)
    where = torch.as_tensor(points)
    values = problem.exact(where) if name == "poisson_5" else problem.exact(*where.T)
    columns = [values[field] for field in problem.fields] if isinstance(values, dict) else [torch.as_tensor(values)]
    return torch.stack([column.double() for column in columns], dim=1).numpy()


def prepare(folder: Path) -> None:
    """Work out the truth of all problems, once; a run only reads it."""
    for name in ALL:
        prepare_one(name, folder)


def prepare_one(name: str, folder: Path) -> None:
    """The same, of one problem."""
    if not (file := folder / f"{name}.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        points = grid_of(name)
        np.savez(folder / f".{name}.npz", points=points, truth=truth_of(name, points))
        (folder / f".{name}.npz").rename(file)


def judge_of(name: str, folder: Path) -> Judge:
    """The grid and the truth that `prepare` left."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as kept:
        return Judge(ALL[name], kept["points"], kept["truth"])


def fresh_loss(name: str, layers: Layers) -> float:
    """Mean squares of all equations and conditions, unweighted, on 4000 points of each that no system was trained on.

    Every system's network is rebuilt here from its weights, so that one code measures all of them.
    """
    import torch

    from pinnedu import MLP, Points

    problem = problem_of(name)
    model = MLP(problem, hidden=tuple(len(biases) for _, biases in layers[:-1]))
    with torch.no_grad():
        for layer, (weights, biases) in zip(model.layers, layers, strict=True):
            layer.weight.copy_(torch.as_tensor(weights))
            layer.bias.copy_(torch.as_tensor(biases))
    sample = problem.sample(Points(FRESH, FRESH, method="uniform"), generator=torch.Generator().manual_seed(10**6))
    residuals = problem.residuals(model, sample)
    loss = sum(float(residual.detach().square().mean()) for residual in residuals.values())
    return loss if np.isfinite(loss) else float("inf")
