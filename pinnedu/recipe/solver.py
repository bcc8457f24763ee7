"""One recipe for all problems: ``solve`` looks at a problem, chooses, trains, and estimates its own error."""

from __future__ import annotations

import copy
import math
import os
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import flag, is_whole, positive, require
from pinnedu.models import MLP, Normalize, PeriodicEmbedding
from pinnedu.problem import Problem
from pinnedu.progress import Bar
from pinnedu.recipe.look import (
    amplification,
    explodes,
    forward,
    is_linear,
    looked_at,
    periodic_coordinates,
    rates_of,
    weights_of,
    without,
)
from pinnedu.recipe.parts import Continued, Corrected, Watch, waves, widened
from pinnedu.sampling import Points
from pinnedu.scales import units_of_fields
from pinnedu.trainers.composite import Piecewise
from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.loop import fit
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.record import Fit, Status, joined, relative_error
from pinnedu.trainers.strategies import window

LEAST_SQUARES: dict[str, Any] = {"damping": 1e-12, "acceleration": 0}  # for a linear problem one step is the solution
FIRST = 64  # waves
SEARCH = 0.15  # of the time, at most, for the frequencies of a number of waves
WIDTH = 16  # of the first network
WIDEST = 48
LOST = 1e4  # an amplification above this means that conditions are missing
OPTIMIZER = "optimizer = Continued(GaussNewton(momentum=0.9))"
END = ("nothing", "all that it may have")  # what a network wants that is not trained any longer
EVERY = 5  # steps with the same points
GOOD = 1e-8  # an estimate below this ends the run
GOOD_ENOUGH = 1e-5  # or a window of it
BAD = 0.05  # above this nothing is solved


class Recipe(str):
    """A program, which shows itself as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(repr=False)
class Solution(Fit):
    """What ``solve`` reached: a Fit that knows about how wrong it is, and how it was made.

    Attributes
    ----------
    error_estimate : float
        Of the relative error in L2 of all fields together, or of the worst unknown; made without the exact solution.
    recipe : Recipe
        What was chosen and why, as a program that gives the same model.
    """

    error_estimate: float
    recipe: Recipe

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, error_estimate={self.error_estimate:.1e})"


def solve(
    problem: Problem,
    *,
    seconds: float = 60.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
    steps: int | None = None,
) -> Solution:
    """Solve a problem and say how wrong the solution may be: nothing has to be chosen.

    Linear problems are solved by least squares with random waves, twice as many each time. Others by a network and
    Gauss-Newton, on few points, all new in each step, and more of them where it over-fits; random waves then correct what is
    left. What such a correction changes is the error that was there, and the estimate.

    Parameters
    ----------
    problem : Problem
    seconds : float
        Bound on the time.
    seed : int
        Fixes points and models; how far training comes depends on the time.
    device : "auto", "cpu", "cuda", "mps" or torch.device
    progress : bool
        Show a progress bar (also off when the environment has PINNEDU_PROGRESS=0).
    steps : int, optional
        Bound on the steps of training besides, where one with n waves counts as n / 64: a result that does not depend on the
        speed of the machine, if the time suffices.

    Returns
    -------
    Solution
        ``run.error_estimate``, ``run.recipe`` and all that a :class:`Fit` has. Where the problem looks ill-posed, or was
        not solved in the time, ``run.warnings`` says so.

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
    quiet = not progress or os.environ.get("PINNEDU_PROGRESS") == "0"
    bar = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
    with Bar(total=seconds, disable=quiet, bar_format=bar) as shown:
        return _Solver(problem, Clock(seconds, steps, shown), int(seed), device).solve()


