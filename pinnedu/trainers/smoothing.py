"""Noisy readings: waves that are held back by as much as the readings that were left out ask for.

With half the squares of its amplitudes added to the loss a sum of random waves is a Gaussian process in the limit of many,
and the frequencies' distribution is the spectrum of its covariance (Rahimi & Recht 2007). How fast the waves turn, and how much
their amplitudes count, is chosen by leave-one-out: what a fit without reading i leaves there is r_i / (1 - h_i) of a linear
model, r_i what the fit with it leaves and h_i its share in its own value (Allen 1974, The relationship between variable selection
and data augmentation and a method for prediction). So each reading judges, and none is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from pinnedu.observations import At
from pinnedu.problem import Problem
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.waves import (
    STEPS,
    Block,
    collocation,
    frequencies,
    linearized,
    rows,
    solved_by_waves,
    system,
    waves,
)

ENOUGH = 50  # readings, at least: from fewer nobody tells their noise
EXACT = 1e4  # so much more than readings counts what is no reading
FIRST, MOST = 32, 256  # waves
START = 1e-5  # the first smoothing
PASSES = 4  # of the search with so many waves, at most
SAME = 0.1  # two fits leave noise of the same size, to this share
SMALL, LARGE = 1e-4, 0.9  # of how readings vary: below there is no noise to speak of, above the fit explains nothing
MET = 0.1  # the equations are met so much better than the readings
APART = 0.1  # what readings leave is noise if its correlation with the neighbour's is below this and three standard errors
FOUND = 0.4  # of the time, at most, to see whether there is noise
DEARER = 6.0  # a fit of twice as many waves, at most


def readings(problem: Problem) -> list[str]:
    """The conditions that give measured values."""
    return [name for name, condition in problem.conditions.items() if isinstance(condition, At) and condition.values]


def many(problem: Problem) -> bool:
    """Whether there are enough measured values to tell their noise."""
    measured = (problem.conditions[name] for name in readings(problem))
    return sum(len(values) for one in measured if isinstance(one, At) for values in one.values.values()) >= ENOUGH


@dataclass
class Smoothed:
    """A fit to noisy readings, and what leaving them out one by one says of it.

    Attributes
    ----------
    left : Tensor (N,)
        What the fit without a reading leaves there, for each of them.
    numbers : float
        How many numbers the readings determine: the sum of their shares.
    noise : float
        The standard deviation of the noise, relative to that of the readings.
    sound : bool
        Whether the equations are met, and what the readings leave is noise: a reading does not know what its neighbour leaves.
    spread : float
        The expected relative error of all fields together, or of the worst unknown, by the posterior covariance.
    """

    model: nn.Module
    problem: Problem
    code: str
    left: Tensor
    numbers: float
    noise: float
    spread: float
    sound: bool

    @property
    def score(self) -> float:
        """The mean square of what is left."""
        return float(self.left.square().mean())

    def behind(self, other: Smoothed) -> float:
        """By how many standard errors the score is worse than another's."""
        loss = self.left.square() - other.left.square()
        return float(loss.mean() / (loss.std() / len(loss) ** 0.5 + 1e-300))

    def preferred(self, other: Smoothed, lowest: Smoothed) -> bool:
        """Whether readings that were left out ask for this fit instead of another.

        The rule of one standard error (Breiman et al. 1984, Classification and regression trees): of those that are not
        behind the lowest score by more than its standard error, the one that determines the fewest numbers.
        """
        if self.behind(lowest) > 1 or other.sound > self.sound:
            return False
        return self.numbers < other.numbers or other.behind(self) > 1


def believed(problem: Problem, weights: Mapping[str, float]) -> dict[str, float]:
    """Weights under which the equations hold and the readings carry the noise."""
    own = readings(problem)
    return {name: weight * (1.0 if name in own else EXACT) for name, weight in weights.items()}


