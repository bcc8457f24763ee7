"""Matrix-free Gauss-Newton: conjugate gradients need products with J and J^T only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, require, whole
from pinnedu.device import move
from pinnedu.parameters import trainable_parameters
from pinnedu.trainers.factored import FactoredJacobian, NotFactored, bytes_of_factors, wide
from pinnedu.trainers.gauss_newton import GaussNewton, LevenbergMarquardt, Tangent
from pinnedu.trainers.memory import require_memory
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Step
from pinnedu.trainers.parallel import ProcessGroup

LOOK = 10  # iterations of conjugate gradients between two looks at their residual, each of which waits for a GPU


@dataclass(frozen=True)
class GaussNewtonCG(GaussNewton):
    """Gauss-Newton for many residuals and many weights: the step by preconditioned conjugate gradients.

    Solves (J^T J + mu) delta = -J^T r without any of these matrices. Products with J and J^T cost two
    passes over the factors of the Jacobian at the linear layers, N C P operations each with C Taylor
    coefficients; models with weights elsewhere differentiate the reverse pass. A randomized Nystroem
    approximation of J^T J removes its largest eigenvalues from the problem: after it, the iterations
    needed depend on the eigenvalues beyond the rank. Memory: 3 P rank + the factors of N points.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest eigenvalue of J^T J. It follows the gain as in :class:`GaussNewton`.
    iterations : int
        Of conjugate gradients in a step, at most.
    tolerance : float
        End them where the residual has fallen by this factor.
    rank : int
        Of the preconditioner.
    refresh : int
        Make the preconditioner again every so many steps; a making costs as much as ``rank`` iterations, in
        larger products. While the network learns fast, one of the step before is of little use already.

    References
    ----------
    Frangella, Tropp & Udell (2023), Randomized Nystroem preconditioning, algorithms 2.1 and 5.1.
    Rathore et al. (2024), Challenges in training PINNs: a loss landscape perspective (NysNewton-CG).
    """

    acceleration: float = 0.0
    iterations: int = 30
    tolerance: float = 1e-2
    rank: int = 50
    refresh: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "rank", "refresh"):
            whole(getattr(self, name), name)
        require(0 < as_number(self.tolerance) < 1, "tolerance", "a number between 0 and 1", self.tolerance)

    def start(self, model: nn.Module) -> Step:
        return _MatrixFree(self, model)


class _MatrixFree(LevenbergMarquardt):
    """Levenberg-Marquardt whose tangent is a pair of products."""

    options: GaussNewtonCG

    def __init__(self, options: GaussNewtonCG, model: nn.Module) -> None:
        super().__init__(options, model)
        self.steps = 0
        self.preconditioner: Nystroem | None = None

    def tangent(self, objective: Objective) -> Tangent:
        size = sum(map(Tensor.numel, self.weights))
        rank = min(self.options.rank, size)
        if self.steps == 0:
            sketch = 4 * size * rank * torch.finfo(wide(self.weights[0])).bits // 8
            what = f"GaussNewtonCG with {objective.count()} residuals and {size} weights"
            require_memory(what, bytes_of_factors(objective) + sketch, self.weights[0].device)
        try:
            products: Products = FactoredJacobian(objective)
        except NotFactored:
            products = GraphProducts(objective)
        tangent = MatrixFreeTangent(products, objective.team, self.options)
        if self.steps % self.options.refresh == 0 or self.preconditioner is None:
            generator = torch.Generator().manual_seed(self.steps)
            normal = torch.randn(rank, size, dtype=torch.float64, generator=generator)
            self.preconditioner = Nystroem.of(tangent.square, move(normal, products.residual.device, products.residual.dtype))
        tangent.preconditioner = self.preconditioner
        self.steps += 1
        return tangent

    def state(self) -> dict[str, Any]:
        known = self.preconditioner
        return {
            **super().state(),
            "steps": self.steps,
            "basis": None if known is None else known.basis,
            "values": None if known is None else known.values,
        }

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        super().restore(state, objective)
        self.steps, like = state["steps"], self.weights[0]
        if state["basis"] is not None:
            self.preconditioner = Nystroem(state["basis"].to(like), state["values"].to(like))


class Products(Protocol):
    """Scaled residuals (N,) and products with their Jacobian, for one vector or several (k, P), (k, N)."""

    residual: Tensor

    def image(self, vectors: Tensor) -> Tensor:
        """J v."""

    def transpose(self, vectors: Tensor) -> Tensor:
        """J^T w."""


class GraphProducts:
    """Products from the graph of the residuals, for any model.

    The reverse pass J^T w is linear in w, so its own reverse pass by w multiplies with J: no forward mode is needed.
    """

    def __init__(self, objective: Objective) -> None:
        # Of copies, for the weights move while the graph is in use.
        weights = trainable_parameters(objective.model)
        copies = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
        network = {name: copy for name, copy in copies.items() if not name.startswith("unknowns.")}

        class Copy(nn.Module):
            def forward(self, inputs: Tensor) -> Tensor:
                found: Tensor = torch.func.functional_call(objective.model, network, (inputs,))
                return found

        unknowns = {
            name: copies.get(f"unknowns.{name}", value) for name, value in getattr(objective.model, "unknowns", {}).items()
        }
        self.weights = list(copies.values())
        with torch.enable_grad():
            blocks = objective.problem.blocks(Copy(), objective.sample, objective.derivatives, unknowns)
            residuals = {name: torch.cat(parts) for name, parts in blocks.items()}
            self.graph = torch.cat([objective.scale(name, r.detach()) * r for name, r in residuals.items()])
            self.dummy = torch.zeros_like(self.graph, requires_grad=True)
            self.pulled = self.pull(self.dummy, create_graph=True)
        self.residual = self.graph.detach()
        found = {name: residual.detach() for name, residual in residuals.items()}
        objective.linearized_terms = objective.team.sum(objective.half_mean_squares(found))

    def image(self, vectors: Tensor) -> Tensor:
        """J v."""
        if vectors.ndim == 2:
            return torch.stack([self.image(one) for one in vectors])
        return torch.autograd.grad(self.pulled, self.dummy, vectors, retain_graph=True)[0]

    def transpose(self, vectors: Tensor) -> Tensor:
        """J^T w."""
        if vectors.ndim == 2:
            return torch.stack([self.transpose(one) for one in vectors])
        return self.pull(vectors, retain_graph=True)

    def pull(self, vector: Tensor, **options: bool) -> Tensor:
        slopes = torch.autograd.grad(self.graph, self.weights, vector, materialize_grads=True, allow_unused=True, **options)
        return torch.cat([slope.flatten() for slope in slopes])


class MatrixFreeTangent(Tangent):
    """The tangent r + J delta, and damped least squares with it by conjugate gradients."""

    preconditioner: Nystroem

    def __init__(self, products: Products, team: ProcessGroup, options: GaussNewtonCG) -> None:
        self.products, self.residual, self.team, self.options = products, products.residual, team, options
        self.collect = lambda residual: residual
        self.mu = 0.0

    @cached_property
    def largest(self) -> float:  # type: ignore[override]
        """An estimate of the largest eigenvalue of J^T J."""
        return float(self.preconditioner.values[0])

    def image(self, delta: Tensor) -> Tensor:
        return self.products.image(delta)

    def transpose(self, residual: Tensor) -> Tensor:
        return self.team.sum(self.products.transpose(residual))

    def square(self, vectors: Tensor) -> Tensor:
        """J^T J v."""
        return self.transpose(self.image(vectors))

    def factor(self, mu: float) -> bool:
        self.mu = mu
        return True

    def solve(self, residual: Tensor) -> Tensor:
        right = -self.transpose(residual)
        return conjugate_gradients(
            lambda v: self.square(v) + self.mu * v,
            right,
            lambda v: self.preconditioner.solve(v, self.mu),
            self.options.iterations,
            float(self.options.tolerance),
        )


@dataclass
class Nystroem:
    """A symmetric positive matrix of low rank near another: basis U (P, k) with orthonormal columns, values (k,)."""

    basis: Tensor
    values: Tensor

    @staticmethod
    def of(product: Any, normal: Tensor) -> Nystroem:
        """Approximate the matrix behind a product with vectors (k, P), from a normal sample of that shape.

        The shift keeps the Cholesky factor real in rounding; it is taken off again at the end.
        """
        directions = torch.linalg.qr(normal.T).Q
        images = product(directions.T.contiguous()).T.to(wide(normal))
        directions = directions.to(images)
        shift = torch.finfo(normal.dtype).eps * torch.linalg.norm(images) + torch.finfo(normal.dtype).tiny
        seen = (images != 0).any(dim=1, keepdim=True)  # a weight that the matrix does not know stays where it is
        images = images + shift * seen * directions
        core = directions.T @ images
        factor = torch.linalg.cholesky_ex((core + core.T) / 2).L
        half = torch.linalg.solve_triangular(factor, images.T, upper=False).T
        basis, roots, _ = torch.linalg.svd(half, full_matrices=False)
        return Nystroem(basis.to(normal), (roots.square() - shift).clamp(min=0).to(normal))

    def solve(self, vector: Tensor, mu: float) -> Tensor:
        """Divide by the approximation plus mu, where what is outside the basis counts as its smallest value."""
        inside = self.basis.T @ vector
        scale = (self.values[-1] + mu) / (self.values + mu) - 1
        return vector + self.basis @ (scale * inside)


def conjugate_gradients(product: Any, right: Tensor, precondition: Any, iterations: int, tolerance: float) -> Tensor:
    """Solve A x = b from x = 0 for a symmetric positive A, given as a product."""
    solution, residual = torch.zeros_like(right), right
    scaled = precondition(residual)
    direction, size = scaled, residual @ scaled
    tiny = torch.finfo(right.dtype).tiny
    for iteration in range(1, iterations + 1):
        image = product(direction)
        length = size / (direction @ image).clamp(min=tiny)
        solution = solution + length * direction
        residual = residual - length * image
        if iteration == iterations or (iteration % LOOK == 0 and _fallen(residual, right, tolerance)):
            break
        scaled = precondition(residual)
        before, size = size, residual @ scaled
        direction = scaled + size / before.clamp(min=tiny) * direction
    return solution


def _fallen(residual: Tensor, right: Tensor, tolerance: float) -> bool:
    return bool(torch.linalg.norm(residual) <= tolerance * torch.linalg.norm(right))
