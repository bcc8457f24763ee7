"""Plans of several calls of `fit`, for problems that are hard in one piece: easier ones first, or smaller ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, is_whole, reason, require, shown, whole
from pinnedu.conditions import Condition, On, Scope
from pinnedu.domain import Box, Domain
from pinnedu.equations import Arguments
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers.composite import Blend, Piecewise, intervals
from pinnedu.trainers.loop import fit
from pinnedu.trainers.record import Fit, Status, joined, relative_error

Build = Callable[[Problem], nn.Module]
"""Makes a model for a problem, such as ``lambda problem: MLP(problem, (20, 20))``."""


@dataclass(repr=False)
class Staged(Fit):
    """What a plan reached: a :class:`pinnedu.Fit` for the whole problem, and the fits it is made of.

    Attributes
    ----------
    fits : list of Fit
        In order. The model and the error of each are those of its own stage, window or problem.
    history : dict of str to array
        All fits one after the other: "stage" counts them, "step" and "seconds" go on counting, and
        "error" is measured on the problem of the stage.
    """

    fits: list[Fit]

    def __repr__(self) -> str:
        error = "unknown" if self.error is None else f"{self.error:.2e}"
        return f"Staged(error={error}, {len(self.fits)} fits, {self.stopped})"


def curriculum(
    model: nn.Module, problems: Sequence[Problem], *, optimizer: Any, steps: int | Sequence[int] | None = None, **options: Any
) -> Staged:
    """Train one model on a row of problems, from easy to hard, each from the weights reached before.

    Parameters
    ----------
    model : Module
        Trained in place.
    problems : sequence of Problem
        The last is the one to solve: ``[advection(beta) for beta in (5, 10, 20, 30)]``.
    optimizer : optimizer or factory of a torch optimizer
        Starts anew for each problem.
    steps : int or sequence of int
        For each problem, or one number for all. It may be left out where ``seconds`` is given, for each problem too.
    **options
        Of :func:`fit`, for each problem. A checkpoint gets a file for each.

    Returns
    -------
    Staged
        Its error is that against the last problem, also when interrupted from the keyboard.

    Raises
    ------
    ValueError
        For arguments that do not fit together.

    References
    ----------
    Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021), Characterizing possible failure modes in
    physics-informed neural networks, section 5.1 (curriculum regularization).
    """
    problems = list(problems) if isinstance(problems, Sequence) else [problems]
    if len(problems) < 2 or not all(isinstance(problem, Problem) for problem in problems):
        raise ValueError("curriculum needs at least two problems, such as [advection(beta) for beta in (5, 10, 20, 30)].")
    first = problems[0]
    for problem in problems[1:]:
        for what, a, b in (
            ("fields", tuple(first.fields), tuple(problem.fields)),
            ("coordinates", first.domain.names, problem.domain.names),
        ):
            if a != b:
                raise ValueError(f"The problems of a curriculum need the same {what}, not {a} and then {b}.")

    def stages() -> Iterator[tuple[nn.Module, Problem]]:
        for problem in problems:
            yield model, problem

    fits, stopped, status = _follow(stages(), len(problems), "stage", optimizer, steps, options)
    return _gather(model, problems[-1], fits, stopped, status, "stage")


def march(
    build: Build,
    problem: Problem,
    windows: int | Sequence[float] = 2,
    *,
    optimizer: Any,
    steps: int | Sequence[int] | None = None,
    overlap: float = 0.0,
    time: str = "t",
    seed: int | None = None,
    **options: Any,
) -> Staged:
    """Solve on windows in time one after the other, each with a model of its own that starts where the last one ended.

    The initial condition of a window is that of the problem, f(u) = 0 at the first time, carried on:
    f(u_k) = f(u_{k-1}) where window k starts. So an equation of second order in time hands on its velocity too.

    Parameters
    ----------
    build : callable
        Makes the model of a window: ``lambda window: MLP(window, (20, 20))``. The window is a Problem with
        its own interval of time, so that models normalize their inputs to it.
    problem : Problem
        With an initial condition, such as ``On(t=0, ...)``. Data outside of a window are left out there.
    windows : int or sequence of float
        How many windows of one length, or the times between windows.
    optimizer, steps
        As for :func:`fit`, for each window; ``steps`` may be a sequence, and be left out where ``seconds`` is given, for each
        window too.
    overlap : float
        Each window but the first starts earlier, by this share of the length of the one before it. There the
        one before is held by the equation on both sides. At every time the last window that has begun answers.
    time : str
        The coordinate to march along.
    seed : int, optional
        Window k gets the seed ``seed + k``, k from 0.
    **options
        Of :func:`fit`, for each window. A checkpoint gets a file for each.

    Returns
    -------
    Staged
        Its model answers on the whole domain. After an interruption the last window reached answers for the rest.

    Raises
    ------
    ValueError
        For arguments that do not fit together, and for problems that cannot be solved forward in time.

    References
    ----------
    Wight & Zhao (2021), Solving Allen-Cahn and Cahn-Hilliard equations using the adaptive physics
    informed neural networks. Mattey & Ghosh (2022), A novel sequential method to train physics
    informed neural networks for Allen Cahn and Cahn Hilliard equations. Krishnapriyan et al. (2021),
    section 5.2 (sequence-to-sequence learning).
    """
    _check_build(build, problem, "march")
    require(isinstance(time, str), "time", "the name of a coordinate", time)
    problem.domain.check_names((time,), "march")
    low, high = problem.domain.bounds[time]
    edges = _edges(windows, low, high)
    if not 0 <= as_number(overlap) < 1:
        raise ValueError(f"The overlap is a share of the window before, at least 0 and below 1, not {shown(overlap)}.")
    require(seed is None or is_whole(seed, 0), "seed", "a whole number", seed)
    check_forward(problem, time)
    whole = Piecewise(problem.domain.names.index(time))

    def windows_of() -> Iterator[tuple[nn.Module, Problem]]:
        before = low
        for k, (left, end) in enumerate(itertools.pairwise(edges)):
            start = left - overlap * (left - before) if k else left
            before = left
            piece = window(problem, time, start, end, whole.models[-1] if k else None)
            model = _made(build, piece)
            whole.append(start, model)
            yield model, piece

    fits, stopped, status = _follow(windows_of(), len(edges) - 1, "window", optimizer, steps, options, seed)
    del whole.starts[len(fits) :], whole.models[len(fits) :]
    return _gather(whole, problem, fits, stopped, status, "window")


def decompose(
    build: Build,
    problem: Problem,
    parts: Mapping[str, int],
    *,
    optimizer: Any,
    steps: int,
    overlap: float = 0.5,
    **options: Any,
) -> Staged:
    """Cut the domain into overlapping parts, give each a model of its own, blend them and train them together.

    The model is u(x) = sum_i w_i(x) u_i(x) with smooth weights that sum to one (see ``Blend``), so that
    the parts need no conditions between them. Each u_i sees its own part normalized: what is a high
    frequency of the whole is a low one there.

    Parameters
    ----------
    build : callable
        Makes the model of a part: ``lambda part: MLP(part, (8,))``. The part is a Problem with its own domain
        and no conditions.
    problem : Problem
    parts : dict of coordinate to int
        How many parts along it: ``{"x": 8}``, or ``{"x": 3, "y": 3}`` for nine.
    optimizer, steps
        As for :func:`fit`.
    overlap : float
        Width in which one part fades into the next, as a share of their length, above 0 and at most 1.
    **options
        Of :func:`fit`.

    Returns
    -------
    Staged
        Of one fit.

    Raises
    ------
    ValueError
        For arguments that do not fit together.

    References
    ----------
    Moseley, Markham & Nissen-Meyer (2023), Finite basis physics-informed neural networks (FBPINNs): a
    scalable domain decomposition approach for solving differential equations.
    """
    _check_build(build, problem, "decompose")
    if not isinstance(parts, Mapping) or not parts:
        raise ValueError(f'parts must be a dict of coordinate to number, such as {{"x": 8}}, not {shown(parts)}.')
    problem.domain.check_names(tuple(parts), "parts")
    for name, count in parts.items():
        whole(count, f"The number of parts along {name}")
    if not 0 < as_number(overlap) <= 1:
        raise ValueError(f"The overlap is a share of a part's length, above 0 and at most 1, not {shown(overlap)}.")
    box = Box(**problem.domain.bounds)
    rows = {name: intervals(*box.bounds[name], count, overlap) for name, count in parts.items()}
    model = Blend(box, rows, lambda box: _made(build, replace(problem, domain=box, conditions={})))
    run = fit(model, problem, optimizer=optimizer, steps=steps, **options)
    return Staged(**vars(run), fits=[run])


# --- windows


class Seam(On):
    """The initial condition f(u) = 0 of a problem, carried to a later time: f(u) = f(model) there.

    Parameters
    ----------
    condition : On, or one like it
    problem : Problem
        The whole one.
    model : Module
        Of the window before.
    **fixed : float
        Where the next window starts.
    """

    def __init__(self, condition: Condition, problem: Problem, model: nn.Module, /, **fixed: float) -> None:
        super().__init__(equation=condition.equation, **fixed)
        self.before = replace(problem, conditions={"seam": On(equation=condition.equation, **condition.fixed)})
        self.model = model
        points = self.before.sample(Points(1, 2), generator=torch.Generator().manual_seed(0))["seam"]
        self.count = self.targets(points).shape[1]

    def columns(self, domain: Domain) -> tuple[str, ...]:
        return (*super().columns(domain), *(f"f(u) {k}" for k in range(1, self.count + 1)))

    def targets(self, points: Tensor) -> Tensor:
        """What f makes of the model, (N, number of equations in f)."""
        with torch.no_grad():
            found = self.before.residuals(self.model, {"seam": points})["seam"]
        return found.reshape(-1, len(points)).T.to(points)

    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        drawn = super().points(name, domain, points, generator)
        return torch.cat([drawn, self.targets(drawn)], dim=1)

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        here = super().blocks(name, arguments, data, scope)
        return [value - target for value, target in zip(here, data[:, -self.count :].unbind(dim=1), strict=True)]


def window(problem: Problem, time: str, start: float, end: float, before: nn.Module | None) -> Problem:
    """The problem on an interval of time, starting from what the model before says, if there is one."""
    box = Box(**{**problem.domain.bounds, time: (start, end)})
    conditions: dict[str, Any] = {}
    for name, condition in problem.conditions.items():
        if before is not None and time in condition.fixed:
            conditions[name] = Seam(condition, problem, before, **condition.fixed | {time: start})
        elif (part := condition.restrict(box)) is not None:
            conditions[name] = part
    return replace(problem, domain=box, conditions=conditions)


def check_forward(problem: Problem, time: str) -> None:
    """Raise ValueError unless the problem can be solved forward in time."""
    if not isinstance(problem.domain, Box):
        raise ValueError(f"march cuts a Box into windows, and the domain is {shown(problem.domain)}.")
    low, high = problem.domain.bounds[time]
    initial = False
    for name, condition in problem.conditions.items():
        ends = condition.ends(problem.domain, time)
        if set(ends) == {low, high}:
            raise ValueError(f"march goes forward in {time}, but {name!r} ties its two ends.")
        if any(end != low for end in ends):
            raise ValueError(f"march goes forward from {time} = {low:g}, but {name!r} holds at {time} = {ends[0]:g}.")
        if (ends and time not in condition.fixed) or condition.whole:
            raise ValueError(f"march carries conditions such as On({time}={low:g}, ...) on: {name!r} is none; write it so.")
        initial = initial or bool(ends)
    if not initial:
        raise ValueError(f"march needs an initial condition, such as On({time}={low:g}, equation=...).")
    if problem.unknowns:
        raise ValueError(
            f"Each window would find its own {', '.join(problem.unknowns)}: march does not take problems with unknowns."
        )


def _edges(windows: int | Sequence[float], low: float, high: float) -> list[float]:
    """The times at which windows meet, with the first and the last."""
    if isinstance(windows, int) and not isinstance(windows, bool):
        if not is_whole(windows):
            raise ValueError(f"The number of windows must be at least 1, not {windows}.")
        return [low + (high - low) * k / windows for k in range(windows)] + [high]
    if not isinstance(windows, Sequence) or isinstance(windows, str):
        raise ValueError(f"windows must be a whole number or the times between windows, not {shown(windows)}.")
    edges = [low, *(as_number(edge) for edge in windows), high]
    if not all(isfinite(b) and a < b for a, b in itertools.pairwise(edges)):
        raise ValueError(f"The times between windows must rise from above {low:g} to below {high:g}, not {shown(windows)}.")
    return edges


# --- plans


def _check_build(build: Build, problem: Problem, what: str) -> None:
    if isinstance(build, nn.Module) or not callable(build):
        raise ValueError(f"{what} makes a model for each part: give it lambda problem: MLP(problem, ...), not a model.")
    if not isinstance(problem, Problem):
        raise ValueError(f"{what}(build, problem) needs a Problem as its second argument, not {type(problem).__name__}.")


def _made(build: Build, problem: Problem) -> nn.Module:
    """The model of a part."""
    try:
        model = build(problem)
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"build fails when it is called ({type(error).__name__}: {reason(error)}).") from error
    require(isinstance(model, nn.Module), "What build returns", "a torch.nn.Module", model)
    return model


def _follow(
    stages: Iterator[tuple[nn.Module, Problem]],
    count: int,
    what: str,
    optimizer: Any,
    steps: int | Sequence[int] | None,
    options: dict[str, Any],
    seed: int | None = None,
) -> tuple[list[Fit], str, Status]:
    """Fit one stage after the other; the fits, and why there are no more, in a sentence and as a code."""
    each = list(steps) if isinstance(steps, Sequence) else [steps] * count
    if len(each) != count:
        raise ValueError(f"steps needs one number for each of the {count} {what}s, not {len(each)}.")
    path = options.pop("checkpoint", None)
    fits: list[Fit] = []
    try:
        for k, (model, problem) in enumerate(stages):
            own = dict(options)
            if path is not None:
                own["checkpoint"] = Path(path).with_stem(f"{Path(path).stem}-{k + 1}")
            if seed is not None:
                own["seed"] = seed + k
            if fits and problem.unknowns:  # they go on from what was found, as the weights do
                problem = replace(problem, unknowns={**problem.unknowns, **fits[-1].unknowns})
            run = fit(model, problem, optimizer=optimizer, steps=each[k], **own)
            fits.append(run)
            # After an interruption, or where the loss became no number, going on would build on sand.
            if not run.status.good:
                return fits, f"{what} {k + 1} of {count}: {run.stopped}", run.status
    except KeyboardInterrupt:
        if not fits:
            raise
        return fits, f"interrupted before {what} {len(fits) + 1} of {count}", Status.INTERRUPTED
    return fits, f"all {count} {what}s done", Status.STEPS


def _gather(
    model: nn.Module, problem: Problem, fits: list[Fit], stopped: str, status: Status, what: str
) -> Staged:
    """Put the records of all fits into one, and measure the whole."""
    history = joined(fits)
    history["stage"] = np.concatenate([np.full(len(run.history["step"]), k) for k, run in enumerate(fits, start=1)])
    if problem.unknowns:
        problem = replace(problem, unknowns=fits[-1].unknowns)
    return Staged(
        model,
        problem,
        None if problem.exact is None else relative_error(model, problem),
        history,
        dict(fits[-1].unknowns),
        sum(run.seconds for run in fits),
        stopped,
        status,
        [f"{what} {k}: {warning}" for k, run in enumerate(fits, start=1) for warning in run.warnings],
        fits,
        scales=fits[-1].scales,
    )
