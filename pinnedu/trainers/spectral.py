"""A spectral method in space and time: waves or polynomials in space times polynomials in time, one window after another.

On a window in time the solution is u(x, t) = sum_jn c_jn phi_j(x) T_n(t), with all whole waves phi_j up to some frequency where
it is periodic in x, and Chebyshev's polynomials where it is not. Newton's method makes the residuals zero at as many points.
The coefficients fall geometrically, so the last ones say what is missing: waves more, or a shorter window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from scipy.special import roots_jacobi
from torch import Tensor, nn

from pinnedu.conditions import On
from pinnedu.derivatives.jet import Jet
from pinnedu.derivatives.requests import Laplacian, Order, Request
from pinnedu.derivatives.series import Plan
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.gauss_newton import add_gram
from pinnedu.trainers.products import TIMES, Products, chebyshev
from pinnedu.trainers.strategies import Seam, window
from pinnedu.trainers.waves import Block, linearized, together

LEAST, MOST = 9, 2500  # functions in space at first, and coefficients of a window at most
LARGEST = 10000  # coefficients of a window, where the time allows it: their matrix has 800 MB
STEPS, JACOBIANS = 20, 4  # of Newton's method
SLOW = 0.2  # a step that is longer than this share of the last asks for a new Jacobian
SHORTEST = 1e-4  # of the time
LOOSE = 1e-4  # the first tolerance
SHARP = 1e-6  # what is enough in time where functions in space are missing
DEARER = 1.6  # a tenth of a tolerance takes so many times as long
FIRST = 0.2  # of the time, for the first
FAIR = 1e-3  # what the last functions in space may have where half of all that there can be are there


def table(function: Callable[[Tensor], Tensor], points: Tensor, orders: Collection[int]) -> dict[int, Tensor]:
    """Derivatives of functions of one variable at points (N,), by order, each (N, count)."""
    plan = Plan.of(frozenset((k,) for k in orders), 1)
    jet: Jet = function(Jet.seed(points[:, None], plan))  # type: ignore[arg-type, assignment]
    return {k: jet.derivative((k,)) for k in orders}


def orders_of(what: Order | Laplacian, dim: int) -> list[Order]:
    """The derivatives that a request is the sum of."""
    if not isinstance(what, Laplacian):
        return [what]
    return [tuple(2 * (axis == k) for k in range(dim)) for axis in what.axes]


@dataclass
class Grid:
    """The functions of a window on points: on the different x and on the different t, and which point has which."""

    model: Products
    points: Tensor
    edges: tuple[float, float]
    count: int

    def tables(self, whats: Collection[Order | Laplacian]) -> tuple[dict[int, Tensor], dict[int, Tensor], Tensor, Tensor]:
        model, dim = self.model, self.points.shape[1]
        orders = {order for what in whats for order in orders_of(what, dim)}
        t, which_t = self.points[:, model.axis].unique(return_inverse=True)
        x, which_x = self.points[:, model.space or 0].unique(return_inverse=True)
        if model.space is None:
            x, which_x = x[:1], which_x * 0
        low, high = self.edges
        in_time = table(
            lambda z: chebyshev((2 * z - (low + high)) / (high - low), TIMES), t, {order[model.axis] for order in orders}
        )
        own = {0} if model.space is None else {order[model.space] for order in orders}
        key = x.numpy().tobytes(), self.count
        if any((*key, a) not in model.known for a in own):
            found = table(lambda z: model.in_space(z, self.count), x, own)
            model.known |= {(*key, a): found[a] for a in own}
        return {a: model.known[(*key, a)] for a in own}, in_time, which_x, which_t

    def pair(self, order: Order) -> tuple[int, int]:
        """How often by x, and by t."""
        return 0 if self.model.space is None else order[self.model.space], order[self.model.axis]

    def values(self, coefficients: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        """What an engine gives."""
        in_space, in_time, which_x, which_t = self.tables([what for _, what in requests])
        found = {}
        for output, what in requests:
            total = torch.zeros(len(self.points), dtype=torch.float64)
            for order in orders_of(what, self.points.shape[1]):
                a, b = self.pair(order)
                total += (in_space[a] @ coefficients[output] @ in_time[b].T)[which_x, which_t]
            found[output, what] = total
        return found

    def rows(self, block: Block) -> Tensor:
        """Derivatives of a block's residuals by the coefficients, (N, fields * functions)."""
        in_space, in_time, which_x, which_t = self.tables([what for _, what in block.slopes])
        columns = []
        for field in range(self.model.fields):
            by_time: dict[int, Tensor] = {}
            for (output, what), slope in block.slopes.items():
                for order in orders_of(what, self.points.shape[1]) if output == field else ():
                    a, b = self.pair(order)
                    by_time[b] = by_time.get(b, 0.0) + slope[:, None] * in_space[a][which_x]
            total = torch.zeros(len(self.points), self.count, TIMES, dtype=torch.float64)
            for b, part in by_time.items():
                total += part[:, :, None] * in_time[b][which_t][:, None, :]
            columns.append(total.flatten(1))
        return together(torch.cat(columns, dim=1), block)


