"""Weights of the loss that are chosen while training goes on.

A strategy is asked before each step, on that step's points, and may set the weights of the terms
(``objective.loss_weights``) or of single points (``objective.point_weights``). During the step they do not change: whatever
the optimizer, it lowers one function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, is_whole, shown
from pinnedu.jacobian import jacobian
from pinnedu.parameters import gradient, trainable_parameters
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.objective import Objective


class Weighting(Protocol):
    """What ``fit`` asks of a strategy. It keeps no state: what it built up is in the objective."""

    @property
    def sets(self) -> str:
        """Which weights are its own, "terms" or "points": no two strategies of a run may set the same."""

    def check(self, problem: Problem) -> None:
        """Raise ValueError if the strategy does not fit the problem."""

    def update(self, objective: Objective, step: int) -> None:
        """Set new weights before a step (the first is 1), or leave those of the last."""


@dataclass(frozen=True)
class _Balance(ABC):
    """Gives all terms the same size, every so many steps, by a moving average of w_k = sum_j s_j / s_k."""

    every: int = 100
    momentum: float = 0.9
    sets = "terms"

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not is_whole(self.every):
            raise ValueError(f"{name} needs every, a number of steps of at least 1, not {shown(self.every)}.")
        if not 0 <= as_number(self.momentum) < 1:
            raise ValueError(f"{name} needs a momentum in [0, 1), not {shown(self.momentum)}.")

    def check(self, problem: Problem) -> None:
        if len(problem.terms) < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 terms to balance, not {len(problem.terms)}.")

    @abstractmethod
    def sizes(self, objective: Objective) -> dict[str, float]:
        """The size of each term."""

    def update(self, objective: Objective, step: int) -> None:
        if (step - 1) % self.every == 0:
            sizes = self.sizes(objective.together())  # all processes find the same
            objective.loss_weights = balanced(objective.loss_weights, sizes, self.momentum if step > 1 else 0.0)


@dataclass(frozen=True)
class GradientBalance(_Balance):
    """Weights that give the gradients of all terms the same norm.

    With L_k the half mean square of term k, the target is

        w_k = sum_j |grad L_j| / |grad L_k|,

    taken in full at first and then followed by a moving average. A term whose gradient is zero to rounding keeps
    its weight. An update costs a backward pass for each term.

    Parameters
    ----------
    every : int
        Steps between updates. Wang et al. (2023) take 1000 of some 100,000 steps.
    momentum : float
        Share of the old weights in the moving average, in [0, 1).

    References
    ----------
    Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in physics-informed
    neural networks, algorithm 1; with norms, as here, Wang, Sankaran, Wang & Perdikaris (2023).
    """

    def sizes(self, objective: Objective) -> dict[str, float]:
        return gradient_norms(objective)


@dataclass(frozen=True)
class TangentKernelBalance(_Balance):
    """Weights that give the tangent kernels of all terms the same trace.

    With J_k the derivative of term k's N_k residuals by the weights, the target is

        w_k = sum_j t_j / t_k,    t_k = trace(J_k J_k^T) / N_k,

    taken in full at first and then followed by a moving average. The trace is the sum of the kernel's
    eigenvalues, the rates at which gradient descent lowers the parts of a residual. An update costs the Jacobian
    at all points.

    Parameters
    ----------
    every : int
        Steps between updates.
    momentum : float
        Share of the old weights in the moving average, in [0, 1).

    References
    ----------
    Wang, Yu & Perdikaris (2022), When and why PINNs fail to train: a neural tangent kernel perspective,
    algorithm 1; divided by N_k because the terms of the loss are means here.
    """

    def sizes(self, objective: Objective) -> dict[str, float]:
        return kernel_traces(objective)


@dataclass(frozen=True)
class Causal:
    """Weights of the equations' points that let a later time wait until the earlier ones are solved.

    Time is cut into equal windows. With R_i the mean square residual in window i, summed over the equations,

        w_i = exp(-epsilon * (R_1 + ... + R_{i-1})):

    1 in the first window, falling from there, and 1 everywhere once all residuals are small. Chosen anew before
    each step, which costs one evaluation of the equations more.

    Parameters
    ----------
    coordinate : str
        The time.
    epsilon : float
        How small the earlier residuals must be, positive. The larger, the stricter the order.
    chunks : int
        Number of windows, at least 2.

    References
    ----------
    Wang, Sankaran & Perdikaris (2024), Respecting causality for training physics-informed neural networks
    (arXiv 2022); epsilon = 1 and 32 windows as in Wang, Sankaran, Wang & Perdikaris (2023).
    """

    coordinate: str = "t"
    epsilon: float = 1.0
    chunks: int = 32
    sets = "points"

    def __post_init__(self) -> None:
        if not isinstance(self.coordinate, str):
            raise ValueError(f'Causal needs the name of the time first, such as Causal("t"), not {shown(self.coordinate)}.')
        if not as_number(self.epsilon) > 0:
            raise ValueError(f"Causal needs a positive epsilon, not {shown(self.epsilon)}.")
        if not is_whole(self.chunks, 2):
            raise ValueError(f"Causal needs at least 2 chunks of time, not {shown(self.chunks)}.")

    def check(self, problem: Problem) -> None:
        problem.domain.check_names((self.coordinate,), "Causal")
        if not problem.equations:
            raise ValueError("Causal weighs the equations in time, but the problem has none.")

    def update(self, objective: Objective, step: int) -> None:
        problem, points = objective.problem, objective.whole["interior"]
        with torch.no_grad():
            found = problem.blocks(objective.model, {"interior": points}, objective.derivatives)
        squares = {name: torch.stack(blocks).square().sum(dim=0) for name, blocks in found.items()}
        windows = Windows(
            problem.domain.names.index(self.coordinate),
            *problem.domain.bounds[self.coordinate],
            points.new_ones(self.chunks),
        )
        place = windows.place(points)
        sums = points.new_zeros(self.chunks).index_add_(0, place, torch.stack(list(squares.values())).sum(dim=0))
        means = sums / place.bincount(minlength=self.chunks).clamp_min(1)
        earlier = torch.cat([means.new_zeros(1), means[:-1].cumsum(dim=0)])
        values = torch.exp(-float(self.epsilon) * earlier)
        objective.point_weights = {
            name: replace(windows, values=values, average=_mean(values[place], square))
            for name, square in squares.items()
        }


@dataclass(frozen=True)
class Windows:
    """A weight for each of equal windows along one coordinate.

    Attributes
    ----------
    axis, low, high
        Position of the coordinate, and its interval.
    values : Tensor (chunks,)
    average : float
        What the weights make of a term, sum(w r^2) / sum(r^2) over the points they were chosen on.
    """

    axis: int
    low: float
    high: float
    values: Tensor
    average: float = 1.0

    def place(self, points: Tensor) -> Tensor:
        """The window of each point (N, d): integers (N,)."""
        count = len(self.values)
        share = (points[:, self.axis] - self.low) / (self.high - self.low)
        return (share * count).long().clamp(0, count - 1)

    def __call__(self, points: Tensor) -> Tensor:
        """The weight of each point (N, d), shape (N,)."""
        return self.values[self.place(points)]


def gradient_norms(objective: Objective) -> dict[str, float]:
    """The norm of the gradient of each term, without its weight."""
    weights = list(trainable_parameters(objective.model).values())
    terms = objective.weighted_terms(objective.residuals())
    return {
        name: float(gradient(term, weights, keep=True).norm())
        for name, term in zip(objective.problem.terms, terms, strict=True)
    }


def kernel_traces(objective: Objective) -> dict[str, float]:
    """The trace of each term's tangent kernel, divided by its number of residuals."""
    found = jacobian(objective.model, objective.problem, objective.sample)
    return {
        name: float((objective.weights_of_points(name, residual) * rows.square().sum(dim=1)).mean())
        for name, (residual, rows) in found.items()
    }


