"""The derivative of every residual by every weight, from one forward and one backward pass.

Taylor mode leaves a single reverse pass to do. At a linear layer z = W a + b that pass brings the
gradient of the sum of all residuals by z, and since a residual depends on the row of its own point
only, row n of it is the gradient of residual n: dr_n / dW = sum over Taylor coefficients c of
(dr_n / dz_nc) a_nc^T. Models with weights outside linear layers go through ``torch.func`` instead, and models
that jets do not know through one backward pass for each residual.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pinnedu.conditions import Periodic
from pinnedu.derivatives.jet import LinearCall, NoRule, recording
from pinnedu.problem import Problem, Sample

BLOCK = 64
"""Points whose products are formed together: few enough to stay in the cache until they are written."""

GPU_BLOCK = 8192
"""The same on a GPU, where each product takes some microseconds to start: few enough to bound the memory."""


def jacobian(
    model: nn.Module,
    problem: Problem,
    points: Tensor | Sample,
    *,
    method: str = "auto",
    chunk: int | None = None,
    out: dict[str, Tensor] | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Residuals and their derivatives by the weights, by name.

    Parameters
    ----------
    model : Module
    problem : Problem
    points : Tensor (N, d) or sample, as for :meth:`Problem.residuals`
    method : {"auto", "layers", "func"}
        "layers" is the fast path for weights of linear layers and unknowns of the problem; "func"
        takes any weights, by ``torch.func``; "auto" prefers the first where it applies.
    chunk : int, optional
        So many points at a time, to bound the memory that is needed beside the result; tied pairs of
        points are taken all at once.
    out : dict, optional
        Keeps the Jacobians' memory from one call to the next: give the same dict again. The results
        of the earlier call are overwritten.

    Returns
    -------
    dict of name to (residual, J)
        Residual (N,) and J (N, P), without graph. Columns follow ``model.parameters()`` that require
        a gradient.

    Raises
    ------
    ValueError
        If "layers" is asked for and some weight lies outside linear layers, or the chunk is below 1.
    """
    if method not in ("auto", "layers", "func"):
        raise ValueError(f"method={method!r} is unknown: choose 'auto', 'layers' or 'func'.")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be a number of points of at least 1, not {chunk!r}.")
    sample = {"interior": points} if isinstance(points, Tensor) else points
    results: dict[str, tuple[Tensor, Tensor]] = {}
    for name, own in sample.items():
        size = len(own) if chunk is None or isinstance(problem.conditions.get(name), Periodic) else chunk
        found = _by_layers(model, problem, name, own, size, {} if out is None else out) if method != "func" else None
        if found is None:
            if method == "layers":
                raise ValueError("Some weights of this model lie outside linear layers: use method='func'.")
            found = _by_func(model, problem, name, own, size)
        results |= found
    return {name: results[name] for name in problem.terms if name in results}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights that training moves, by name, in the order of the Jacobian's columns."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _by_layers(
    model: nn.Module, problem: Problem, name: str, points: Tensor, chunk: int, memory: dict[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]] | None:
    """The fast path for one set of points, or None where it does not apply."""
    weights, columns, place = weights_of(model), 0, {}
    for weight in weights.values():
        place[id(weight)] = slice(columns, columns := columns + weight.numel())
    residuals: dict[str, list[tuple[Tensor, ...]]] = {}
    for start in range(0, len(points), chunk):
        piece = points[start : start + chunk]
        unknowns = {
            unknown: value.detach().expand(len(piece)).clone().requires_grad_()  # one for each point: a column of its own
            for unknown, value in getattr(model, "unknowns", {}).items()
        }
        with torch.enable_grad(), recording() as tape:
            blocks = problem.blocks(model, {name: piece}, "taylor", unknowns)
        if not blocks:  # a set that no residual lives on, as the interior of a regression
            return {}
        if start == 0 and not _all_in_layers(weights, tape, unknowns):
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
                for unknown, gradient in zip(unknowns, gradients[len(outputs) :], strict=True):
                    if f"unknowns.{unknown}" in weights:
                        rows[:, place[id(weights[f"unknowns.{unknown}"])]] = 0 if gradient is None else gradient[:, None]
            residuals.setdefault(label, []).append(tuple(block.detach() for block in parts))
    results: dict[str, tuple[Tensor, Tensor]] = {}
    for label, pieces in residuals.items():
        residual = torch.cat([torch.cat(parts) for parts in zip(*pieces, strict=True)])
        rows = memory[label]
        if len(residual) < rows.shape[0] * rows.shape[1]:  # tied pairs of points: each residual sees two rows
            rows = rows.view(len(rows), 2, -1, columns).sum(dim=1)
        results[label] = residual, rows.view(-1, columns)
    return results


def _all_in_layers(weights: dict[str, Tensor], tape: list[LinearCall], unknowns: dict[str, Tensor]) -> bool:
    """Whether every weight belongs to a linear layer that was called, or is an unknown of the problem."""
    own = {f"unknowns.{unknown}" for unknown in unknowns}
    used = {id(weight) for call in tape for weight in (call.weight, call.bias)}
    if not tape or any(id(weight) not in used and label not in own for label, weight in weights.items()):
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


def _by_func(
    model: nn.Module, problem: Problem, name: str, points: Tensor, chunk: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Any model: reverse mode for each point, batched by ``torch.func.vmap``."""
    weights = {label: weight.detach() for label, weight in weights_of(model).items()}
    unknown_names = set(getattr(model, "unknowns", {}))
    with torch.no_grad():
        shapes = {label: [len(b) for b in parts] for label, parts in problem.blocks(model, {name: points}).items()}
    pairs = next(iter(shapes.values()))[0] < len(points)
    own = points.view(2, -1, points.shape[1]).transpose(0, 1) if pairs else points[:, None]

    def residuals(values: dict[str, Tensor], point: Tensor) -> dict[str, list[Tensor]]:
        network = {label: value for label, value in values.items() if not label.startswith("unknowns.")}
        unknowns = {label: values[f"unknowns.{label}"] for label in unknown_names}

        class Bound(nn.Module):
            def forward(self, inputs: Tensor) -> Tensor:
                return torch.func.functional_call(model, network, (inputs,))

        blocks = problem.blocks(Bound(), {name: point}, "taylor", unknowns)
        return {label: [block[0] for block in parts] for label, parts in blocks.items()}

    try:
        values = torch.func.vmap(residuals, in_dims=(None, 0), chunk_size=chunk)(weights, own)
    except NoRule:
        return _one_by_one(model, problem, name, points)
    slopes = torch.func.vmap(torch.func.jacrev(residuals), in_dims=(None, 0), chunk_size=chunk)(weights, own)
    return {
        label: (
            torch.cat(values[label]),
            torch.cat([torch.cat([slope[key].reshape(len(own), -1) for key in weights], dim=1) for slope in slopes[label]]),
        )
        for label in values
    }


def _one_by_one(model: nn.Module, problem: Problem, name: str, points: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Models that jets do not know: a backward pass for each residual, which is slow and always possible."""
    weights = list(weights_of(model).values())
    with torch.enable_grad():
        blocks = problem.blocks(model, {name: points}, "autograd")
    results: dict[str, tuple[Tensor, Tensor]] = {}
    for label, parts in blocks.items():
        residual = torch.cat(parts)
        gradients = (
            torch.autograd.grad(one, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
            if residual.requires_grad
            else [torch.zeros_like(weight) for weight in weights]
            for one in residual
        )
        rows = [torch.cat([gradient.flatten() for gradient in row]) for row in gradients]
        results[label] = residual.detach(), torch.stack(rows)
    return results
