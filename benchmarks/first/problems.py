"""The five problems that every system solves: their truth, their points and the time they get.

Numpy only, so that no system's library is loaded before its clock starts. What a system returns is judged
here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import pi

import numpy as np
from numpy.typing import NDArray

from pinnedu.data import cylinder_wake
from pinnedu.reference import burgers as cole_hopf

Array = NDArray[np.float64]
Predict = Callable[[Array], Array]

BETA, NU, K = 30.0, 0.01 / pi, 10


@dataclass(frozen=True)
class Task:
    """What is the same for all systems.

    Attributes
    ----------
    title : str
    seconds : float
        Time for training.
    goal : float
        The error whose time of arrival the table shows.
    interior, boundary : int
        Collocation points for the equation, and for each condition.
    points : array, shape (N, d)
        Where the answer is judged; columns in the order x, t or x, y, t.
    truth : array, shape (N, m)
        Fields there: u, or u, v, p.
    judged : tuple of int
        Columns that make the error.
    """

    title: str
    seconds: float
    interior: int
    boundary: int
    points: Array
    truth: Array
    goal: float = 1e-3
    judged: tuple[int, ...] = (0,)
    known: Mapping[str, float] = field(default_factory=dict)

    def error(self, predict: Predict) -> float:
        """Relative L2 error of the judged fields, all together."""
        columns = list(self.judged)
        found = np.asarray(predict(self.points), dtype=np.float64)[:, columns]
        return float(np.linalg.norm(found - self.truth[:, columns]) / np.linalg.norm(self.truth[:, columns]))


def _grid(*axes: Array) -> Array:
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def _heat() -> Task:
    points = _grid(np.linspace(0, pi, 101), np.linspace(0, 1, 101))
    x, t = points.T
    return Task("Heat", 30, 1000, 100, points, (np.exp(-t) * np.sin(x))[:, None])


def _poisson() -> Task:
    points = np.linspace(-pi, pi, 2001)[:, None]
    return Task("Poisson, k = 10", 30, 500, 1, points, np.sin(K * points))


def _burgers() -> Task:
    points = _grid(np.linspace(-1, 1, 801), np.linspace(0, 1, 51))
    return Task("Burgers", 150, 3000, 100, points, cole_hopf.exact(*points.T, NU)[:, None])


def _advection() -> Task:
    points = _grid(np.linspace(0, 2 * pi, 201), np.linspace(0, 1, 101))
    x, t = points.T
    return Task("Advection, speed 30", 60, 2000, 150, points, np.sin(x - BETA * t)[:, None])


def _wake() -> Task:
    wake = cylinder_wake()
    points = np.concatenate([np.column_stack([wake.grid_xy, np.full(len(wake.grid_xy), t)]) for t in wake.snapshot_t])
    truth = np.column_stack([wake.snapshot_uv.reshape(-1, 2), wake.snapshot_p.reshape(-1)])
    return Task(
        "Cylinder wake",
        80,
        1000,
        1000,
        points,
        truth,
        goal=3e-2,
        judged=(0, 1),
        known={"lambda_1": 1.0, "lambda_2": 0.01},
    )


TASKS: Mapping[str, Callable[[], Task]] = {
    "heat": _heat,
    "poisson": _poisson,
    "burgers": _burgers,
    "advection": _advection,
    "wake": _wake,
}


def measurements(seed: int, count: int = 5000) -> tuple[Array, Array]:
    """The measured velocities of the wake, without noise: points (N, 3) and values (N, 2), the same for all systems."""
    return cylinder_wake().sample(count, seed=seed)
