"""The loss of a model on drawn points, term by term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pinnedu.derivatives import Engine
from pinnedu.jacobian import jacobian
from pinnedu.parameters import gradient as gradient_of
from pinnedu.parameters import vector
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.parallel import ALONE, ProcessGroup


@dataclass(frozen=True)
class Evaluation:
    """A loss at some weights, without graph.

    Attributes
    ----------
    loss : Tensor, scalar
    terms : Tensor (K,)
        Each term's half mean square, unweighted, in the order of ``problem.terms``.
    gradient : Tensor (P,)
        Of the loss by the parameters that require a gradient, in the model's order; zero where it does not depend on one.
    weights : Tensor (P,)
        Where it was evaluated.
    """

    loss: Tensor
    terms: Tensor
    gradient: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Linearization:
    """Scaled residuals (N_k,) and their Jacobian (N_k, P), one pair for each term, and the terms of the loss."""

    pairs: list[tuple[Tensor, Tensor]]
    terms: Tensor

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.pairs)


class PointWeights(Protocol):
    """Weights of the points of an equation."""

    @property
    def average(self) -> float:
        """What they make of the term, sum(w r^2) / sum(r^2) over the points they were chosen on."""

    def __call__(self, points: Tensor) -> Tensor:
        """The weight of each point (N, d), shape (N,)."""


class Compiled(Protocol):
    """Loss and gradient as one program: see `Program`."""

    def __call__(self, sample: Sample, factors: Tensor) -> tuple[Tensor, Tensor] | None:
        """The terms of this process, and the gradient of ``terms @ factors``; None for points of other shapes."""

    def holds(self, objective: Objective) -> bool:
        """Whether it still computes what the equations say."""


class Objective:
    """Half the weighted mean squares of the residuals, L = sum_k w_k / (2 N_k) |r_k|^2.

    With this scaling the Gauss-Newton matrix of L is J^T J for the residuals scaled by
    sqrt(w_k / N_k), and for a linear problem it is the matrix A of the theory. Equations may have a weight for
    each point besides: see ``point_weights``, which strategies such as `Causal` set.

    Parameters
    ----------
    model : Module
    problem : Problem
    sample : dict of set name to Tensor (N, d)
    loss_weights : dict of term to float
        Terms without one have weight 1.
    derivatives : str or engine
    point_weights : dict of equation to PointWeights
        Weights of the interior points, as a function of them.
    team : ProcessGroup
        Processes that share the points; each computes on its own and all have the same loss.
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        sample: Sample,
        loss_weights: Mapping[str, float] | None = None,
        derivatives: str | Engine = "taylor",
        point_weights: Mapping[str, PointWeights] | None = None,
        *,
        team: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.problem, self.derivatives, self.team = model, problem, derivatives, team
        self._parameters = list(model.parameters())  # looked for once: a large model has many parts
        self.sample = sample
        self.point_weights = dict(point_weights or {})
        self.loss_weights = {name: float((loss_weights or {}).get(name, 1.0)) for name in problem.terms}
        self.program: Compiled | None = None  # computes loss and gradient where the step is compiled
        self._kept: tuple[list[Any], Evaluation] | None = None
        self._vector: tuple[list[float], Tensor] | None = None
        self.linearized_terms = torch.zeros(0)  # the terms where the residuals were linearized last
        self._memory: dict[str, Tensor] = {}
        self.proven: dict[str, Any] = {}

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

    def count(self) -> int:
        """How many residuals there are on this process's points, several a point for a system of equations."""
        with torch.no_grad():
            return sum(map(len, self.residuals().values()))

    def terms(self) -> Tensor:
        """Each term's half mean square, unweighted, in the order of ``problem.terms``."""
        return self.team.total(self.half_mean_squares(self.residuals()))

    def weighted_terms(self, residuals: Mapping[str, Tensor]) -> Tensor:
        """The same with the weights of the points, but not of the terms."""
        weighted = {name: self.weights_of_points(name, r).sqrt() * r for name, r in residuals.items()}
        return self.team.total(self.half_mean_squares(weighted))

    def half_mean_squares(self, residuals: Mapping[str, Tensor]) -> Tensor:
        """The part of each term that this process has: the mean over its points, times their fraction."""
        parts = {name: 0.5 * residual.square().mean() for name, residual in residuals.items()}
        if self.fractions:
            zero = next(iter(parts.values())).new_zeros(())
            parts = {name: self.fraction(name) * parts[name] if name in parts else zero for name in self.problem.terms}
        return torch.stack([parts[name] for name in self.problem.terms])

    def loss(self) -> Tensor:
        """The weighted sum of the terms, a scalar with its graph."""
        return self.loss_and_terms()[0]

    def loss_and_terms(self) -> tuple[Tensor, Tensor]:
        """The loss with its graph, and the terms as `terms` has them."""
        residuals = self.residuals()
        terms = self.team.total(self.half_mean_squares(residuals))
        weighted = self.weighted_terms(residuals) if self.point_weights else terms
        return weighted @ self.term_weights(terms), terms

    def term_weights(self, like: Tensor) -> Tensor:
        """The weights as a vector, made anew only when they change: making it stops a GPU."""
        values = list(self.loss_weights.values())
        if self._vector is None or self._vector[0] != values:
            self._vector = values, like.new_tensor(values)
        return self._vector[1]

    def evaluate(self, factor: float = 1.0) -> Evaluation:
        """Loss, terms and gradient at the present weights; loss and gradient times a factor.

        The last evaluation is kept, and returned again until the model, the points or the weights of the loss change.
        """
        function = self.function(factor)
        position = vector(self.trained())
        if self._kept is not None and same_function(self._kept[0], function) and torch.equal(self._kept[1].weights, position):
            return self._kept[1]
        self._kept = None  # its memory is free for the next
        loss, terms, gradient = self.loss_and_gradient(factor)
        found = Evaluation(loss, terms, gradient, position)
        self._kept = function, found
        return found

    def keep(self, evaluations: Sequence[Evaluation], factor: float = 1.0) -> None:
        """Of evaluations of the present function, keep the one at the present weights: a line search may go back to it."""
        position = vector(self.trained())
        for found in evaluations:
            if torch.equal(found.weights, position):
                self._kept = self.function(factor), found

    def forget(self) -> None:
        """Evaluate anew next time: something else that the equations read may have changed."""
        self._kept = None

    def trained(self) -> list[Tensor]:
        """The parameters that require a gradient, in the model's order."""
        return [weight for weight in self._parameters if weight.requires_grad]

    def function(self, factor: float = 1.0) -> list[Any]:
        """What makes the loss this function of the trained weights: see `same_function`."""
        held = [tensor for tensor in (*self._parameters, *self.model.buffers()) if not tensor.requires_grad]
        tensors = [*held, *self.sample.values()]
        versions = [tensor._version for tensor in tensors]
        return [*tensors, versions, factor, dict(self.loss_weights), *self.point_weights.items(), self.model.training]

    def loss_and_gradient(self, factor: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, terms and gradient, computed now: see `evaluate`."""
        weights = self.trained()
        if self.program is not None:
            factors = factor * self.term_weights(weights[0])
            if found := self.program(self.sample, factors):
                terms = self.team.sum(found[0])
                return terms @ factors, terms, self.team.sum(found[1])
        loss, terms = self.loss_and_terms()
        loss = loss if factor == 1.0 else factor * loss
        return loss.detach(), terms.detach(), self.team.sum(gradient_of(loss, weights))

    def linearize(self) -> Linearization:
        """Residuals and Jacobian by the weights, scaled by sqrt(w_k / N_k), one pair for each term."""
        found = jacobian(self.model, self.problem, self.sample, out=self._memory, proven=self.proven)
        terms = self.team.sum(self.half_mean_squares({name: residual for name, (residual, _) in found.items()}))
        scales = [self.scale(name, residual) for name, (residual, _) in found.items()]
        pairs = [
            (scale * residual, rows.mul_(scale[:, None]))
            for scale, (residual, rows) in zip(scales, found.values(), strict=True)
        ]
        self.linearized_terms = terms
        return Linearization(pairs, terms)

    def scale(self, name: str, residual: Tensor) -> Tensor:
        """The factors sqrt(w_k w_n / N_k) of a term's residuals: half the square norm of all is the loss."""
        own = self.weights_of_points(name, residual).sqrt()
        return (self.loss_weights[name] * self.fraction(name) / len(residual)) ** 0.5 * own

    def weights_of_points(self, name: str, residual: Tensor) -> Tensor:
        """The weights of a term's points, one for each of its residuals; 1 unless `point_weights` has others."""
        if name not in self.point_weights:
            return residual.new_ones(1)
        points = self.sample["interior"]
        return self.point_weights[name](points).to(residual).repeat(len(residual) // len(points))

    def used_weights(self) -> list[float]:
        """What makes the loss of the terms: the weight of each, times the average weight of its points."""
        averages = {name: weights.average for name, weights in self.point_weights.items()}
        return [weight * averages.get(name, 1.0) for name, weight in self.loss_weights.items()]

    def together(self) -> Objective:
        """The same objective on the points of all processes, computed by this one alone."""
        if self.team is ALONE:
            return self
        return Objective(self.model, self.problem, self.whole, self.loss_weights, self.derivatives, self.point_weights)


def same_function(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether an objective is the same function of the weights that it was: see `Objective.function`."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):  # a name, and the weights of its points
        return isinstance(other, tuple) and one[0] == other[0] and one[1] is other[1]
    return one is other or (not isinstance(one, Tensor) and one == other)
