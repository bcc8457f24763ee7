"""A spectral method in space and time: waves or polynomials in space times polynomials in time, one window after another.

On a window in time the solution is u(x, t) = sum_jn c_jn phi_j(x) T_n(t), with all whole waves phi_j up to some frequency where
it is periodic in x, and Chebyshev's polynomials where it is not. Newton's method makes the residuals zero at as many points.
The coefficients fall geometrically, so the last ones say what is missing: waves more, or a shorter window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch
from scipy.special import roots_jacobi
from torch import Tensor, nn

from pinnedu.conditions import On
from pinnedu.derivatives.requests import Request
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.gauss_newton import add_gram
from pinnedu.trainers.grid import Grid, by_values, nodes
from pinnedu.trainers.krylov import ACCURACY, Part, Step, differences, frozen
from pinnedu.trainers.krylov import step as by_gmres
from pinnedu.trainers.products import TIMES, Products, chebyshev
from pinnedu.trainers.strategies import Seam, window
from pinnedu.trainers.waves import Block, linearized

LEAST, MOST = 9, 10000  # functions in space at first, and coefficients of a window at most
MANY = 30000  # coefficients of a window where the time allows it
DIRECT = 1000  # coefficients up to which the Jacobian is factored although GMRES could do without
FACTORED = 4000  # coefficients up to which it is where GMRES cannot: it has 128 MB, and takes seconds
STEPS, JACOBIANS = 20, 4  # of Newton's method
ENOUGH = 1e-2  # of the tolerance, for Newton's method
SLOW = 0.2  # a step that is longer than this share of the last asks for a new Jacobian
SHORTEST = 1e-4  # of the time
LOOSE = 1e-4  # the first tolerance
SHARP = 1e-6  # what is enough in time where functions in space are missing
DEARER = 1.6  # a tenth of a tolerance takes so many times as long
FIRST = 0.2  # of the time, for the first
FAIR = 1e-3  # what the last functions in space may have where half of all that there can be are there


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


def collocation(problem: Problem, model: Products, edges: tuple[float, float], count: int, inner: int, walls: int = 0) -> Sample:
    """Points for as many equations as there are coefficients: a grid, on which conditions have the same coordinates.

    In time they are Radau's, so that in each window the method is an implicit Runge-Kutta method of the highest order that
    damps what is too fast to be resolved (Radau IIA; Hairer & Wanner 1996, section IV.5). In space there is a point less for each
    condition at a wall (rectangular collocation; Driscoll & Hale 2016), and each wall has as many times as there are polynomials:
    the window's start besides, for there the condition at the start has only points inside.
    """
    low, high = model.bounds[0]
    x = nodes(count, low, high)
    if not model.periodic:  # the zeros of a polynomial of Chebyshev's
        x = low + (high - low) * (1 - torch.cos(math.pi * nodes(count - walls, 0.0, 1.0))) / 2
    radau = torch.tensor([*(roots_jacobi(inner - 1, 1, 0)[0] if inner > 1 else ()), 1.0], dtype=torch.float64)
    t = edges[0] + (edges[1] - edges[0]) * (1 + radau) / 2

    def product(fixed: Mapping[str, float], t: Tensor = t) -> Tensor:
        along = {name: t if axis == model.axis else x for axis, name in enumerate(problem.domain.names)}
        each = [torch.tensor([float(fixed[name])]).double() if name in fixed else own for name, own in along.items()]
        return torch.cartesian_prod(*each).reshape(-1, len(along))

    sample = {"interior": product({})}
    for name, condition in problem.conditions.items():
        if isinstance(condition, Seam):
            points = product(condition.fixed)
            sample[name] = torch.cat([points, condition.targets(points)], dim=1)
            continue
        drawn = condition.points(name, problem.domain, Points(1, 2 * count, "sobol"), torch.Generator().manual_seed(0))
        if isinstance(condition, On) and condition.fixed:
            early = torch.linspace(edges[0], float(t[0]), TIMES - inner + 1, dtype=torch.float64)[:-1]
            points = product(condition.fixed, torch.cat([early, t]))
            normals = drawn[:1, problem.domain.dim :].expand(len(points), -1)
            drawn = torch.cat([points, normals], dim=1)
        sample[name] = drawn
    return sample


def factored(at: OnWindow, blocks: Sequence[Block]) -> Step | None:
    """Newton's step by factors of the Jacobian, by least squares where it has more rows than columns; None: it is singular."""
    matrix = torch.cat([at.grid(block.points).rows(block) for block in blocks])
    rows = matrix.norm(dim=1).clamp_min(1e-300)
    matrix /= rows[:, None]
    columns = matrix.norm(dim=0).clamp_min(1e-300)
    matrix /= columns
    square = matrix.shape[0] == matrix.shape[1]
    if square:
        factor, pivots, info = torch.linalg.lu_factor_ex(matrix)
    else:
        gram = matrix.new_zeros(matrix.shape[1], matrix.shape[1])
        add_gram(gram, matrix)
        gram.diagonal().add_(1e-14)
        factor, info = torch.linalg.cholesky_ex(gram)
    if int(info):
        return None

    def solve(residuals: Sequence[Tensor]) -> Tensor:
        right = (torch.cat(list(residuals)) / rows)[:, None]
        step = torch.linalg.lu_solve(factor, pivots, right) if square else torch.cholesky_solve(matrix.T @ right, factor)
        return (step[:, 0] / columns).view(at.coefficients.shape)

    return solve


