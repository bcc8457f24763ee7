"""The loss of a model on drawn points, term by term."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pinnedu.field import Engine
from pinnedu.jacobian import jacobian
from pinnedu.problem import Problem, Sample


class Objective:
    """Half the weighted mean squares of the residuals, L = sum_k w_k / (2 N_k) |r_k|^2.

    With this scaling the Gauss-Newton matrix of L is J^T J for the residuals scaled by
    sqrt(w_k / N_k), and for a linear problem it is the matrix A of the theory.

    Parameters
    ----------
    model : Module
    problem : Problem
    sample : dict of set name to Tensor (N, d)
    weights : dict of term to float
        Terms without one have weight 1.
    derivatives : str or engine
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        sample: Sample,
        weights: Mapping[str, float] | None = None,
        derivatives: str | Engine = "taylor",
    ) -> None:
        self.model, self.problem, self.sample, self.derivatives = model, problem, sample, derivatives
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in problem.terms}
        self._first: Tensor | None = None
        self._vector: tuple[list[float], Tensor] | None = None
        self._memory: dict[str, Tensor] = {}

    def residuals(self) -> dict[str, Tensor]:
        """Residuals by name, each of one dimension."""
        return self.problem.residuals(self.model, self.sample, self.derivatives)

    def terms(self) -> Tensor:
        """Each term's half mean square, unweighted, in the order of ``problem.terms``."""
        residuals = self.residuals()
        return torch.stack([0.5 * residuals[name].square().mean() for name in self.problem.terms])

    def loss(self) -> Tensor:
        """The weighted sum of the terms, a scalar with its graph."""
        terms = self.terms()
        if self._first is None:
            self._first = terms.detach()
        return terms @ self.term_weights(terms)

    def term_weights(self, like: Tensor) -> Tensor:
        """The weights as a vector, made anew only when they change: making it stops a GPU."""
        values = list(self.weights.values())
        if self._vector is None or self._vector[0] != values:
            self._vector = values, like.new_tensor(values)
        return self._vector[1]

    def linearize(self) -> list[tuple[Tensor, Tensor]]:
        """Residuals and Jacobian by the weights, scaled by sqrt(w_k / N_k), one pair for each term."""
        found = jacobian(self.model, self.problem, self.sample, out=self._memory)
        self._first = torch.stack([0.5 * residual.square().mean() for residual, _ in found.values()])
        scales = [(self.weights[name] / len(residual)) ** 0.5 for name, (residual, _) in found.items()]
        return [
            (scale * residual, rows.mul_(scale)) for scale, (residual, rows) in zip(scales, found.values(), strict=True)
        ]

    def first_terms(self) -> Tensor:
        """The terms of the first evaluation since the last call: the loss a step started from."""
        terms, self._first = self._first, None
        if terms is None:
            with torch.no_grad():
                terms = self.terms()
        return terms
