"""One recipe for all problems: ``solve`` looks at a problem, chooses, trains, and estimates its own error."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import flag, is_whole, positive, require
from pinnedu.device import choose
from pinnedu.problem import Problem
from pinnedu.progress import Bar
from pinnedu.recipe import look
from pinnedu.scales import units_of_fields
from pinnedu.singular import additions
from pinnedu.theory.posedness import amplification, amplification_at_start, explodes
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.composite import Piecewise
from pinnedu.trainers.growing import GrowingNetwork
from pinnedu.trainers.record import Fit, Status, relative_error
from pinnedu.trainers.smoothing import EXACT, FOUND, many, missed, noisy, readings
from pinnedu.trainers.spectral import solutions
from pinnedu.trainers.strategies import window
from pinnedu.trainers.waves import STEPS, frequencies, linearized, loss_of, solved_by_waves
from pinnedu.trainers.weights import weights_of

INGREDIENTS = (
    "smoothing", "waves", "shape", "spectrum", "search", "weights", "products", "network", "growth", "march", "correction",
)  # fmt: skip
FIRST, MOST = 64, 3000  # waves
SEARCH = 0.2  # of the time, at most, for the frequencies of a number of waves
LOST = 8e3  # an amplification above this means that conditions are missing; growth by any e^t shows at most 5e3
GOOD = 1e-9  # an estimate below this ends the run
GOOD_ENOUGH = 1e-6  # or a window of it
FOLLOWED = 0.1  # of the time, to see whether the equations lead where the solution goes
FAIR = 1e-3  # waves that reach this go on; else a network is tried
BAD = 0.02  # above this nothing is solved
HEAD = """from dataclasses import replace

from pinnedu import MLP, GaussNewton, Normalize, PeriodicEmbedding, Points, fit
from pinnedu.recipe import Continued, additions, frequencies, solved_by_waves, solved_forward, widened, window, without
from pinnedu.trainers.composite import Piecewise

