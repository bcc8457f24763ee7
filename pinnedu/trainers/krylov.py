"""Newton's step on a window with many functions in space: by GMRES, with a preconditioner that is cheap to invert.

Where all functions are waves it is the same equations with their coefficients *frozen*: with each c_k(x, t) replaced by its mean
over x, a derivative multiplies e^(ikx) by its symbol, and each wave has a system of its own, as small as the polynomials in time
are few. That is exact for derivatives with constant coefficients; where the highest derivative has another, GMRES may need many
steps, and gives up. Between walls it is the same equations by *finite differences* on the points of the polynomials (Orszag
1980, Spectral methods for problems in complex geometries), whose matrix is sparse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, gmres, splu
from torch import Tensor

from pinnedu.trainers.grid import Grid, coefficients
from pinnedu.trainers.waves import Block

ACCURACY, AT_MOST = 1e-3, 40  # of GMRES: what is left of the residual, and its steps

Step = Callable[[Sequence[Tensor]], Tensor]  # from the residuals of all blocks to a change of the coefficients
Inverse = Callable[[Tensor], Tensor]  # from residuals on the grid, one after the other, to coefficients (fields, count, times)


class Part:
    """One residual of a window, linearized on a grid: its coefficients (x, t), by field and order in x and t."""

    def __init__(self, block: Block, grid: Grid) -> None:
        self.grid, self.terms = grid, dict[tuple[int, int, int], Tensor]()
        self.times = len(grid.in_time(0))
        for (output, what), slope in block.slopes.items():
            for a, b in grid.pairs(what):
                self.terms[output, a, b] = self.terms.get((output, a, b), 0.0) + self.table(slope)

    def table(self, values: Tensor) -> Tensor:
        """Values at the points of the block as a table (x, t)."""
        found = values.new_zeros(len(self.grid.x), self.times)
        found[self.grid.which] = values
        return found

    def __call__(self, coefficients: Tensor) -> Tensor:
        """What a change of the coefficients does to the residual, (x, t)."""
        seen = {(k, a): self.grid.along(a, coefficients[k]) for k, a, _ in self.terms}
        found: Tensor = sum(slope * (seen[k, a] @ self.grid.in_time(b).T) for (k, a, b), slope in self.terms.items())  # type: ignore
        return found


def step(parts: Sequence[Part], inverse: Inverse) -> Step:
    """Newton's step by GMRES, preconditioned from the right: what it makes small is the residual itself. NaN if it does not."""

    def solve(residuals: Sequence[Tensor]) -> Tensor:
        right = torch.cat([part.table(residual).flatten() for part, residual in zip(parts, residuals, strict=True)])

        def applied(vector: np.ndarray) -> np.ndarray:
            change = inverse(torch.from_numpy(vector))
            return torch.cat([part(change).flatten() for part in parts]).numpy()

        operator = LinearOperator((len(right), len(right)), applied, dtype=np.float64)
        found, failed = gmres(operator, right.numpy(), rtol=ACCURACY, restart=AT_MOST, maxiter=1)
        return inverse(torch.from_numpy(found)) * (math.nan if failed else 1.0)

    return solve


def frozen(parts: Sequence[Part], fields: int, times: int) -> Inverse | None:
    """The inverse of the equations with coefficients frozen in space; None where waves do not decouple."""
    waves = parts[0].grid.waves
    if waves is None or any(part.grid.waves is None for part in parts):
        return None
    system = []
    for part in parts:
        rows = torch.zeros(len(waves.symbol), part.times, fields, times, dtype=torch.complex128)
        for (k, a, b), slope in part.terms.items():
            rows[:, :, k] += waves.symbol[:, None, None] ** a * (slope.mean(dim=0)[:, None] * part.grid.in_time(b))
        system.append(rows.flatten(2))
    matrices = torch.cat(system, dim=1)
    if matrices.shape[1] != matrices.shape[2]:
        return None
    factors, pivots, info = torch.linalg.lu_factor_ex(matrices)
    if info.any():
        return None

    def inverse(residuals: Tensor) -> Tensor:
        pieces = residuals.split([waves.count * part.times for part in parts])
        right = waves.amplitudes(torch.cat([piece.view(waves.count, -1) for piece in pieces], dim=1))
        found = torch.linalg.lu_solve(factors, pivots, right[:, :, None])
        return coefficients(found.view(-1, fields, times)).transpose(0, 1)

    return inverse


def differences(
    parts: Sequence[Part], coefficients_by_values: Callable[[Tensor], Tensor], fields: int, count: int, times: int
) -> Inverse | None:
    """The inverse of the equations by finite differences; None where they do not fit.

    Parameters
    ----------
    parts : sequence of Part
    coefficients_by_values : callable
        The matrix (count, count) that gives coefficients for values at points (count,).
    fields, count, times : int
    """
    x = torch.cat([part.grid.x for part in parts]).unique()
    if len(x) != count or count < 3 or max(a for part in parts for _, a, _ in part.terms) > 2:
        return None
    stencils = [sparse.identity(count, format="csr"), *three_points(x.numpy())]
    system = []
    for part in parts:
        at = torch.searchsorted(x, part.grid.x).numpy()
        columns = [sparse.csr_matrix((len(at) * part.times, count * times)) for _ in range(fields)]
        for (k, a, b), slope in part.terms.items():
            both = sparse.kron(stencils[a][at], part.grid.in_time(b).numpy(), format="csr")
            columns[k] = columns[k] + sparse.diags(slope.flatten().numpy()) @ both
        system.append(sparse.hstack(columns))
    matrix = sparse.vstack(system, format="csc")
    if matrix.shape[0] != matrix.shape[1]:
        return None
    try:
        factors = splu(matrix)
    except RuntimeError:  # it is singular
        return None
    by_values = coefficients_by_values(x)

    def inverse(residuals: Tensor) -> Tensor:
        at_points = torch.from_numpy(factors.solve(residuals.numpy())).view(fields, count, times)
        return by_values @ at_points

    return inverse


def three_points(x: np.ndarray) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """First and second derivatives at points (N,) by the parabola through each and its neighbours."""
    middle = np.clip(np.arange(len(x)), 1, len(x) - 2)
    found = np.zeros((2, len(x), 3))
    near = x[middle[:, None] + [-1, 0, 1]]
    for k, (one, other) in enumerate(((1, 2), (2, 0), (0, 1))):
        scale = (near[:, k] - near[:, one]) * (near[:, k] - near[:, other])
        found[0, :, k] = (2 * x - near[:, one] - near[:, other]) / scale
        found[1, :, k] = 2 / scale
    rows = np.repeat(np.arange(len(x)), 3)
    columns = (middle[:, None] + [-1, 0, 1]).ravel()
    return tuple(sparse.csr_matrix((one.ravel(), (rows, columns)), shape=(len(x), len(x))) for one in found)