def smoothed(
    problem: Problem, weights: Mapping[str, float], rates: Sequence[float], count: int, periodic: Sequence[str],
    smoothing: float, places: Tensor, seed: int = 0, steps: int = STEPS,
) -> Smoothed:  # fmt: skip
    """Solve with so many waves of these rates under this smoothing, and judge; ``places`` are those of the expected error."""
    printed, seed = tuple(float(f"{rate:.4g}") for rate in rates), seed + count
    found, fields, names = frequencies(problem, printed, count, periodic, seed), len(problem.fields), list(problem.unknowns)
    trusted, smoothing, guess = believed(problem, weights), float(f"{smoothing:.3g}"), None
    code = f"found = frequencies(problem, {printed}, {count}, {tuple(periodic)}, {seed})\n"
    options = f"seed={seed}, steps={steps}, smoothing={smoothing}"
    if steps > 1:  # what is believed strongly bends Newton's way: begin where all count alike
        guess, problem = solved_by_waves(problem, weights, found, seed=seed, steps=steps, smoothing=smoothing)
        code += f"guess, problem = solved_by_waves(problem, weights, found, {options})\n"
        options += ", guess=guess"
    model, problem = solved_by_waves(problem, trusted, found, seed=seed, steps=steps, smoothing=smoothing, guess=guess)
    code += f"model, problem = solved_by_waves(problem, trusted, found, {options})\n"

    sample, own_names = collocation(problem, count, seed), readings(problem)
    blocks = linearized(problem, model, sample, trusted, problem.unknowns)
    matrix, _ = system(blocks, [], found, fields, names)
    ridge = smoothing**0.5 * torch.eye(2 * count * fields, matrix.shape[1], dtype=matrix.dtype)
    tiny = 1e-12 * float(matrix.norm()) * torch.eye(matrix.shape[1], dtype=matrix.dtype)
    factor = torch.linalg.qr(torch.cat([matrix, ridge, tiny]), mode="r").R.T  # of the inverse of the covariance

    def shares(of: Tensor) -> Tensor:
        """The variance of quantities with these derivatives, over that of the noise."""
        return torch.linalg.solve_triangular(factor, of.T, upper=False).square().sum(dim=0)

    data = [block for block in blocks if block.name in own_names]
    left = torch.cat([block.weight**0.5 * block.residual for block in data])
    own = shares(torch.cat([block.weight**0.5 * rows(block, found, fields, names) for block in data]))
    variance = float(left.square().sum()) / max(1.0, len(left) - float(own.sum()))
    zeros = linearized(problem, waves(problem, found), sample, trusted, problem.unknowns)
    varied = sum(one.weight * float(one.residual.var(correction=0)) * len(one.residual) for one in zeros if one.name in own_names)
    fresh = linearized(problem, model, collocation(problem, count, seed + 1), trusted, problem.unknowns)
    unmet = sum(block.weight * float(block.residual.square().sum()) for block in fresh if block.name not in own_names) / EXACT
    size = float(_fields(problem, model, places).square().sum())
    zero, one = (0,) * problem.domain.dim, torch.ones(len(places), dtype=factor.dtype)
    spreads = [shares(rows(Block("", one, places, {}, {(k, zero): one}, {}, 1.0), found, fields, names)) for k in range(fields)]
    spread = [math.sqrt(variance * float(torch.cat(spreads).sum()) / (size or 1e-300))]
    for k, value in enumerate(problem.unknowns.values()):
        unit = torch.eye(matrix.shape[1], dtype=factor.dtype)[2 * count * fields + fields + k]
        spread.append(math.sqrt(variance * float(shares(unit[None]))) / abs(value or 1e-300))
    return Smoothed(
        model, problem, code,
        left=left / (1 - own).clamp(min=1e-12),
        numbers=float(own.sum()),
        noise=math.sqrt(variance * len(left) / (varied or 1e-300)),
        spread=max(spread),
        sound=unmet < MET**2 * variance * len(left) and all(map(_apart, data)),
    )  # fmt: skip


