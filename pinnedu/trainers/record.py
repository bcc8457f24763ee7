"""The record of a run, and how a trained model is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.problem import Problem
from pinnedu.trainers.objective import Objective


@dataclass
class Fit:
    """What training reached.

    Attributes
    ----------
    model : Module, the trained model
    problem : Problem
    error : float or None
        Relative L2 error against ``problem.exact`` on a dense grid.
    history : dict of str to array
        One entry a step: "step", each term by name (half mean square, unweighted), "loss" (their
        weighted sum), "fresh" (the loss on points drawn apart from the training points), "error" and
        "seconds", "weight of NAME" for each term where a strategy sets the weights, and each unknown by name;
        what was not looked at in a step is NaN.
    unknowns : dict of name to float
        Values found for the unknown parameters of the equations.
    seconds : float
        Time of training, without the time of evaluating errors.
    stopped : str
        Why training ended.
    warnings : list of str
        What is doubtful about the result.
    """

    model: nn.Module
    problem: Problem
    error: float | None
    history: dict[str, np.ndarray]
    unknowns: dict[str, float]
    seconds: float
    stopped: str
    warnings: list[str]

    @property
    def loss(self) -> float:
        """The loss from which the last step started; NaN if there was no step."""
        return float(self.history["loss"][-1]) if len(self.history["loss"]) else float("nan")

    def __repr__(self) -> str:
        error = "unknown" if self.error is None else f"{self.error:.2e}"
        found = "".join(f", {name}={value:.4g}" for name, value in self.unknowns.items())
        return f"Fit(error={error}, loss={self.loss:.2e}, steps={len(self.history['step'])}{found}, {self.stopped})"


@dataclass(frozen=True)
class State:
    """What a callback sees after each step: return True to stop, or a sentence saying why."""

    step: int
    seconds: float
    model: nn.Module
    problem: Problem
    objective: Objective


def relative_error(model: nn.Module, problem: Problem, points: Tensor | None = None) -> float:
    """Relative L2 error against the exact solution.

    Parameters
    ----------
    points : Tensor (N, d), optional
        Where to compare; by default the domain's ``evaluation_points()``: in a box a grid of about 10,000
        points with the faces in it, a Sobol set in more than three dimensions and in other shapes.

    Returns
    -------
    float
        sqrt(sum (u - u_exact)^2 / sum u_exact^2), over the points and the fields the solution names
    """
    require(isinstance(model, nn.Module), "The model", "a torch.nn.Module", model)
    require(isinstance(problem, Problem), "problem", "a Problem", problem)
    if points is None:
        points = problem.domain.evaluation_points()
    problem.domain.check_points(points)
    points = points.to(next(model.parameters(), points))
    exact = problem.solution(points)
    with torch.no_grad():
        found = problem.values(model, points, list(exact))
    difference = torch.stack([found[name] - value for name, value in exact.items()])
    return float(torch.linalg.norm(difference) / torch.linalg.norm(torch.stack(list(exact.values()))))
