"""Gauss-Newton with Levenberg-Marquardt damping and geodesic acceleration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, shown, whole
from pinnedu.parameters import assign, trainable_parameters, vector
from pinnedu.sampling import check_resample
from pinnedu.trainers.memory import require_memory
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Finished, Step
from pinnedu.trainers.parallel import ALONE, ProcessGroup

PROBE = 0.1  # the share of a step at which the bend of the residuals is measured


@dataclass(frozen=True)
class GaussNewton:
    """Replaces the residuals by their tangent in each step: min |r + J delta|^2 + mu |delta|^2.

    J is the derivative of the scaled residuals by the weights, so J^T J is the Hessian of the loss
    but for the bend of the residuals: for a linear problem and a linear model it is the matrix A of
    the theory, and a step with mu = 0 is Newton's. The damping mu follows the gain, the true over
    the predicted decrease (Nielsen 1999). A second solve with the same factor bends the step along
    the residuals' own curve (geodesic acceleration, Transtrum & Sethna 2012), which lets mu fall
    much lower in the curved valleys of a network's loss.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest diagonal entry of J^T J.
    acceleration : float
        Largest length of the bend relative to the step; longer ones raise mu. 0 turns it off.
    momentum : float
        Share m of the last step that mu pulls towards, in place of zero: min |r + J delta|^2 + mu |delta - m last|^2.
        That is SPRING, with the damping chosen by the gain; see its equations for the step. For points drawn again
        in each step, whose directions of descent it remembers.
    trials : int
        How often a step may raise mu before it gives up. A run on fixed points ends there.

    References
    ----------
    Nielsen (1999), Damping parameter in Marquardt's method. Transtrum & Sethna (2012), Improvements to the
    Levenberg-Marquardt algorithm for nonlinear least-squares minimization. Goldshlager, Abrahamsen & Lin (2024), A
    Kaczmarz-inspired approach to accelerate the optimization of neural network wavefunctions (SPRING).
    """

    damping: float = 1e-3
    acceleration: float = 0.75
    momentum: float = 0.0
    trials: int = 15
    resample: int = 10
    compiles = False

    def __post_init__(self) -> None:
        if not as_number(self.damping) > 0:
            raise ValueError(f"The damping must be positive, not {shown(self.damping)}.")
        if not 0 <= as_number(self.momentum) < 1:
            raise ValueError(f"The momentum must lie in [0, 1), not {shown(self.momentum)}.")
        if not as_number(self.acceleration) >= 0:
            raise ValueError(f"The acceleration must not be negative, not {shown(self.acceleration)}.")
        whole(self.trials, "trials")
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        return LevenbergMarquardt(self, model)


class LevenbergMarquardt:
    """The state of one run: damping and last step."""

    def __init__(self, options: GaussNewton, model: nn.Module) -> None:
        self.options = options
        self.weights = list(trainable_parameters(model).values())
        self.start = vector(self.weights)  # where the present step began
        self.mu: float | None = None
        self.raise_by = 2.0
        self.last: Tensor | None = None
        self.memory: dict[str, Tensor] = {}  # matrices of this size are dear to allocate anew

    def __call__(self, objective: Objective) -> Tensor:
        tangent = self.tangent(objective)
        loss = 0.5 * tangent.dot(tangent.residual, tangent.residual)
        if not (math.isfinite(loss) and math.isfinite(tangent.largest)):
            raise Finished("no step can be taken where a residual or its Jacobian is not finite")
        if self.mu is None:
            self.mu = self.options.damping * tangent.largest
        start = self.start = vector(self.weights)  # a step that is not taken is undone from here, to the last bit
        for _ in range(self.options.trials):
            delta, bend = self.propose(objective, tangent)
            if delta is not None:
                bent = delta if bend is None else delta + 0.5 * bend
                residual = self.residual(objective, tangent, start + bent)
                change, predicted = loss - 0.5 * tangent.dot(residual, residual), tangent.decrease(delta)
                if change > 0 and predicted > 0:
                    gain = min(change / predicted, 1.0)
                    self.mu = max(self.mu * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-16 * tangent.largest)
                    self.raise_by, self.last = 2.0, bent
                    return objective.linearized_terms
                assign(self.weights, start)
            self.last = None  # only pulled towards zero does a step surely go down
            self.mu *= self.raise_by
            self.raise_by *= 2
        self.mu, self.raise_by = min(self.mu, tangent.largest), 2.0
        raise Finished("no step lowers the loss any more")

    def tangent(self, objective: Objective) -> Tangent:
        """The residuals at the present weights, and what is known of their derivative."""
        if not self.memory:
            rows, columns = objective.count(), sum(map(Tensor.numel, self.weights))
            needed = (rows * columns + 2 * min(rows, columns) ** 2) * self.weights[0].element_size()
            what = f"{type(self.options).__name__} with {rows} residuals and {columns} weights"
            remedy = "use fewer points, or SPRING or GaussNewtonCG, which never write the Jacobian down"
            require_memory(what, needed, self.weights[0].device, remedy)
        return Tangent(objective.linearize().pairs, self.memory, objective.team)

    def state(self) -> dict[str, Any]:
        return {"mu": self.mu, "raise_by": self.raise_by, "last": self.last}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        self.mu, self.raise_by = state["mu"], state["raise_by"]
        self.last = None if state["last"] is None else state["last"].to(self.weights[0])

    def propose(self, objective: Objective, tangent: Tangent) -> tuple[Tensor | None, Tensor | None]:
        """A step for the present mu and its bend; no step where mu is too small to trust one."""
        assert self.mu is not None
        if not tangent.factor(self.mu):
            return None, None
        if self.last is None or not self.options.momentum:
            delta = tangent.solve(tangent.residual)
        else:
            pull = self.options.momentum * self.last
            delta = pull + tangent.solve(tangent.residual + tangent.image(pull))
        if not self.options.acceleration:
            return delta, None
        probed = self.residual(objective, tangent, self.start + PROBE * delta)
        assign(self.weights, self.start)
        # Second derivative of the residuals along the step, by a difference with the known slope.
        second = (2 / PROBE) * ((probed - tangent.residual) / PROBE - tangent.image(delta))
        bend = tangent.solve(second)
        if not 2 * float(bend.norm()) <= self.options.acceleration * float(delta.norm()):  # NaN is no bend to trust
            return None, None
        return delta, bend

    def residual(self, objective: Objective, tangent: Tangent, position: Tensor) -> Tensor:
        """Move the weights to a position (P,); all residuals there, scaled so that half their square norm is the loss."""
        assign(self.weights, position)
        with torch.no_grad():
            found = objective.residuals()
        return tangent.collect(torch.cat([objective.scale(name, r) * r for name, r in found.items()]))


class Tangent:
    """The residuals and their tangent r + J delta, and damped least squares with it.

    Solves in the space of the weights, (J^T J + mu) delta = -J^T v, or, where there are fewer
    residuals than weights, in theirs: delta = -J^T (J J^T + mu)^-1 v. Both are the same step. Where
    processes share the residuals, J^T J and J^T v are summed over them; J J^T needs all rows, so they are gathered.
    """

    def __init__(self, pairs: list[tuple[Tensor, Tensor]], memory: dict[str, Tensor], team: ProcessGroup = ALONE) -> None:
        self.residual, self.team = torch.cat([residual for residual, _ in pairs]), team
        self.parts = [rows for _, rows in pairs]
        self.dual = team.count(self.residual) < self.parts[0].shape[1]
        self.collect: Callable[[Tensor], Tensor] = lambda residual: residual
        if self.dual:
            self.collect, self.team = team.gather, ALONE
            self.parts, self.residual = [self.collect(torch.cat(self.parts))], self.collect(self.residual)
        size = len(self.residual) if self.dual else self.parts[0].shape[1]
        if "gram" not in memory or len(memory["gram"]) != size:
            square = self.residual.new_zeros(2, size, size)
            memory |= {"gram": square[0], "cholesky": square[1].T}  # by columns, as LAPACK wants it: else it copies
        self.gram, self.cholesky = memory["gram"].zero_(), memory["cholesky"]
        for rows in self.parts:
            add_gram(self.gram, rows.T if self.dual else rows)
        self.gram = self.team.sum(self.gram)
        self.largest = float(self.gram.diagonal().max())

    def image(self, delta: Tensor) -> Tensor:
        """J delta."""
        return torch.cat([rows @ delta for rows in self.parts])

    def transpose(self, residual: Tensor) -> Tensor:
        """J^T v."""
        pieces = residual.split([len(rows) for rows in self.parts])
        return self.team.sum(
            torch.stack([rows.T @ piece for rows, piece in zip(self.parts, pieces, strict=True)]).sum(dim=0)
        )

    def dot(self, left: Tensor, right: Tensor) -> float:
        """The inner product of two vectors of residuals."""
        return float(self.team.sum(left @ right))

    def factor(self, mu: float) -> bool:
        """Factor the damped matrix; False where rounding made it indefinite."""
        damped = self.cholesky.copy_(self.gram)
        damped.diagonal().add_(mu)
        info = self.gram.new_zeros((), dtype=torch.int32)
        torch.linalg.cholesky_ex(damped, out=(self.cholesky, info))
        return int(info) == 0

    def solve(self, residual: Tensor) -> Tensor:
        """Damped least squares for residuals v: the minimizer of |v + J delta|^2 + mu |delta|^2."""
        right = residual if self.dual else self.transpose(residual)
        # Two triangular solves: torch's own solver copies the factor first, which takes ten times as long.
        half = torch.linalg.solve_triangular(self.cholesky, right[:, None], upper=False)
        found = torch.linalg.solve_triangular(self.cholesky.T, half, upper=True)[:, 0]
        return -self.transpose(found) if self.dual else -found

    def decrease(self, delta: Tensor) -> float:
        """By how much the tangent's half square norm falls along a step."""
        image = self.image(delta)
        return -float(self.team.sum(self.residual @ image + 0.5 * image @ image))


def add_gram(total: Tensor, rows: Tensor, block: int = 192) -> None:
    """Add J^T J to a matrix, its lower triangle only and block by block: nearly half the work of a product."""
    for start in range(0, len(total), block):
        stop = start + block
        total[start:stop, :stop].addmm_(rows[:, start:stop].T, rows[:, :stop])
