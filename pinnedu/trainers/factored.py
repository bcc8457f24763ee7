"""The Jacobian of a large network as factors: products with it without writing it down.

At a linear layer z = W a + b the derivative of residual n is a sum of few outer products, one for each
Taylor coefficient c: dr_n / dW = sum_c g_nc a_nc^T with g = dr / dz (see ``pinnedu.jacobian``). The factors
are C (in + out) numbers a point where the rows have in * out. J v, J^T w and J J^T follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from pinnedu.derivatives.jet import LinearCall
from pinnedu.derivatives.taylor import taylor
from pinnedu.jacobian import all_in_layers
from pinnedu.parameters import gradient, trainable_parameters
from pinnedu.trainers.gauss_newton import add_gram
from pinnedu.trainers.objective import Objective

BLOCK = 2**23
"""Numbers that a product may form beside its result: 64 MB in float64."""


@dataclass
class Layer:
    """Where the weights of one linear layer stand among all: the matrix, the bias as its last column, or one of them."""

    weight: slice | None
    bias: slice | None
    out: int

    def matrix(self, flat: Tensor) -> Tensor:
        """The layer's part of vectors (..., P) as matrices (..., out, in + 1)."""
        parts = [flat[..., own].unflatten(-1, (self.out, -1)) for own in (self.weight, self.bias) if own is not None]
        return torch.cat(parts, dim=-1)

    def put(self, flat: Tensor, matrix: Tensor) -> None:
        """Add matrices (..., out, in + 1) to the layer's part of vectors (..., P)."""
        if self.weight is not None:
            flat[..., self.weight] += (matrix if self.bias is None else matrix[..., :-1]).flatten(-2)
        if self.bias is not None:
            flat[..., self.bias] += matrix[..., -1]

    def inputs(self, call: LinearCall, used: list[bool]) -> Tensor:
        """The inputs (C, M, in + 1) of a call; the bias sees a 1 in the value, and 0 in its derivatives."""
        parts = []
        kept = [c for c, one in zip(call.inputs, used, strict=True) if one and c is not None]
        if self.weight is not None:
            parts.append(torch.stack(kept).detach())
        if self.bias is not None:
            ones = kept[0].new_zeros(len(kept), len(kept[0]), 1)
            ones[0] = float(used[0])
            parts.append(ones)
        return torch.cat(parts, dim=-1)


@dataclass
class Part:
    """One block of residuals: its rows, and for each layer the factors g (C, M, out) and a (C, M, in + 1).

    M is the number of rows, or twice as many where each residual sees a pair of points.
    """

    term: str
    rows: slice
    fold: int
    factors: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    columns: dict[int, Tensor] = field(default_factory=dict)