def balanced(weights: Mapping[str, float], sizes: Mapping[str, float], momentum: float = 0.0) -> dict[str, float]:
    """Weights that make all w_k s_k equal to sum_j s_j, averaged with the old ones."""
    total = sum(sizes.values())
    noise = total * torch.finfo(torch.float64).eps ** 0.5  # the term holds already: its gradient is rounding
    return {
        name: momentum * weights[name] + (1 - momentum) * total / sizes[name] if sizes[name] > noise else weights[name]
        for name in weights
    }


def resolve(weights: Any, problem: Problem) -> tuple[dict[str, float], list[Weighting]]:
    """The weights that training starts with, and the strategies that change them.

    Raises
    ------
    ValueError
        For anything that is not a dict of term to number, a strategy, or a list of them.
    """
    start, strategies, owners = dict.fromkeys(problem.terms, 1.0), [], set()
    for part in weights if isinstance(weights, list | tuple) else [] if weights is None else [weights]:
        if isinstance(part, Mapping):
            for name, weight in part.items():
                if not (isinstance(name, str) and name in problem.terms):
                    raise ValueError(f"weights names {shown(name)}, but the terms are {', '.join(problem.terms)}.")
                if not as_number(weight) >= 0:
                    raise ValueError(f"The weight of {name!r} must not be negative, not {shown(weight)}.")
            start |= {name: as_number(weight) for name, weight in part.items()}
        elif not isinstance(part, type) and callable(getattr(part, "update", None)) and hasattr(part, "sets"):
            part.check(problem)
            strategies.append(part)
        else:
            raise ValueError(
                "weights takes a dict of term to number, GradientBalance(), TangentKernelBalance(), Causal() "
                f"or a list of them, not {shown(part)}."
            )
        owner = getattr(part, "sets", "terms")
        if owner in owners:
            raise ValueError(f"weights has two parts that set the weights of the {owner}: give one of them.")
        owners.add(owner)
    strategies.sort(key=lambda part: part.sets != "points")  # a balance of the terms sees the weights of their points
    return start, strategies


def _mean(weights: Tensor, squares: Tensor) -> float:
    """Mean of the weights, each counted by its square residual; 1 where there is no residual at all."""
    total = float(squares.sum())
    return float((weights * squares).sum()) / total if total else 1.0


def weights_of(problem: Problem, model: nn.Module, sample: Sample) -> dict[str, float]:
    """Weights that make the loss of each term the square of the change of the fields that would mend it.

    The trace t_k of the tangent kernel of term k says by how much its residual changes where the weights do, that of the
    fields by how much they do: w_k = t / t_k, which is 1 for a condition on the value of a field.
    """
    traces = kernel_traces(Objective(model, problem, sample))
    field = float(sum(weight.numel() for weight in model.parameters())) / 2 / len(problem.fields)
    return {name: field / trace if trace > 0 else 1.0 for name, trace in traces.items()}
