"""Products of functions in space and polynomials in time: a model for windows in time, linear in its coefficients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.domain import Domain

TIMES = 6  # polynomials in time
AT_ONCE = 2**24  # values of functions in space


def chebyshev(z: Tensor, count: int) -> Tensor:
    """T_0 ... T_(count - 1) at points (N, 1) in [-1, 1], (N, count)."""
    found = [z * 0 + 1, z]
    for _ in range(count - 2):
        found.append(2 * z * found[-1] - found[-2])
    return torch.cat(found[:count], dim=1)


def shapes(x: Tensor, count: int, low: float, high: float, periodic: bool) -> Tensor:
    """The first functions in space at points (N, 1): 1, cos, sin, cos 2, sin 2 ..., or Chebyshev's polynomials; (N, count)."""
    if not periodic:
        return chebyshev((2 * x - (low + high)) / (high - low), count)
    k = torch.arange(count, dtype=torch.float64)
    quarter = (k > 0) * (1 - k % 2)  # a sine is a cosine that comes a quarter of a turn later
    return torch.cos((x - low) * (2 * math.pi / (high - low) * ((k + 1) // 2)) - math.pi / 2 * quarter)


class Products(nn.Module):
    """Products of functions in space and in time, with coefficients of their own for each window in time.

    Parameters
    ----------
    domain : Box
        Of one coordinate besides time, or none.
    time : str
    fields : int
    periodic : bool
        Whether the functions in space are waves, or Chebyshev's polynomials.
    """

    def __init__(self, domain: Domain, time: str, fields: int, periodic: bool) -> None:
        super().__init__()
        self.time, self.axis, self.fields, self.periodic = time, domain.names.index(time), fields, periodic
        self.space = next((k for k in range(domain.dim) if k != self.axis), None)
        self.bounds = [(0.0, 1.0) if self.space is None else domain.bounds[domain.names[self.space]]]
        self.edges, self.coefficients = list[tuple[float, float]](), nn.ParameterList()
        self.known: dict[tuple[bytes, int, int], Tensor] = {}

    def append(self, start: float, end: float, coefficients: Tensor) -> None:
        """Let a window answer from its start on: coefficients (fields, functions in space, functions in time)."""
        self.edges.append((start, end))
        self.coefficients.append(nn.Parameter(coefficients.clone(), requires_grad=False))

    def in_space(self, x: Tensor, count: int) -> Tensor:
        """The first functions in space at points (N, 1), (N, count); 1 where there is time alone."""
        return shapes(x, count, *self.bounds[0], self.periodic) if self.space is not None else x * 0 + 1

    def forward(self, points: Tensor) -> Tensor:
        most = max(1, AT_ONCE // max(len(one[0]) for one in self.coefficients))
        parts = [self.some(points[start : start + most]) for start in range(0, len(points), most)]
        return torch.cat(parts) if parts else self.some(points)

    def some(self, points: Tensor) -> Tensor:
        """The values at so many points that the functions in space fit into memory."""
        # Taylor mode sends jets: which window answers depends on where a point is, not on how it moves.
        where: Tensor = getattr(points, "value", points)[:, self.axis].detach().contiguous()
        edges = torch.tensor(self.edges, dtype=where.dtype, device=where.device)
        turn = torch.bucketize(where, edges[1:, 0].contiguous(), right=True)
        low, high = edges[turn].T[:, :, None]
        t = points[:, self.axis : self.axis + 1]
        in_time = chebyshev((2 * t - (low + high)) / (high - low), TIMES)
        answering = turn.unique().tolist() or [0]
        x = t if self.space is None else points[:, self.space : self.space + 1]
        in_space = self.in_space(x, max(self.coefficients[k].shape[1] for k in answering))
        values: Any = 0.0
        for k in answering:
            c = self.coefficients[k].transpose(0, 1).flatten(1)
            values = values + (turn == k).to(where)[:, None] * (in_space[:, : len(c)] @ c)
        parts = [(values[:, i * TIMES : (i + 1) * TIMES] * in_time).sum(dim=1, keepdim=True) for i in range(self.fields)]
        return torch.cat(parts, dim=1)
