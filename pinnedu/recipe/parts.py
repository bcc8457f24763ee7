"""What ``solve`` is made of besides ``fit``: random waves, a model with a correction, and a look at a run from outside."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.models import MLP, FourierFeatures
from pinnedu.problem import Problem
from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.optimizers import Step
from pinnedu.trainers.record import State

DRAWS = 8  # of points, between two looks of a Watch


def waves(problem: Problem, rates: Tensor | Sequence[float], count: int, periodic: tuple[str, ...] = (), seed: int = 0) -> MLP:
    """A linear model of random waves, cos(b_j x) and sin(b_j x), with normal b_j of the standard deviations ``rates``.

    Parameters
    ----------
    rates : Tensor or sequence of float, (d,)
        In radians per unit of each coordinate.
    periodic : tuple of str
        Coordinates in which each wave has the domain's period.
    """
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, problem.domain.dim, dtype=torch.float64, generator=generator)
    frequencies = torch.as_tensor(rates, dtype=torch.float64) * normal
    for name in periodic:
        axis, (low, high) = problem.domain.names.index(name), problem.domain.bounds[name]
        whole = 2 * math.pi / (high - low)
        frequencies[:, axis] = whole * (frequencies[:, axis] / whole).round()
    return MLP(problem, hidden=(), embedding=FourierFeatures(frequencies), seed=seed)


class Corrected(nn.Module):
    """A copy of a model, which stays as it is, and a correction that is trained: base(x) + correction(x)."""

    def __init__(self, base: nn.Module, correction: nn.Module) -> None:
        super().__init__()
        self.base, self.correction = copy.deepcopy(base).requires_grad_(False), correction

    def forward(self, points: Tensor) -> Tensor:
        total: Tensor = self.base(points) + self.correction(points)
        return total


class Continued:
    """A Gauss-Newton whose damping and momentum go on from one run of a model to the next."""

    compiles = False

    def __init__(self, options: GaussNewton) -> None:
        self.options, self.resample = options, options.resample
        self.step: Any = None

    def start(self, model: nn.Module) -> Step:
        if self.step is None:
            self.step = self.options.start(model)
        else:
            self.step.weights = [weight for weight in model.parameters() if weight.requires_grad]
        step: Step = self.step
        return step


class Watch:
    """Ends a run where it is good enough or stands still: for want of points if it over-fits them, else of neurons.

    Parameters
    ----------
    every : int
        Steps between two draws of points. The loss right after a draw is one on fresh points.
    enough : float
        A loss on fresh points that is small enough.
    """

    def __init__(self, every: int, enough: float = 0.0) -> None:
        self.every, self.enough, self.losses, self.wants = every, enough, list[float](), ""

    def __call__(self, state: State) -> str | None:
        self.losses.append(state.loss)
        if max(self.losses[:: self.every][-3:]) < self.enough:
            self.wants = "nothing"
            return f"the loss on fresh points is below {self.enough:.0e}"
        if len(self.losses) % (DRAWS * self.every):
            return None
        recent = self.losses[-DRAWS * self.every :]
        fresh, own = recent[:: self.every], recent[self.every - 1 :: self.every]
        half = DRAWS // 2
        if median(fresh[half:]) < 0.7 * median(fresh[:half]):
            return None
        overfit = median([after / max(before, 1e-300) for before, after in zip(own, fresh[1:], strict=False)])
        self.wants = "points" if overfit > 2 else "neurons"
        return f"the loss on fresh points stands still, {overfit:.1f} times that on the points in use: more {self.wants}"


def median(values: list[float]) -> float:
    """The middle of some numbers."""
    return float(torch.tensor(values, dtype=torch.float64).median())


def widened(model: MLP, problem: Problem, width: int) -> MLP:
    """The same function as a network with wider hidden layers: new neurons see all of the layer before, and nothing sees them.

    Source: Chen, Goodfellow & Shlens (2016), Net2Net, with new neurons in the place of copies.
    """
    wide = MLP(problem, hidden=(width,) * (len(model.layers) - 1), embedding=model.embedding)
    wide.set_output(model.output_shift, model.output_scale)
    old: Any
    new: Any
    with torch.no_grad():
        for old, new in zip(model.layers, wide.layers, strict=True):
            rows, columns = old.weight.shape
            new.weight[:rows, columns:] = 0
            new.weight[:rows, :columns] = old.weight
            new.bias[:rows] = old.bias
    return wide
