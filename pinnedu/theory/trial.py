"""A trial of a problem itself, without a network: polynomials instead of one, by least squares.

In up to three dimensions products of Legendre polynomials solve a smooth problem within a second, and what they leave
belongs to the problem and not to the training:

- a residual that is smooth and does not vanish: the equations and conditions contradict one another;
- a function that hardly any residual sees: the problem does not say what the solution is, or hardly;
- the size of the solution, and how often it turns.

Sources: Hadamard (1923) for what is well posed; Fredholm's alternative for what contradicts itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.domain import Box
from pinnedu.parameters import assign, trainable_parameters, vector
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.theory import tangent

DEGREES = {1: 80, 2: 16, 3: 6}
"""Highest degree along each coordinate, by their number."""
SIZE = 400
"""At most so many polynomials, of all fields together."""
ROUNDING = 1e-9
"""A derivative of order m of a polynomial of degree n is up to n^(2m) times as large: at most 1 / ROUNDING, so that 1e-16 of it
is small."""
STEPS = 20


class Polynomials(nn.Module):
    """Products of Legendre polynomials on the box around a domain, for every field; orthonormal in the mean over the box.

    Parameters
    ----------
    problem : Problem
        Its unknowns are sought besides, from their first guesses.
    degree : int
        Highest along each coordinate.
    """

    def __init__(self, problem: Problem, degree: int) -> None:
        super().__init__()
        self.low, self.high, self.degree = problem.domain.low, problem.domain.high, degree
        self.layer = nn.Linear((degree + 1) ** problem.domain.dim, len(problem.fields), bias=False, dtype=torch.float64)
        nn.init.zeros_(self.layer.weight)
        if problem.unknowns:
            guesses = {
                name: nn.Parameter(torch.tensor(float(guess)).double()) for name, guess in problem.unknowns.items()
            }
            self.unknowns = nn.ParameterDict(guesses)

    def forward(self, points: Tensor) -> Tensor:
        z = 2 * (points - (self.low + self.high) / 2) / (self.high - self.low)
        products = None
        for axis in range(len(self.low)):
            x = z[:, axis : axis + 1]
            powers = [1 + 0 * x, x]
            for n in range(1, self.degree):
                powers.append(((2 * n + 1) * x * powers[n] - n * powers[n - 1]) / (n + 1))
            own = [math.sqrt(2 * n + 1) * p for n, p in enumerate(powers[: self.degree + 1])]
            row = torch.cat(own, dim=1)
            products = row if products is None else torch.cat([p * products for p in own], dim=1)
        return self.layer(products)


@dataclass(frozen=True)
class Trial:
    """What polynomials of one degree make of a problem.

    Attributes
    ----------
    model : Polynomials
        The best that was found.
    start, loss : float
        Of zero, and of the best.
    smooth : float
        Which share of what is left polynomials of degree 2 represent, on the points of each term.
    faintest : float
        The smallest mean square of the residuals that a function of mean square 1 has when all data are zero.
    hidden : Polynomials
        That function.
    """

    model: Polynomials
    start: float
    loss: float
    smooth: float
    faintest: float
    hidden: Polynomials

    @property
    def left(self) -> float:
        """Loss at the end relative to that at the start."""
        return self.loss / self.start if self.start > 0 else 0.0


def degree(problem: Problem) -> int:
    """The highest degree with which a problem is tried.

    Raises
    ------
    ValueError
        If it has more than three coordinates.
    """
    dim = problem.domain.dim
    require(dim in DEGREES, "The number of coordinates", "at most 3 for a trial by polynomials", dim)
    problem.residuals(Polynomials(problem, 1), problem.sample(Points(4, 4), generator=torch.Generator().manual_seed(0)))
    sharp = int(ROUNDING ** (-0.5 / max(tangent.order(problem), 1)))
    return min(DEGREES[dim], int((SIZE / len(problem.fields)) ** (1 / dim) + 1e-9) - 1, sharp)


def attempt(problem: Problem, degree: int) -> Trial:
    """Solve a problem by polynomials: Gauss-Newton without damping, each step halved until it lowers the loss.

    A linear problem takes one step.

    Parameters
    ----------
    problem : Problem
    degree : int
        Of the polynomials, along each coordinate.
    """
    model = Polynomials(problem, degree)
    generator, edge = torch.Generator().manual_seed(0), 4 * (degree + 1) ** max(problem.domain.dim - 1, 1)
    sample = problem.sample(Points(3 * model.layer.in_features, edge, "sobol"), generator=generator)
    if isinstance(problem.domain, Box):  # nodes are dense at the edges, where polynomials are free
        sample["interior"] = problem.domain.quadrature(math.ceil(1.6 * (degree + 1)))[0]
    weights = list(trainable_parameters(model).values())
    residual, J = tangent.scaled(model, problem, sample)
    start = loss = 0.5 * float(residual @ residual)
    for _ in range(STEPS):
        if not math.isfinite(loss) or loss <= 1e-26 * start:
            break
        here, before = vector(weights), loss
        step = torch.linalg.lstsq(J, -residual[:, None], rcond=1e-13, driver="gelsd").solution[:, 0]
        for halving in range(8):
            assign(weights, here + 0.5**halving * step)
            residual, J = tangent.scaled(model, problem, sample)
            loss = 0.5 * float(residual @ residual)
            if loss < before:
                break
        else:
            assign(weights, here)
            residual, J = tangent.scaled(model, problem, sample)
            loss = before
        if loss > 0.99 * before:
            break
    values, directions = torch.linalg.svd(J[:, : model.layer.weight.numel()], full_matrices=False)[1:]
    hidden = Polynomials(problem, degree)
    assign([hidden.layer.weight], directions[-1])
    smooth = _smooth(problem, model, sample)
    return Trial(model, start, loss, smooth, float(values[-1] ** 2), hidden)


def _smooth(problem: Problem, model: nn.Module, sample: Sample) -> float:
    """How much of the residuals polynomials of degree 2 represent."""
    low = Polynomials(problem, 2)
    low.layer = nn.Identity()  # type: ignore[assignment]
    kept = total = 0.0
    with torch.no_grad():
        for name, residual in problem.residuals(model, sample).items():
            points = sample[name if name in sample else "interior"][:, : problem.domain.dim]
            total += float(residual.square().mean())
            if len(residual) == len(points):
                columns = low(points)
                fit = columns @ torch.linalg.lstsq(columns, residual[:, None], rcond=1e-10, driver="gelsd").solution
                kept += float(fit.square().mean())
    return kept / total if total > 0 else 0.0


def turns(model: nn.Module, problem: Problem, lines: int = 5, nodes: int = 400) -> dict[str, int]:
    """How often each coordinate sees a model turn: the most changes of sign of its slope along some lines."""
    box = problem.domain
    generator = torch.Generator().manual_seed(0)
    found = {}
    for axis, name in enumerate(box.names):
        most = 0
        for start in box.sample(lines, generator=generator):
            line = start.repeat(nodes, 1)
            line[:, axis] = torch.linspace(float(box.low[axis]), float(box.high[axis]), nodes)
            with torch.no_grad():
                values = model(line)
            slope = values.diff(dim=0)
            for column in slope.T:
                steep = column[column.abs() > 1e-3 * (values.abs().max() + 1e-300) / nodes]
                most = max(most, int((steep[1:] * steep[:-1] < 0).sum()))
        found[name] = most
    return found
