"""Does a problem have one solution, and does it depend on the data as it should? Random waves are tried, before any training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.trainers.strategies import window
from pinnedu.trainers.waves import frequencies, linearized, rows, waves
from pinnedu.trainers.weights import weights_of

SLOW = 4.0  # radians over the length of the domain: where conditions are missing, slow functions show it
SEEN = 1e-7
RIPPLE = 1e-6  # the size of a wave that a nonlinear equation takes for a linear one's
STARTS = (8, 64)  # shares of the time, as one over them
TURNS = 40  # of a wave that is fast for any domain; and of one four times as fast
EXPLODES = 20.0  # a wave that grows by e^20 while the problem lasts


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


def amplification_at_start(problem: Problem, time: str, periodic: tuple[str, ...], at: nn.Module | None = None) -> float:
    """The larger amplification on the first eighth of the time and on the first 64th; zero where data come later.

    A motion that is fast for the whole time is slow there, so a missing speed at the start is seen: with all conditions at the
    start an error hardly grows in so short a time, and without one of them it is as large as one likes.
    """
    low, high = problem.domain.bounds[time]
    if any(column[:2] != "n." for condition in problem.conditions.values() for column in condition.columns(problem.domain)):
        return 0.0
    found = 0.0
    for share in STARTS:
        start = window(problem, time, low, low + (high - low) / share, None)
        sample = start.sample(Points(256, dict.fromkeys(start.conditions, 256)), generator=torch.Generator().manual_seed(0))
        found = max(found, amplification(start, periodic, sample, at))
    return found


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
