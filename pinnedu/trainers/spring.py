"""SPRING: Gauss-Newton in the space of few residuals, for networks with many weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.parameters import assign, vector
from pinnedu.trainers.factored import FactoredJacobian, NotFactored, bytes_of_factors, wide
from pinnedu.trainers.gauss_newton import GaussNewton, LevenbergMarquardt, Tangent
from pinnedu.trainers.memory import require_memory
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Step
from pinnedu.trainers.parallel import ALONE


@dataclass(frozen=True)
class SPRING(GaussNewton):
    """Subsampled projected-increment natural gradient: few points, new in each step, and momentum.

    With N residuals and P weights, N far below P, a step is

        delta = m d - J^T (J J^T + mu)^-1 (r + m J d),

    d the step before and m the momentum: of all steps that fit these residuals, the one nearest to
    what the points of the steps before said. J is never written down: J J^T comes from its factors at
    the linear layers, and accumulates in float64 also where the network is in float32. A step takes
    N^2 P operations at most, N^3 / 3 for the solve, and N^2 + O(N sqrt(P)) numbers of memory. Where
    the residuals are as many as the weights, the step is that of :class:`GaussNewton`, which is cheaper then.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest diagonal entry of J J^T; with ``adaptive=False`` mu itself is that in each step.
    acceleration, momentum, trials
        As for :class:`GaussNewton`.
    adaptive : bool
        Let mu follow the gain, as GaussNewton does, and take no step that raises the loss. False: mu stays,
        every step is taken, and the processor never waits for a GPU.

    References
    ----------
    Goldshlager, Abrahamsen & Lin (2024), A Kaczmarz-inspired approach to accelerate the optimization of
    neural network wavefunctions. Guzman-Cordero et al. (2025), Improving energy natural gradient descent
    through Woodbury, momentum, and randomization.
    """

    acceleration: float = 0.0
    momentum: float = 0.9
    resample: int = 1
    adaptive: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.adaptive, bool), "adaptive", "True or False", self.adaptive)

    def start(self, model: nn.Module) -> Step:
        return _Spring(self, model)


class _Spring(LevenbergMarquardt):
    """Levenberg-Marquardt with the Jacobian in factors."""

    options: SPRING
    counted: tuple[tuple[int, ...], int] = (), 0  # points of each set, and how many residuals they have

    def __call__(self, objective: Objective) -> Tensor:
        if self.options.adaptive:
            return super().__call__(objective)
        tangent = self.tangent(objective)
        damped = tangent.cholesky.copy_(tangent.gram)
        damped.diagonal().add_(self.options.damping * tangent.gram.diagonal().max())
        tangent.cholesky = torch.linalg.cholesky_ex(damped).L
        if self.last is None:
            self.last = tangent.solve(tangent.residual)
        else:
            pull = self.options.momentum * self.last
            self.last = pull + tangent.solve(tangent.residual + tangent.image(pull))
        # What is not finite is no step; said by where(), no GPU has to wait for the answer.
        self.last = torch.where(torch.isfinite(self.last).all(), self.last, torch.zeros_like(self.last))
        assign(self.weights, vector(self.weights) + self.last)
        return objective.linearized_terms

    def tangent(self, objective: Objective) -> Tangent:
        shape, columns = tuple(map(len, objective.sample.values())), sum(map(Tensor.numel, self.weights))
        fresh = self.counted[0] != shape
        if fresh:
            self.counted = shape, objective.count()
        rows = self.counted[1]
        if objective.team is not ALONE or rows >= columns:
            return super().tangent(objective)
        if fresh:
            squares = 3 * rows**2 * torch.finfo(wide(self.weights[0])).bits // 8
            what = f"SPRING with {rows} residuals and {columns} weights"
            require_memory(what, bytes_of_factors(objective) + squares, self.weights[0].device)
        try:
            return FactoredTangent(FactoredJacobian(objective))
        except NotFactored:
            return super().tangent(objective)


class FactoredTangent(Tangent):
    """The tangent of few residuals by many weights: solves with J J^T, multiplies with J by its factors."""

    def __init__(self, factors: FactoredJacobian) -> None:
        self.factors, self.residual = factors, factors.residual
        self.team, self.dual = ALONE, True
        self.collect = lambda residual: residual
        self.gram = factors.gram(wide(self.residual))
        self.cholesky = torch.empty_like(self.gram).T

    @cached_property
    def largest(self) -> float:  # type: ignore[override]
        """The largest diagonal entry of J J^T; looking at it waits for the device."""
        return float(self.gram.diagonal().max())

    def image(self, delta: Tensor) -> Tensor:
        return self.factors.image(delta)

    def transpose(self, residual: Tensor) -> Tensor:
        return self.factors.transpose(residual.to(self.residual))

    def solve(self, residual: Tensor) -> Tensor:
        return super().solve(residual.to(self.gram))
