"""Random waves: a linear model whose derivatives are known in closed form, and Newton's method with it.

An operator L = sum_k c_k(x) D^k turns a wave into itself times a number, its symbol: L e^(ib.x) = sum_k c_k(x) (ib)^k e^(ib.x).
So all that least squares with waves need of an equation is its coefficients c_k, one number a point and derivative.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.derivatives.requests import Laplacian, Order, Request
from pinnedu.derivatives.taylor import taylor
from pinnedu.embeddings import FourierFeatures
from pinnedu.models import MLP
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.singular import Enriched, shaped
from pinnedu.trainers.composite import Corrected

SEEN = 2000  # points at which the spectrum of a function is taken
CHOICE, MANY = 16, 8192  # candidates for each frequency, and for all at most
ALONE = 3  # in more dimensions than this a wave turns in so many at most
STEPS = 8  # of Newton's method, at most


def frequencies(
    problem: Problem,
    rates: Sequence[float],
    count: int,
    periodic: Sequence[str] = (),
    seed: int = 0,
    like: nn.Module | None = None,
) -> Tensor:
    """Frequencies b_j (count, d) of waves: normal numbers of the standard deviations ``rates``, in radians per unit.

    In many dimensions each wave turns in a few of them only, for few functions that occur depend on all at once (Hashemi et al.
    2023, Generalization bounds for sparse random feature expansions). Where a function is given that is ``like`` the one that is
    looked for, three of four are drawn by its amplitudes, sqrt|sum_n u(x_n) e^(-ib.x_n)|^2 (Kammonen et al. 2020, Adaptive random
    Fourier features with Metropolis sampling). Waves have the domain's period in ``periodic`` coordinates.
    """
    generator, box = torch.Generator().manual_seed(seed), problem.domain
    deviations = torch.as_tensor(rates, dtype=torch.float64)

    def normal(number: int) -> Tensor:
        drawn = torch.randn(number, box.dim, dtype=torch.float64, generator=generator)
        if box.dim > ALONE:
            turn = torch.randint(1, ALONE + 1, (number, 1), generator=generator)
            drawn = drawn * (torch.rand(drawn.shape, generator=generator).argsort(dim=1) < turn)
        return deviations * drawn

    found = normal(count if like is None else count // 4)
    if like is not None:
        points = box.sample(SEEN, "sobol", generator=generator)
        candidates = 1.5 * normal(min(CHOICE * count, MANY))
        with torch.no_grad():
            values, angles = like(points), points @ candidates.T
        power = (torch.cos(angles).T @ values).square() + (torch.sin(angles).T @ values).square()
        chosen = torch.multinomial(power.sum(dim=1).sqrt() + 1e-300, count - len(found), generator=generator)
        found = torch.cat([found, candidates[chosen]])
    for name in periodic:
        axis, (low, high) = box.names.index(name), box.bounds[name]
        whole = 2 * math.pi / (high - low)
        found[:, axis] = whole * (found[:, axis] / whole).round()
    return found


def waves(problem: Problem, found: Tensor) -> MLP:
    """The model of waves of the frequencies found, cos(b_j.x) and sin(b_j.x) and a constant, all weights zero."""
    model = MLP(problem, hidden=(), embedding=FourierFeatures(found), seed=0)
    for weight in model.parameters():
        nn.init.zeros_(weight)
    return model


@dataclass
class Block:
    """Residuals (N,) of a term; what its equation asks of the fields, and the derivatives of the residuals by it, each (M,).

    M is a multiple of N where several points make one residual, as in a condition that ties two faces.
    """

    name: str
    residual: Tensor
    points: Tensor
    values: dict[Request, Tensor]
    slopes: dict[Request, Tensor]
    by_unknowns: dict[str, Tensor]
    weight: float


def linearized(
    problem: Problem, model: nn.Module, sample: Sample, weights: Mapping[str, float], unknowns: Mapping[str, float]
) -> list[Block]:
    """All residuals of a model and their linear part; half the sum of weight * residual^2 is the loss."""
    blocks: list[Block] = []
    for name, points in sample.items():
        values: dict[Request, Tensor] = {}
        numbers = {name: torch.full((len(points),), float(value), dtype=torch.float64) for name, value in unknowns.items()}

        def engine(
            model: nn.Module, points: Tensor, requests: Collection[Request], values: dict[Request, Tensor] = values
        ) -> dict[Request, Tensor]:
            values |= {request: value.requires_grad_() for request, value in derivatives(model, points, requests).items()}
            return dict(values)

        with torch.enable_grad():
            found = problem.blocks(model, {name: points}, engine, {name: one.requires_grad_() for name, one in numbers.items()})
        for label, part, share in ((label, part, len(parts)) for label, parts in found.items() for part in parts):
            asked: dict[Any, Tensor] = values | numbers
            slopes: tuple[Tensor | None, ...] = ()
            if part.requires_grad:
                slopes = torch.autograd.grad(part.sum(), [*asked.values()], retain_graph=True, allow_unused=True)
            by = {request: slope for request, slope in zip(asked, slopes, strict=False) if slope is not None}
            blocks.append(
                Block(
                    label,
                    part.detach(),
                    points[:, : problem.domain.dim],
                    {request: value.detach() for request, value in values.items()},
                    {request: by[request] for request in values if request in by},
                    {unknown: by[unknown] for unknown in numbers if unknown in by},
                    weights[label] / share / len(part),
                )
            )
    return blocks


def derivatives(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
    """What an engine gives, without graph: of waves by their symbols, of other models by Taylor mode, unless they know."""
    if (own := getattr(model, "derivatives", None)) is not None:  # it knows them
        return dict(own(points, requests))
    if isinstance(model, Enriched):
        found = derivatives(model.model, points, requests)
        for field, output in ((field, model.fields.index(field)) for field in model.functions):
            whats = {what for at, what in requests if at == output}
            for what, table in tables(model, field, points, whats).items():
                found[output, what] = found[output, what] + table @ model.amplitudes[field].weight[0].detach()  # type: ignore
        return found
    if isinstance(model, Corrected):
        parts = [derivatives(part, points, requests) for part in (model.base, model.correction)]
        return {request: parts[0][request] + parts[1][request] for request in requests}
    if not (isinstance(model, MLP) and isinstance(model.embedding, FourierFeatures) and len(model.layers) == 1):
        with torch.no_grad():
            return {request: value.detach().clone() for request, value in taylor(model, points, requests).items()}
    with torch.no_grad():
        b = model.embedding.frequencies
        layer: Any = model.layers[0]
        angles = points @ b.T
        cos, sin = torch.cos(angles), torch.sin(angles)
        found = {}
        for output, what in requests:
            power, odd = symbol(what, b)
            left, right = (power * half for half in layer.weight[output].split(len(b)))
            found[output, what] = cos @ right - sin @ left if odd else cos @ left + sin @ right
            if not isinstance(what, Laplacian) and not any(what):
                found[output, what] = found[output, what] + layer.bias[output]
        return found


class Added(nn.Module):
    """The functions that are added to a field, as a model with one output each."""

    def __init__(self, model: Enriched, field: str) -> None:
        super().__init__()
        self.functions = lambda points: model.added(field, points)

    def forward(self, points: Tensor) -> Tensor:
        return self.functions(points)


def tables(model: Enriched, field: str, points: Tensor, whats: Collection[Order | Laplacian]) -> dict[Order | Laplacian, Tensor]:
    """Derivatives of the functions that are added to a field, each (N, count)."""
    count = len(model.functions[field])
    with torch.no_grad():
        found = taylor(Added(model, field), points, {(k, what) for k in range(count) for what in whats})
    return {what: torch.stack([found[k, what] for k in range(count)], dim=1) for what in whats}


def symbol(what: Order | Laplacian, b: Tensor) -> tuple[Tensor, bool]:
    """(ib)^k for all frequencies b (M, d), without the i that is left where k is odd; and whether it is."""
    if isinstance(what, Laplacian):
        return -b[:, list(what.axes)].square().sum(dim=1), False
    power = torch.stack([b[:, axis] ** k for axis, k in enumerate(what)]).prod(dim=0)
    return (-1) ** (sum(what) // 2) * power, sum(what) % 2 == 1


def rows(block: Block, b: Tensor, fields: int, unknowns: Sequence[str], added: Enriched | None = None) -> Tensor:
    """Derivatives of a block's residuals by the weights of ``waves(problem, b)``, the unknowns and the strengths, (N, P)."""
    angles, columns = block.points @ b.T, []
    cos, sin = torch.cos(angles), torch.sin(angles)
    biases = angles.new_zeros(len(angles), fields)
    for field in range(fields):
        even, odd = torch.zeros_like(angles), torch.zeros_like(angles)
        for (output, what), slope in block.slopes.items():
            if output == field:
                power, is_odd = symbol(what, b)
                (odd if is_odd else even).addr_(slope, power)
                if not isinstance(what, Laplacian) and not any(what):
                    biases[:, field] += slope
        columns += [even * cos - odd * sin, even * sin + odd * cos]
    numbers = [block.by_unknowns.get(name, angles.new_zeros(len(angles)))[:, None] for name in unknowns]
    strengths = []
    for k, name in enumerate(added.fields if added else ()):
        assert added is not None
        slopes = {what: slope for (output, what), slope in block.slopes.items() if output == k}
        total = angles.new_zeros(len(angles), len(added.functions[name]))
        for what, table in tables(added, name, block.points, slopes).items():
            total += slopes[what][:, None] * table
        strengths.append(total)
    return together(torch.cat([*columns, biases, *numbers, *strengths], dim=1), block)


