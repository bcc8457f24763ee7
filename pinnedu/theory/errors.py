"""What a small loss proves: from residuals at points to the distance from the solution, with constants.

Three errors stand in a row: the distance of the network from the solution, the integral of its residuals, and the
sum over points that training sees. Approximation, stability and quadrature tie them together:

    |D u_theta - f|  <=  C |u_theta - u|_{H^s}              `residual_constant`
    |u_theta - u|  <=  sum_k C_k |r_k|                      `heat_stability`, ..., `Certificate`
    | int r^2 - sum_n w_n r(x_n)^2 |  <=  C N^-alpha        `quadrature_gap`

Norms are L2 norms over the set on which a residual lives, integrals and not samples.

Source: T. De Ryck & S. Mishra, "Numerical analysis of physics-informed neural networks and related models in
physics-informed machine learning", Acta Numerica (2024). The constants are derived in the chapter on stability.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pinnedu.checks import number, whole
from pinnedu.derivatives import Engine, Laplacian, Request
from pinnedu.domain import Box
from pinnedu.equations import by_name, parameters
from pinnedu.problem import Problem
from pinnedu.theory.tangent import check_linear
from pinnedu.trainers.record import State


class ErrorOf(nn.Module):
    """The error u_theta - u of a model as a model: all that takes a model takes it, derivatives included.

    Its weights are those of the model, so that to train the error towards zero is to train the model
    towards the solution.

    Parameters
    ----------
    model : Module, (N, d) -> (N, 1)
    problem : Problem
        With one field and an exact solution, made of torch functions.

    Raises
    ------
    ValueError
        If the problem has several fields or no exact solution.
    """

    def __init__(self, model: nn.Module, problem: Problem) -> None:
        super().__init__()
        _one_field(problem)
        if problem.exact is None:
            raise ValueError("This problem has no exact solution: give Problem(exact=...) to measure errors.")
        self.model, self.exact, self.names = model, problem.exact, problem.domain.names

    def forward(self, points: Tensor) -> Tensor:
        columns = by_name(points, self.names)
        exact = self.exact(**{name: columns[name] for name in parameters(self.exact)})
        return torch.stack([self.model(points)[:, 0] - exact], dim=1)


def sobolev(problem: Problem, order: int) -> Problem:
    """The problem e = 0, e_x = 0, ...: one equation for each derivative up to an order.

    The norm of its residuals is the Sobolev norm of H^order, mixed derivatives counted once. `fit` of an
    ``ErrorOf(model, problem)`` to it finds the best fit in that norm.

    Raises
    ------
    ValueError
        If the order is no whole number of at least 0, or the problem has several fields.
    """
    _one_field(problem)
    order = whole(order, "The order", 0)
    letters = [by for k in range(order + 1) for by in combinations_with_replacement(problem.domain.names, k)]
    return Problem(problem.domain, {".".join(["e", *by]): lambda e, by=by: e.d(*by) for by in letters}, fields=("e",))


def norms(model: nn.Module, problem: Problem, nodes: int = 32) -> dict[str, float]:
    """The L2 norm of every residual over the set on which it lives, by Gauss-Legendre quadrature.

    Parameters
    ----------
    model : Module
    problem : Problem
    nodes : int
        Quadrature nodes along each coordinate, in a ball along the radius and each angle. For a network with
        few weights 32 are exact to many digits.

    Returns
    -------
    dict of term to float
        On a set that is a single point, the absolute value there.

    Raises
    ------
    ValueError
        If a condition is data, which has no integral, or the domain has too many dimensions for the rule.
    """
    rules = {"interior": problem.domain.quadrature(nodes)}
    for name, condition in problem.conditions.items():
        rules[name] = condition.quadrature(name, problem.domain, nodes)
    with torch.no_grad():
        blocks = problem.blocks(model, {name: points for name, (points, _) in rules.items()})
    squares = {}
    for name, parts in blocks.items():
        weights = rules[name if name in rules else "interior"][1].to(parts[0])
        squares[name] = sum(float(weights @ part.square()) for part in parts)
    return {name: math.sqrt(square) for name, square in squares.items()}


def sobolev_error(model: nn.Module, problem: Problem, order: int = 0, nodes: int = 32) -> float:
    """The norm of u_theta - u in H^order of the domain; in L2 by default."""
    return _root_sum_square(norms(ErrorOf(model, problem), sobolev(problem, order), nodes))


def residual_constant(problem: Problem, nodes: int = 32) -> float:
    """The constant C in |D u_theta - f| <= C |u_theta - u|_{H^s}, for the linear equations of a problem.

    Proven in the book: thm-approximation-continuity.

    With D u = sum_alpha a_alpha(x) d^alpha u, the inequality of Cauchy and Schwarz at every point x gives
    C^2 = max_x sum_alpha a_alpha(x)^2; squares are summed over the equations. The coefficients are found by
    asking each equation what it makes of a function all of whose derivatives but one are zero.

    Parameters
    ----------
    problem : Problem
        Linear, its coefficients are looked at on the nodes of a quadrature.

    Raises
    ------
    ValueError
        If the problem is not linear, or has no equation.
    """
    if not problem.equations:
        raise ValueError("This problem has no equation to bound.")
    check_linear(problem)
    points, _ = problem.domain.quadrature(nodes)
    asked: dict[Request, int] = {}

    def only(chosen: Request | None) -> Engine:
        def engine(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
            asked.update({r: len(r[1].axes) if isinstance(r[1], Laplacian) else 1 for r in requests})
            return {r: torch.full_like(points[:, 0], float(r == chosen)) for r in requests}

        return engine

    nothing = problem.residuals(nn.Module(), points, only(None))
    total = torch.zeros(len(points), dtype=points.dtype)
    for request, terms in list(asked.items()):  # a Laplacian is a sum of so many derivatives
        for name, value in problem.residuals(nn.Module(), points, only(request)).items():
            total += terms * (value - nothing[name]).square()
    return float(total.max().sqrt())


def heat_stability(box: Box, D: float = 1.0, growth: float = 0.0) -> dict[str, float]:
    """Constants of u_t = D u_xx + growth u with given values at both ends, for any residuals.

    Proven in the book: thm-stability-heat.

    |u_theta - u| <= C_heat |r| + C_initial |r_initial| + C_wall (|r_left| + |r_right|), with

        mu = D pi^2 / L^2 - growth,   C_heat = (1 - exp(-mu T)) / mu,   C_initial^2 = (1 - exp(-2 mu T)) / (2 mu),
        C_wall = sqrt(L / 3) (1 + max(growth, 0) C_heat).

    Parameters
    ----------
    box : Box
        With the coordinates x and t.
    D : float
        Diffusivity, positive (length^2 / time).
    growth : float
        Rate of a reaction, of either sign (1 / time).

    Returns
    -------
    dict of term to float
        By the names of `problems.heat`: "heat", "initial", "left", "right".
    """
    length, duration = _lengths(box)
    if not D > 0:
        raise ValueError(f"The diffusivity D must be positive, not {D}: heat flowing backwards is not stable.")
    mu = D * (math.pi / length) ** 2 - number(growth, "growth")
    interior = _integral_of_decay(mu, duration)
    wall = math.sqrt(length / 3) * (1 + max(growth, 0.0) * interior)
    return {"heat": interior, "initial": math.sqrt(_integral_of_decay(2 * mu, duration)), "left": wall, "right": wall}


def advection_stability(box: Box, beta: float) -> dict[str, float]:
    """Constants of u_t + beta u_x = 0, periodic in x, for any residuals.

    Proven in the book: thm-stability-advection.

    |u_theta - u| <= T |r| + sqrt(T) |r_initial| + sqrt(|beta| T (|beta| T / L + 2)) |r_periodic|.

    Parameters
    ----------
    box : Box
        With the coordinates x and t.
    beta : float
        Speed (length / time), of either sign.

    Returns
    -------
    dict of term to float
        By the names of `problems.advection`: "advection", "initial", "periodic".
    """
    length, duration = _lengths(box)
    way = abs(number(beta, "beta")) * duration
    return {"advection": duration, "initial": math.sqrt(duration), "periodic": math.sqrt(way * (way / length + 2))}


def helmholtz_stability(box: Box, k: float) -> dict[str, float]:
    """Constants of u'' + k^2 u = f on an interval with given values at both ends, for any residuals.

    Proven in the book: thm-stability-helmholtz.

    |u_theta - u| <= C |r| + C_wall (|r_left| + |r_right|), with

        C = max_n 1 / |k^2 - (n pi / L)^2|,   C_wall = sqrt(L / 3) (1 + k^2 C).

    Parameters
    ----------
    box : Box
        With the one coordinate x.
    k : float
        Wave number (1 / length); 0 is Poisson's equation.

    Returns
    -------
    dict of term to float
        "helmholtz", "left", "right".

    Raises
    ------
    ValueError
        If k^2 is an eigenvalue: then no residual, however small, bounds the error.
    """
    if box.names != ("x",):
        raise ValueError(f"A box with the coordinate x alone is needed, not {', '.join(box.names)}.")
    ((low, high),) = box.bounds.values()
    lowest = math.pi / (high - low)
    n = max(1, round(abs(number(k, "k")) / lowest))  # the nearest eigenvalue is one of three
    distance = min(abs(k**2 - (m * lowest) ** 2) for m in (n, n + 1, max(1, n - 1)))
    if distance == 0:
        raise ValueError(f"k^2 = {k**2:g} is an eigenvalue: the problem has no unique solution, and so no constant.")
    wall = math.sqrt((high - low) / 3) * (1 + k**2 / distance)
    return {"helmholtz": 1 / distance, "left": wall, "right": wall}


def pde_constant(stability: Mapping[str, float]) -> float:
    """The constant of |u_theta - u| <= C (sum_k |r_k|^2)^(1/2): the root of the sum of squares of all constants."""
    return _root_sum_square(stability)


class Certificate:
    """A callback of `fit` that bounds the error by the residuals, and records how it does.

    The bound needs no solution. Where the problem has one, the error is recorded beside it.

    Parameters
    ----------
    stability : dict of term to float
        A constant for each term of the problem, as of `heat_stability`.
    every : int
        Look every so many steps.
    nodes : int
        Quadrature nodes along each coordinate.

    Attributes
    ----------
    steps : list of int
    residuals : list of float
        E_G, the root of the sum of squares of the norms of all residuals.
    bounds : list of float
        sum_k C_k |r_k|, which is at most `pde_constant` times E_G.
    errors : list of float
        |u_theta - u| in L2, where the problem has a solution.
    """

    def __init__(self, stability: Mapping[str, float], every: int = 1, nodes: int = 32) -> None:
        self.stability, self.every, self.nodes = dict(stability), whole(every, "every"), nodes
        self.steps: list[int] = []
        self.residuals: list[float] = []
        self.bounds: list[float] = []
        self.errors: list[float] = []

    def __call__(self, state: State) -> None:
        if state.step % self.every == 0:
            self.steps.append(state.step)
            self.look(state.model, state.problem)

    def look(self, model: nn.Module, problem: Problem) -> float:
        """Record one model and return the bound on its error."""
        if set(self.stability) != set(problem.terms):
            raise ValueError(
                f"The constants are for {', '.join(self.stability)}, but the terms are {', '.join(problem.terms)}."
            )
        found = norms(model, problem, self.nodes)
        self.residuals.append(_root_sum_square(found))
        self.bounds.append(sum(self.stability[name] * norm for name, norm in found.items()))
        if problem.exact is not None:
            self.errors.append(sobolev_error(model, problem, nodes=self.nodes))
        return self.bounds[-1]


def quadrature_gap(
    model: nn.Module,
    problem: Problem,
    counts: Sequence[int],
    rule: str,
    *,
    repetitions: int = 1,
    seed: int = 0,
    nodes: int = 64,
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """By how much a rule misses the integral of the squared residual, relative to the integral.

    Proven in the book: thm-quadrature-midpoint, thm-quadrature-monte-carlo.

    Parameters
    ----------
    model : Module
    problem : Problem
        All its equations are summed; conditions are left out.
    counts : sequence of int
        What the domain's `quadrature` takes: nodes in all for "monte-carlo" and "sobol", along each coordinate for others.
    rule : str
    repetitions : int
        Draws of the points for the random rules; the root mean square of their gaps is returned.
    seed : int
    nodes : int
        Gauss-Legendre nodes along each coordinate for the integral itself.

    Returns
    -------
    nodes : (n,) array of int
        The number N of nodes in all.
    gaps : (n,) array of float
        | sum_n w_n r(x_n)^2 - int r^2 | / int r^2.
    """
    whole(repetitions, "repetitions")
    generator = torch.Generator().manual_seed(seed)

    def square(points: Tensor, weights: Tensor) -> float:
        with torch.no_grad():
            residuals = problem.residuals(model, points).values()
        return sum(float(weights.to(residual) @ residual.square()) for residual in residuals)

    integral = square(*problem.domain.quadrature(nodes))
    sizes, gaps = [], []
    for count in counts:
        rules = [problem.domain.quadrature(count, rule, generator=generator) for _ in range(repetitions)]
        sizes.append(len(rules[0][0]))
        misses = [square(*drawn) / integral - 1 for drawn in rules]
        gaps.append(math.sqrt(sum(miss**2 for miss in misses) / repetitions))
    return np.array(sizes), np.array(gaps)


def _integral_of_decay(rate: float, duration: float) -> float:
    """The integral of exp(-rate s) over 0 < s < duration; the rate may be zero or negative."""
    return -math.expm1(-rate * duration) / rate if rate else duration


def _lengths(box: Box) -> tuple[float, float]:
    """Length and duration of a box in x and t."""
    if set(box.names) != {"x", "t"}:
        raise ValueError(f"A box with the coordinates x and t is needed, not {', '.join(box.names)}.")
    (low, high), (start, end) = box.bounds["x"], box.bounds["t"]
    return high - low, end - start


def _one_field(problem: Problem) -> None:
    if len(problem.fields) != 1:
        raise ValueError(f"A problem with one field is needed, not with {', '.join(problem.fields)}.")


def _root_sum_square(values: Mapping[str, float]) -> float:
    return math.sqrt(sum(value**2 for value in values.values()))