def _apart(block: Block) -> bool:
    """Whether what readings leave has nothing to do with what their neighbours leave."""
    left = block.residual
    if len(block.points) != len(left) or len(left) < 3:
        return True
    lengths = (block.points.amax(dim=0) - block.points.amin(dim=0)).clamp(min=1e-300)
    places = (block.points / lengths).numpy()
    neighbour = torch.from_numpy(cKDTree(places).query(places, k=2)[1][:, 1])
    related = float((left * left[neighbour]).sum() / left.square().sum().clamp(min=1e-300))
    return related < APART + 3 / len(left) ** 0.5


def _fields(problem: Problem, model: nn.Module, places: Tensor) -> Tensor:
    """The values of all fields, one after the other."""
    with torch.no_grad():
        return torch.cat([*problem.values(model, places, problem.fields).values()])


def missed(problem: Problem, model: nn.Module, weights: Mapping[str, float]) -> bool:
    """Whether readings are missed by as much as noise would be."""
    blocks = linearized(problem, model, collocation(problem, FIRST, 0), weights, problem.unknowns)
    return any(
        float(block.residual.square().mean()) > SMALL**2 * float((block.residual - _value(block)).var(correction=0))
        for block in blocks
        if block.name in readings(problem)
    )


def _value(block: Block) -> Tensor:
    """What the fields add to the residual, to first order; the rest is what was measured."""
    return sum((slope * block.values[what] for what, slope in block.slopes.items()), torch.zeros_like(block.residual))


def noisy(
    problem: Problem, weights: Mapping[str, float], rates: Tensor, periodic: Sequence[str], places: Tensor, clock: Clock,
    until: float, seed: int = 0, steps: int = STEPS,
) -> Iterator[tuple[Smoothed, float]]:  # fmt: skip
    """Fits to readings that are noisy, each with its expected error; nothing where they are not.

    Twice as many waves each time, of the rates and the smoothing that readings left out ask for, searched for around the last. It
    is noise if twice as many waves leave as much of it. The expected error is what noise makes of the fit, or what it lacks
    to the one with the lowest score, which is smoothed less.
    """
    if not many(problem):
        return

    def change(one: Smoothed, other: Smoothed) -> float:
        """What lies between two, relative to the first: of all fields, or of the worst unknown."""
        here, there = (_fields(each.problem, each.model, places) for each in (one, other))
        numbers, others = one.problem.unknowns, other.problem.unknowns
        return max(
            float((here - there).norm() / here.norm().clamp(min=1e-300)),
            *(abs(others[name] / (value or 1e-300) - 1) for name, value in numbers.items()),
            0.0,
        )

    count, smoothing, last = FIRST, START, None
    factors = [torch.full_like(rates, factor) for factor in (2.0, 0.5)]
    if len(rates) > 1:
        factors += [1 + (factor - 1) * torch.eye(len(rates))[axis] for axis in range(len(rates)) for factor in (2.0, 0.5)]
    moves = [(factor, 1.0) for factor in factors] + [(torch.ones_like(rates), factor) for factor in (0.1, 10.0)]

    limit, cost = clock.used + min(FOUND, until - clock.used), 0.0

    def fitted() -> Smoothed:
        nonlocal cost
        begin = clock.used
        clock.count(count / 64)
        one = smoothed(problem, weights, rates.tolist(), count, periodic, smoothing, places, seed, steps)
        cost = max(1e-9, clock.used - begin)
        return one

    while count <= MOST and clock.used + (DEARER * cost if last else 0.0) < limit:
        best = lowest = fitted()
        for _ in range(PASSES):
            before = best
            for turn, damp in moves:
                if clock.used + cost > limit:
                    break
                at = rates, smoothing
                rates, smoothing = rates * turn, smoothing * damp
                one = fitted()
                lowest = min(lowest, one, key=lambda each: each.score)
                if one.preferred(best, lowest):
                    best = one
                else:
                    rates, smoothing = at
            if best.noise < SMALL:
                return
            if best is before:
                break
        if last is not None and best.sound and (1 - SAME) * last.noise < best.noise < LARGE:
            limit = until
            yield best, max(best.spread, change(best, lowest), change(best, last) / 2)
        last, count = best, 2 * count