"""


def solve(
    problem: Problem,
    *,
    seconds: float = 60.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
    steps: int | None = None,
) -> Fit:
    """Solve a problem and say how wrong the solution may be: nothing has to be chosen.

    By random waves and Newton's method, twice as many waves each time, of frequencies that are found on the way; with them the
    functions that holes and corners of the shape add. Where readings are many and noisy, the waves are held back by as much as
    readings that are left out ask for. Where waves do not resolve the solution, forward in time by products of functions in
    space and in time; else by a network that grows, under Gauss-Newton; or on windows in time, one after the other. What lies
    between two solutions says how wrong they are.

    Parameters
    ----------
    problem : Problem
    seconds : float
        Bound on the time.
    seed : int
        Fixes points and models; how far training comes depends on the time.
    device : "auto", "cpu", "cuda", "mps" or torch.device
        Of the network. Waves are on the CPU.
    progress : bool
        Show a progress bar (also off when the environment has PINNEDU_PROGRESS=0).
    steps : int, optional
        Bound on the steps of training besides, where n waves count as n / 64: a result that does not depend on the speed of the
        machine, if the time suffices.

    Returns
    -------
    Fit
        With ``run.error_estimate``, of the relative error of all fields together or of the worst unknown, made without the exact
        solution; and ``run.recipe``, a program that gives the same model. Where the problem looks ill-posed, or was not solved in
        the time, ``run.warnings`` says so.

    Raises
    ------
    ValueError
        For arguments that cannot be used, before any work starts.

    References
    ----------
    Rahimi & Recht (2007), Random features for large-scale kernel machines. Chen, Chi, E & Yang (2022), Bridging traditional
    and machine learning-based algorithms for solving PDEs: the random feature method. Wang & Lai (2024), Multi-stage
    neural networks.
    """
    require(isinstance(problem, Problem), "The problem", "a Problem", problem)
    seconds = positive(seconds, "seconds")
    require(is_whole(seed, 0), "seed", "a whole number of at least 0", seed)
    flag(progress, "progress")
    require(steps is None or is_whole(steps), "steps", "a number of steps", steps)
    choose(device)
    quiet = not progress or os.environ.get("PINNEDU_PROGRESS") == "0"
    bar = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
    with Bar(total=seconds, disable=quiet, bar_format=bar) as shown:
        return Solver(problem, Clock(seconds, steps, shown), int(seed), device).solve()


@dataclass
class Candidate:
    """A model on the way: its loss on points that none is trained on, its values, how it was made, and what trained it."""

    model: nn.Module
    problem: Problem
    loss: float
    values: Tensor
    code: str
    run: Fit | None = None
    waves: bool = False
    forward: bool = False


class Solver:
    """The recipe, step by step. An ablation leaves ingredients out (``without``)."""

    def __init__(
        self, problem: Problem, clock: Clock, seed: int = 0, device: Any = "cpu", *,
        window: bool = False, without: Collection[str] = (), start: tuple[Tensor, int] | None = None,
    ) -> None:  # fmt: skip
        require(set(without) <= set(INGREDIENTS), "without", f"some of {', '.join(INGREDIENTS)}", without)
        self.given, self.clock, self.seed, self.device, self.left_out = problem, clock, seed, device, without
        # Periodicity is built into the models, and its conditions are dropped.
        ties = look.periodic_coordinates(problem)
        self.problem = replace(look.without(problem, *ties), exact=None)
        self.periodic = tuple(dict.fromkeys(ties.values()))
        self.sample, self.judged = look.looked_at(self.problem), look.looked_at(self.problem, 1024, seed=1)
        self.linear = look.is_linear(self.problem, self.sample)
        # The rates at which the data vary say how fast the first waves turn, the trace of the tangent kernel how terms compare.
        lengths = problem.domain.high - problem.domain.low
        self.rates = look.rates_of(self.problem, self.sample).maximum(2 / lengths / problem.domain.dim**0.5)
        self.weights = dict.fromkeys(self.problem.terms, 1.0)
        if "weights" not in without:
            model = look.random_waves(self.problem, self.rates, 100, self.periodic)
            found = weights_of(self.problem, model, self.sample)
            self.weights = {name: float(f"{weight:.3g}") for name, weight in found.items()}
        with torch.no_grad():  # about the size of the fields, from what conditions and data say
            self.size = max(1e-300, max(math.hypot(*unit) for unit in units_of_fields(self.problem).values()))
        # Whether there is one solution, and whether it depends on the data as it should.
        self.window, self.time = window, "" if window else look.forward(problem)
        self.amplified = self.amplification()
        self.explodes = bool(self.time) and explodes(self.problem, self.time, self.sample)
        self.good = GOOD_ENOUGH if window else GOOD
        self.places = problem.domain.evaluation_points(1024)
        self.best: Candidate | None = None
        self.estimate, self.losses, self.seen = math.inf, list[float](), list[tuple[float, float]]()
        self.start, self.spectral = start or (self.rates, FIRST), False
        self.added = additions(problem.domain) if self.does("shape") else {}
        self.net: GrowingNetwork | None = None
        self.follows = bool(self.time) and not self.linear
        # Forward in time by products: with one coordinate in space, or none.
        self.goes = bool(self.time) and problem.domain.dim < 3 and not self.explodes and self.does("products")
        self.followed: Candidate | None = None
        self.jumps, self.hurried = 0.0, False

    def amplification(self, at: nn.Module | None = None) -> float:
        """By how much an error of the residuals may be larger in the fields."""
        start = amplification_at_start(self.problem, self.time, self.periodic, at) if self.time else 0.0
        return max(start, amplification(self.problem, self.periodic, self.sample, at))

    def does(self, ingredient: str) -> bool:
        return ingredient not in self.left_out

    def solve(self) -> Fit:
        """All stages, one after the other, as long as there is time."""
        if self.does("smoothing") and not self.window:
            self.by_smoothing(until=0.9)
        smooth = self.best is not None
        self.hurried = not smooth and many(self.problem) and self.clock.used > FOUND / 2
        if self.does("waves") and not smooth:
            self.by_waves(until=0.6 if self.linear or self.window else 0.08 if self.goes else 0.25)
        if self.amplified > LOST and not self.linear and self.best is not None:  # at zero a coefficient may be seen by no term
            self.amplified = min(self.amplified, self.amplification(self.best.model))
        if smooth:
            return self.result()
        if self.goes and not self.estimate < FAIR and self.amplified < LOST:
            self.by_products(until=0.95)
            if self.does("waves") and not self.linear and not self.estimate < FAIR and not self.settled():
                self.by_waves(until=self.clock.used + 0.17)
        if not self.estimate < FAIR and self.does("network") and self.amplified < LOST:
            self.by_network(until=self.clock.used + (0.2 if self.linear or self.window else 0.4))
        self.follow()
        unsolved = not self.estimate < FAIR and self.amplified < LOST
        promising = self.best is None or self.best.waves or not self.estimate < 10 * BAD
        if self.time and self.does("march") and unsolved and promising:
            self.march()
            self.follow()
        if self.best is None:  # an ablation may have left nothing else
            self.by_network(until=1.0)
        # A network that is the best goes on to the end of the time.
        enough = self.good if self.best is not None and self.best.run is not None else FAIR
        if not self.estimate < enough and self.does("network") and self.amplified < LOST:
            end = 1.0 - FOLLOWED if self.follows else 1.0
            self.by_network(until=0.8 if self.follows else 0.75)
            assert self.best is not None
            if not self.best.forward and (self.best.waves or self.does("correction")):
                self.by_waves(until=end, base=None if self.best.waves else self.best)
            self.by_network(until=end)
            self.follow()
        return self.result()

    # --- candidates, and the error that their difference shows

    def candidate(self, model: nn.Module, problem: Problem, code: str, **more: Any) -> Candidate:
        """Judge a model."""
        own = model if self.device == "cpu" else copy.deepcopy(model).cpu().double()
        loss = loss_of(linearized(problem, own, self.judged, self.weights, problem.unknowns))
        with torch.no_grad():
            values = torch.stack(list(self.given.values(own, self.places).values()))
        return Candidate(own, problem, loss if math.isfinite(loss) else math.inf, values, code, **more)

    def take(self, new: Candidate) -> None:
        """Keep the better of two, and estimate its error from what lies between them.

        The change is about the error of the worse one; that of the better one is smaller by the root of the losses' ratio. Its
        loss itself is an estimate too, for its weights make it the square of an error of the fields. Their geometric mean is
        taken, but no less than the second where the loss stands still: then both have the same error, and the change is none.
        """
        old, better = self.best, self.best is None or new.loss < self.best.loss
        if better:
            self.best = new
        self.losses.append(new.loss)
        self.seen.append((self.clock.spent, new.loss))
        assert self.best is not None
        if old is not None:
            size = min(float(new.values.norm()), float(old.values.norm())) or 1.0
            change = float((new.values - old.values).norm()) / size
            found, former = new.problem.unknowns, old.problem.unknowns
            change = max([change, *(abs(found[name] / (former[name] or 1e-300) - 1) for name in found)])
            larger = max(new.loss, old.loss, 1e-300)
            ratio = math.sqrt(min(new.loss, old.loss) / larger) if larger < math.inf else 0.0
            if not self.linear and (self.window or self.time):  # a false solution may be as large as it likes
                size = min(size, self.size * self.best.values[0].numel() ** 0.5)
            defect = math.sqrt(2 * self.best.loss * self.best.values[0].numel()) / size
            self.estimate = max(math.sqrt(change * ratio * defect), defect * max(0.1, ratio))

    # --- random waves and Newton's method

    def some_waves(self, rates: Tensor, count: int, like: Candidate | None, base: Candidate | None) -> Candidate:
        """So many waves that solve the problem, or correct a base."""
        printed, seed = tuple(float(f"{rate:.4g}") for rate in rates.tolist()), self.seed + count
        guess = None if self.linear or base is not None else self.best
        found = frequencies(self.problem, printed, count, self.periodic, seed, like.model if like else None)
        first, steps = base or guess, 1 if self.linear else 8 if guess is None else 3
        problem = first.problem if first is not None else self.problem
        options: dict[str, Any] = {"guess": guess.model} if guess else {"base": base.model} if base else {}
        model, problem = solved_by_waves(problem, self.weights, found, seed=seed, steps=steps, added=self.added, **options)
        self.clock.count(count / FIRST)
        old = "" if like is None and first is None else (like or first).code  # type: ignore[union-attr]
        using = f"{', guess=model' * bool(guess)}{', base=model' * bool(base)}"
        using += ", added=additions(problem.domain)" * bool(self.added)
        code = f"{old}found = frequencies(problem, {printed}, {count}, {self.periodic}, {seed}{', model' if like else ''})\n"
        code += f"model, problem = solved_by_waves(problem, weights, found, seed={seed}, steps={steps}{using})\n"
        return self.candidate(model, problem, code, waves=base is None)

    def by_waves(self, until: float, base: Candidate | None = None) -> None:
        """Twice as many waves each time; rates doubled or halved, or drawn by the last solution's spectrum, where it pays."""
        dim = len(self.rates)
        rates, count = self.start if base is None else (self.rates_left(base), FIRST)
        moves = [(torch.full((dim,), factor), False) for factor in (2.0, 0.5)] if self.does("search") else []
        if 1 < dim <= 3 and moves:
            moves += [(1 + (factor - 1) * torch.eye(dim)[axis], False) for axis in range(dim) for factor in (2.0, 0.5)]
        moves += [(torch.ones(dim), True)] if self.does("spectrum") and base is None else []
        while self.best is None or self.clock.used < until:
            like = self.best if self.spectral and base is None else None
            start = self.clock.used
            new = self.some_waves(rates, count, like, base)
            cost, searched = max(self.clock.used - start, 1e-9), bool(moves)
            while searched and self.clock.used + len(moves) * cost < min(until, start + SEARCH):
                searched, before, at = False, new.loss, (rates, like)
                for factor, switch in moves:
                    if switch and self.best is None:
                        continue
                    other = at[1] if not switch else None if at[1] else self.best
                    one = self.some_waves(at[0] * factor, count, other, base)
                    if one.loss < new.loss:
                        new, rates, like = one, at[0] * factor, other
                searched = new.loss < before / 2
            self.take(new)
            if base is None and self.estimate < FAIR:
                until = 1.0  # waves it is
            grown = min(2.0, 0.9 * (max(0.0, until - self.clock.used) / cost) ** (1 / 3))
            count = min(MOST, round(count * max(1.3, grown)))
            if base is None:
                self.start, self.spectral = (rates, count), like is not None
            if grown < 1.3 or self.estimate < self.good or (new.waves and count >= MOST) or (self.linear and self.settled()):
                break

    def by_smoothing(self, until: float) -> None:
        """Waves that are held back, where readings are noisy: then their noise says how wrong the fields are."""
        trusted = f"{{name: w if name in {readings(self.problem)} else {EXACT:g} * w for name, w in weights.items()}}"
        steps = 1 if self.linear else STEPS
        given = self.problem, self.weights, self.rates, self.periodic, self.places, self.clock
        for one, expected in noisy(*given, until, self.seed, steps):
            code = f"# The readings are noisy, so the equations are believed more.\ntrusted = {trusted}\n{one.code}"
            self.best = self.candidate(one.model, one.problem, code, waves=True)
            self.estimate = expected
            self.losses.append(self.best.loss)
            self.seen.append((self.clock.spent, self.best.loss))

    def rates_left(self, base: Candidate) -> Tensor:
        """How fast the residuals of a base vary, but not faster than the first waves can show."""
        lengths = self.given.domain.high - self.given.domain.low
        most = math.pi * FIRST ** (1 / len(lengths)) / (lengths / 2)
        return look.rates_of(self.problem, self.sample, base.model).minimum(most).maximum(self.rates)

    def settled(self) -> bool:
        """Whether the loss stays where it is, with more and more waves."""
        return len(self.losses) > 3 and min(self.losses[-2:]) > 0.7 * min(self.losses[:-2])

    # --- a network and Gauss-Newton

    def by_network(self, until: float) -> None:
        """A network that grows; it goes on where it was left."""
        if self.net is not None and (self.net.done or self.clock.used >= until):
            return
        if self.net is None:
            self.net = GrowingNetwork(
                self.problem, self.rates, self.periodic, self.weights, self.seed, self.device, self.does("growth")
            )
        run = self.net.train(self.clock, until, (self.good * self.size) ** 2 / 2)
        problem = replace(self.problem, unknowns=run.unknowns) if run.unknowns else self.problem
        self.take(self.candidate(copy.deepcopy(run.model), problem, self.net.code + "model = run.model\n", run=run))

    # --- windows in time

    def by_products(self, until: float) -> None:
        """Forward in time by products of functions in space and in time, ever more exactly."""
        for tolerance, most, model in solutions(self.problem, self.time, self.periodic, self.clock, until):
            code = f"model = solved_forward(problem, {self.time!r}, {self.periodic}, {tolerance:.3g}, most={most})\n"
            self.take(self.candidate(model, self.problem, code, forward=True))
            if self.estimate < self.good:
                break

    def follow(self) -> None:
        """See whether the equations lead where the solution goes: from its own values, on windows in time.

        A false solution leaves small residuals nearly everywhere, and jumps where nobody looks. What lies between it and the
        waves that start from it is an error, where these have a much smaller loss; where they have not, the window is halved.
        """
        best, limit, jumps = self.best, self.clock.used + FOLLOWED, 0.0
        if best is self.followed:  # seen before, but more was tried since
            self.estimate = max(self.estimate, self.jumps)
        if not self.follows or best is None or best.forward or best is self.followed or not self.estimate < 10 * BAD:
            return
        low, high = self.given.domain.bounds[self.time]
        left = [(low + (high - low) * k / 4, low + (high - low) * (k + 1) / 4) for k in (3, 2, 1, 0)]
        while left and self.clock.used < limit:
            share = self.clock.part((limit - self.clock.used) / max(1e-3, 1 - self.clock.used) / len(left))
            start, end = left.pop()
            problem = window(replace(self.given, exact=None), self.time, start, end, best.model if start > low else None)
            piece = Solver(problem, share, self.seed, window=True)
            piece.by_waves(until=1.0)
            self.clock.take(share)
            assert piece.best is not None
            there = piece.candidate(best.model, replace(piece.problem, unknowns=best.problem.unknowns), "")
            if piece.best.loss < there.loss / 100:  # so its error is ten times smaller
                jumps += float((there.values - piece.best.values).norm() / piece.best.values.norm())
            elif there.loss > (self.good * self.size) ** 2 / 2 and end - start > (high - low) / 100:
                left += [((start + end) / 2, end), (start, (start + end) / 2)]
        self.followed, self.jumps = best, jumps
        self.estimate = max(self.estimate, jumps)

    def march(self) -> None:
        """Solve on a window in time after another, each by the same recipe; half of a window where it is not solved."""
        low, high = self.given.domain.bounds[self.time]
        whole, code, found = Piecewise(self.given.domain.names.index(self.time)), "", list[Fit]()
        start, length, problem, warm = low, (high - low) / 4, replace(self.given, exact=None), None
        while start < high and self.clock.used < 0.95 and length > (high - low) / 50:
            end = high if high - start < 1.3 * length else start + length
            piece = window(problem, self.time, start, end, whole.models[-1] if found else None)
            share = self.clock.part(min(0.9, 1.2 * (end - start) / (high - start)))
            one = Solver(piece, share, self.seed, self.device, window=True, without=self.left_out, start=warm)
            new = one.solve()
            self.clock.take(share)
            assert new.error_estimate is not None
            if not new.error_estimate < BAD / 2:
                length = (end - start) / 2
                continue
            warm = (one.start[0], max(FIRST, one.start[1] // 2))
            whole.append(start, new.model)
            found.append(new)
            code += f"\nproblem = window(given, {self.time!r}, {start:.17g}, {end:.17g}, {'model' if len(found) > 1 else None})\n"
            code += f"{new.recipe}\nwhole.append({start:.17g}, model)\n"
            start, length = end, length * (1.5 if new.error_estimate < GOOD_ENOUGH * 10 else 1.0)
        estimate = sum(one.error_estimate or 0.0 for one in found)
        if start >= high and estimate < self.estimate:
            head = f"given, whole = problem, Piecewise({whole.axis})\n"
            new_best = self.candidate(whole, self.problem, f"{head}{code}model, problem = whole, given\n", run=found[-1])
            self.best, self.estimate = new_best, estimate
            self.seen.append((self.clock.spent, new_best.loss))

    # --- the end

    def doubts(self) -> list[str]:
        """What must be said of the solution, and larger estimates where it is wrong."""
        assert self.best is not None
        if self.amplified > LOST:
            self.estimate = max(self.estimate, 1.0)
            return [
                "The conditions do not determine one solution: functions that satisfy all equations and conditions can be "
                "added to it. Add a condition, such as a value at a point."
            ]
        if self.explodes:
            self.estimate = max(self.estimate, 1.0)
            return [
                f"The problem is ill-posed forward in {self.time}: a wave grows the faster the shorter it is, so that data "
                f"with the smallest error have another solution. See whether the sign of the derivative in {self.time} is right."
            ]
        if self.linear and self.settled() and self.estimate > BAD / 4:
            self.estimate *= 10  # what stays in the loss is an error of data, and so of the fields
            blocks = linearized(self.best.problem, self.best.model, self.judged, self.weights, self.best.problem.unknowns)
            sizes = [block.weight * float(block.residual.square().sum()) for block in blocks]
            worst = blocks[int(np.argmax(sizes))].name
            return [
                f"With more and more waves the loss stays at {self.best.loss:.1e}, most of it in {worst!r}: either conditions "
                "contradict each other, so that no function satisfies them all, or the solution has details that these waves "
                "do not show."
            ]
        if self.hurried and missed(self.best.problem, self.best.model, self.weights):
            return [
                "The readings are missed, and it could not be told whether by noise: the solution may follow it, or the "
                "equations may not describe the readings. Give it more seconds, and see whether the equations are right."
            ]
        if not self.estimate < BAD:
            return [
                f"The problem is not solved: the estimated error is {self.estimate:.0%}. Give it more seconds, and see whether "
                "it is well-posed: small changes of its data must not change the solution much."
            ]
        return []

    def result(self) -> Fit:
        best, doubts = self.best, self.doubts()
        assert best is not None
        problem = replace(self.given, unknowns=best.problem.unknowns) if self.given.unknowns else self.given
        good = self.estimate < self.good
        stopped = f"the estimated error is below {self.good:g}" if good else "no more time, or nothing that helps"
        times, losses = zip(*self.seen, strict=True)
        history = {"step": np.arange(1, len(losses) + 1), "seconds": np.array(times), "loss": np.array(losses)}
        error = relative_error(best.model, problem) if problem.exact is not None else None
        return Fit(
            best.model, problem, error, history, dict(best.problem.unknowns), self.clock.spent, stopped,
            Status.CONVERGED if good else Status.SECONDS, doubts, error_estimate=self.estimate, recipe=self.header() + best.code,
        )  # fmt: skip

    def header(self) -> str:
        """What was seen of the problem, as the beginning of the program."""
        ties = look.periodic_coordinates(self.given)
        lines = [] if self.window else [HEAD]
        if ties:
            lines.append(f"# The model is periodic in {', '.join(ties.values())}, so these conditions hold.\n"
                         f"problem = without(problem, {', '.join(map(repr, ties))})\n")  # fmt: skip
        lines.append("# By the trace of the tangent kernel: each term counts as the error of the fields that it stands for.\n")
        lines.append(f"weights = {{{', '.join(f'{name!r}: {weight:g}' for name, weight in self.weights.items())}}}\n")
        return "".join(lines)
