"""Training: one loop for every optimizer, and the record of what happened."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.corners import conflicts
from pinnedu.derivatives import Engine
from pinnedu.device import out_of_memory
from pinnedu.models import MLP
from pinnedu.problem import Problem
from pinnedu.progress import Bar
from pinnedu.sampling import Points
from pinnedu.trainers import clock
from pinnedu.trainers.checkpoint import Checkpoint
from pinnedu.trainers.interrupt import Interruption
from pinnedu.trainers.optimizers import Diverged, Finished
from pinnedu.trainers.record import Fit, State, Status, joined, relative_error
from pinnedu.trainers.settings import Settings, validate
from pinnedu.trainers.state import TrainingState, begin
from pinnedu.trainers.weights import Weighting

CHECKS = 20  # how often in a run to look at fresh points and to keep the weights
ENOUGH = 10  # after so many steps a run that moved nothing is reported
STILL = 1e-4  # an unknown that changed by less, relative to its guess, never left it


def fit(
    model: nn.Module,
    problem: Problem,
    *,
    optimizer: Any,
    steps: int | None = None,
    points: Points | None = None,
    weights: Mapping[str, float] | Weighting | Sequence[Mapping[str, float] | Weighting] | None = None,
    derivatives: str | Engine = "taylor",
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float64,
    seed: int | None = None,
    seconds: float | None = None,
    error_every: int | None = None,
    compile: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callable[[State], bool | str | None]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 10.0,
    after: Fit | None = None,
    scale: bool = True,
) -> Fit:
    """Train a model to solve a problem.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
        Trained in place.
    problem : Problem
    optimizer : optimizer or factory of a torch optimizer
    steps : int
        Number of steps, at least 1. It may be left out where ``seconds`` is given.
    points : Points, optional
        How many collocation points, where, and how often drawn again.
    weights : dict of term to float, GradientBalance, TangentKernelBalance, Causal, or a list of them, optional
        Weights of the terms of the loss, 1 by default; and of single points, by Causal.
    derivatives : str or engine
        "taylor", "autograd", "finite-differences", "complex-step" or an engine, such as
        ``hutchinson(8)``. The Jacobian of GaussNewton is exact whichever is chosen, so it takes none that is not.
    device : "auto", "cpu", "cuda", "mps" or torch.device
    dtype : torch.dtype
        float64 by default: float32 ends second-order training early and hides failures.
    seed : int, optional
        Fixes the points, and the weights if they are as pinnedu drew them and untouched since.
    seconds : float, optional
        Bound on the time of training.
    error_every : int, optional
        Measure the error every so many steps, for the history.
    compile : bool
        Compile the loss and its gradient, which takes from seconds to a minute before training starts and is
        not counted as its time. Steps are the same but for rounding, and faster. Where it cannot be done a
        warning says why, and training goes on without. What equations read besides their arguments must stay as it is.
    progress : bool
        Show a progress bar (also off when the environment has PINNEDU_PROGRESS=0).
    callbacks : sequence of callable
        Called after each step with a :class:`pinnedu.trainers.State`; a true answer ends training. Ready-made ones are
        ``stop_below(loss)`` and ``stop_early(patience)``.
    checkpoint : path, optional
        A file to keep the run in. Where it exists, training goes on from it, to the last bit as if
        it had never stopped; it must be of this run, though ``steps`` and ``seconds`` may have grown.
    checkpoint_every : float
        Seconds between two writings; 0 writes after every step. The end of the run is always written.
    after : Fit, optional
        An earlier run of this model to go on from, by another optimizer for example: the unknowns of the problem start
        from what it found whatever their guesses are, its scales are kept, and its history, time and warnings come before
        those of this run.
    scale : bool
        Train fields, unknowns and terms of any size as if they were near 1. Sizes are taken from data, conditions and
        first guesses; ``run.scales`` shows them. Nothing changes where all are between 1/8 and 8: see :class:`Scales`.

    Returns
    -------
    Fit
        Also when interrupted from the keyboard, which waits for the end of the step: then with the best
        weights so far. A loss that is no number, or a lack of memory, restores the last good ones.

    Raises
    ------
    ValueError
        For arguments that do not fit together, before any training.
    """
    require(isinstance(progress, bool), "progress", "True or False", progress)
    keep = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every)
    settings = validate(
        model,
        problem,
        optimizer=optimizer,
        steps=steps,
        seconds=seconds,
        points=points,
        weights=weights,
        derivatives=derivatives,
        device=device,
        dtype=dtype,
        seed=seed,
        error_every=error_every,
        compile=compile,
        callbacks=callbacks,
        after=after,
        scale=scale,
    )
    state, doubt = begin(model, problem, settings)
    run = _Run(model, problem, settings, state, keep)
    if doubt:
        run.warn(doubt)
    if keep is not None:
        keep.open(settings, state)
    quiet = not progress or os.environ.get("PINNEDU_PROGRESS") == "0" or state.objective.team.rank > 0
    with Bar(total=settings.steps, initial=len(state.record), disable=quiet) as run.bar:
        run.train()
    return run.result()


class _Run:
    """The loop of one call of ``fit``, and what it says at the end."""

    def __init__(
        self, model: nn.Module, problem: Problem, settings: Settings, state: TrainingState, checkpoint: Checkpoint | None
    ) -> None:
        self.model, self.problem, self.settings, self.state, self.checkpoint = model, problem, settings, state, checkpoint
        self.record, self.judge = state.record, state.judge
        self.bar: Any = None
        self.warnings: list[str] = []
        self.moving = False  # within a step, where the weights may be anywhere
        self.trouble = ""  # what broke the run, if something did
        self.diverged = ""  # how a step led to weights that are not finite
        self.remedy = "try a smaller rate"
        self.end(Status.STEPS, f"all {settings.steps} steps done")

    def warn(self, sentence: str) -> None:
        """Say what is doubtful, at once and in the record."""
        warnings.warn(sentence, stacklevel=4)
        self.warnings.append(sentence)

    def end(self, status: Status, sentence: str) -> None:
        """Note why the run ends."""
        self.status, self.stopped = status, sentence

    def train(self) -> None:
        """Step until training ends, for whatever reason, then look at where it ended."""
        try:
            self.advance()
        except KeyboardInterrupt:
            self.record.drop_unfinished()
            self.end(Status.INTERRUPTED, f"interrupted at step {len(self.record)}")
            if self.moving:
                restored = self.judge.restore()
                self.stopped += f" in mid-step; {restored}" * bool(self.record)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or self.state.objective.team.size > 1:  # the others would wait for this one
                raise
            self.end(Status.OUT_OF_MEMORY, "")
            self.trouble, self.remedy = f"memory ran out at step {len(self.record) + 1}", "use fewer points or a smaller model"
        if not self.trouble and not self.moving:
            with self.judging():
                if self.checkpoint is not None and not self.judge.diverged(self.record.terms):
                    self.save()
                if len(self.record) > self.judge.kept[0]:
                    self.look()
                if self.status is Status.INTERRUPTED and not self.trouble:
                    self.stopped += self.judge.prefer_best(len(self.record))
        if self.trouble:
            status = Status.OUT_OF_MEMORY if self.status is Status.OUT_OF_MEMORY else Status.NOT_FINITE
            self.end(status, f"{self.trouble}; {self.judge.restore()}")
            self.warnings.append(f"{self.stopped}: {self.remedy}.")

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Inside, what was trained is looked at, or kept: a lack of memory is reported and has no other effect."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or self.state.objective.team.size > 1:
                raise
            sentence = "Memory ran out when the trained model was judged: its error or its loss on fresh points is not known."
            if sentence not in self.warnings:
                self.warnings.append(sentence)

    def advance(self) -> None:
        """Step until all is done, time is up, a callback says so, or the loss is no longer finite."""
        settings, state, record, last = self.settings, self.state, self.record, self.settings.steps or math.inf
        limit = settings.seconds or math.inf
        check_every, pause = max(1, (settings.steps or 0) // CHECKS), limit / CHECKS
        with Interruption() as interruption:
            while len(record) < last:
                step = len(record) + 1
                if record.seconds >= limit:
                    self.end(Status.SECONDS, f"the time limit of {limit:g} s was reached at step {step - 1}")
                    return
                start = clock.now()
                self.moving = True
                terms = self.step(step)
                if terms is None:
                    return
                record.weights.append(state.objective.used_weights())
                record.terms.append(terms)
                if self.problem.unknowns:
                    record.unknowns.append(state.unknowns())
                elapsed = record.seconds + (clock.now() - start)
                if settings.seconds is not None:
                    elapsed = state.objective.team.agree(elapsed)  # all end at the same step
                record.times.append(elapsed)
                self.moving = False
                self.bar.update()
                if step == 1 and self.broken_at_first(terms):
                    return
                if self.diverged:
                    self.trouble = self.judge.broken(terms.tolist(), f"at step {step}") or self.diverged
                    return
                if settings.error_every and step % settings.error_every == 0:
                    record.errors[step] = relative_error(self.model, self.problem)
                if (settings.steps and step % check_every == 0) or elapsed - state.looked >= pause:
                    self.look()
                    state.looked = elapsed
                    if self.trouble:
                        return
                for callback in settings.callbacks:
                    if why := callback(self.seen(step)):
                        sentence = why if isinstance(why, str) else f"a callback ended training at step {step}"
                        self.end(Status.CALLBACK, sentence)
                        return
                if settings.callbacks:
                    state.objective.forget()  # they may change what the equations read
                if self.checkpoint is not None and self.checkpoint.due() and not self.judge.diverged(record.terms):
                    self.save()
                if interruption.asked:
                    raise KeyboardInterrupt

    def step(self, step: int) -> Tensor | None:
        """Move the model once; the terms it started from, or None where the optimizer finds no way down any more."""
        objective, resample = self.state.objective, self.settings.resample
        if step > 1 and resample and (step - 1) % resample == 0:
            objective.sample = self.state.sampler.redraw(objective)
        for strategy in self.settings.strategies:
            strategy.update(objective, step)
        try:
            return self.state.take_step(objective)
        except Diverged as trouble:
            self.diverged = f"{trouble} at step {step}"
            return objective.terms().detach()
        except Finished as end:
            terms = objective.terms().detach()
            if resample and step > 1:
                return terms  # other points may show a way on
            self.moving = False
            if step == 1 and self.broken_at_first(terms):
                return None
            if resample:
                return terms
            self.trouble = self.judge.broken(terms.tolist(), f"at step {step}")
            self.end(Status.CONVERGED, f"{end} after step {step - 1}")
            return None

    def seen(self, step: int) -> State:
        """What a callback sees."""
        state, record = self.state, self.record
        return State(
            step=step,
            seconds=record.seconds,
            model=self.model,
            problem=self.problem,
            objective=state.objective,
            optimizer=self.settings.optimizer,
            row=record.terms[-1],
            weights=record.weights[-1],
            fresh=self.judge.fresh,
            unknowns=dict(zip(self.problem.unknowns, record.unknowns[-1] if record.unknowns else (), strict=True)),
        )

    def save(self) -> None:
        """Write the checkpoint; a full disk is reported once and does not end training."""
        assert self.checkpoint is not None
        trouble = self.checkpoint.save(self.state)
        if trouble and not any("could not be written" in sentence for sentence in self.warnings):
            self.warn(trouble)

    def broken_at_first(self, terms: Tensor) -> bool:
        """Whether an equation is not finite at the weights that training starts from: then no rate is small enough."""
        if broken := self.judge.broken(terms.tolist(), "at the first weights, before any step"):
            self.trouble = broken
            self.remedy = (
                "its equation is not finite for the outputs of an untrained model. Give these a scale or a bound, such as "
                "HardConstraint(model, problem, u=lambda u: 350 + 20 * u)"
            )
        return bool(broken)

    def look(self) -> None:
        """See whether all is well, keep the weights if it is, and show the loss on fresh points."""
        self.trouble = self.judge.look(self.record.terms)
        if not self.trouble:
            self.check_program(len(self.record))
            self.bar.set_postfix_str(f"loss {self.judge.fresh[len(self.record)]:.1e}", refresh=False)

    def check_program(self, step: int) -> None:
        """Leave the compiled step once it computes other numbers than the equations."""
        objective = self.state.objective
        if objective.program is not None and not objective.program.holds(objective):
            objective.program = None
            self.warn(
                f"The compiled step computes other numbers than the equations since step {step} or before, which read "
                "something that changed: training goes on without it."
            )

    def result(self) -> Fit:
        """Gather the record; measure the final error."""
        problem, after, history = self.problem, self.settings.after, self.history()
        if problem.unknowns:
            unknowns = dict(zip(problem.unknowns, self.state.unknowns().tolist(), strict=True))
            for network in (part for part in self.model.modules() if isinstance(part, MLP)):
                network.keep_found(problem.unknowns, unknowns)
                break  # one of them is enough
            problem = replace(problem, unknowns=unknowns)
        error = None
        with self.judging():
            if not self.trouble:
                doubts = (self.judge.overfitted(), *self.standstill(history), *conflicts(problem))
                self.warnings += [doubt for doubt in doubts if doubt]
            error = relative_error(self.model, problem) if problem.exact is not None else None
        run = Fit(
            self.model,
            problem,
            error,
            history,
            dict(problem.unknowns),
            self.record.seconds,
            self.stopped,
            self.status,
            self.warnings,
            scales=self.state.scales,
            weights=dict(zip(problem.terms, self.state.objective.used_weights(), strict=True)),
        )
        if after is None:
            return run
        said = [*after.warnings, *(sentence for sentence in run.warnings if sentence not in after.warnings)]
        return replace(run, history=joined([after, run]), seconds=after.seconds + run.seconds, warnings=said)

    def history(self) -> dict[str, np.ndarray]:
        """The columns of the record, one entry a step."""
        problem, record, steps = self.problem, self.record, np.arange(1, len(self.record) + 1)
        terms = torch.stack(record.terms).cpu().double().numpy() if record else np.zeros((0, len(problem.terms)))
        history: dict[str, np.ndarray] = {"step": steps}
        history |= {name: terms[:, i] for i, name in enumerate(problem.terms)}
        weights = np.array(record.weights).reshape(-1, len(problem.terms))[: len(terms)]
        history["loss"] = (terms * weights).sum(axis=1)
        for name, known in (("fresh", self.judge.fresh), ("error", record.errors)):
            history[name] = np.array([known.get(int(step), np.nan) for step in steps])
        history["seconds"] = np.array(record.times[: len(steps)])
        if self.settings.strategies:
            history |= {f"weight of {name}": weights[:, i] for i, name in enumerate(problem.terms)}
        found = torch.stack(record.unknowns).cpu().double().numpy() if record.unknowns else np.zeros((0, len(problem.unknowns)))
        return history | {name: found[: len(steps), i] for i, name in enumerate(problem.unknowns)}

    def standstill(self, history: Mapping[str, np.ndarray]) -> Iterator[str]:
        """What a run did not move, in words: the loss, data, or an unknown. Nothing of short runs, and of those that go on."""
        if len(self.record) < ENOUGH or self.settings.after is not None:
            return
        loss = history["loss"]
        if not self.settings.strategies and loss[0] > 0 and loss[len(loss) // 2 :].min() >= loss[0]:
            what = "rose above" if loss.min() < loss[0] else "only rose from" if loss.max() > loss[0] else "never left"
            yield (
                f"The loss {what} its first value, {loss[0]:.1e}: nothing was learned. Try a smaller rate if it rose and a "
                "larger one if it stood still, and see whether the equations depend on the model."
            )
        if loss[-1] < loss[0] / ENOUGH:
            yield from self.judge.missed_data()
        for name, guess in self.problem.unknowns.items():
            if np.abs(history[name] - float(guess)).max() <= STILL * abs(float(guess)):
                size = "" if self.settings.scale else ", or its size is far from 1: leave scale=False out"
                yield (
                    f"The unknown {name!r} never left its first guess, {float(guess):g}: no equation depends on it, or the "
                    f"steps are too short for it{size}."
                )