class OnWindow(nn.Module):
    """One window of a model while it is solved, with derivatives in closed form."""

    def __init__(self, model: Products, edges: tuple[float, float], coefficients: Tensor) -> None:
        super().__init__()
        self.model, self.edges, self.coefficients = model, edges, coefficients

    def grid(self, points: Tensor) -> Grid:
        return Grid(self.model, points, self.edges, self.coefficients.shape[1])

    def derivatives(self, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        return self.grid(points).values(self.coefficients, requests)

    def forward(self, points: Tensor) -> Tensor:
        found = self.derivatives(points, [(k, (0,) * points.shape[1]) for k in range(self.model.fields)])
        return torch.stack(list(found.values()), dim=1)


def collocation(problem: Problem, model: Products, edges: tuple[float, float], count: int, inner: int) -> Sample:
    """Points for as many equations as there are coefficients: a grid, on which conditions have the same coordinates.

    In time they are Radau's, so that in each window the method is an implicit Runge-Kutta method of the highest order that
    damps what is too fast to be resolved (Radau IIA; Hairer & Wanner 1996, section IV.5).
    """
    low, high = model.bounds[0]
    half = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    x = low + (high - low) * (half if model.periodic else (1 - torch.cos(math.pi * half)) / 2)
    radau = torch.tensor([*(roots_jacobi(inner - 1, 1, 0)[0] if inner > 1 else ()), 1.0], dtype=torch.float64)
    t = edges[0] + (edges[1] - edges[0]) * (1 + radau) / 2
    nodes = {name: t if axis == model.axis else x for axis, name in enumerate(problem.domain.names)}

    def product(fixed: Mapping[str, float]) -> Tensor:
        each = [torch.tensor([float(fixed[name])]).double() if name in fixed else own for name, own in nodes.items()]
        return torch.cartesian_prod(*each).reshape(-1, len(nodes))

    sample = {"interior": product({})}
    for name, condition in problem.conditions.items():
        if isinstance(condition, Seam):
            points = product(condition.fixed)
            sample[name] = torch.cat([points, condition.targets(points)], dim=1)
        elif isinstance(condition, On) and condition.fixed and not condition.normal:
            sample[name] = product(condition.fixed)
        else:
            sample[name] = condition.points(name, problem.domain, Points(1, 2 * count, "sobol"), torch.Generator().manual_seed(0))
    return sample


def factored(matrix: Tensor) -> Callable[[Tensor], Tensor] | None:
    """Solves with a matrix, in the sense of least squares where it has more rows than columns; None where it is singular."""
    if matrix.shape[0] == matrix.shape[1]:
        factor, pivots, info = torch.linalg.lu_factor_ex(matrix)
        return None if int(info) else lambda right: torch.linalg.lu_solve(factor, pivots, right)
    gram = matrix.new_zeros(matrix.shape[1], matrix.shape[1])
    add_gram(gram, matrix)
    gram.diagonal().add_(1e-14)
    factor, info = torch.linalg.cholesky_ex(gram)
    return None if int(info) else lambda right: torch.cholesky_solve(matrix.T @ right, factor)


def newton(problem: Problem, at: OnWindow, tolerance: float, time: str) -> bool:
    """Make the residuals zero on the points of a window; whether it converged.

    The Jacobian and its factor are kept from step to step as long as steps become shorter quickly (simplified Newton).
    """
    count, fields = at.coefficients.shape[1], at.model.fields
    ones = dict.fromkeys(problem.terms, 1.0)
    sample = collocation(problem, at.model, at.edges, count, TIMES - 1)
    starts = {name: points for name, points in sample.items() if name != "interior" and time in problem.conditions[name].fixed}
    asked = sum(len(block.residual) for block in linearized(problem, at, starts, ones, {}))
    if (order := math.ceil(asked / (count * fields))) > 1:
        sample = collocation(problem, at.model, at.edges, count, max(1, TIMES - order))
    last, new, made = math.inf, True, 0
    solve: Callable[[Tensor], Tensor] | None = None
    for _ in range(STEPS):
        blocks = linearized(problem, at, sample, ones, {})
        if new:
            made += 1
            if made > JACOBIANS:
                return False
            matrix = torch.cat([at.grid(block.points).rows(block) for block in blocks])
            rows = matrix.norm(dim=1).clamp_min(1e-300)
            matrix /= rows[:, None]
            columns = matrix.norm(dim=0).clamp_min(1e-300)
            matrix /= columns
            solve = factored(matrix)
            if solve is None:
                return False
        assert solve is not None
        residual = torch.cat([block.residual for block in blocks]) / rows
        step = solve(residual[:, None])[:, 0] / columns
        size = float(step.norm())
        if not math.isfinite(size) or (new and size > 2 * last):
            return False
        at.coefficients = at.coefficients - step.view(at.coefficients.shape)
        if size < 1e-2 * tolerance * float(at.coefficients.norm()):
            return True
        new, last = size > SLOW * last, size
    return False


def continued(coefficients: Tensor, ratio: float) -> Tensor:
    """The same polynomials in time on the next window, which is so many times as long."""
    z = torch.cos(math.pi * (torch.arange(TIMES).double() + 0.5) / TIMES)[:, None]
    return coefficients @ chebyshev(1 + (1 + z) * ratio, TIMES).T @ torch.linalg.inv(chebyshev(z, TIMES)).T


def tails(coefficients: Tensor) -> tuple[float, float]:
    """The share of the last eighth of the functions in space; that of the next polynomial in time, if all fall as the last."""
    size = float(coefficients.norm()) or 1.0
    last = max(4, coefficients.shape[1] // 8)
    in_time = coefficients.norm(dim=(0, 1)) / size
    falls = float((in_time[-1] / in_time[-3].clamp_min(1e-300)).sqrt())
    return float(coefficients[:, -last:].norm()) / size, float(in_time[-1]) * min(1.0, falls)


def solved_forward(
    problem: Problem, time: str, periodic: Collection[str], tolerance: float,
    late: Callable[[float], bool] = lambda share: False, most: int = MOST,
) -> Products | None:  # fmt: skip
    """Solve from one window in time to the next.

    Parameters
    ----------
    problem : Problem
        Of one coordinate besides time, or none.
    time : str
    periodic : collection of str
        Coordinates in which the solution is periodic.
    tolerance : float
        Of the last coefficients, relative to all.
    late : callable, optional
        Gets the share of the time that is solved, and says whether to give up.
    most : int
        Coefficients of a window.

    Returns
    -------
    Products or None
        None where it gave up.
    """
    low, high = problem.domain.bounds[time]
    names = [name for name in problem.domain.names if name != time]
    model = Products(problem.domain, time, len(problem.fields), bool(names) and names[0] in periodic)
    count = LEAST if names else 1
    most = most // (TIMES * len(problem.fields))
    most -= 1 - most % 2
    start, length, before = low, (high - low) / 64, None
    while start < high:
        if late((start - low) / (high - low)) or length < SHORTEST * (high - low):
            return None
        end = high if high - start < 1.1 * length else start + min(length, (high - start) / 1.5)
        guess = torch.zeros(len(problem.fields), count, TIMES, dtype=torch.float64)
        if before is not None:
            shared = min(count, before.shape[1])
            guess[:, :shared] = continued(before[:, :shared], (end - start) / (model.edges[-1][1] - model.edges[-1][0]))
        at = OnWindow(model, (start, end), guess)
        piece = window(problem, time, start, end, model if before is not None else None)
        if not newton(piece, at, tolerance, time):
            length = (end - start) / 3
            continue
        in_space, in_time = tails(at.coefficients)
        factor = 0.9 * (tolerance / max(in_time, 1e-300)) ** (1 / TIMES)
        if in_time > tolerance:
            length = (end - start) * max(0.2, factor)
            continue
        if in_space > FAIR and count > most / 2:
            return None
        if in_space > tolerance and names and count < most:  # they fall geometrically, or more slowly
            more = min(2.5, max(1.4, math.log(tolerance) / math.log(min(0.5, in_space))))
            count = min(most, 2 * round(more * count / 2) + 1)
            continue
        with torch.no_grad():
            model.append(start, end, at.coefficients)
        if tails(at.coefficients[:, : (fewer := 2 * (3 * count // 10) + 1)])[0] < tolerance / 10 and count > LEAST:
            at.coefficients, count = at.coefficients[:, :fewer], fewer
        before, start, length = at.coefficients, end, (end - start) * min(2.0, max(1.0, factor))
    model.known.clear()
    return model


def limited(model: Products, tolerance: float) -> bool:
    """Whether a window has too few functions in space for a tolerance."""
    return model.space is not None and max(tails(one.detach())[0] for one in model.coefficients) > tolerance


class Pace:
    """Says of something that goes forward whether it will not arrive in time.

    Parameters
    ----------
    clock : Clock
    limit : float
        The share of the clock that it may use.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        self.clock, self.limit, self.begin = clock, limit, clock.used

    def __call__(self, share: float) -> bool:
        self.clock.count(1)
        spent = self.clock.used - self.begin
        return spent > self.limit or (spent > self.limit / 10 and spent > 4 * (share + 0.05) * self.limit)


def solutions(
    problem: Problem, time: str, periodic: Collection[str], clock: Clock, until: float
) -> Iterator[tuple[float, int, Products]]:
    """Solutions forward in time, as long as the clock shows less than ``until``, with their tolerance and coefficients a window.

    Each has a smaller tolerance than the last; and more functions in space, where these were too few for it.
    """
    tolerance, most, cost, failed = LOOSE, MOST, 0.0, False
    while True:
        begin = clock.used
        model = solved_forward(problem, time, periodic, tolerance, Pace(clock, until - begin if cost else FIRST), most)
        if model is not None:
            yield tolerance, most, model
            cost, reached = clock.used - begin, tolerance
        elif failed or not cost or most > MOST:
            return
        failed = failed or model is None  # that was too much at once
        left = until - clock.used
        if model is not None and limited(model, tolerance):
            grown = min(2.0, (0.8 * left / (DEARER * cost)) ** (1 / 3))  # a factorization costs their cube
            if grown < 1.2 or most == LARGEST:
                return
            most, tolerance = min(LARGEST, round(grown * most)), max(min(reached, SHARP), 0.1 * reached)
        elif left < DEARER * cost or reached < 1e-12:
            return
        else:
            tolerance = reached * (0.1 if failed or left < 3 * cost else 0.01)
        tolerance = float(f"{tolerance:.1e}")