class Clock:
    """What is left of the time, and of the steps where those are bounded."""

    def __init__(self, seconds: float, steps: int | None = None, bar: Any = None) -> None:
        self.begin, self.seconds, self.total, self.steps, self.bar = time.perf_counter(), seconds, steps, steps, bar

    @property
    def used(self) -> float:
        """The share of all that is used up."""
        time_used = (time.perf_counter() - self.begin) / self.seconds
        return time_used if self.total is None else max(time_used, 1 - (self.steps or 0) / self.total)

    def part(self, share: float) -> Clock:
        """A clock for a part of what is left."""
        left = max(1e-3, self.seconds - (time.perf_counter() - self.begin))
        steps = None if self.steps is None else max(1, math.ceil(share * self.steps))
        return Clock(share * left, steps, self.bar)

    def take_back(self, part: Clock) -> None:
        """Count what a part has used."""
        if self.steps is not None and part.total is not None and part.steps is not None:
            self.steps -= part.total - part.steps

    def until(self, share: float) -> dict[str, Any]:
        """What is left until a share of all is used up, as arguments of ``fit``."""
        seconds = max(1e-3, share * self.seconds - (time.perf_counter() - self.begin))
        if self.total is None or self.steps is None:
            return {"seconds": seconds}
        return {"seconds": seconds, "steps": max(1, math.ceil(self.steps - (1 - share) * self.total))}

    def count(self, steps: int) -> None:
        """Note what a run took."""
        if self.steps is not None:
            self.steps -= steps
        if self.bar is not None:
            self.bar.n = min(self.seconds, time.perf_counter() - self.begin)
            self.bar.refresh()


@dataclass
class Candidate:
    """A model on the way: its run, its loss on points that none is trained on, its values, and how it was made."""

    run: Fit
    loss: float
    values: Tensor
    code: str


