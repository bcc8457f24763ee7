"""What measurements along one coordinate say of equations, before any training: how large unknowns and residuals are.

A spring whose stiffness is 400 and whose first guess is 1 swings twenty times as fast as the guess says. Smoothed, its
measured positions have accelerations, and least squares find the stiffness to a few per cent. As a result that would be
too rough, and with noise it is biased; as a size it is enough.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from scipy.interpolate import make_smoothing_spline
from torch import Tensor, nn

from pinnedu.derivatives import Laplacian, Request
from pinnedu.observations import Observed
from pinnedu.problem import Problem

FEWEST = 10  # measurements of a field at different places: fewer are not smoothed
HIGHEST = 2  # derivative that a smoothed field is asked for


class Measured:
    """The fields of a problem in one coordinate as smoothed measurements: an engine of derivatives, without a model.

    Fields that are not measured, and derivatives above the second, are NaN.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.splines = {}
        for output, name in enumerate(problem.fields):
            data = [one for one in problem.conditions.values() if isinstance(one, Observed) and name in one.values]
            if problem.domain.dim == 1 and data:
                places = np.concatenate([one.where[:, 0].numpy() for one in data])
                values = np.concatenate([one.values[name].numpy() for one in data])
                places, which = np.unique(places, return_inverse=True)
                if len(places) >= FEWEST:
                    means = np.bincount(which, values) / np.bincount(which)  # of what was measured twice
                    smooth = make_smoothing_spline(places, means)
                    if np.square(smooth(places) - means).mean() > means.var() / 2:  # it took the swings for noise
                        smooth = make_smoothing_spline(places, means, lam=0)
                    self.splines[output] = smooth
        ends = [(spline.t[0], spline.t[-1]) for spline in self.splines.values()]
        low, high = np.max(ends or [(0, 0)], axis=0)[0], np.min(ends or [(0, 0)], axis=0)[1]
        self.points = torch.linspace(low, high, 200, dtype=torch.float64)[10:-10, None]  # the ends are rough

    def __call__(self, model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        """Evaluate requests, as engines do; the model has no part in it."""

        def of(request: Request) -> Tensor:
            output, what = request
            order = 2 if isinstance(what, Laplacian) else sum(what)
            if output not in self.splines or order > HIGHEST:
                return points.new_full((len(points),), torch.nan)
            return torch.as_tensor(self.splines[output](points[:, 0].numpy(), nu=order))

        return {request: of(request) for request in requests}

    def residuals(self, unknowns: Mapping[str, float]) -> dict[str, Tensor]:
        """The residuals of the equations that all fields are measured of, for these values of the unknowns."""
        if not self.splines:
            return {}
        numbers = {name: torch.tensor(float(value), dtype=torch.float64) for name, value in unknowns.items()}
        try:
            with torch.no_grad():
                blocks = self.problem.blocks(nn.Identity(), {"interior": self.points}, self, numbers)
        except ValueError:
            return {}
        found = {name: torch.cat(parts) for name, parts in blocks.items()}
        return {name: residual for name, residual in found.items() if torch.isfinite(residual).all()}

    def unknowns(self) -> dict[str, float]:
        """About how large the unknowns are that the equations are linear in, by least squares.

        Left out are those of which the data say nothing.
        """
        guesses = dict(self.problem.unknowns)
        columns: dict[str, Tensor] = {}
        for name in guesses:
            rows = [self.residuals({**guesses, name: value}) for value in (0.0, 1.0, 2.0)]
            if not rows[0] or not rows[0].keys() == rows[1].keys() == rows[2].keys():
                continue
            zero, one, two = (torch.cat(list(row.values())) for row in rows)
            slope = one - zero
            if slope.any() and float((two - 2 * one + zero).norm()) <= 1e-6 * float(slope.norm()):
                columns[name] = slope
        start = self.residuals(guesses | dict.fromkeys(columns, 0.0))
        if not columns or not start:
            return {}
        matrix = torch.stack(list(columns.values()), dim=1).numpy()
        found, _, rank, _ = np.linalg.lstsq(matrix, -torch.cat(list(start.values())).numpy(), rcond=1e-6)
        return dict(zip(columns, found.tolist(), strict=True)) if rank == len(columns) else {}
