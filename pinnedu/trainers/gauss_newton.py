"""Gauss-Newton with Levenberg-Marquardt damping: second order for sums of squares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinnedu.jacobian import weights_of
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Step


@dataclass(frozen=True)
class GaussNewton:
    """Minimizes |r + J delta|^2 / 2 + mu |delta|^2 / 2 in each step.

    J is the derivative of the scaled residuals by the weights, so J^T J is the Hessian of the loss
    up to the curvature of the residuals themselves: for a linear problem and a linear model it is
    the matrix A, and a step with mu = 0 is Newton's. The damping mu follows the gain ratio (true over
    predicted decrease; Nielsen 1999): steps that do better than their model lower it, steps that
    raise the loss are not taken and raise it.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest diagonal entry of J^T J.
    momentum : float
        Share of the last step from which the damping pulls away, in place of zero (SPRING,
        Goldshlager, Abrahamsen & Lin 2024). 0 is plain Levenberg-Marquardt.
    trials : int
        How often a step may raise mu before it gives up.
    """

    damping: float = 1e-3
    momentum: float = 0.0
    trials: int = 12
    resample: int = 5

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ValueError(f"The damping must be positive, not {self.damping}.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"The momentum must lie in [0, 1), not {self.momentum}.")

    def start(self, model: nn.Module) -> Step:
        return _LevenbergMarquardt(self, model)


class _LevenbergMarquardt:
    """The state of one run: damping, last step."""

    def __init__(self, options: GaussNewton, model: nn.Module) -> None:
        self.options = options
        self.weights = list(weights_of(model).values())
        self.mu: float | None = None
        self.raise_by = 2.0
        self.last: Tensor | None = None

    def __call__(self, objective: Objective) -> Tensor:
        pairs = objective.linearize()
        residual = torch.cat([r for r, _ in pairs])
        size = sum(weight.numel() for weight in self.weights)
        loss = 0.5 * float(residual @ residual)
        system = _Normal(pairs) if size <= len(residual) else _Dual(pairs, residual)
        if self.mu is None:
            self.mu = self.options.damping * system.largest
        pull = torch.zeros(size).to(residual) if self.last is None else self.options.momentum * self.last
        for _ in range(self.options.trials):
            delta = system.solve(self.mu, pull)
            if delta is not None:
                self.move(delta)
                with torch.no_grad():
                    change = loss - float(objective.loss())
                predicted = system.decrease(delta)
                gain = change / predicted if predicted > 0 else -1.0
                if gain > 0:
                    self.mu *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
                    self.raise_by, self.last = 2.0, delta
                    break
                self.move(-delta)
            self.mu *= self.raise_by
            self.raise_by *= 2
        self.mu = max(self.mu, 1e-15 * system.largest)
        return objective.first_terms()

    def move(self, delta: Tensor) -> None:
        """Add a step to the weights."""
        with torch.no_grad():
            parts = delta.split([weight.numel() for weight in self.weights])
            for weight, part in zip(self.weights, parts, strict=True):
                weight += part.view_as(weight)


class _Normal:
    """Solves in the space of the weights, (J^T J + mu) delta = -J^T r: for fewer weights than residuals."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.gradient = sum(rows.T @ residual for residual, rows in pairs)
        self.matrix = pairs[0][1].T @ pairs[0][1]
        for _, rows in pairs[1:]:
            self.matrix.addmm_(rows.T, rows)
        self.largest = float(self.matrix.diagonal().max())

    def solve(self, mu: float, pull: Tensor) -> Tensor | None:
        damped = self.matrix.clone()
        damped.diagonal().add_(mu)
        factor, info = torch.linalg.cholesky_ex(damped)
        if int(info):
            return None  # too little damping for the precision: the caller raises it
        right = -(self.gradient + self.matrix @ pull)
        return pull + torch.cholesky_solve(right[:, None], factor)[:, 0]

    def decrease(self, delta: Tensor) -> float:
        return -float(self.gradient @ delta + 0.5 * delta @ (self.matrix @ delta))


class _Dual:
    """Solves in the space of the residuals, delta = -J^T (J J^T + mu)^-1 r: for fewer residuals than weights."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]], residual: Tensor) -> None:
        self.rows, self.residual = torch.cat([rows for _, rows in pairs]), residual
        self.kernel = self.rows @ self.rows.T
        self.largest = float(self.kernel.diagonal().max())

    def solve(self, mu: float, pull: Tensor) -> Tensor | None:
        damped = self.kernel.clone()
        damped.diagonal().add_(mu)
        factor, info = torch.linalg.cholesky_ex(damped)
        if int(info):
            return None
        right = -(self.residual + self.rows @ pull)
        return pull + self.rows.T @ torch.cholesky_solve(right[:, None], factor)[:, 0]

    def decrease(self, delta: Tensor) -> float:
        image = self.rows @ delta
        return -float(self.residual @ image + 0.5 * image @ image)
