"""The loss of a model on drawn points, term by term."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pinnedu.field import Engine
from pinnedu.jacobian import jacobian
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.weights import Windows


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
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        sample: Sample,
        weights: Mapping[str, float] | None = None,
        derivatives: str | Engine = "taylor",
        shares: Mapping[str, Windows] | None = None,
    ) -> None:
        self.model, self.problem, self.sample, self.derivatives = model, problem, sample, derivatives
        self.shares = dict(shares or {})
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in problem.terms}
        self._first: Tensor | None = None
        self._memory: dict[str, Tensor] = {}

    def residuals(self) -> dict[str, Tensor]:
        """Residuals by name, each of one dimension."""
        return self.problem.residuals(self.model, self.sample, self.derivatives)

    def terms(self) -> Tensor:
        """Each term's half mean square, unweighted, in the order of ``problem.terms``."""
        residuals = self.residuals()
        return torch.stack([0.5 * residuals[name].square().mean() for name in self.problem.terms])

    def shared_terms(self) -> dict[str, Tensor]:
        """The same by name, with the weights of the points but not of the terms; with their graph."""
        residuals = self.residuals()
        if self._first is None:
            self._first = torch.stack([0.5 * residuals[name].detach().square().mean() for name in self.problem.terms])
        squares = {name: residuals[name].square() for name in self.problem.terms}
        return {
            name: 0.5 * (self.share(name, square) * square if name in self.shares else square).mean()
            for name, square in squares.items()
        }

    def loss(self) -> Tensor:
        """The weighted sum of the terms, a scalar with its graph."""
        terms = torch.stack(list(self.shared_terms().values()))
        return terms @ terms.new_tensor(list(self.weights.values()))

    def linearize(self) -> list[tuple[Tensor, Tensor]]:
        """Residuals and Jacobian by the weights, times their scales, one pair for each term."""
        found = jacobian(self.model, self.problem, self.sample, out=self._memory)
        self._first = torch.stack([0.5 * residual.square().mean() for residual, _ in found.values()])
        scales = [self.scale(name, residual) for name, (residual, _) in found.items()]
        return [
            (scale * residual, rows.mul_(scale[:, None]))
            for scale, (residual, rows) in zip(scales, found.values(), strict=True)
        ]

    def scale(self, name: str, residual: Tensor) -> Tensor:
        """The factors sqrt(w_k share_n / N_k) of a term's residuals: half the square norm of all is the loss."""
        scale = residual.new_full((1,), (self.weights[name] / len(residual)) ** 0.5)
        return scale * self.share(name, residual).sqrt() if name in self.shares else scale

    def share(self, name: str, residual: Tensor) -> Tensor:
        """The weights of a term's points, one for each of its residuals; 1 unless `shares` has others."""
        if name not in self.shares:
            return residual.new_ones(1)
        points = self.sample["interior"]
        return self.shares[name](points).to(residual).repeat(len(residual) // len(points))

    def used_weights(self) -> list[float]:
        """What makes the loss of the terms: the weight of each, times the average weight of its points."""
        return [w * (self.shares[name].average if name in self.shares else 1.0) for name, w in self.weights.items()]

    def first_terms(self) -> Tensor:
        """The terms of the first evaluation since the last call: the loss a step started from."""
        terms, self._first = self._first, None
        if terms is None:
            with torch.no_grad():
                terms = self.terms()
        return terms
