"""How sure a run is of what it found: Laplace's approximation.

The loss L(w) = 1/2 |r(w)|^2, with all residuals scaled by sqrt(w_k / N_k), is up to a factor s the negative logarithm of a
posterior density, if measured values scatter normally and the equations are believed as far as their weights say. Around
its minimum r is nearly linear in w, so the posterior is nearly normal, and J^T J is all that it needs:

    covariance of the weights  C = s (J^T J + s P)^-1,      variance of a quantity g(w)  =  g'^T C g',

with P = 1 for weights of networks, which are near 1 by their scale, and P = 0 for unknown numbers. The factor s is not
assumed: it is the mean square of what the data leave, per degree of freedom that the fit has left them,

    s = sum over data of r^2 / (N - p),      p = trace of (J^T J + s P)^-1 J_data^T J_data.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from scipy.stats import t as student
from torch import Tensor, nn

from pinnedu.checks import as_number, require
from pinnedu.jacobian import jacobian
from pinnedu.observations import At
from pinnedu.parameters import WithUnknowns, trainable_parameters
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers.asked import points_of, quantity
from pinnedu.trainers.memory import require_memory

FIXED_POINT = 20  # at most so often the scatter and the freedom that it leaves are computed from each other
TOGETHER = 4096  # points whose derivatives by the weights are formed together


class Interval(NamedTuple):
    """What lies between ``low`` and ``high`` with a given probability: two numbers, or two arrays of one shape."""

    low: Any
    high: Any


class Posterior:
    """The normal distribution around a trained model that its data and equations leave.

    Made by ``Fit.posterior``. It is honest where the fit is: the run must have come to the minimum of its loss, the
    network must be able to represent the solution, and measured values must scatter independently. For an unknown function
    it covers the truth in the mean over its points, and not at each point by itself (Nychka 1988): where a
    function bends most, a smooth estimate is biased.

    Parameters
    ----------
    model : Module
    problem : Problem
        With its unknowns as they were found.
    weights : dict of term to float
        Of the loss that was minimized.
    units : dict of unknown to float
        What training moved is the unknown divided by this.
    points : Points, optional
        Where the equations are linearized; 2000 Sobol points and 200 on each condition by default. The data are all used.

    Attributes
    ----------
    noise : dict of str to float
        The standard deviation of the measured values, by condition, as the data themselves show it.
    freedom : float
        N - p: how many of the measured values are left over by the fit.
    parameters : float
        p: how many numbers the data determine.
    factor : Tensor (P, P)
        The Cholesky factor of the inverse of the covariance C.

    References
    ----------
    MacKay (1992), A practical Bayesian framework for backpropagation networks. Immer, Korzepa & Bauer (2021), Improving
    predictions of Bayesian neural nets via local linearization. Nychka (1988), Bayesian confidence intervals for smoothing
    splines.
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        weights: Mapping[str, float],
        units: Mapping[str, float],
        points: Points | None = None,
    ) -> None:
        points = Points(2000, 200, method="sobol") if points is None else points
        require(isinstance(points, Points), "points", "Points(...)", points)
        data = [name for name, condition in problem.conditions.items() if isinstance(condition, At) and condition.values]
        if not data:
            raise ValueError("An interval needs measured values, whose scatter it is made of: there is no Observed(...).")
        self.model, self.problem = model, problem
        weight = next(model.parameters())
        self.trained = WithUnknowns(model, problem.unknowns, units).to(weight.device)
        sample = problem.sample(points, generator=torch.Generator().manual_seed(0), device=weight.device, dtype=weight.dtype)
        moved = trainable_parameters(self.trained)
        sizes = [value.numel() for value in moved.values()]
        ends = dict(zip(moved, itertools.accumulate(sizes), strict=True))
        self.places = {name: ends[f"unknowns.{name}"] - 1 for name in problem.unknowns}
        self.prior = torch.ones(sum(sizes), dtype=weight.dtype, device=weight.device)
        self.prior[list(self.places.values())] = 0.0
        size = len(self.prior)
        require_memory(f"The covariance of {size} weights", 5 * 8 * size**2, weight.device, "use a smaller model")
        curvature, seen = torch.zeros(2, size, size, dtype=weight.dtype, device=weight.device)
        slope, squares, count, sums = torch.zeros_like(self.prior), 0.0, 0, {}
        for name, (residual, rows) in jacobian(self.trained, problem, sample).items():
            share = weights[name] / len(residual)
            own = share * rows.T @ rows
            curvature += own
            slope += share * rows.T @ residual
            if name in data:
                seen += own
                sums[name] = float(residual.square().sum()), len(residual), share
                squares, count = squares + share * sums[name][0], count + len(residual)
        self.scatter, floor = squares / count, 1e-13 * float(curvature.diagonal().max())
        for _ in range(FIXED_POINT):
            before, factor = self.scatter, self._factor(curvature + torch.diag(max(self.scatter, floor) * self.prior))
            self.parameters = float(torch.cholesky_solve(seen, factor).trace())
            self.freedom = count - self.parameters
            if self.freedom < 1:
                raise ValueError(
                    f"The fit uses up all of the {count} measured values (about {self.parameters:.0f} numbers are fitted to "
                    "them), so they do not tell their noise: give the equations more weight, or more data."
                )
            self.scatter = squares / self.freedom
            if abs(self.scatter - before) <= 1e-6 * self.scatter:
                break
        self.factor = factor / math.sqrt(self.scatter)
        self.step = -torch.cholesky_solve(slope[:, None], factor)[:, 0]  # what is left to the minimum
        self.noise = {name: math.sqrt(self.scatter / share) for name, (_, _, share) in sums.items()}

    def __repr__(self) -> str:
        noise = ", ".join(f"{name} {value:.3g}" for name, value in self.noise.items())
        return f"Posterior(noise: {noise}; {self.parameters:.1f} numbers from {self.parameters + self.freedom:.0f} readings)"

    def _factor(self, matrix: Tensor) -> Tensor:
        factor, trouble = torch.linalg.cholesky_ex(matrix)
        if trouble:
            names = ", ".join(self.problem.unknowns) or "the fields"
            raise ValueError(f"The data do not determine {names}: J^T J is singular, so there is no interval.")
        return factor

    def interval(self, of: str | None = None, /, level: float = 0.95, **coordinates: Any) -> Any:
        """Where the truth lies with a given probability: see ``Fit.interval``."""
        check_question(self.problem, of, level, coordinates)
        if of is None and not coordinates:
            return {name: self.interval(name, level) for name in self.problem.unknowns}
        if of is not None and of in self.problem.unknowns:
            center: Any = float(self.problem.unknowns[of])
            slope = torch.zeros_like(self.prior)
            slope[self.places[of]] = self.trained.units.get(of, 1.0)
            deviation: Any = float(self._deviation(slope[None])[0])
        else:
            points, shape = points_of(self.problem, coordinates)
            equation = quantity(str(of or self.problem.fields[0]), self.problem)
            asking = replace(self.problem, equations={"asked": equation}, conditions={}, exact=None)
            found = [jacobian(self.trained, asking, part.to(self.prior))["asked"] for part in points.split(TOGETHER)]
            center = torch.cat([value for value, _ in found]).cpu().double().numpy().reshape(shape)
            deviation = self._deviation(torch.cat([rows for _, rows in found])).cpu().double().numpy().reshape(shape)
        half = float(student.ppf((1 + level) / 2, self.freedom)) * deviation  # Student's: the noise is estimated
        return Interval(center - half, center + half)

    def _deviation(self, slopes: Tensor) -> Tensor:
        """The standard deviation of quantities, from their derivatives by the weights (n, P)."""
        found = torch.linalg.solve_triangular(self.factor, slopes.T, upper=False).square().sum(dim=0).sqrt()
        left = float((slopes @ self.step).square().mean().sqrt() / found.square().mean().sqrt())
        if left > 1:
            warnings.warn(
                f"The run is not at the minimum of its loss: another step would move this by {left:.2g} standard deviations. "
                "Train on before you trust the interval.",
                stacklevel=4,
            )
        return found


def check_question(problem: Problem, of: Any, level: Any, coordinates: Mapping[str, Any]) -> None:
    """Raise ValueError unless an interval can be given of this."""
    require(0 < as_number(level) < 1, "level", "a probability between 0 and 1, such as 0.95", level)
    require(of is None or isinstance(of, str), "of", "the name of an unknown, or of a quantity", of)
    if of in problem.unknowns and coordinates:
        raise ValueError(f"{of!r} is a number, the same at all points: leave the coordinates out.")
    if of is None and not coordinates and not problem.unknowns:
        raise ValueError(f"The problem has no unknown numbers: name a quantity and points, interval({problem.fields[0]!r}, ...).")
    if of is None and coordinates and len(problem.fields) > 1:
        raise ValueError(f"Say of what an interval is wanted: there is {', '.join(problem.quantities)}.")
    if of not in problem.unknowns and (of is not None or coordinates):
        quantity(str(of or problem.fields[0]), problem)
        points_of(problem, coordinates)
