"""The loss of a model on drawn points, term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pinnedu.field import Engine
from pinnedu.jacobian import jacobian
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.parallel import ALONE, ProcessGroup
from pinnedu.trainers.weights import Windows

if TYPE_CHECKING:
    from pinnedu.trainers.compiled import Program


class Objective:
    """Half the weighted mean squares of the residuals, L = sum_k w_k / (2 N_k) |r_k|^2.

    With this scaling the Gauss-Newton matrix of L is J^T J for the residuals scaled by
    sqrt(w_k / N_k), and for a linear problem it is the matrix A of the theory. Equations may have a weight for
    each point besides: see ``shares``, which strategies such as `Causal` set.

    Parameters
    ----------
    model : Module
    problem : Problem
    sample : dict of set name to Tensor (N, d)
    weights : dict of term to float
        Terms without one have weight 1.
    derivatives : str or engine
    shares : dict of equation to Windows
        Weights of the interior points, as a function of them.
    team : ProcessGroup
        Processes that share the points; each computes on its own and all have the same loss.
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        sample: Sample,
        weights: Mapping[str, float] | None = None,
        derivatives: str | Engine = "taylor",
        shares: Mapping[str, Windows] | None = None,
        *,
        team: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.problem, self.derivatives, self.team = model, problem, derivatives, team
        self.sample = sample
        self.shares = dict(shares or {})
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in problem.terms}
        self.program: Program | None = None  # computes loss and gradient where the step is compiled
        self._first: Tensor | None = None
        self._vector: tuple[list[float], Tensor] | None = None
        self._memory: dict[str, Tensor] = {}

    @property
    def sample(self) -> Sample:
        """The points; where several processes share them, this one's."""
        return self._own

    @sample.setter
    def sample(self, whole: Sample) -> None:
        self.whole = whole
        self._own, self.fractions = self.team.partition(self.problem, whole)

    def fraction(self, name: str) -> float:
        """Which fraction of a term's points this process has."""
        return self.fractions.get(name if name in self.problem.conditions else "interior", 1.0)

    def residuals(self) -> dict[str, Tensor]:
        """Residuals by name, each of one dimension."""
        return self.problem.residuals(self.model, self.sample, self.derivatives)

    def terms(self) -> Tensor:
        """Each term's half mean square, unweighted, in the order of ``problem.terms``."""
        return self.team.total(self.half_mean_squares(self.residuals()))

    def shared_terms(self) -> Tensor:
        """The same with the weights of the points, but not of the terms; with its graph."""
        residuals = self.residuals()
        terms = self.team.total(self.half_mean_squares(residuals))
        if self._first is None:
            self._first = terms.detach()
        if not self.shares:
            return terms
        shared = {name: self.share(name, residual).sqrt() * residual for name, residual in residuals.items()}
        return self.team.total(self.half_mean_squares(shared))

    def half_mean_squares(self, residuals: Mapping[str, Tensor]) -> Tensor:
        """The part of each term that this process has: the mean over its points, times their fraction."""
        parts = {name: 0.5 * residual.square().mean() for name, residual in residuals.items()}
        if self.fractions:
            zero = next(iter(parts.values())).new_zeros(())
            parts = {name: self.fraction(name) * parts[name] if name in parts else zero for name in self.problem.terms}
        return torch.stack([parts[name] for name in self.problem.terms])

    def loss(self) -> Tensor:
        """The weighted sum of the terms, a scalar with its graph."""
        terms = self.shared_terms()
        return terms @ self.term_weights(terms)

    def term_weights(self, like: Tensor) -> Tensor:
        """The weights as a vector, made anew only when they change: making it stops a GPU."""
        values = list(self.weights.values())
        if self._vector is None or self._vector[0] != values:
            self._vector = values, like.new_tensor(values)
        return self._vector[1]

    def loss_and_gradient(self, weights: Sequence[Tensor], factor: float = 1.0) -> tuple[Tensor, list[Tensor | None]]:
        """The loss and its gradient by some weights, both times a factor; None where the loss does not depend on one."""
        if self.program is not None:
            factors = factor * self.term_weights(weights[0])
            if found := self.program(self.sample, factors):
                terms = self.team.sum(found[0])
                if self._first is None:
                    self._first = terms
                return terms @ factors, self.team.sum_all([found[1][id(weight)] for weight in weights], weights)
        loss = self.loss()
        loss = loss if factor == 1.0 else factor * loss
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        return loss.detach(), self.team.sum_all(gradients, weights)

    def linearize(self) -> list[tuple[Tensor, Tensor]]:
        """Residuals and Jacobian by the weights, scaled by sqrt(w_k / N_k), one pair for each term."""
        found = jacobian(self.model, self.problem, self.sample, out=self._memory)
        self._first = self.team.sum(self.half_mean_squares({name: residual for name, (residual, _) in found.items()}))
        scales = [self.scale(name, residual) for name, (residual, _) in found.items()]
        return [
            (scale * residual, rows.mul_(scale[:, None]))
            for scale, (residual, rows) in zip(scales, found.values(), strict=True)
        ]

    def scale(self, name: str, residual: Tensor) -> Tensor:
        """The factors sqrt(w_k share_n / N_k) of a term's residuals: half the square norm of all is the loss."""
        return (self.weights[name] * self.fraction(name) / len(residual)) ** 0.5 * self.share(name, residual).sqrt()

    def share(self, name: str, residual: Tensor) -> Tensor:
        """The weights of a term's points, one for each of its residuals; 1 unless `shares` has others."""
        if name not in self.shares:
            return residual.new_ones(1)
        points = self.sample["interior"]
        return self.shares[name](points).to(residual).repeat(len(residual) // len(points))

    def used_weights(self) -> list[float]:
        """What makes the loss of the terms: the weight of each, times the average weight of its points."""
        return [w * (self.shares[name].average if name in self.shares else 1.0) for name, w in self.weights.items()]

    def together(self) -> Objective:
        """The same objective on the points of all processes, computed by this one alone."""
        if self.team is ALONE:
            return self
        return Objective(self.model, self.problem, self.whole, self.weights, self.derivatives, self.shares)

    def first_terms(self) -> Tensor:
        """The terms of the first evaluation since the last call: the loss a step started from."""
        terms, self._first = self._first, None
        if terms is None:
            with torch.no_grad():
                terms = self.terms()
        return terms