def together(values: Tensor, block: Block) -> Tensor:
    """Sum over the points that make one residual: (M, ...) -> (N, ...)."""
    return values.view(-1, len(block.residual), *values.shape[1:]).sum(dim=0)


def least_squares(matrix: Tensor, right: Tensor) -> Tensor:
    """The minimizer of |A c - b|^2 by orthogonal triangles, with columns of length 1 and damping of the size of rounding.

    A^T A would square the condition number, and for waves A's is as large as double precision knows.
    """
    size = matrix.norm(dim=0)
    size = torch.where(size > 1e-15 * size.max(), size, size.max() + 1e-300)  # a column of zeros has the answer 0
    n = len(size)
    damped = torch.cat([matrix / size, 1e-14 * len(matrix) * torch.eye(n, dtype=matrix.dtype)])
    r = torch.linalg.qr(torch.cat([damped, torch.cat([right, right.new_zeros(n)])[:, None]], dim=1), mode="r").R
    return torch.linalg.solve_triangular(r[:n, :n], r[:n, n:], upper=True)[:, 0] / size


def system(
    blocks: Sequence[Block],
    fixed: Sequence[Block],
    b: Tensor,
    fields: int,
    unknowns: Sequence[str],
    added: Enriched | None = None,
) -> tuple[Tensor, Tensor]:
    """Newton's step for the whole of the waves: weighted rows of all blocks, and what they should give; ``fixed`` is a base's."""
    matrix, right = [], []
    for k, block in enumerate(blocks):
        value = -block.residual
        for request, slope in block.slopes.items():
            own = block.values[request] - (fixed[k].values[request] if fixed else 0.0)
            value = value + together(slope * own, block)
        matrix.append(block.weight**0.5 * rows(block, b, fields, unknowns, added))
        right.append(block.weight**0.5 * value)
    return torch.cat(matrix), torch.cat(right)