class _Net:
    """The network of a solver, and how it came to be what it is."""

    def __init__(self, model: MLP, code: str) -> None:
        self.model, self.code, self.width = model, code, WIDTH
        self.optimizer, self.earlier, self.wants = Continued(GaussNewton(momentum=0.9)), list[Fit](), ""
        self.run: Fit | None = None
        self.count = 3 * self.size // 2

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def grow(self, wants: str, problem: Problem) -> None:
        """More points, up to 6 for each weight, or half as many neurons more; or nothing, where it is large enough."""
        if wants == "nothing":
            self.wants = wants
        elif wants == "points" and self.count < 6 * self.size:
            self.count *= 2
        elif self.width < WIDEST and self.run is not None:
            self.width = 3 * self.width // 2
            self.earlier.append(self.run)
            self.model, self.run = widened(self.model, problem, self.width), None
            self.optimizer = Continued(GaussNewton(momentum=0.9))
            self.count = max(self.count, 3 * self.size // 2)
            self.code += f"model = widened(model, problem, {self.width})\n{OPTIMIZER}\n"
        else:
            self.wants = "all that it may have"


class _Solver:
    def __init__(self, problem: Problem, clock: Clock, seed: int, device: Any, marches: bool = True) -> None:
        self.given, self.clock, self.seed, self.device = problem, clock, seed, device
        ties = periodic_coordinates(problem)
        self.problem = replace(without(problem, *ties), exact=None)
        self.periodic = tuple(dict.fromkeys(ties.values()))
        self.sample, self.judged = looked_at(self.problem), looked_at(self.problem, 1024, seed=1)
        self.linear = is_linear(self.problem, self.sample)
        self.losses = list[float]()  # of random waves, for a linear problem
        box = problem.domain
        self.lengths = box.high - box.low
        self.rates = rates_of(self.problem, self.sample).maximum(2 / self.lengths / box.dim**0.5)
        weights = weights_of(self.problem, waves(self.problem, self.rates, 100, self.periodic), self.sample)
        self.weights = {name: float(f"{weight:.3g}") for name, weight in weights.items()}
        with torch.no_grad():  # about the size of the fields, from what conditions and data say
            self.size = max(1e-300, max(math.hypot(*unit) for unit in units_of_fields(self.problem).values()))
        self.places = box.evaluation_points(1024)
        self.best: Candidate | None = None
        self.estimate = math.inf
        self.net: _Net | None = None
        self.wave_rates, self.wave_count, self.marched = self.rates, FIRST, False
        self.good, self.time = (GOOD, forward(problem)) if marches else (GOOD_ENOUGH, "")
        self.amplified = amplification(self.problem, self.periodic, self.sample)
        self.explodes = bool(self.time) and explodes(self.problem, self.time, self.sample)
        self.header = _header(ties, self.weights, self.linear)

    def solve(self) -> Solution:
        """All stages, one after the other, as long as there is time."""
        if self.linear:
            self.correct(until=0.5 if self.time else 1.0)
        else:
            self.network(until=0.25 if self.time else 0.6)
            if self.time:
                self.correct(until=self.clock.used + 0.1)
        if self.time and not self.estimate < BAD and self.amplified < LOST:
            self.march()
        elif not self.linear:
            self.network(until=0.7)
        self.correct(until=1.0)
        return self.result()

    def fit(self, model: nn.Module, problem: Problem, after: Fit | None = None, cost: int = 1, **options: Any) -> Fit:
        """A run of ``fit`` in silence: what is doubtful is said of the whole."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = fit(
                model, problem, weights=self.weights, seed=self.seed, device=self.device, progress=False,
                after=after, **options,
            )  # fmt: skip
        steps = len(run.history["step"]) - (0 if after is None else len(after.history["step"]))
        self.clock.count(steps * cost)
        return run

    def candidate(self, run: Fit, code: str) -> Candidate:
        """Judge a run."""
        with torch.no_grad():
            loss = float(Objective(run.model, run.problem, self.judged, self.weights).loss())
            values = self.given.values(run.model, self.places)
        return Candidate(run, loss, torch.stack(list(values.values())).cpu().double(), code)

    def take(self, new: Candidate) -> None:
        """Keep the better of two, and estimate its error from what lies between them.

        The change is about the error of the worse one; that of the better one is smaller by the root of the losses' ratio. Its
        loss itself is an estimate too, for its weights make it the square of an error of the fields. Their
        geometric mean is taken.
        """
        old = self.best
        if old is None or new.loss < old.loss or not math.isfinite(old.loss):
            self.best = new
        if old is not None and self.best is not None:
            size = float(self.best.values.norm()) or 1.0
            change = float((new.values - old.values).norm()) / size
            found, former = new.run.unknowns, old.run.unknowns
            change = max([change, *(abs(found[name] / (former[name] or 1e-300) - 1) for name in found)])
            ratio = math.sqrt(min(new.loss, old.loss) / max(new.loss, old.loss, 1e-300))
            defect = math.sqrt(2 * self.best.loss * self.best.values[0].numel()) / size
            self.estimate = max(math.sqrt(change * ratio * defect), defect / 10)

    # --- random waves and least squares

    def least_squares(self, base: Candidate | None, rates: Tensor, count: int) -> Candidate:
        """Random waves that solve the problem, or correct a model; a step for a linear problem, and some for others."""
        printed, seed = tuple(float(f"{rate:.4g}") for rate in rates.tolist()), self.seed + count
        model: nn.Module = waves(self.problem, printed, count, self.periodic, seed=seed)
        made = f"waves(problem, {printed}, {count}, {self.periodic}, seed={seed})"
        if base is not None:
            model, made = Corrected(base.run.model, model), f"Corrected(run.model, {made})"
        width, dim = 2 * count * len(self.problem.fields), len(rates)
        points = Points(4 * count + 100, 30 + round(3 * width ** (1 - 1 / dim)), "sobol", resample=0)
        steps, options = 1 if self.linear else 3, ", ".join(f"{name}={value}" for name, value in LEAST_SQUARES.items())
        code = (base.code if base is not None else "") + f"model = {made}\n"
        problem = base.run.problem if base is not None and self.problem.unknowns else self.problem
        code += "problem = run.problem\n" * (problem is not self.problem)
        code += _call(f"GaussNewton({options})", points, self.seed, f"steps={steps}")
        optimizer = GaussNewton(**LEAST_SQUARES)
        run = self.fit(model, problem, cost=count // FIRST, optimizer=optimizer, steps=steps, points=points)
        return self.candidate(run, code)

    def correct(self, until: float) -> None:
        """Twice as many waves each time, and frequencies doubled or halved, of all coordinates or one, while it pays."""
        dim, base = len(self.rates), None if self.linear and not self.marched else self.best
        rates, count = self.wave_rates, self.wave_count
        if base is not None:  # what is left varies faster, but not faster than the first waves can show
            count = FIRST
            most = math.pi * count ** (1 / dim) / (self.lengths / 2)
            rates = rates_of(self.problem, self.sample, base.run.model).minimum(most).maximum(self.rates)
        moves = [torch.full((dim,), 2.0), torch.full((dim,), 0.5)]
        moves += [1 + torch.eye(dim)[i] for i in range(dim)] if 1 < dim <= 3 else []
        while self.clock.used < until or not self.estimate < math.inf:
            start = self.clock.used
            new = self.least_squares(base, rates, count)
            cost = self.clock.used - start
            searched = True
            while searched and self.clock.used + len(moves) * cost < start + SEARCH:
                found = [(self.least_squares(base, rates * move, count), rates * move) for move in moves]
                other, where = min(found, key=lambda one: one[0].loss)
                searched = other.loss < new.loss / 2
                if other.loss < new.loss:
                    new, rates = other, where
            self.take(new)
            self.losses.append(new.loss)
            count *= 2
            self.wave_rates, self.wave_count = rates, count
            if self.estimate < self.good or self.clock.used + 10 * cost > until or self.settled():
                return

    # --- a network and Gauss-Newton

    def network(self, until: float) -> None:
        """Gauss-Newton on few points, drawn again and again: more where it over-fits, more neurons where it stands still.

        It goes on where it was left.
        """
        if self.net is None:
            self.net = self.first_network()
        net = self.net
        while (net.run is None and not net.earlier) or (self.clock.used < until and net.wants not in END):
            points = Points(net.count, round(3 * net.count**0.5), "sobol", resample=EVERY, adaptive=0.5)
            watch = Watch(EVERY, enough=(self.good * self.size) ** 2 / 2)
            before = 0 if net.run is None else len(net.run.history["step"])
            options = {"optimizer": net.optimizer, "points": points, "callbacks": [watch], **self.clock.until(until)}
            net.run = self.fit(net.model, self.problem, net.run, **options)
            after = ", after=run" if before else ""
            net.code += _call("optimizer", points, self.seed, f"steps={len(net.run.history['step']) - before}{after}")
            if net.run.status is not Status.CALLBACK:
                break
            net.code += f"# {net.run.stopped}.\n"
            net.grow(watch.wants, self.problem)
        run = net.run if net.run is not None else net.earlier[-1]
        history = joined([*net.earlier, run]) if net.earlier else run.history
        self.take(self.candidate(replace(run, model=copy.deepcopy(run.model), history=history), net.code))

    def first_network(self) -> _Net:
        """A network whose inputs turn about once over the domain for each turn of the data; periodic where they are."""
        box = self.problem.domain
        turns = dict(zip(box.names, (self.rates * self.lengths / (2 * math.pi)).clamp_min(1.0).tolist(), strict=True))
        harmonics = {name: math.ceil(turns.pop(name)) for name in self.periodic}
        scale, hidden = {name: float(f"{turn:.3g}") for name, turn in turns.items()}, (WIDTH,) * 3
        embedding = PeriodicEmbedding(box, scale=scale, **harmonics) if harmonics else Normalize(box, scale=scale)
        more = "".join(f", {name}={count}" for name, count in harmonics.items())
        made = f"{type(embedding).__name__}(problem.domain, scale={scale}{more})"
        code = f"model = MLP(problem, hidden={hidden}, embedding={made})\n{OPTIMIZER}\n"
        return _Net(MLP(self.problem, hidden=hidden, embedding=embedding), code)

    # --- windows in time

    def march(self) -> None:
        """Solve on a window in time after another, each by the same recipe; half of a window where it is not solved."""
        low, high = self.given.domain.bounds[self.time]
        whole, code, found = Piecewise(self.given.domain.names.index(self.time)), "", list[Solution]()
        start, length, problem = low, (high - low) / 4, replace(self.given, exact=None)
        while start < high and self.clock.used < 0.95 and length > (high - low) / 100:
            end = high if high - start < 1.3 * length else start + length
            piece = window(problem, self.time, start, end, whole.models[-1] if found else None)
            share = self.clock.part(0.9 * (end - start) / (high - start))
            new = _Solver(piece, share, self.seed, self.device, marches=False).solve()
            self.clock.take_back(share)
            if not new.error_estimate < BAD / 5:
                length = (end - start) / 2
                continue
            whole.append(start, new.model)
            found.append(new)
            before = "whole.models[-1]" if code else "None"
            code += f"problem = window(given, {self.time!r}, {start:.17g}, {end:.17g}, {before})\n{new.recipe}"
            code += f"whole.append({start:.17g}, run.model)\n\n"
            start, length = end, length * (1.5 if new.error_estimate < BAD / 500 else 1.0)
        estimate = sum(one.error_estimate for one in found)
        if start >= high and estimate < self.estimate:
            run = replace(found[-1], model=whole, problem=self.given, history=joined(found))
            head = f"given, whole = problem, Piecewise({whole.axis})\n"
            self.best, self.estimate = self.candidate(run, head + code + "run = replace(run, model=whole)\n"), estimate
            self.marched = True

    # --- the end

    def settled(self) -> bool:
        """Whether the loss of a linear problem stays where it is, with more and more waves."""
        return len(self.losses) > 2 and self.losses[-1] > 0.9 * self.losses[-3]

    def largest_term(self) -> str:
        """The name of the term that has most of the loss."""
        assert self.best is not None
        with torch.no_grad():
            terms = Objective(self.best.run.model, self.best.run.problem, self.judged).terms().tolist()
        sizes = {name: weight * term for (name, weight), term in zip(self.weights.items(), terms, strict=True)}
        return max(sizes, key=lambda name: sizes[name])

    def result(self) -> Solution:
        best = self.best
        assert best is not None
        run, problem = best.run, self.given
        if problem.unknowns:
            problem = replace(problem, unknowns=run.unknowns)
        said = list(run.warnings)
        if self.amplified > LOST:
            self.estimate = max(self.estimate, 1.0)
            said.append(
                "The conditions do not determine one solution: functions that satisfy all equations and conditions can be "
                "added to it. Add a condition, such as a value at a point."
            )
        elif self.explodes:
            self.estimate = max(self.estimate, 1.0)
            said.append(
                f"The problem is ill-posed forward in {self.time}: a wave grows the faster the shorter it is, so that data "
                f"with the smallest error have another solution. See whether the sign of the derivative in {self.time} is right."
            )
        elif self.linear and self.settled() and self.estimate > BAD / 10:
            self.estimate *= 10  # what stays in the loss is an error of data, and so of the fields
            worst = self.largest_term()
            said.append(
                f"With more and more waves the loss stays at {best.loss:.1e}, most of it in {worst!r}: either conditions "
                "contradict each other, so that no function satisfies them all, or the solution has details that these waves "
                "do not show."
            )
        elif not self.estimate < BAD:
            said.append(
                f"The problem is not solved: the estimated error is {self.estimate:.0%}. Give it more seconds, and see whether "
                "it is well-posed: small changes of its data must not change the solution much."
            )
        good = self.estimate < GOOD
        stopped = (
            f"the estimated error is below {GOOD:g}" if good
            else "more waves do not lower the loss any more" if self.settled()
            else f"{self.clock.seconds:g} s leave no time for the next stage"
        )  # fmt: skip
        error = relative_error(run.model, problem) if problem.exact is not None else None
        return Solution(
            run.model, problem, error, run.history, run.unknowns, time.perf_counter() - self.clock.begin, stopped,
            Status.CONVERGED if good else Status.SECONDS, said, scales=run.scales,
            error_estimate=self.estimate, recipe=Recipe(self.header + best.code),
        )  # fmt: skip


def _header(ties: dict[str, str], weights: dict[str, float], linear: bool) -> str:
    lines = [
        "from pinnedu import MLP, GaussNewton, Normalize, PeriodicEmbedding, Points, fit",
        "from pinnedu.recipe import Continued, Corrected, waves, widened, window, without",
        "from pinnedu.trainers.composite import Piecewise",
        "from dataclasses import replace",
        "",
    ]
    if ties:
        lines += [f"# The model is periodic in {', '.join(ties.values())}, so these conditions hold."]
        lines += [f"problem = without(problem, {', '.join(map(repr, ties))})"]
    lines += ["# By the trace of the tangent kernel: each term counts as the error of the fields that it stands for."]
    lines += [f"weights = {{{', '.join(f'{name!r}: {weight:g}' for name, weight in weights.items())}}}"]
    if linear:
        lines += ["# The problem is linear: one step with waves of fixed frequencies is the least-squares solution."]
    return "\n".join(lines) + "\n"


def _call(optimizer: str, points: Points, seed: int, rest: str) -> str:
    """A call of ``fit`` in the words of the recipe."""
    adaptive = f", adaptive={points.adaptive}" if points.adaptive else ""
    drawn = f"Points({points.interior}, {points.conditions}, {points.method!r}, resample={points.resample}{adaptive})"
    return (
        f"run = fit(model, problem, optimizer={optimizer}, weights=weights, seed={seed}, {rest},\n"
        f"          points={drawn})\n"
    )
