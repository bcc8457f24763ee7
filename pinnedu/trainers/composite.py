"""One model made of several, each for a part of the domain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.domain import Box

SHARPNESS = 9.2
"""A logistic step goes from 1 % to 99 % over 9.2 times its scale: that is the width of an overlap."""

Parts = dict[str, list[tuple[float, float]]]
"""Intervals by coordinate, neighbors overlapping, as :func:`intervals` makes them."""


class Piecewise(nn.Module):
    """Models for consecutive intervals of one coordinate: at each point, the last that has begun.

    Parameters
    ----------
    axis : int
        Column of the coordinate, such as time.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis, self.starts, self.models = axis, list[float](), nn.ModuleList()

    def append(self, start: float, model: nn.Module) -> None:
        """Let a model answer from ``start`` on."""
        self.starts.append(start)
        self.models.append(model)

    def forward(self, points: Tensor) -> Tensor:
        # Taylor mode sends jets: which model answers depends on where a point is, not on how it moves.
        where: Tensor = getattr(points, "value", points)[:, self.axis : self.axis + 1]
        begun = torch.stack([where >= start for start in self.starts[1:]] or [torch.zeros_like(where)])
        turn = begun.sum(dim=0)
        # `* 1` first and not `where`: products are known to jets.
        return sum((turn == k).to(where) * model(points) for k, model in enumerate(self.models))


class Corrected(nn.Module):
    """A model, which stays as it is, and a correction: base(x) + correction(x)."""

    def __init__(self, base: nn.Module, correction: nn.Module) -> None:
        super().__init__()
        self.base, self.correction = base.requires_grad_(False), correction

    def forward(self, points: Tensor) -> Tensor:
        total: Tensor = self.base(points) + self.correction(points)
        return total


class Blend(nn.Module):
    r"""A partition of unity times models: u(x) = sum_i w_i(x) u_i(x), with sum_i w_i(x) = 1.

    Along one coordinate with cuts c_1 < ... < c_{n-1} and the logistic function s,

        w_i(x) = s((x - c_i) / b_i) - s((x - c_{i+1}) / b_{i+1}),

    where the first part has no cut on its left and the last none on its right. The steps cancel in
    the sum, so that it is 1 to rounding. With several coordinates the weights are products.

    Parameters
    ----------
    box : Box
    parts : dict of coordinate to list of (low, high)
        Overlapping intervals that cover the box. Within an overlap one model fades into the next.
    build : callable
        Makes the model of a part from its box.

    References
    ----------
    Moseley, Markham & Nissen-Meyer (2023), Finite basis physics-informed neural networks (FBPINNs).
    Their weights are products of squared cosines, divided by their sum.
    """

    def __init__(self, box: Box, parts: Parts, build: Callable[[Box], nn.Module]) -> None:
        super().__init__()
        self.axes = [box.names.index(name) for name in parts]
        self.cuts = [[_step(a, b) for a, b in itertools.pairwise(row)] for row in parts.values()]
        boxes = [
            Box(**box.bounds | dict(zip(parts, chosen, strict=True))) for chosen in itertools.product(*parts.values())
        ]
        self.models = nn.ModuleList(build(part) for part in boxes)

    def weights(self, points: Tensor) -> list[Tensor]:
        """The weight of each model, each (N, 1)."""
        by_axis = []
        for axis, cuts in zip(self.axes, self.cuts, strict=True):
            x = points[:, axis : axis + 1]
            steps: list[Any] = [1.0, *(torch.sigmoid((x - center) / scale) for center, scale in cuts), 0.0]
            by_axis.append([left - right for left, right in itertools.pairwise(steps)])
        return [prod(factors[1:], start=factors[0]) for factors in itertools.product(*by_axis)]

    def forward(self, points: Tensor) -> Tensor:
        pairs = zip(self.weights(points), self.models, strict=True)
        return sum(weight * model(points) for weight, model in pairs)


def intervals(low: float, high: float, count: int, overlap: float) -> list[tuple[float, float]]:
    """Cut an interval into equal parts, each longer by ``overlap`` times its length at every cut."""
    length = (high - low) / count
    cuts = [low + k * length for k in range(1, count)]
    reach = overlap * length / 2
    return list(zip([low, *(c - reach for c in cuts)], [*(c + reach for c in cuts), high], strict=True))


def _step(left: Sequence[float], right: Sequence[float]) -> tuple[float, float]:
    """Center and scale of the step from one interval to the next, over their overlap."""
    return (right[0] + left[1]) / 2, (left[1] - right[0]) / SHARPNESS
