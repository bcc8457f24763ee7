"""K-FAC for residuals: a Gauss-Newton matrix of small Kronecker factors, one pair for each layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, require, whole
from pinnedu.sampling import check_resample
from pinnedu.trainers.factored import FactoredJacobian, NotFactored, bytes_of_factors, wide
from pinnedu.trainers.gauss_newton import LevenbergMarquardt, Tangent
from pinnedu.trainers.memory import require_memory
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Step
from pinnedu.trainers.parallel import ALONE, ProcessGroup

Pair = tuple[Tensor, Tensor]
"""A (in + 1, in + 1) and B (out, out) of one layer: the block of J^T J is near A x B."""

SEARCH = 4.0
"""By how much a search makes the damping of the factors larger and smaller."""

TRACE = 1e-6
"""Damping of a factor that is zero, relative to that of the other."""


@dataclass(frozen=True)
class KFAC:
    """Gauss-Newton with J^T J replaced by Kronecker products: only matrices as wide as a layer are inverted.

    At a layer dr_n / dW = sum_c g_nc a_nc^T over Taylor coefficients c, and its block of J^T J is near

        A_e x B_e + A_c x B_c,  A = mean_nc a a^T,  B = sum_nc g g^T,

    one product for the equations and one for the conditions, averaged over steps. What this gives is a
    direction d only. How far to go along it, and along the step d' before, minimizes the true quadratic
    model |r + J (x d + y d')|^2 + mu |x d + y d'|^2, in two numbers x and y. A step takes O(N C P)
    operations and O(in^3 + out^3) for each layer; its memory are the factors of N points and some
    matrices as wide as the layers.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest diagonal entry of the Kronecker products. It follows the gain as in
        :class:`GaussNewton`, and a step that raises the loss is not taken.
    factor_damping : float
        Share of its mean eigenvalue that is added to each factor, at first.
    search : int
        Every so many steps that share is searched: it becomes 4 times smaller or larger where the quadratic
        model falls more. 0 leaves it as it is.
    average : float
        Share of the old factors in the new ones.
    trials : int
        How often a step may raise mu before it gives up.

    Raises
    ------
    ValueError
        At the first step, if some weights lie outside linear layers.

    References
    ----------
    Dangel, Mueller & Zeinhofer (2024), Kronecker-factored approximate curvature for physics-informed
    neural networks (KFAC*). Martens & Grosse (2015), Optimizing neural networks with Kronecker-factored
    approximate curvature, sections 6.4 to 7.
    """

    damping: float = 1e-3
    factor_damping: float = 1e-2
    search: int = 5
    average: float = 0.9
    trials: int = 15
    resample: int = 10
    compiles = False

    def __post_init__(self) -> None:
        for name in ("damping", "factor_damping"):
            require(as_number(getattr(self, name)) > 0, name, "a positive number", getattr(self, name))
        require(0 <= as_number(self.average) < 1, "average", "a number in [0, 1)", self.average)
        whole(self.search, "search", 0)
        whole(self.trials, "trials")
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        return _KroneckerStep(self, model)


class _KroneckerStep(LevenbergMarquardt):
    """Levenberg-Marquardt in the plane of the Kronecker direction and the last step."""

    options: KFAC  # type: ignore[assignment]

    def __init__(self, options: KFAC, model: nn.Module) -> None:
        super().__init__(options, model)  # type: ignore[arg-type]
        self.steps, self.share = 0, float(options.factor_damping)
        self.factors: list[list[Pair]] = []  # for each layer the pairs of equations and conditions

    def tangent(self, objective: Objective) -> Tangent:
        if self.steps == 0:
            size = sum(map(Tensor.numel, self.weights))
            what = f"KFAC with {objective.count()} residuals and {size} weights"
            # For each matrix the factors of equations and conditions: averages, new ones, and their bases.
            squares = 8 * sum(sum(side**2 for side in weight.shape) for weight in self.weights if weight.ndim == 2)
            needed = bytes_of_factors(objective) + squares * torch.finfo(wide(self.weights[0])).bits // 8
            require_memory(what, needed, self.weights[0].device)
        try:
            jacobian = FactoredJacobian(objective)
        except NotFactored:
            raise ValueError(
                "KFAC needs all weights in linear layers, and residuals that see their own point only: use GaussNewtonCG, "
                "or SOAP, for this model."
            ) from None
        fresh = kronecker_factors(jacobian, set(objective.problem.equations), objective.team)
        keep = float(self.options.average) if self.factors else 0.0
        before = self.factors or fresh
        self.factors = [
            [(old[0].lerp(new[0], 1 - keep), old[1].lerp(new[1], 1 - keep)) for old, new in zip(*layers, strict=True)]
            for layers in zip(before, fresh, strict=True)
        ]
        self.steps += 1
        return KroneckerTangent(jacobian, self.factors, objective)

    def propose(self, objective: Objective, tangent: Tangent) -> tuple[Tensor | None, Tensor | None]:
        assert self.mu is not None
        assert isinstance(tangent, KroneckerTangent)
        if tangent.direction is None:
            shares = [self.share]
            if self.options.search and self.steps % self.options.search == 1 % self.options.search:
                shares = [self.share / SEARCH, self.share, self.share * SEARCH]
            found = [tangent.preconditioned(share) for share in shares]
            if len(found) > 1:
                falls = [tangent.decrease(tangent.combine(one, self.last, self.mu)) for one in found]
                best = max(range(len(falls)), key=falls.__getitem__)
                self.share, found = min(shares[best], 1.0), [found[best]]
            tangent.direction = found[0]
        return tangent.combine(tangent.direction, self.last, self.mu), None

    def state(self) -> dict[str, Any]:
        listed = [[list(pair) for pair in layer] for layer in self.factors]
        return {**super().state(), "steps": self.steps, "share": self.share, "factors": listed}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        super().restore(state, objective)
        self.steps, self.share = state["steps"], state["share"]
        device, dtype = self.weights[0].device, wide(self.weights[0])
        self.factors = [[(a.to(device, dtype), b.to(device, dtype)) for a, b in layer] for layer in state["factors"]]


class KroneckerTangent(Tangent):
    """The tangent r + J delta; J is exact in products, and J^T J approximate in solves."""

    def __init__(self, jacobian: FactoredJacobian, factors: list[list[Pair]], objective: Objective) -> None:
        self.jacobian, self.factors = jacobian, factors
        self.residual, self.team = jacobian.residual, objective.team
        self.collect = lambda residual: residual
        self.gradient = self.transpose(self.residual)
        self.direction: Tensor | None = None

    @cached_property
    def largest(self) -> float:  # type: ignore[override]
        """The largest diagonal entry of the Kronecker products."""
        return float(torch.stack([a.diagonal().max() * b.diagonal().max() for layer in self.factors for a, b in layer]).max())

    def image(self, delta: Tensor) -> Tensor:
        return self.jacobian.image(delta)

    def transpose(self, residual: Tensor) -> Tensor:
        return self.team.sum(self.jacobian.transpose(residual))

    def preconditioned(self, share: float) -> Tensor:
        """The direction -K^-1 grad L, K the matrix of Kronecker products."""
        direction = torch.zeros_like(self.gradient)
        for layer, pairs in zip(self.jacobian.layers, self.factors, strict=True):
            gradient = layer.matrix(self.gradient).to(pairs[0][0])
            layer.put(direction, -solve_kronecker(pairs, gradient, share).to(direction))
        for column in self.jacobian.unknowns.values():  # one number each: its own block is exact
            squares = [part.columns[column].square().sum() for part in self.jacobian.parts if column in part.columns]
            block = self.team.sum(torch.stack([*squares, self.gradient.new_zeros(())]).sum())
            direction[column] = -self.gradient[column] / ((1 + share) * block).clamp(min=torch.finfo(block.dtype).tiny)
        return direction

    def combine(self, direction: Tensor, last: Tensor | None, mu: float) -> Tensor:
        """The minimizer of the quadratic model with damping mu among the combinations of one or two directions."""
        basis = torch.stack([direction] if last is None else [direction, last])
        basis = basis / torch.linalg.norm(basis, dim=1, keepdim=True).clamp(min=torch.finfo(basis.dtype).tiny)
        images = self.jacobian.image(basis)
        matrix = self.team.sum(images @ images.T) + mu * (basis @ basis.T)
        eigenvalues, vectors = torch.linalg.eigh(matrix)
        cut = len(basis) * torch.finfo(basis.dtype).eps * eigenvalues[-1]
        inverse = torch.where(eigenvalues > cut, 1 / eigenvalues.clamp(min=torch.finfo(basis.dtype).tiny), 0.0)
        return -(vectors @ (inverse * (vectors.T @ (basis @ self.gradient)))) @ basis


def kronecker_factors(jacobian: FactoredJacobian, equations: set[str], team: ProcessGroup = ALONE) -> list[list[Pair]]:
    """For each layer A and B of the equations and of the conditions, zero where there are none.

    A is the mean of a a^T over points and Taylor coefficients, B the sum of g g^T: with the scales
    sqrt(w / N) of the residuals that is the mean over points of the gradients of residuals without them.
    """
    dtype = wide(jacobian.residual)
    result = []
    for own, layer in enumerate(jacobian.layers):
        pairs = []
        width = sum(part.stop - part.start for part in (layer.weight, layer.bias) if part is not None) // layer.out
        for group in (True, False):
            a = jacobian.residual.new_zeros(width, width, dtype=dtype)
            b, count = a.new_zeros(layer.out, layer.out), a.new_zeros(())
            for part in jacobian.parts:
                if (part.term in equations) == group and own in part.factors:
                    slopes, inputs = (factor.flatten(0, 1) for factor in part.factors[own])
                    a += inputs.T @ inputs
                    b += slopes.T @ slopes
                    count += len(inputs)
            pairs.append((team.sum(a) / team.sum(count).clamp(min=1), team.sum(b)))
        result.append(pairs)
    return result


def solve_kronecker(pairs: list[Pair], gradient: Tensor, share: float) -> Tensor:
    """The V (out, in + 1) with sum B V A = gradient, over two pairs of damped factors.

    Both matrices of A are made diagonal by one basis, and so are those of B (a generalized eigenvalue problem).
    """
    right, values_a = _common_basis(*_damped([a for a, _ in pairs], share))
    left, values_b = _common_basis(*_damped([b for _, b in pairs], share))
    return left @ ((left.T @ gradient @ right) / (values_b[:, None] * values_a + 1)) @ right.T


def _damped(matrices: list[Tensor], share: float) -> list[Tensor]:
    """Add to each a share of its mean eigenvalue, and so little of the others' that none is singular where it is zero."""
    means = torch.stack([matrix.diagonal().mean() for matrix in matrices])
    least = TRACE * means.sum() + torch.finfo(means.dtype).tiny ** 0.5
    result = [matrix.clone() for matrix in matrices]
    for matrix, mean in zip(result, means, strict=True):
        matrix.diagonal().add_(share * (mean + least))
    return result


def _common_basis(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """A basis T with T^T second T = 1 and T^T first T diagonal, and that diagonal."""
    factor = torch.linalg.cholesky_ex(second).L
    half = torch.linalg.solve_triangular(factor, first, upper=False)
    whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
    values, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)
    return torch.linalg.solve_triangular(factor.T, vectors, upper=True), values.clamp(min=0)