def iterated(at: OnWindow, blocks: Sequence[Block]) -> Step | None:
    """Newton's step by GMRES, where each block has one residual at each point of a grid, and all are as many as coefficients."""
    grids = [at.grid(block.points) for block in blocks]
    if any(len(grid.x) * len(grid.t) != len(block.residual) for grid, block in zip(grids, blocks, strict=True)):
        return None
    parts = [Part(block, grid) for block, grid in zip(blocks, grids, strict=True)]
    fields, count, times = at.coefficients.shape
    if at.model.periodic:
        inverse = frozen(parts, fields, times)
    else:
        inverse = differences(parts, lambda x: by_values(at.model, x), fields, count, times)
    return by_gmres(parts, inverse) if inverse else None


def conditions_of(problem: Problem, model: Products, time: str) -> tuple[int, int]:
    """How many conditions each field has at the start, and at walls.

    Those at walls count only where they can take the place of as many points: where each field has as many of them, no more
    than the derivatives by x that its equations have, at both walls if there are two, and without derivatives by time. Else 0.
    """
    few, edges = 1 if model.space is None else 2, problem.domain.bounds[time]
    at = OnWindow(model, edges, torch.zeros(model.fields, few, TIMES, dtype=torch.float64))
    blocks = linearized(problem, at, collocation(problem, model, edges, few, 1), dict.fromkeys(problem.terms, 1.0), {})
    start, seen, orders, ends, fits = 0, [0] * model.fields, [0] * model.fields, set(), model.space is not None
    for block in blocks:
        fixed = problem.conditions[block.name].fixed if block.name in problem.conditions else {}
        asked = {(k, *pair) for k, what in block.slopes for pair in at.grid(block.points).pairs(what)}
        if time in fixed:
            start += len(block.residual)
        elif block.name in problem.conditions:
            fits &= bool(fixed) and all(by_time == 0 for _, _, by_time in asked)
            ends |= set(fixed.items())
            for k in {k for k, _, _ in asked}:
                seen[k] += 1
        else:
            for k, by_space, _ in asked:
                orders[k] = max(orders[k], by_space)
    walls = seen[0]
    fits &= all(count == walls <= order for count, order in zip(seen, orders, strict=True)) and len(ends) == min(walls, 2)
    return math.ceil(start / (few * model.fields)), walls if fits else 0


def newton(problem: Problem, at: OnWindow, tolerance: float, asked: tuple[int, int]) -> bool:
    """Make the residuals zero on the points of a window; whether it converged. ``asked`` is what `conditions_of` says.

    With few coefficients the Jacobian is factored, and kept as long as steps become shorter quickly (simplified Newton). With
    many a step is found by GMRES, where that can be, and is as good as ``ACCURACY`` says (inexact Newton).
    """
    count, fields = at.coefficients.shape[1], at.model.fields
    ones = dict.fromkeys(problem.terms, 1.0)
    order, walls = asked
    sample = collocation(problem, at.model, at.edges, count, max(1, TIMES - order), walls)
    size = count * fields * TIMES
    many = size > DIRECT and at.model.space is not None
    last, new, made = math.inf, True, 0
    solve: Step | None = None
    for _ in range(STEPS):
        blocks = linearized(problem, at, sample, ones, {})
        residuals = [block.residual for block in blocks]
        step = None
        if many:
            solve = iterated(at, blocks)
            step = solve(residuals) if solve else None
            many = step is not None and bool(torch.isfinite(step).all())
            new = True
        if not many:
            if new:
                made += 1
                if size > FACTORED or made > JACOBIANS:
                    return False
                solve = factored(at, blocks)
            step = solve(residuals) if solve else None
        if step is None or not torch.isfinite(step).all() or (new and float(step.norm()) > 2 * last):
            return False
        change = float(step.norm())
        at.coefficients = at.coefficients - step
        left = ACCURACY * change if many else change
        if left <= ENOUGH * tolerance * float(at.coefficients.norm()):
            return True
        new, last = change > SLOW * last, change
    return False


