"""What a numerical analyst sees in a problem before solving it: is it linear, is it periodic, how fast does it vary?"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor, nn

from pinnedu.conditions import Periodic
from pinnedu.embeddings import FourierFeatures
from pinnedu.models import MLP
from pinnedu.problem import Problem, Sample
from pinnedu.recipe.waves import frequencies, linearized, rows, waves
from pinnedu.sampling import Points
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.strategies import check_forward
from pinnedu.trainers.weights import kernel_traces

LOOKED = 256  # points of each set that are looked at
SLOW = 4.0  # radians over the length of the domain: where conditions are missing, slow functions show it
SEEN = 1e-7
RIPPLE = 1e-6  # the size of a wave that a nonlinear equation takes for a linear one's
TURNS = 40  # of a wave that is fast for any domain; and of one four times as fast
EXPLODES = 20.0  # a wave that grows by e^20 while the problem lasts
SHIFT = 1e-3  # the share of a domain's length by which they are moved to see how fast something varies


def periodic_coordinates(problem: Problem) -> dict[str, str]:
    """Condition and its coordinate, for each that ties all fields as functions with that period are tied."""
    return {
        name: condition.coordinate
        for name, condition in problem.conditions.items()
        if type(condition) is Periodic
        and condition.equation is None
        and set(condition.fields or problem.fields) >= set(problem.fields)
    }


def without(problem: Problem, *names: str) -> Problem:
    """The problem without some of its conditions, which a model makes true."""
    kept = {name: condition for name, condition in problem.conditions.items() if name not in names}
    return replace(problem, conditions=kept)


def random_waves(problem: Problem, rates: Tensor, count: int, periodic: tuple[str, ...] = ()) -> MLP:
    """Waves of normal frequencies with random weights: a function such as may come."""
    found = frequencies(problem, rates.tolist(), count, periodic)
    return MLP(problem, hidden=(), embedding=FourierFeatures(found), seed=0)


def is_linear(problem: Problem, sample: Sample) -> bool:
    """Whether the derivatives of all residuals by the fields are the same at zero and at a random function; no unknowns."""
    if problem.unknowns:
        return False
    some = random_waves(problem, 2 / (problem.domain.high - problem.domain.low), 8)
    zero, weights = waves(problem, torch.zeros(1, problem.domain.dim).double()), dict.fromkeys(problem.terms, 1.0)
    pairs = zip(*(linearized(problem, model, sample, weights, {}) for model in (zero, some)), strict=True)
    return all(
        set(one.slopes) == set(other.slopes)
        and all(bool(((slope - other.slopes[k]).abs() <= 1e-9 * slope.abs().max()).all()) for k, slope in one.slopes.items())
        for one, other in pairs
    )


def rates_of(problem: Problem, sample: Sample, model: nn.Module | None = None) -> Tensor:
    """How fast the residuals of a model vary along each coordinate, (d,), in radians per unit: the largest of all terms.

    sqrt(mean |r(x + h) - r(x)|^2 / mean |r|^2) / h, which for a wave is its frequency. Without a model it is that of u = 0,
    whose residuals are the data of the problem: sources, and values at the boundary and at the start.
    """
    box = problem.domain
    if model is None:
        model = waves(problem, torch.zeros(1, box.dim, dtype=torch.float64))
    data = {name for name, condition in problem.conditions.items() if not all(c[:2] == "n." for c in condition.columns(box))}
    sample = {name: points for name, points in sample.items() if name not in data}
    lengths, rates = box.high - box.low, torch.zeros(box.dim, dtype=torch.float64)
    with torch.no_grad():
        here = problem.residuals(model, sample)
        for axis in range(box.dim):
            h = SHIFT * float(lengths[axis])
            moved = {name: points.clone() for name, points in sample.items()}
            for name in moved:
                if not (name in problem.conditions and box.names[axis] in problem.conditions[name].fixed):
                    moved[name][:, axis] += torch.where(moved[name][:, axis] + h > box.high[axis], -h, h)
            there = problem.residuals(model, moved)
            for name, r in here.items():
                if (size := float((r - r.mean()).square().mean())) > 1e-20 * float(r.square().mean()):
                    rates[axis] = max(float(rates[axis]), math.sqrt(float((there[name] - r).square().mean()) / size) / h)
    return rates


def weights_of(problem: Problem, model: nn.Module, sample: Sample) -> dict[str, float]:
    """Weights that make the loss of each term the square of the change of the fields that would mend it.

    The trace t_k of the tangent kernel of term k says by how much its residual changes where the weights do, that of the
    fields by how much they do: w_k = t / t_k, which is 1 for a condition on the value of a field.
    """
    traces = kernel_traces(Objective(model, problem, sample))
    field = float(sum(weight.numel() for weight in model.parameters())) / 2 / len(problem.fields)
    return {name: field / trace if trace > 0 else 1.0 for name, trace in traces.items()}


def looked_at(problem: Problem, count: int = LOOKED, seed: int = 0) -> Sample:
    """The same points in every run."""
    points = Points(count, dict.fromkeys(problem.conditions, count))
    return problem.sample(points, generator=torch.Generator().manual_seed(seed))


def amplification(problem: Problem, periodic: tuple[str, ...], sample: Sample, at: nn.Module | None = None) -> float:
    """By how much an error of the residuals may be larger in the fields: the worst over random waves.

    The residuals of waves with coefficients c are J c, their values are F c. The largest |F c| / |J c| is one over the root of
    the smallest eigenvalue of J^T J c = lambda F^T F c. It is infinite where conditions are missing, and very large for a
    problem that is ill-posed, such as heat backward in time. Nonlinear equations are taken along their tangent at a model, or at
    zero.
    """
    found = frequencies(problem, (SLOW / (problem.domain.high - problem.domain.low)).tolist(), 100, periodic)
    model = waves(problem, found)
    weights, count = weights_of(problem, model, sample), len(problem.fields)
    blocks = linearized(problem, model if at is None else at, sample, weights, problem.unknowns)
    residuals = torch.cat([block.weight**0.5 * rows(block, found, count, ()) for block in blocks])
    shapes = model.embedding(sample["interior"])
    shapes = torch.cat([shapes, torch.ones_like(shapes[:, :1])], dim=1) / len(shapes) ** 0.5
    width = shapes.shape[1] - 1
    fields = shapes.new_zeros(count, len(shapes), count * (width + 1))
    for k in range(count):  # the weights of field k; the biases stand behind the weights of all fields
        fields[k, :, k * width : (k + 1) * width] = shapes[:, :-1]
        fields[k, :, count * width + k] = shapes[:, -1]
    _, sizes, directions = torch.linalg.svd(fields.flatten(0, 1), full_matrices=False)
    kept = sizes > SEEN * sizes[0]  # what is a function of its own, beside the others
    smallest = torch.linalg.svdvals(residuals @ (directions[kept] / sizes[kept, None]).T)[-1]
    return 1 / max(float(smallest), 1e-300)


class _Ripple(nn.Module):
    """A small wave cos(k.x - shift) times tau^order / order!, where tau is zero at each point and grows as time does."""

    def __init__(self, wave: Tensor, axis: int, order: int, shift: float) -> None:
        super().__init__()
        self.wave, self.axis, self.order, self.shift = wave, axis, order, shift

    def forward(self, points: Tensor) -> Tensor:
        """Its value and derivatives at each of the points, (N, d) -> (N, 1)."""
        tau = points[:, self.axis] - points[:, self.axis].detach()
        return (RIPPLE * torch.cos(points @ self.wave - self.shift) * tau**self.order / math.factorial(self.order))[:, None]


def growth(problem: Problem, time: str, points: Tensor, turns: int) -> float:
    """The rate at which a small wave grows that turns so often along each coordinate but time: the largest at all points.

    Put into a linear equation, e^(st + ikx) leaves c_2 s^2 + c_1 s + c_0 = 0, and c_m is what a wave times tau^m / m! leaves. A
    nonlinear equation is taken near zero. NaN unless there is one equation of one field.
    """
    box, axis = problem.domain, problem.domain.names.index(time)
    if len(problem.fields) != 1 or len(problem.equations) != 1 or box.dim == 1:
        return math.nan
    (name,) = problem.equations
    wave = (2 * math.pi * turns / (box.high - box.low)).to(points)
    wave[axis] = 0.0

    def residual(order: int, shift: float = 0.0) -> Tensor:
        return problem.residuals(_Ripple(wave, axis, order, shift), points, "autograd")[name].detach()

    source, turn = residual(9), torch.exp(-1j * (points @ wave))  # of order 9 all derivatives that occur are zero
    c0, c1, c2 = (
        torch.complex(residual(m) - source, residual(m, math.pi / 2) - source) * turn / RIPPLE for m in range(3)
    )
    root = torch.sqrt(c1**2 - 4 * c2 * c0)
    second = c2.abs() > 1e-9 * (c0.abs() + c1.abs())
    rates = torch.where(second, ((-c1 + root) / (2 * c2)).real.maximum(((-c1 - root) / (2 * c2)).real), (-c0 / c1).real)
    rates = rates[rates.isfinite()]
    return float(rates.max()) if len(rates) else math.nan


def explodes(problem: Problem, time: str, sample: Sample) -> bool:
    """Whether waves grow the faster the shorter they are, as those of heat backward in time.

    Then no solution depends continuously on its data (Petrovsky's condition; Kreiss & Lorenz 1989, Initial-boundary value
    problems and the Navier-Stokes equations, chapter 2).
    """
    low, high = problem.domain.bounds[time]
    slow, fast = (growth(problem, time, sample["interior"], turns) for turns in (TURNS, 4 * TURNS))
    return fast > 3 * slow > 0 and fast * (high - low) > EXPLODES


def forward(problem: Problem) -> str:
    """The coordinate along which the problem can be solved forward, from conditions at its low end; empty if there is none."""
    for name in problem.domain.names:
        with suppress(ValueError):
            check_forward(problem, name)
            return name
    return ""
