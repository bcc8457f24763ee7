"""The derivative of every residual by every weight, from one forward and one backward pass.

Taylor mode leaves a single reverse pass to do. At a linear layer z = W a + b that pass brings the
gradient of the sum of all residuals by z, and where a residual depends on the row of its own point
only, row n of it is the gradient of residual n: dr_n / dW = sum over Taylor coefficients c of
(dr_n / dz_nc) a_nc^T.

Not all models and equations are so: weights may lie outside linear layers, a layer may be called on other
points besides (an integral, a delay, net(x) - net(0)), a residual may see all rows (a mean over the points). So each way
to the Jacobian is held against plain reverse mode before it is used, with random numbers v: J^T v must be the
gradient of the sum of v_n r_n. By layers, then ``torch.func`` point by point, then one backward pass for each
residual: the first that agrees is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.derivatives.jet import LinearCall, NoRule
from pinnedu.derivatives.taylor import taylor
from pinnedu.device import out_of_memory
from pinnedu.parameters import assign, gradient, trainable_parameters, vector
from pinnedu.problem import Problem, Sample

BLOCK = 64
"""Points whose products are formed together: few enough to stay in the cache until they are written."""

GPU_BLOCK = 8192
"""The same on a GPU, where each product takes some microseconds to start: few enough to bound the memory."""

ROWS = 16_384
"""Backward passes that go together by ``torch.vmap``, times the number of points: it bounds their memory."""

Found = dict[str, tuple[Tensor, Tensor]]
"""Residual (N,) and Jacobian (N, P) by name."""


def jacobian(
    model: nn.Module,
    problem: Problem,
    points: Tensor | Sample,
    *,
    method: str = "auto",
    chunk: int | None = None,
    out: dict[str, Tensor] | None = None,
    proven: dict[str, Any] | None = None,
) -> Found:
    """Residuals and their derivatives by the weights, by name.

    Parameters
    ----------
    model : Module
    problem : Problem
    points : Tensor (N, d) or sample, as for :meth:`pinnedu.Problem.residuals`
    method : {"auto", "layers", "func", "rows"}
        "layers" is the fast path for weights of linear layers and unknowns of the problem; "func"
        takes any weights, by ``torch.func``, where each residual depends on its own point; "rows" is one
        backward pass for each residual and takes anything; "auto" is the first of them that is right.
    chunk : int, optional
        So many points at a time, to bound the memory that is needed beside the result; tied pairs of
        points are taken all at once.
    out : dict, optional
        Keeps the Jacobians' memory from one call to the next: give the same dict again. The results
        of the earlier call are overwritten.
    proven : dict, optional
        Keeps from one call to the next which way was found right, for points of the same shape: give the same
        dict again, and only the first call compares.

    Returns
    -------
    dict of name to (residual, J)
        Residual (N,) and J (N, P), without graph. Columns follow ``model.parameters()`` that require
        a gradient.

    Raises
    ------
    ValueError
        If the chunk is below 1, if the method asked for does not give this Jacobian, or if no way does: the residual
        is random, or a backward pass of its own is no linear map.
    """
    ways: dict[str, Callable[..., Found | None]] = {"layers": _by_layers, "func": _by_func, "rows": _by_rows}
    if method not in ("auto", *ways):
        raise ValueError(f"method={method!r} is unknown: choose 'auto', 'layers', 'func' or 'rows'.")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be a number of points of at least 1, not {chunk!r}.")
    sample = {"interior": points} if isinstance(points, Tensor) else points
    memory: dict[str, Tensor] = {} if out is None else out
    proven = {} if proven is None else proven
    trained, plain = tuple(trainable_parameters(model)), None
    shapes = {name: own.shape for name, own in sample.items()}
    results: Found = {}
    for name, own in sample.items():
        condition = problem.conditions.get(name)
        together = condition is not None and (condition.paired or condition.whole)
        size = len(own) if chunk is None or together else chunk
        kind = (problem, shapes, size, method, model.training, trained)
        if name in proven and proven[name][0] == kind:
            found = ways[proven[name][1]](model, problem, name, sample, size, memory)
            assert found is not None
        else:
            plain = _Plain(model, problem, sample) if plain is None else plain
            for way, compute in ways.items():
                if method not in ("auto", way):
                    continue
                found = compute(model, problem, name, sample, size, memory)
                if found is not None and not plain.differs(found):
                    proven[name] = kind, way
                    break
            else:
                raise ValueError(plain.refusal(method, found))
        results |= found
    return {name: results[name] for name in problem.terms if name in results}


class _Plain:
    """All residuals r of a sample by plain reverse mode, and the gradient of sum_n v_n r_n with random numbers v.

    Random numbers see every entry of J. The residuals themselves would see nothing where they vanish.
    """

    def __init__(self, model: nn.Module, problem: Problem, sample: Sample) -> None:
        self.model, self.problem, self.sample = model, problem, sample
        self.weights = list(trainable_parameters(model).values())
        self.residuals, self.gradients, self.numbers = self.at(sample)

    def at(self, sample: Sample) -> tuple[dict[str, Tensor], ...]:
        generator = torch.Generator().manual_seed(0)
        residuals, gradients, numbers = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
        with torch.enable_grad():
            found = self.problem.residuals(self.model, sample)
            for left, (label, residual) in enumerate(found.items(), start=1 - len(found)):
                v = torch.randn(len(residual), dtype=torch.float64, generator=generator).to(residual)
                gradients[label] = gradient(residual @ v, self.weights, keep=left < 0)
                residuals[label], numbers[label] = residual.detach(), v
        return residuals, gradients, numbers

    def differs(self, found: Found) -> str:
        """Which residuals or Jacobian are not those of plain reverse mode, but for rounding; empty if all are."""
        return next((label for label in found if not self.same(label, *found[label])), "")

    def same(self, label: str, residual: Tensor, rows: Tensor) -> bool:
        wanted, slope = self.residuals[label], self.gradients[label]
        if wanted.is_meta:
            return True  # there are no numbers
        if not (torch.isfinite(wanted).all() and torch.isfinite(slope).all()):
            return True  # there is nothing to compare, and no step to take
        found = rows.T @ self.numbers[label]
        size = torch.linalg.vector_norm(rows, dim=0)  # each weight has a scale of its own
        eps = torch.finfo(rows.dtype).eps
        nothing = 1e3 * eps * max(float(other.nan_to_num(0, 0, 0).abs().max()) for other in self.gradients.values())
        if _close(residual, wanted, wanted.abs().max()) and _close(found, slope, size + slope.abs(), nothing):
            return True
        # Where all cancels but for rounding, what is left is as large as what rounding of points and weights changes.
        before = vector(self.weights)
        assign(self.weights, before * (1 + 4 * eps * torch.arange(len(before)).remainder(3).to(before)))
        residuals, gradients, _ = self.at({name: points * (1 + 4 * eps) for name, points in self.sample.items()})
        assign(self.weights, before)
        noise, slope_noise = (residuals[label] - wanted).abs().max(), (gradients[label] - slope).abs().max()
        return (
            not self.random(label)
            and _close(residual, wanted, wanted.abs().max(), 1e3 * noise)
            and _close(found, slope, size + slope.abs(), nothing + 1e3 * slope_noise)
        )

    def random(self, label: str) -> bool:
        """Whether the same points give other residuals each time."""
        wanted = self.residuals[label]
        return not _close(self.at(self.sample)[0][label], wanted, wanted.abs().max())

    def refusal(self, method: str, found: Found | None) -> str:
        """Why there is no such Jacobian, in one sentence."""
        if found is None and method == "layers":
            return "Some weights of this model lie outside linear layers: use method='func'."
        if found is None:
            return "An operation of this model or of its equations is unknown to torch.func: use method='rows'."
        label = self.differs(found)
        if self.random(label):
            return (
                f"{label!r} has no Jacobian, since its residuals change from one evaluation to the next: call model.eval() "
                "if the model drops values at random, or take the random numbers out of the equation."
            )
        if method in ("layers", "func"):
            return (
                f"{label!r} has another Jacobian than method={method!r} finds: the residual of a point depends on more "
                "than one pass of this point through the model, so use method='auto'."
            )
        return (
            f"{label!r} has no Jacobian: the gradient of a sum of its residuals is not the sum of their gradients, so some "
            "backward pass in the model or the equation is not linear. Use an optimizer without a Jacobian, such as Adam."
        )


def _close(found: Tensor, wanted: Tensor, scale: Tensor, noise: Tensor | float = 0.0) -> bool:
    return bool(((found - wanted).abs() <= torch.finfo(wanted.dtype).eps ** 0.5 * scale + noise).all())


def _by_layers(
    model: nn.Module, problem: Problem, name: str, sample: Sample, chunk: int, memory: dict[str, Tensor]
) -> Found | None:
    """The fast path for one set of points, or None where it does not apply."""
    points = sample[name]
    weights, columns, place = trainable_parameters(model), 0, {}
    for weight in weights.values():
        place[id(weight)] = slice(columns, columns := columns + weight.numel())
    residuals: dict[str, list[tuple[Tensor, ...]]] = {}
    for start in range(0, len(points), chunk):
        piece = points[start : start + chunk]
        unknowns = {
            unknown: value.detach().expand(len(piece)).clone().requires_grad_()  # one for each point: a column of its own
            for unknown, value in getattr(model, "unknowns", {}).items()
        }
        tape: list[LinearCall] = []
        with torch.enable_grad():
            blocks = problem.blocks(model, {name: piece}, partial(taylor, tape=tape), unknowns)
        if not blocks:  # a set that no residual lives on, as the interior of a regression
            return {}
        if start == 0 and not all_in_layers(weights, tape, unknowns):
            return None
        outputs = [c for call in tape for c in call.outputs if c is not None]
        left = sum(len(parts) for parts in blocks.values())
        for label, parts in blocks.items():
            size = (len(parts), len(points), columns)
            if label not in memory or memory[label].shape != size:
                memory[label] = points.new_empty(size)
            for block, rows in zip(parts, memory[label][:, start : start + chunk], strict=True):
                left -= 1
                if not block.requires_grad:  # weights have no say in it
                    rows.zero_()
                    continue
                gradients = torch.autograd.grad(
                    block.sum(), [*outputs, *unknowns.values()], retain_graph=left > 0, allow_unused=True
                )
                _fill(rows, tape, gradients, place)
                for unknown, slope in zip(unknowns, gradients[len(outputs) :], strict=True):
                    if f"unknowns.{unknown}" in weights:
                        rows[:, place[id(weights[f"unknowns.{unknown}"])]] = 0 if slope is None else slope[:, None]
            residuals.setdefault(label, []).append(tuple(block.detach() for block in parts))
    results: Found = {}
    for label, pieces in residuals.items():
        residual = torch.cat([torch.cat(parts) for parts in zip(*pieces, strict=True)])
        rows = memory[label]
        if len(residual) < rows.shape[0] * rows.shape[1]:  # each residual sees several points: a pair, or all
            rows = rows.view(len(rows), -1, len(residual) // len(rows), columns).sum(dim=1)
        results[label] = residual, rows.reshape(-1, columns)
    return results


def all_in_layers(weights: dict[str, Tensor], tape: list[LinearCall], unknowns: dict[str, Tensor]) -> bool:
    """Whether every weight belongs to a linear layer that was called, or is an unknown of the problem."""
    own = {f"unknowns.{unknown}" for unknown in unknowns}
    used = {id(weight) for call in tape for weight in (call.weight, call.bias)}
    if not tape or any(id(weight) not in used and label not in own for label, weight in weights.items()):
        return False
    if any(z is not None and z.ndim != 2 for call in tape for z in call.outputs):  # axes of the model's own
        return False
    return all(call.weight.is_leaf for call in tape)  # else computed from others, as in weight normalization


def _fill(rows: Tensor, tape: list[LinearCall], gradients: Sequence[Tensor | None], place: dict[int, slice]) -> None:
    """Write dr_n / dW for all linear layers into the rows (N, P) of the Jacobian."""
    size = BLOCK if rows.device.type == "cpu" else GPU_BLOCK
    done: set[int] = set()
    remaining = iter(gradients)
    for call in tape:
        by_output = [None if z is None else next(remaining) for z in call.outputs]
        used = [(g, a.detach()) for g, a in zip(by_output, call.inputs, strict=True) if g is not None and a is not None]
        if id(call.weight) in place:
            view = rows[:, place[id(call.weight)]].view(len(rows), *call.weight.shape)
            for start in range(0, len(rows), size):
                block = slice(start, start + size)
                product = _sum_of_products([(g[block], a[block]) for g, a in used]) if used else 0
                view[block] = view[block] + product if id(call.weight) in done else product
        if call.bias is not None and id(call.bias) in place:
            part = rows[:, place[id(call.bias)]]
            gradient = 0 if by_output[0] is None else by_output[0]
            part[:] = part + gradient if id(call.bias) in done else gradient
        done |= {id(call.weight), id(call.bias)}


def _sum_of_products(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """For each point the sum of g a^T over pairs: as a matrix product (N, out, C) times (N, C, in)."""
    left, right = zip(*pairs, strict=True)
    return torch.bmm(torch.stack(left, dim=2), torch.stack(right, dim=1))


class _Residuals(nn.Module):
    """The residuals of one set as a function of its points, so that ``torch.func`` can exchange the weights.

    They are exchanged in the model itself: an equation that calls it on points of its own sees them too.
    """

    def __init__(self, model: nn.Module, problem: Problem, name: str) -> None:
        super().__init__()
        self.model, self.problem, self.name = model, problem, name

    def forward(self, point: Tensor) -> dict[str, list[Tensor]]:
        blocks = self.problem.blocks(self.model, {self.name: point}, "taylor")
        return {label: [block[0] for block in group] for label, group in blocks.items()}


def _by_func(
    model: nn.Module, problem: Problem, name: str, sample: Sample, chunk: int, memory: dict[str, Tensor]
) -> Found | None:
    """Any weights: reverse mode for each point, batched by ``torch.func.vmap``; None where that cannot be done."""
    weights = {f"model.{label}": weight.detach() for label, weight in trainable_parameters(model).items()}
    residuals, points = partial(torch.func.functional_call, _Residuals(model, problem, name)), sample[name]
    with torch.no_grad():
        blocks = problem.blocks(model, {name: points})
    count = len(next(iter(blocks.values()))[0])  # of residuals, each of one point, a pair of them, or all
    own = points.view(-1, count, points.shape[1]).transpose(0, 1)

    def with_values(values: dict[str, Tensor], point: Tensor) -> tuple[Any, Any]:
        found = residuals(values, (point,))
        return found, found

    try:
        slopes, values = torch.func.vmap(
            torch.func.jacrev(with_values, has_aux=True), in_dims=(None, 0), chunk_size=chunk
        )(weights, own)
    except (NoRule, RuntimeError, ValueError) as error:  # plain reverse mode could: torch.func, or a jet, knows no such operation
        if out_of_memory(error):
            raise
        return None
    return {
        label: (
            torch.cat(values[label]),
            torch.cat([torch.cat([slope[key].reshape(len(own), -1) for key in weights], dim=1) for slope in slopes[label]]),
        )
        for label in values
    }


def _by_rows(
    model: nn.Module, problem: Problem, name: str, sample: Sample, chunk: int, memory: dict[str, Tensor]
) -> Found:
    """Any model and any equation: a backward pass for each residual, several together where torch can.

    On the whole sample, as in the loss: a model that mixes its rows sees those of other sets too.
    """
    weights = list(trainable_parameters(model).values())
    with torch.enable_grad():
        found = problem.residuals(model, sample)
    results: Found = {}
    for label in problem.equations if name == "interior" else (name,):
        residual = found[label]
        count = max(1, min(len(residual), ROWS // sum(map(len, sample.values()))))
        rows = [_rows(residual, weights, start, count) for start in range(0, len(residual), count)]
        results[label] = residual.detach(), torch.cat(rows)
    return results


def _rows(residual: Tensor, weights: list[Tensor], start: int, count: int) -> Tensor:
    """The gradients of some residuals by the weights, one a row."""
    some = residual[start : start + count]
    if not some.requires_grad:
        return residual.new_zeros(len(some), sum(weight.numel() for weight in weights))
    slopes = partial(torch.autograd.grad, inputs=weights, retain_graph=True, allow_unused=True)
    try:
        together = slopes(some, grad_outputs=torch.eye(len(some)).to(residual), is_grads_batched=True)
    except RuntimeError as error:  # a backward pass that cannot be batched
        if out_of_memory(error):
            raise
        return torch.stack([vector(slopes(one, materialize_grads=True)) for one in some])
    # A weight without a say has no slope: torch's own zeros would be those of one row.
    return torch.cat(
        [
            some.new_zeros(len(some), weight.numel()) if slope is None else slope.reshape(len(some), -1)
            for weight, slope in zip(weights, together, strict=True)
        ],
        dim=1,
    )
