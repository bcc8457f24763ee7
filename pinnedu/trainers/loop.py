"""Training: one loop for every optimizer, and the record of what happened."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pinnedu import device as _device
from pinnedu.checks import as_number, is_whole, require, shown, whole
from pinnedu.derivatives import ENGINES, engine
from pinnedu.device import out_of_memory
from pinnedu.field import Engine
from pinnedu.models import draw
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.trainers import parallel
from pinnedu.trainers.adaptive import adapt
from pinnedu.trainers.checkpoint import Checkpoint
from pinnedu.trainers.compiled import NotCompiled, Program
from pinnedu.trainers.ending import Interruption
from pinnedu.trainers.judge import Judge
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Finished, resolve
from pinnedu.trainers.record import Fit, State, relative_error
from pinnedu.trainers.weights import Weighting
from pinnedu.trainers.weights import resolve as resolve_weights

CHECKS = 20  # how often in a run to look at fresh points and to keep the weights


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
    compile: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callable[[State], bool | str | None]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 10.0,
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
        Called after each step with a :class:`State`; a true answer ends training.
    checkpoint : path, optional
        A file to keep the run in. Where it exists, training goes on from it, to the last bit as if
        it had never stopped; it must be of this run, though ``steps`` and ``seconds`` may have grown.
    checkpoint_every : float
        Seconds between two writings; 0 writes after every step. The end of the run is always written.

    Returns
    -------
    Fit
        Also when interrupted from the keyboard, which waits for the end of the step: then with the best
        weights so far. A loss that is no number, or the end of memory, restores the last good ones.

    Raises
    ------
    ValueError
        For arguments that do not fit together, before any training.
    """
    good = isinstance(callbacks, list | tuple) and all(callable(callback) for callback in callbacks)
    require(good, "callbacks", "a list of functions that take a State", callbacks)
    require(isinstance(progress, bool), "progress", "True or False", progress)
    keep = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every)
    run = _Run(
        model, problem, optimizer, steps, points, weights, derivatives, device, dtype, seed, seconds, error_every, compile
    )
    if keep is not None:
        keep.open(run)
    quiet = not progress or os.environ.get("PINNEDU_PROGRESS") == "0" or run.team.rank > 0
    bar = tqdm(total=steps, initial=len(run.rows), disable=quiet, leave=False)
    with bar:
        run.train(callbacks, bar)
    return run.result()


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
        compile: bool,
    ) -> None:
        if not isinstance(problem, Problem):
            raise ValueError(f"fit(model, problem) needs a Problem as its second argument, not {type(problem).__name__}.")
        if not isinstance(model, nn.Module):
            raise ValueError(f"fit(model, problem) needs a torch.nn.Module first, not {type(model).__name__}.")
        whole(steps, "steps")
        if seconds is not None and not as_number(seconds) > 0:
            raise ValueError(f"seconds must be positive, not {shown(seconds)}.")
        good = isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) < 2**62
        require(seed is None or good, "seed", "a whole number", seed)
        if error_every is not None and (problem.exact is None or not is_whole(error_every)):
            raise ValueError("error_every needs a number of at least 1 and a problem with an exact solution.")
        require(points is None or isinstance(points, Points), "points", "Points(...)", points)
        engine(derivatives)
        start, self.strategies = resolve_weights(weights, problem)
        self.optimizer = resolve(optimizer)
        if not isinstance(compile, bool):
            raise ValueError(f"compile must be True or False, not {shown(compile)}.")
        if not getattr(self.optimizer, "compiles", True):
            name = type(self.optimizer).__name__
            if compile:
                raise ValueError(f"{name} works on the Jacobian, which is not compiled: leave compile=True out.")
            if engine(derivatives) not in (ENGINES["taylor"], ENGINES["autograd"]):
                raise ValueError(f"{name} works on the Jacobian of exact residuals: leave derivatives= out.")
        if compile and any(strategy.sets == "points" for strategy in self.strategies):
            raise ValueError("Weights of single points, as by Causal, cannot be compiled: leave them or compile=True out.")
        self.team = parallel.team()
        self.steps, self.limit, self.error_every = steps, seconds, error_every
        self.points = Points() if points is None else points
        self.every = self.optimizer.resample if self.points.resample is None else self.points.resample
        if self.points.adaptive and not self.every:
            raise ValueError("Adaptive points take effect when drawn again: give Points(resample=...), in steps.")
        self.device, self.dtype = _device.choose(device, dtype)
        stream = self.team.agree(int(torch.randint(2**31, (1,))) if seed is None else seed)
        self.training = torch.Generator().manual_seed(stream)  # draws the training points

        self.model, self.problem = model.to(device=self.device, dtype=self.dtype), problem
        if seed is not None:
            draw(model, seed)
        learned = getattr(model, "unknowns", {})
        if missing := [name for name in problem.unknowns if name not in learned]:
            if isinstance(model, nn.Sequential):
                raise ValueError(
                    "An nn.Sequential calls all that is put into it, the unknowns too: wrap it in a Module of your own."
                )
            guesses = {name: torch.tensor(float(problem.unknowns[name]), dtype=torch.float64) for name in missing}
            model.unknowns = nn.ParameterDict({**learned, **guesses}).to(device=self.device, dtype=self.dtype)
        if not any(weight.requires_grad for weight in model.parameters()):
            raise ValueError("The model has no weights that require a gradient: there is nothing to train.")
        self.team.copy(model.state_dict().values())
        self.term_weights = weights
        sample = self.draw_points(self.points, self.training)
        self.objective = Objective(model, problem, sample, start, derivatives, team=self.team)
        problem.check_model(model, self.objective.whole["interior"][:2])
        self.check_equations()
        self.warnings: list[str] = []
        self.compile = compile
        if compile:
            try:
                self.objective.program = Program(self.objective)
            except NotCompiled as why:
                self.warn(f"The step could not be compiled ({why}): training goes on without.")

        self.take_step = self.optimizer.start(self.model)
        self.seed, self.looked = seed, 0.0
        self.checkpoint: Checkpoint | None = None
        self.rows: list[Tensor] = []
        self.weights: list[list[float]] = []  # of the terms, in each step
        self.found: list[Tensor] = []
        self.errors: dict[int, float] = {}
        self.times: list[float] = []
        self.judge = Judge(self, stream + 2**31)
        self.stopped = f"all {steps} steps done"
        self.trouble = ""

    def warn(self, sentence: str) -> None:
        """Say what is doubtful, at once and in the record."""
        warnings.warn(sentence, stacklevel=4)
        self.warnings.append(sentence)

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
            sample["interior"],
            self.model,
            self.problem,
            self.points,
            self.objective.derivatives,
            self.training,
            self.team,
        )
        self.objective.sample = sample

    def check_equations(self) -> None:
        """Call every equation once on a few points: errors in them show before training starts."""
        residuals = self.problem.residuals(self.model, self.few_points(), self.objective.derivatives)
        if not any(residual.requires_grad for residual in residuals.values()):
            raise ValueError("No residual depends on the model's weights: there is nothing to train.")

    def few_points(self) -> Sample:
        """The same few points in every run, to try the equations on."""
        return self.draw_points(Points(2, 2), torch.Generator().manual_seed(0))

    def train(self, callbacks: Sequence[Callable[[State], bool | str | None]], bar: Any) -> None:
        """Step until training ends, for whatever reason, then look at where it ended."""
        self.moving = False  # within a step, where the weights may be anywhere
        remedy, interrupted = "try a smaller rate", False
        try:
            self.advance(callbacks, bar)
        except KeyboardInterrupt:
            for record in (self.rows, self.weights, self.found):
                del record[len(self.times) :]
            self.stopped, interrupted = f"interrupted at step {len(self.rows)}", True
            if self.moving:
                restored = self.judge.restore()
                self.stopped += f" in mid-step; {restored}" * bool(self.rows)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or self.team.size > 1:  # the others would wait for this one
                raise
            self.trouble = f"memory ran out at step {len(self.rows) + 1}"
            remedy = "use fewer points or a smaller model"
        if not self.trouble and not self.moving:
            with self.judging():
                if self.checkpoint is not None and not self.judge.diverged():
                    self.checkpoint.save(self)
                if len(self.rows) > self.judge.kept[0]:
                    self.look(len(self.rows), bar)
                if interrupted and not self.trouble:
                    self.stopped += self.judge.prefer_best()
        if self.trouble:
            self.stopped = f"{self.trouble}; {self.judge.restore()}"
            self.warnings.append(f"{self.stopped}: {remedy}.")

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Inside, what was trained is looked at, or kept: the end of memory is told of and costs no more than that."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or self.team.size > 1:
                raise
            sentence = "Memory ran out when the trained model was judged: its error or its loss on fresh points is not known."
            if sentence not in self.warnings:
                self.warnings.append(sentence)

    def advance(self, callbacks: Sequence[Callable[[State], bool | str | None]], bar: Any) -> None:
        """Step until all is done, time is up, a callback says so, or the loss is no longer finite."""
        check_every, pause = max(1, self.steps // CHECKS), (self.limit or math.inf) / CHECKS
        elapsed = self.times[-1] if self.times else 0.0
        with Interruption() as interruption:
            for step in range(len(self.rows) + 1, self.steps + 1):
                if self.limit is not None and elapsed >= self.limit:
                    self.stopped = f"the time limit of {self.limit:g} s was reached at step {step - 1}"
                    return
                start = time.perf_counter()
                self.moving = True
                if step > 1 and self.every and (step - 1) % self.every == 0:
                    self.draw_training_points()
                for strategy in self.strategies:
                    strategy.update(self.objective, step)
                self.objective._first = None  # a callback or a strategy may have evaluated the loss
                try:
                    terms = self.take_step(self.objective)
                except Finished as end:
                    terms = self.objective.first_terms()
                    if not self.every:
                        self.moving = False
                        self.trouble = self.judge.broken(terms.tolist(), f"at step {step}")
                        self.stopped = f"{end} after step {step - 1}"
                        return
                    # Other points may show a way on.
                self.weights.append(self.objective.used_weights())
                self.rows.append(terms)
                if self.problem.unknowns:
                    self.found.append(self.present_unknowns())
                elapsed += time.perf_counter() - start
                if self.limit is not None:
                    elapsed = self.team.agree(elapsed)  # all end at the same step
                self.times.append(elapsed)
                self.moving = False
                bar.update()
                if self.error_every and step % self.error_every == 0:
                    self.errors[step] = relative_error(self.model, self.problem)
                if step % check_every == 0 or elapsed - self.looked >= pause:
                    self.look(step, bar)
                    self.looked = elapsed
                    if self.trouble:
                        return
                state = State(step, elapsed, self.model, self.problem, self.objective)
                for callback in callbacks:
                    if why := callback(state):
                        self.stopped = why if isinstance(why, str) else f"a callback ended training at step {step}"
                        return
                if self.checkpoint is not None and self.checkpoint.due() and not self.judge.diverged():
                    self.checkpoint.save(self)
                if interruption.asked:
                    raise KeyboardInterrupt

    def look(self, step: int, bar: Any) -> None:
        """See whether all is well, keep the weights if it is, and show the loss on fresh points."""
        self.trouble = self.judge.look(step)
        if not self.trouble:
            self.check_program(step)
            bar.set_postfix_str(f"loss {self.judge.fresh[step]:.1e}", refresh=False)

    def check_program(self, step: int) -> None:
        """Leave the compiled step once it computes other numbers than the equations."""
        if self.objective.program is not None and not self.objective.program.holds(self.objective):
            self.objective.program = None
            self.warn(
                f"The compiled step computes other numbers than the equations since step {step} or before, which read "
                "something that changed: training goes on without it."
            )

    def result(self) -> Fit:
        """Gather the record; measure the final error."""
        problem, steps = self.problem, np.arange(1, len(self.rows) + 1)
        terms = torch.stack(self.rows).cpu().double().numpy() if self.rows else np.zeros((0, len(problem.terms)))
        history: dict[str, np.ndarray] = {"step": steps}
        history |= {name: terms[:, i] for i, name in enumerate(problem.terms)}
        weights = np.array(self.weights).reshape(-1, len(problem.terms))[: len(terms)]
        history["loss"] = (terms * weights).sum(axis=1)
        for name, known in (("fresh", self.judge.fresh), ("error", self.errors)):
            history[name] = np.array([known.get(int(step), np.nan) for step in steps])
        history["seconds"] = np.array(self.times[: len(steps)])
        if self.strategies:
            history |= {f"weight of {name}": weights[:, i] for i, name in enumerate(problem.terms)}
        error = None
        with self.judging():
            if not self.trouble and (doubt := self.judge.overfitted()):
                self.warnings.append(doubt)
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
