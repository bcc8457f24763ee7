"""The functions of a window in time on points that are a grid, and their derivatives: by tables, or by Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebder
from torch import Tensor

from pinnedu.derivatives.jet import Jet
from pinnedu.derivatives.requests import Laplacian, Order, Request
from pinnedu.derivatives.series import Plan
from pinnedu.trainers.products import TIMES, Products, chebyshev
from pinnedu.trainers.waves import Block, together


class Waves:
    """All whole waves on as many evenly spaced points: values of functions, and amplitudes of e^(ikx) for k = 0 to K.

    Parameters
    ----------
    count : int
        Of functions in space, 2 K + 1.
    length : float
        The period.
    """

    def __init__(self, count: int, length: float) -> None:
        k = torch.arange((count + 1) // 2, dtype=torch.float64)
        self.count, self.symbol = count, 2j * math.pi / length * k
        self.shift = torch.polar(torch.ones_like(k), math.pi / count * k)  # the first point is half a step from the end

    def values(self, amplitudes: Tensor, order: int = 0) -> Tensor:
        """A derivative at the points, (count, ...), of amplitudes (K + 1, ...)."""
        factor = (self.symbol**order * self.shift).view(-1, *[1] * (amplitudes.dim() - 1))
        return torch.fft.irfft(self.count * factor * amplitudes, self.count, dim=0)

    def amplitudes(self, values: Tensor) -> Tensor:
        """Of the waves that have these values at the points."""
        return torch.fft.rfft(values, dim=0) / self.count * self.shift.conj().view(-1, *[1] * (values.dim() - 1))


def amplitudes(coefficients: Tensor) -> Tensor:
    """Of e^(ikx) for k = 0 to K, in place of the coefficients (2 K + 1, ...) of 1, cos, sin, cos 2, sin 2 ..."""
    return torch.cat([coefficients[:1] + 0j, torch.complex(coefficients[1::2], -coefficients[2::2]) / 2])


def coefficients(amplitudes: Tensor) -> Tensor:
    """Of 1, cos, sin, cos 2, sin 2 ... in place of e^(ikx), (2 K + 1, ...)."""
    both = torch.stack([2 * amplitudes[1:].real, -2 * amplitudes[1:].imag], dim=1).flatten(0, 1)
    return torch.cat([amplitudes[:1].real, both])


def table(function: Callable[[Tensor], Tensor], points: Tensor, order: int) -> Tensor:
    """A derivative of functions of one variable at points (N,), (N, count)."""
    jet: Jet = function(Jet.seed(points[:, None], Plan.of(frozenset({(order,)}), 1)))  # type: ignore[arg-type, assignment]
    return jet.derivative((order,))


def kept(model: Products, x: Tensor, count: int, order: int) -> Tensor:
    """A derivative of the functions in space at points (N,), (N, count), made once."""
    key, known = (x.numpy().tobytes(), count, order), model.known
    if key not in known:
        known[key] = table(lambda x: model.in_space(x, count), x, order)
    return known[key]


def by_values(model: Products, x: Tensor) -> Tensor:
    """The matrix that gives the coefficients of functions by their values at as many points (N,), made once."""
    key, known = (x.numpy().tobytes(), len(x), -1), model.known
    if key not in known:
        known[key] = torch.linalg.inv(kept(model, x, len(x), 0))
    return known[key]


def nodes(count: int, low: float, high: float) -> Tensor:
    """So many evenly spaced points, the first and the last half a step from the ends."""
    return low + (high - low) * (torch.arange(count, dtype=torch.float64) + 0.5) / count


def orders_of(what: Order | Laplacian, dim: int) -> list[Order]:
    """The derivatives that a request is the sum of."""
    if not isinstance(what, Laplacian):
        return [what]
    return [tuple(2 * (axis == k) for k in range(dim)) for axis in what.axes]


class Grid:
    """The functions of a window on points: on the different x and on the different t, and which point has which.

    Where these are all waves on evenly spaced points, derivatives are taken by Fourier transforms.

    Parameters
    ----------
    model : Products
    points : Tensor (N, d)
    edges : tuple of float
    count : int
        Of functions in space.
    """

    def __init__(self, model: Products, points: Tensor, edges: tuple[float, float], count: int) -> None:
        self.model, self.edges, self.count, self.dim = model, edges, count, points.shape[1]
        self.t, which_t = points[:, model.axis].unique(return_inverse=True)
        self.x, which_x = points[:, model.space or 0].unique(return_inverse=True)
        if model.space is None:
            self.x, which_x = self.x[:1], which_x * 0
        self.which, self.times = (which_x, which_t), dict[int, Tensor]()
        low, high = model.bounds[0]
        self.waves: Waves | None = None
        even = model.periodic and len(self.x) == count
        if even and float((self.x - nodes(count, low, high)).abs().max()) < 1e-9 * (high - low):
            self.waves = Waves(count, high - low)

    def in_time(self, order: int) -> Tensor:
        """A derivative of the polynomials at the different t, (times, TIMES)."""
        if order not in self.times:
            low, high = self.edges
            by_z = torch.from_numpy(chebder(np.eye(TIMES), order)) if order else torch.eye(TIMES, dtype=torch.float64)
            z = ((2 * self.t - (low + high)) / (high - low))[:, None]
            self.times[order] = chebyshev(z, TIMES)[:, : len(by_z)] @ by_z * (2 / (high - low)) ** order
        return self.times[order]

    def in_space(self, order: int) -> Tensor:
        """A derivative of the functions at the different x, (number, count)."""
        return kept(self.model, self.x, self.count, order)

    def along(self, order: int, coefficients: Tensor) -> Tensor:
        """A derivative in x of sums of the functions, (number, ...) by coefficients (count, ...)."""
        if self.waves is not None:
            return self.waves.values(amplitudes(coefficients), order)
        return self.in_space(order) @ coefficients

    def pairs(self, what: Order | Laplacian) -> list[tuple[int, int]]:
        """The derivatives that a request is the sum of, by x and by t."""
        space, time = self.model.space, self.model.axis
        return [(0 if space is None else order[space], order[time]) for order in orders_of(what, self.dim)]

    def values(self, coefficients: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        """What an engine gives."""
        found, seen = {}, dict[tuple[int, int], Tensor]()
        for output, what in requests:
            total = torch.zeros(len(self.which[0]), dtype=torch.float64)
            for a, b in self.pairs(what):
                if (output, a) not in seen:
                    seen[output, a] = self.along(a, coefficients[output])
                total += (seen[output, a] @ self.in_time(b).T)[self.which]
            found[output, what] = total
        return found

    def rows(self, block: Block) -> Tensor:
        """Derivatives of a block's residuals by the coefficients, (N, fields * functions)."""
        which_x, which_t = self.which
        columns = []
        for field in range(self.model.fields):
            by_time: dict[int, Tensor] = {}
            for (output, what), slope in block.slopes.items():
                for a, b in self.pairs(what) if output == field else ():
                    by_time[b] = by_time.get(b, 0.0) + slope[:, None] * self.in_space(a)[which_x]
            total = torch.zeros(len(which_x), self.count, TIMES, dtype=torch.float64)
            for b, part in by_time.items():
                total += part[:, :, None] * self.in_time(b)[which_t][:, None, :]
            columns.append(total.flatten(1))
        return together(torch.cat(columns, dim=1), block)