def collocation(problem: Problem, count: int, seed: int) -> Sample:
    """The points from which so many waves are found."""
    around = 30 + round(3 * (2 * count * len(problem.fields)) ** (1 - 1 / problem.domain.dim))
    return problem.sample(Points(4 * count + 100, around, "sobol"), generator=torch.Generator().manual_seed(seed))


def loss_of(blocks: Sequence[Block]) -> float:
    """Half the weighted mean squares of residuals."""
    return sum(block.weight * float(block.residual.square().sum()) for block in blocks) / 2


def solved_by_waves(
    problem: Problem,
    weights: Mapping[str, float],
    found: Tensor,
    *,
    seed: int = 0,
    guess: nn.Module | None = None,
    base: nn.Module | None = None,
    steps: int = STEPS,
    added: Mapping[str, Callable[..., Any]] | None = None,
    smoothing: float = 0.0,
) -> tuple[nn.Module, Problem]:
    """Waves of given frequencies that solve a problem, or correct a base, in the sense of least squares, by Newton's method.

    Each step takes the equations along their tangent L at the last function v, r(v) + L (w - v) = 0, and solves for the whole of
    the waves w (quasilinearization, Bellman & Kalaba 1965). For a linear problem the first is the last.

    Parameters
    ----------
    guess : Module, optional
        Where to begin; by default at zero, or at the base.
    steps : int
        At most. It ends where the loss does not fall by half in two steps, and the best is returned.
    added : dict of name to callable, optional
        Functions that are added to the waves of every field, as `additions` gives them.
    smoothing : float
        Half the sum of the squares of the amplitudes counts so much in the loss: what noise in readings asks for.

    Returns
    -------
    Module
    Problem
        With its unknowns as they were found.
    """
    fields, count, names = len(problem.fields), len(found), list(problem.unknowns)
    sample = collocation(problem, count, seed)
    new, unknowns = waves(problem, found), dict(problem.unknowns)
    whole: Any = shaped(new, problem, added) if added else new
    model: nn.Module = whole if base is None else Corrected(base, whole)
    fixed = [] if base is None else linearized(problem, base, sample, weights, unknowns)
    at, best, stalls, kept = model if guess is None else guess, math.inf, 0, (copy.deepcopy(whole.state_dict()), unknowns)
    for step in range(steps + 1):
        blocks = linearized(problem, at, sample, weights, unknowns)
        loss = loss_of(blocks) + smoothing * float(new.layers[0].weight.detach().square().sum()) / 2  # type: ignore[operator]
        if step and loss < best:
            kept = copy.deepcopy(whole.state_dict()), unknowns
        stalls = 0 if loss < best / 2 else stalls + 1
        if step == steps or stalls > (3 if smoothing else 1):  # noise stays in the loss
            break
        best = min(best, loss) if step else math.inf
        matrix, right = system(blocks, fixed, found, fields, names, whole if added else None)
        if smoothing:
            ridge = smoothing**0.5 * torch.eye(2 * count * fields, matrix.shape[1], dtype=matrix.dtype)
            matrix, right = torch.cat([matrix, ridge]), torch.cat([right, right.new_zeros(len(ridge))])
        answer = least_squares(matrix, right)
        if not torch.isfinite(answer).all():
            break
        sizes = [2 * count * fields, fields, len(names), *(fields * [len(added)] if added else [])]
        weight, bias, changes, *strengths = answer.split(sizes)
        layer: Any = new.layers[0]
        with torch.no_grad():
            layer.weight.copy_(weight.view(fields, -1))
            layer.bias.copy_(bias)
            for field, strength in zip(problem.fields, strengths, strict=False):
                whole.amplitudes[field].weight.copy_(strength)
        unknowns = {name: unknowns[name] + float(change) for name, change in zip(names, changes, strict=True)}
        at = model
    whole.load_state_dict(kept[0])
    return model, replace(problem, unknowns=kept[1]) if names else problem