class FactoredJacobian:
    """Residuals scaled as by ``Objective.linearize`` and their Jacobian (N, P), as factors.

    Attributes
    ----------
    residual : Tensor (N,)
    layers : list of Layer
    parts : list of Part
    """

    def __init__(self, objective: Objective) -> None:
        weights = trainable_parameters(objective.model)
        self.size, place = 0, {}
        for weight in weights.values():
            place[id(weight)] = slice(self.size, self.size + weight.numel())
            self.size += weight.numel()
        self.unknowns = {
            name: place[id(weights[f"unknowns.{name}"])].start
            for name in getattr(objective.model, "unknowns", {})
            if f"unknowns.{name}" in weights
        }
        self.layers: list[Layer] = []
        self.parts: list[Part] = []
        self._places: dict[tuple[int, int], int] = {}
        residuals: dict[str, list[Tensor]] = {}
        scaled: list[Tensor] = []
        for name, points in objective.sample.items():
            unknowns = {
                label: value.detach().expand(len(points)).clone().requires_grad_()
                for label, value in getattr(objective.model, "unknowns", {}).items()
            }
            tape: list[LinearCall] = []
            with torch.enable_grad():
                blocks = objective.problem.blocks(objective.model, {name: points}, partial(taylor, tape=tape), unknowns)
            if not blocks:  # a set that no residual lives on, as the interior of a regression
                continue
            if not all_in_layers(weights, tape, unknowns):
                raise NotFactored
            self._find_layers(tape, place)
            outputs = [c for call in tape for c in call.outputs if c is not None]
            left = sum(len(found) for found in blocks.values())
            for term, found in blocks.items():
                whole = torch.cat(found).detach()
                scales = objective.scale(term, whole).expand(len(whole)).split([len(block) for block in found])
                residuals[term] = [whole]
                for block, scale in zip(found, scales, strict=True):
                    left -= 1
                    start = sum(map(len, scaled))
                    part = Part(term, slice(start, start + len(block)), len(points) // len(block))
                    scaled.append(scale * block.detach())
                    self.parts.append(part)
                    if block.requires_grad:
                        gradients = torch.autograd.grad(
                            block.sum(), [*outputs, *unknowns.values()], retain_graph=left > 0, allow_unused=True
                        )
                        self._fill(part, tape, gradients, scale.repeat(part.fold))
                        for label, slope in zip(unknowns, gradients[len(outputs) :], strict=True):
                            if slope is not None and label in self.unknowns:
                                part.columns[self.unknowns[label]] = scale * slope.view(part.fold, -1).sum(dim=0)
        self.residual = torch.cat(scaled)
        whole_terms = {term: torch.cat(pieces) for term, pieces in residuals.items()}
        objective.linearized_terms = objective.team.sum(objective.half_mean_squares(whole_terms))
        self._check(objective)

    def _check(self, objective: Objective) -> None:
        """Once for points and weights of these shapes: J^T v is the gradient of v . r by plain reverse mode, or NotFactored."""
        kind = objective.problem, tuple(map(len, objective.sample.values())), self.size, objective.model.training
        if objective.proven.get("factors") == kind or self.residual.is_meta:  # there are no numbers on meta
            return
        generator = torch.Generator().manual_seed(0)
        numbers = torch.randn(len(self.residual), dtype=torch.float64, generator=generator).to(self.residual)
        with torch.enable_grad():
            residuals = objective.residuals()
            scaled = {name: objective.scale(name, r.detach()) * r for name, r in residuals.items()}
            # The rows of the parts stand in the order of the sets of points, not of the terms.
            rows: dict[str, list[Tensor]] = {}
            for part in self.parts:
                rows.setdefault(part.term, []).append(numbers[part.rows])
            total = torch.stack([torch.cat(rows[name]) @ r for name, r in scaled.items()]).sum()
            wanted = gradient(total, list(trainable_parameters(objective.model).values()))
        found = self.transpose(numbers)
        if torch.isfinite(wanted).all() and not torch.allclose(found, wanted, rtol=0, atol=float(
            torch.finfo(found.dtype).eps ** 0.5 * wanted.abs().max()
        )):
            raise NotFactored
        objective.proven["factors"] = kind

    def _find_layers(self, tape: list[LinearCall], place: dict[int, slice]) -> None:
        """Number the layers in the order of their first call."""
        for call in tape:
            key = id(call.weight), id(call.bias)
            weight, bias = place.get(key[0]), place.get(key[1])
            if key in self._places or (weight is None and bias is None):
                continue
            for other in self.layers:  # a weight that belongs to two layers at once
                if (weight is not None and other.weight == weight) or (bias is not None and other.bias == bias):
                    raise NotFactored
            self._places[key] = len(self.layers)
            self.layers.append(Layer(weight, bias, len(call.weight)))

    def _fill(self, part: Part, tape: list[LinearCall], gradients: tuple[Tensor | None, ...], scale: Tensor) -> None:
        """Keep the factors of one block of residuals; several calls of a layer are as many more coefficients."""
        remaining = iter(gradients)
        for call in tape:
            slopes = [None if z is None else next(remaining) for z in call.outputs]
            own = self._places.get((id(call.weight), id(call.bias)))
            used = [g is not None and a is not None for g, a in zip(slopes, call.inputs, strict=True)]
            if own is None or not any(used):
                continue
            g = torch.stack([slope for slope, one in zip(slopes, used, strict=True) if one and slope is not None])
            g, a = scale[:, None] * g, self.layers[own].inputs(call, used)
            if own in part.factors:
                before = part.factors[own]
                g, a = torch.cat([before[0], g]), torch.cat([before[1], a])
            part.factors[own] = g, a

    def image(self, vectors: Tensor) -> Tensor:
        """J v for vectors (P,) or (k, P): (N,) or (k, N)."""
        many = vectors if vectors.ndim == 2 else vectors[None]
        result = many.new_zeros(len(many), len(self.residual))
        for own, layer in enumerate(self.layers):
            matrix = layer.matrix(many)
            for part in self.parts:
                if own in part.factors:
                    g, a = part.factors[own]
                    products = (a.flatten(0, 1) @ matrix.flatten(0, 1).T).view(*g.shape[:2], len(many), layer.out)
                    values = torch.einsum("cmko,cmo->km", products, g)
                    result[:, part.rows] += values.view(len(many), part.fold, -1).sum(dim=1)
        for part in self.parts:
            for column, values in part.columns.items():
                result[:, part.rows] += many[:, column, None] * values
        return result if vectors.ndim == 2 else result[0]

    def transpose(self, vectors: Tensor) -> Tensor:
        """J^T w for vectors (N,) or (k, N): (P,) or (k, P)."""
        many = vectors if vectors.ndim == 2 else vectors[None]
        result = many.new_zeros(len(many), self.size)
        for part in self.parts:
            pulled = many[:, part.rows].repeat(1, part.fold).T
            for own, (g, a) in part.factors.items():
                left = (pulled[:, :, None] * g[:, :, None, :]).flatten(0, 1).flatten(1)
                self.layers[own].put(result, (left.T @ a.flatten(0, 1)).view(len(many), self.layers[own].out, -1))
            for column, values in part.columns.items():
                result[:, column] += many[:, part.rows] @ values
        return result if vectors.ndim == 2 else result[0]

    def gram(self, dtype: torch.dtype) -> Tensor:
        """J J^T (N, N), accumulated in a precision of its own.

        For each layer the cheaper of two ways: with C coefficients, entry (n, m) is the sum of
        (g_nc . g_md) (a_nc . a_md) over the C^2 pairs c, d; or the rows themselves are formed, some at a time.
        Below the diagonal only, until the end.
        """
        total = self.residual.new_zeros(len(self.residual), len(self.residual), dtype=dtype)
        for own in range(len(self.layers)):
            with_it = [(part, part.factors[own]) for part in self.parts if own in part.factors]
            seen = [(part, g.to(dtype), a.to(dtype)) for part, (g, a) in with_it]
            wide = max((len(g) for _, g, _ in seen), default=0)
            out, width = self.layers[own].out, seen[0][2].shape[2] if seen else 0
            if wide**2 * (out + width + 16) < out * width:
                self._add_pairs(total, seen)
            else:
                self._add_rows(total, seen)
        for column in self.unknowns.values():
            slopes = total.new_zeros(len(total))
            for part in self.parts:
                if column in part.columns:
                    slopes[part.rows] = part.columns[column].to(dtype)
            total.addr_(slopes, slopes)
        return total.tril() + total.tril(-1).T

    @staticmethod
    def _add_pairs(total: Tensor, seen: list[tuple[Part, Tensor, Tensor]]) -> None:
        for i, (part, g, a) in enumerate(seen):
            for other, h, b in seen[: i + 1]:
                block = total.new_zeros(g.shape[1], h.shape[1])
                for one_g, one_a in zip(g, a, strict=True):
                    for one_h, one_b in zip(h, b, strict=True):
                        block.addcmul_(one_g @ one_h.T, one_a @ one_b.T)
                block = block.view(part.fold, -1, other.fold, block.shape[1] // other.fold).sum(dim=(0, 2))
                total[part.rows, other.rows] += block

    @staticmethod
    def _add_rows(total: Tensor, seen: list[tuple[Part, Tensor, Tensor]]) -> None:
        if not seen:
            return
        out, width = seen[0][1].shape[2], seen[0][2].shape[2]
        step = max(1, BLOCK // (len(total) * width))
        for start in range(0, out, step):
            some = slice(start, min(start + step, out))
            rows = total.new_zeros(len(total), (some.stop - some.start) * width)
            for part, g, a in seen:
                product = torch.bmm(g[:, :, some].permute(1, 2, 0), a.transpose(0, 1)).flatten(1)
                rows[part.rows] = product.view(part.fold, -1, product.shape[1]).sum(dim=0)
            add_gram(total, rows.T)


class NotFactored(Exception):
    """Some weights lie outside linear layers, or belong to two of them, or a residual sees more than its own point."""


def wide(like: Tensor) -> torch.dtype:
    """The precision to accumulate in: float64, which all devices but Apple's have."""
    return like.dtype if like.device.type == "mps" else torch.float64


def bytes_of_factors(objective: Objective) -> int:
    """Memory that a :class:`FactoredJacobian` and the passes that make it will need, from a pass over two points.

    The factors themselves, and twice as much for the graph that the reverse passes go through.
    """
    numbers = 0
    for name, points in objective.sample.items():
        tape: list[LinearCall] = []
        few = points[:: max(1, len(points) // 2)][:2]
        with torch.enable_grad():
            blocks = objective.problem.blocks(objective.model, {name: few}, partial(taylor, tape=tape))
        inputs = [c.shape[1] for call in tape for c in call.inputs if c is not None]
        outputs = [c.shape[1] for call in tape for c in call.outputs if c is not None]
        count = sum(len(parts) for parts in blocks.values())
        numbers += len(points) * (sum(inputs) + sum(outputs)) * (count + 2)
    return numbers * objective.sample[name].element_size()
