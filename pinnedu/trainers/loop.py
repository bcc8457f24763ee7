"""Training: one loop for every optimizer, and the record of what happened."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pinnedu import device as _device
from pinnedu.domain import Points
from pinnedu.field import Engine
from pinnedu.models import draw
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.adaptive import adapt
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Finished, resolve
from pinnedu.trainers.weights import Weighting
from pinnedu.trainers.weights import resolve as resolve_weights

CHECKS = 20  # how often in a run to look at fresh points and to keep the weights
OVERFIT = 30.0  # a fresh loss this many times the training loss means that points were fitted, not the equation


@dataclass
class Fit:
    """What training reached.

    Attributes
    ----------
    model : Module, the trained model
    problem : Problem
    error : float or None
        Relative L2 error against ``problem.exact`` on a dense grid.
    history : dict of str to array
        One entry a step: "step", each term by name (half mean square, unweighted), "loss" (their
        weighted sum), "fresh" (the loss on points drawn apart from the training points), "error" and
        "seconds", "weight of NAME" for each term where a strategy sets the weights, and each unknown by name;
        what was not looked at in a step is NaN.
    unknowns : dict of name to float
        Values found for the unknown parameters of the equations.
    seconds : float
        Time of training, without the time of evaluating errors.
    stopped : str
        Why training ended.
    warnings : list of str
        What is doubtful about the result.
    """

    model: nn.Module
    problem: Problem
    error: float | None
    history: dict[str, np.ndarray]
    unknowns: dict[str, float]
    seconds: float
    stopped: str
    warnings: list[str]

    @property
    def loss(self) -> float:
        """The loss from which the last step started; NaN if there was no step."""
        return float(self.history["loss"][-1]) if len(self.history["loss"]) else float("nan")

    def __repr__(self) -> str:
        error = "unknown" if self.error is None else f"{self.error:.2e}"
        found = "".join(f", {name}={value:.4g}" for name, value in self.unknowns.items())
        return f"Fit(error={error}, loss={self.loss:.2e}, steps={len(self.history['step'])}{found}, {self.stopped})"


@dataclass(frozen=True)
class State:
    """What a callback sees after each step: return True to stop, or a sentence saying why."""

    step: int
    seconds: float
    model: nn.Module
    problem: Problem
    objective: Objective


def fit(
    model: nn.Module,
    problem: Problem,
    *,
    optimizer: Any,
    steps: int,
    points: Points | None = None,
    weights: Mapping[str, float] | Weighting | Sequence[Mapping[str, float] | Weighting] | None = None,
    derivatives: str | Engine = "taylor",
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float64,
    seed: int | None = None,
    seconds: float | None = None,
    error_every: int | None = None,
    progress: bool = True,
    callbacks: Sequence[Callable[[State], bool | str | None]] = (),
) -> Fit:
    """Train a model to solve a problem.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
        Trained in place.
    problem : Problem
    optimizer : optimizer or factory of a torch optimizer
    steps : int
        Number of steps, at least 1.
    points : Points, optional
        How many collocation points, where, and how often drawn again.
    weights : dict of term to float, GradientBalance, TangentKernelBalance, Causal, or a list of them, optional
        Weights of the terms of the loss, 1 by default; and of single points, by Causal.
    derivatives : str or engine
    device : "auto", "cpu", "cuda", "mps" or torch.device
    dtype : torch.dtype
        float64 by default: float32 ends second-order training early and hides failures.
    seed : int, optional
        Fixes the points, and the weights if they are as pinnedu drew them and untouched since.
    seconds : float, optional
        Bound on the time of training.
    error_every : int, optional
        Measure the error every so many steps, for the history.
    progress : bool
        Show a progress bar (also off when the environment has PINNEDU_PROGRESS=0).
    callbacks : sequence of callable
        Called after each step with a :class:`State`; a true answer ends training.

    Returns
    -------
    Fit
        Also when interrupted from the keyboard: then with what was reached.

    Raises
    ------
    ValueError
        For arguments that do not fit together, before any training.
    """
    run = _Run(model, problem, optimizer, steps, points, weights, derivatives, device, dtype, seed, seconds, error_every)
    bar = tqdm(total=steps, disable=not progress or os.environ.get("PINNEDU_PROGRESS") == "0", leave=False)
    with bar:
        run.train(callbacks, bar)
    return run.result()


def relative_error(model: nn.Module, problem: Problem, points: Tensor | None = None) -> float:
    """Relative L2 error against the exact solution.

    Parameters
    ----------
    points : Tensor (N, d), optional
        Where to compare; by default a grid of about 10,000 points with the faces in it, or a Sobol
        set of 10,000 points in more than three dimensions.

    Returns
    -------
    float
        sqrt(sum (u - u_exact)^2 / sum u_exact^2), over the points and the fields the solution names
    """
    weight = next(model.parameters())
    if points is None:
        points = evaluation_points(problem)
    points = points.to(weight)
    with torch.no_grad():
        outputs = model(points)
    exact = problem.solution(points)
    difference = torch.stack([outputs[:, problem.fields.index(name)] - value for name, value in exact.items()])
    return float(torch.linalg.norm(difference) / torch.linalg.norm(torch.stack(list(exact.values()))))


def evaluation_points(problem: Problem, count: int = 10_201) -> Tensor:
    """Dense points for judging a model, (N, d): a grid, or a Sobol set above three dimensions."""
    dim = problem.domain.dim
    if dim > 3:
        return problem.domain.sample(count, "sobol", generator=torch.Generator().manual_seed(0))
    return problem.domain.grid(max(2, round(count ** (1 / dim))))


class _Run:
    """One call of ``fit``: checks its arguments, trains, and keeps the record."""

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        optimizer: Any,
        steps: int,
        points: Points | None,
        weights: Any,
        derivatives: str | Engine,
        device: str | torch.device,
        dtype: torch.dtype,
        seed: int | None,
        seconds: float | None,
        error_every: int | None,
    ) -> None:
        if not isinstance(problem, Problem):
            raise ValueError(f"fit(model, problem) needs a Problem as its second argument, not {type(problem).__name__}.")
        if not isinstance(model, nn.Module):
            raise ValueError(f"fit(model, problem) needs a torch.nn.Module first, not {type(model).__name__}.")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}.")
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds must be positive, not {seconds!r}.")
        if seed is not None and not isinstance(seed, int):
            raise ValueError(f"seed must be a whole number, not {seed!r}.")
        if error_every is not None and (problem.exact is None or error_every < 1):
            raise ValueError("error_every needs a number of at least 1 and a problem with an exact solution.")
        weights, self.strategies = resolve_weights(weights, problem)
        self.optimizer = resolve(optimizer)
        self.steps, self.limit, self.error_every = steps, seconds, error_every
        self.points = points or Points()
        self.every = self.optimizer.resample if self.points.resample is None else self.points.resample
        if self.points.adaptive and not self.every:
            raise ValueError("Adaptive points take effect when drawn again: give Points(resample=...), in steps.")
        self.device, self.dtype = _device.choose(device, dtype)
        stream = int(torch.randint(2**31, (1,))) if seed is None else seed
        # Training points and fresh points come from streams of their own: looking does not change training.
        self.training = torch.Generator().manual_seed(stream)
        self.looking = torch.Generator().manual_seed(stream + 2**31)

        self.model, self.problem = model.to(device=self.device, dtype=self.dtype), problem
        if seed is not None:
            draw(model, seed)
        learned = getattr(model, "unknowns", {})
        if missing := [name for name in problem.unknowns if name not in learned]:
            guesses = {name: torch.tensor(float(problem.unknowns[name]), dtype=torch.float64) for name in missing}
            model.unknowns = nn.ParameterDict({**learned, **guesses}).to(device=self.device, dtype=self.dtype)
        self.objective = Objective(model, problem, self.draw_points(self.points, self.training), weights, derivatives)
        check_model(model, problem, self.objective.sample["interior"][:2])
        self.check_equations()

        self.rows: list[Tensor] = []
        self.weights: list[list[float]] = []  # of the terms, in each step
        self.found: list[Tensor] = []
        self.fresh: dict[int, float] = {}
        self.errors: dict[int, float] = {}
        self.times: list[float] = []
        self.kept = (0, copy.deepcopy(model.state_dict()))
        self.stopped = f"all {steps} steps done"
        self.trouble = ""
        self.warnings: list[str] = []

    def present_unknowns(self) -> Tensor:
        """The unknown parameters as they are now, in the order of the problem."""
        unknowns: Any = self.model.unknowns
        return torch.stack([unknowns[name].detach().clone() for name in self.problem.unknowns])

    def draw_points(self, points: Points, generator: torch.Generator) -> Sample:
        return self.problem.sample(points, generator=generator, device=self.device, dtype=self.dtype)

    def draw_training_points(self) -> None:
        """Draw all points again, a share of them where the residual is large."""
        sample = self.draw_points(self.points, self.training)
        sample["interior"] = adapt(
            sample["interior"], self.model, self.problem, self.points, self.objective.derivatives, self.training
        )
        self.objective.sample = sample

    def check_equations(self) -> None:
        """Call every equation once on a few points: errors in them show before training starts."""
        few = self.problem.sample(
            Points(2, 2), generator=torch.Generator().manual_seed(0), device=self.device, dtype=self.dtype
        )
        residuals = self.problem.residuals(self.model, few, self.objective.derivatives)
        if not any(residual.requires_grad for residual in residuals.values()):
            raise ValueError("No residual depends on the model's weights: there is nothing to train.")

    def train(self, callbacks: Sequence[Callable[[State], bool | str | None]], bar: Any) -> None:
        """Step until training ends, for whatever reason, then look at where it ended."""
        try:
            self.advance(callbacks, bar)
        except KeyboardInterrupt:
            self.stopped = f"interrupted at step {len(self.rows)}"
        if not self.trouble and len(self.rows) > self.kept[0]:
            self.look(len(self.rows), bar)
        if self.trouble:
            self.model.load_state_dict(self.kept[1])
            self.stopped = f"{self.trouble}; the weights of step {self.kept[0]} are restored"
            self.warnings.append(self.stopped + ": try a smaller rate.")

    def advance(self, callbacks: Sequence[Callable[[State], bool | str | None]], bar: Any) -> None:
        """Step until all is done, time is up, a callback says so, or the loss is no longer finite."""
        take_step = self.optimizer.start(self.model)
        check_every, pause = max(1, self.steps // CHECKS), (self.limit or math.inf) / CHECKS
        elapsed = looked = 0.0
        for step in range(1, self.steps + 1):
            start = time.perf_counter()
            if step > 1 and self.every and (step - 1) % self.every == 0:
                self.draw_training_points()
            for strategy in self.strategies:
                strategy.update(self.objective, step)
            self.objective._first = None  # a callback or a strategy may have evaluated the loss
            try:
                terms = take_step(self.objective)
            except Finished as end:
                if not self.every:
                    self.stopped = f"{end} after step {step - 1}"
                    return
                terms = self.objective.first_terms()  # other points may show a way on
            self.weights.append(self.objective.used_weights())
            self.rows.append(terms)
            if self.problem.unknowns:
                self.found.append(self.present_unknowns())
            elapsed += time.perf_counter() - start
            self.times.append(elapsed)
            bar.update()
            if self.error_every and step % self.error_every == 0:
                self.errors[step] = relative_error(self.model, self.problem)
            if step % check_every == 0 or elapsed - looked >= pause:
                self.look(step, bar)
                looked = elapsed
                if self.trouble:
                    return
            state = State(step, elapsed, self.model, self.problem, self.objective)
            for callback in callbacks:
                if why := callback(state):
                    self.stopped = why if isinstance(why, str) else f"a callback ended training at step {step}"
                    return
            if self.limit is not None and elapsed >= self.limit and step < self.steps:
                self.stopped = f"the time limit of {self.limit:g} s was reached at step {step}"
                return

    def look(self, step: int, bar: Any) -> None:
        """Measure the loss on points that training does not use, and keep the weights if all is finite."""
        self.trouble = self.diverged()
        if self.trouble:
            return
        # Uniform whatever the training points are: a grid drawn again would be the same grid.
        sample = self.draw_points(replace(self.points, method="uniform"), self.looking)
        training = self.objective
        fresh = Objective(self.model, self.problem, sample, training.weights, training.derivatives, training.shares)
        with torch.no_grad():
            loss = float(fresh.loss())
        terms = fresh.first_terms().tolist()
        self.trouble = self.broken(terms, f"on fresh points at step {step}")
        if self.trouble:
            return
        self.fresh[step] = loss
        self.kept = (step, copy.deepcopy(self.model.state_dict()))
        bar.set_postfix_str(f"loss {loss:.1e}", refresh=False)

    def diverged(self) -> str:
        """What became NaN or infinite since the weights were last kept, in words; empty if nothing did."""
        since = self.kept[0]
        recent = torch.stack(self.rows[since:]).tolist() if len(self.rows) > since else []
        for step, terms in enumerate(recent, start=since + 1):
            if what := self.broken(terms, f"at step {step}"):
                return what
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            return f"the weights became infinite or NaN at step {len(self.rows)}"
        return ""

    def broken(self, terms: list[float], where: str) -> str:
        """Which term is NaN or infinite, in words; empty if none is."""
        for term, value in zip(self.problem.terms, terms, strict=True):
            if not math.isfinite(value):
                return f"the term {term!r} of the loss became {value} {where}"
        return ""

    def result(self) -> Fit:
        """Gather the record; measure the final error."""
        problem, steps = self.problem, np.arange(1, len(self.rows) + 1)
        terms = torch.stack(self.rows).cpu().double().numpy() if self.rows else np.zeros((0, len(problem.terms)))
        history: dict[str, np.ndarray] = {"step": steps}
        history |= {name: terms[:, i] for i, name in enumerate(problem.terms)}
        weights = np.array(self.weights).reshape(-1, len(problem.terms))[: len(terms)]
        history["loss"] = (terms * weights).sum(axis=1)
        for name, known in (("fresh", self.fresh), ("error", self.errors)):
            history[name] = np.array([known.get(int(step), np.nan) for step in steps])
        history["seconds"] = np.array(self.times[: len(steps)])
        if self.strategies:
            history |= {f"weight of {name}": weights[:, i] for i, name in enumerate(problem.terms)}
        self.warn_of_overfitting(history)
        error = relative_error(self.model, problem) if problem.exact is not None else None
        names = list(problem.unknowns)
        found = torch.stack(self.found).cpu().double().numpy() if self.found else np.zeros((0, len(names)))
        history |= {name: found[: len(steps), i] for i, name in enumerate(names)}
        unknowns = dict(zip(names, self.present_unknowns().tolist(), strict=True)) if names else {}
        return Fit(
            self.model,
            problem,
            error,
            history,
            unknowns,
            self.times[-1] if self.times else 0.0,
            self.stopped,
            self.warnings,
        )

    def warn_of_overfitting(self, history: dict[str, np.ndarray]) -> None:
        """Compare the loss with that on fresh points: a small loss may be a wrong answer."""
        if not self.fresh:
            return
        last = max(self.fresh)
        with torch.no_grad():
            loss, fresh = float(self.objective.loss()), self.fresh[last]
        if fresh > OVERFIT * loss:
            self.warnings.append(
                f"The loss on fresh points is {fresh:.1e}, the training loss {loss:.1e}: the points were fitted, "
                "not the equation. Use more points, draw them again (Points(resample=...)), or adaptive ones."
            )


def check_model(model: nn.Module, problem: Problem, points: Tensor) -> None:
    """Raise ValueError unless the model maps (N, d) to (N, m) for this problem."""
    wanted = f"(N, {problem.domain.dim}) -> (N, {len(problem.fields)})"
    names = f"coordinates {', '.join(problem.domain.names)}; fields {', '.join(problem.fields)}"
    try:
        with torch.no_grad():
            got = tuple(model(points).shape)
    except (RuntimeError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"The model must map {wanted} ({names}), but it fails on such points: {reason}.") from None
    if got != (len(points), len(problem.fields)):
        raise ValueError(f"The model must map {wanted} ({names}), but it gives shape {got} for {len(points)} points.")