def continued(coefficients: Tensor, ratio: float) -> Tensor:
    """The same polynomials in time on the next window, which is so many times as long."""
    z = torch.cos(math.pi * (torch.arange(TIMES).double() + 0.5) / TIMES)[:, None]
    return coefficients @ chebyshev(1 + (1 + z) * ratio, TIMES).T @ torch.linalg.inv(chebyshev(z, TIMES)).T


def tails(coefficients: Tensor, size: float = 0.0) -> tuple[float, float]:
    """The last eighth of the functions in space, and the next polynomial in time, if all fall as the last: their shares.

    They are shares of the coefficients, or of a size that these had before: what has left the domain need not be resolved.
    """
    size = max(size, float(coefficients.norm())) or 1.0
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
    count, asked = LEAST if names else 1, conditions_of(problem, model, time)
    most = most // (TIMES * len(problem.fields))
    most -= 1 - most % 2
    start, length, before, size, longest = low, (high - low) / 64, None, 0.0, high - low
    while start < high:
        if late((start - low) / (high - low)) or length < SHORTEST * (high - low):
            return None
        length = min(length, longest)
        end = high if high - start < 1.1 * length else start + min(length, (high - start) / 1.5)
        guess = torch.zeros(len(problem.fields), count, TIMES, dtype=torch.float64)
        if before is not None:
            shared = min(count, before.shape[1])
            guess[:, :shared] = continued(before[:, :shared], (end - start) / (model.edges[-1][1] - model.edges[-1][0]))
        at = OnWindow(model, (start, end), guess)
        piece = window(problem, time, start, end, model if before is not None else None)
        if not newton(piece, at, tolerance, asked):
            length, longest = (end - start) / 3, (end - start) / 1.5
            continue
        in_space, in_time = tails(at.coefficients, size)
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
        size, longest = max(size, float(at.coefficients.norm())), 1.1 * longest
        if tails(at.coefficients[:, : (fewer := 2 * (3 * count // 10) + 1)], size)[0] < tolerance / 10 and count > LEAST:
            at.coefficients, count = at.coefficients[:, :fewer], fewer
        before, start, length = at.coefficients, end, (end - start) * min(2.0, max(1.0, factor))
    model.known.clear()
    return model


def limited(model: Products, tolerance: float) -> bool:
    """Whether a window has too few functions in space for a tolerance."""
    size = max(float(one.detach().norm()) for one in model.coefficients)
    return model.space is not None and max(tails(one.detach(), size)[0] for one in model.coefficients) > tolerance


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
    tolerance, most, cost, failed, slow = LOOSE, MOST, 0.0, False, False
    while True:
        begin = clock.used
        model = solved_forward(problem, time, periodic, tolerance, Pace(clock, until - begin if cost else FIRST), most)
        if model is not None:
            yield tolerance, most, model
            slow = 0 < 3 * cost < clock.used - begin  # it will be slower still
            cost, reached = clock.used - begin, tolerance
        elif failed or not cost or most > MOST:
            return
        failed = failed or model is None  # that was too much at once
        left = until - clock.used
        if model is not None and limited(model, tolerance):
            grown = min(2.0, (0.8 * left / (DEARER * cost)) ** (1 / 3))  # should it cost their cube, as a factorization does
            if grown < 1.2 or most == MANY:
                return
            most, tolerance = min(MANY, round(grown * most)), max(min(reached, SHARP), 0.1 * reached)
        elif left < DEARER * cost or reached < 1e-12:
            return
        else:
            tolerance = reached * (0.1 if failed or slow or left < 3 * cost else 0.01)
        tolerance = float(f"{tolerance:.1e}")
