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
from pinnedu.sampling import Points
from pinnedu.trainers.strategies import check_forward
from pinnedu.trainers.waves import frequencies, linearized, waves

LOOKED = 256  # points of each set that are looked at
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


def looked_at(problem: Problem, count: int = LOOKED, seed: int = 0) -> Sample:
    """The same points in every run."""
    points = Points(count, dict.fromkeys(problem.conditions, count))
    return problem.sample(points, generator=torch.Generator().manual_seed(seed))


def forward(problem: Problem) -> str:
    """The coordinate along which the problem can be solved forward, from conditions at its low end; empty if there is none."""
    for name in problem.domain.names:
        with suppress(ValueError):
            check_forward(problem, name)
            return name
    return ""
