"""What a run is asked to do: the arguments of ``fit``, checked before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import nn

from pinnedu import device as _device
from pinnedu.checks import as_number, flag, is_whole, require, shown, whole
from pinnedu.derivatives import ENGINES, Engine, engine
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers.optimizers import Optimizer
from pinnedu.trainers.optimizers import resolve as resolve_optimizer
from pinnedu.trainers.record import Fit, State
from pinnedu.trainers.weights import Weighting
from pinnedu.trainers.weights import resolve as resolve_weights

Callback = Callable[[State], bool | str | None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of one call of :func:`pinnedu.fit`, each in the form that the run needs.

    Attributes
    ----------
    resample : int
        Draw the points again every so many steps; 0 is never.
    weights : dict of term to float
        What the terms begin with; ``strategies`` may change them.
    given_weights
        The weights as they were given.
    """

    optimizer: Optimizer
    steps: int | None
    seconds: float | None
    points: Points
    resample: int
    weights: dict[str, float]
    given_weights: Any
    strategies: list[Weighting]
    derivatives: str | Engine
    device: torch.device
    dtype: torch.dtype
    seed: int | None
    error_every: int | None
    compile: bool
    callbacks: Sequence[Callback]
    after: Fit | None
    scale: bool


def validate(
    model: nn.Module,
    problem: Problem,
    *,
    optimizer: Any,
    steps: int | None,
    seconds: float | None,
    points: Points | None,
    weights: Mapping[str, float] | Weighting | Sequence[Mapping[str, float] | Weighting] | None,
    derivatives: str | Engine,
    device: str | torch.device,
    dtype: torch.dtype,
    seed: int | None,
    error_every: int | None,
    compile: bool,
    callbacks: Sequence[Callback],
    after: Fit | None,
    scale: bool,
) -> Settings:
    """Check all that can be checked before any work starts.

    Raises
    ------
    ValueError
        For the first thing that cannot be used, in one sentence.
    """
    good = isinstance(callbacks, list | tuple) and all(callable(callback) for callback in callbacks)
    require(good, "callbacks", "a list of functions that take a State", callbacks)
    if not isinstance(problem, Problem):
        raise ValueError(f"fit(model, problem) needs a Problem as its second argument, not {type(problem).__name__}.")
    if not isinstance(model, nn.Module):
        raise ValueError(f"fit(model, problem) needs a torch.nn.Module first, not {type(model).__name__}.")
    if steps is None and seconds is None:
        raise ValueError("fit needs steps=, a number of steps, or seconds=, a bound on the time, or both.")
    if steps is not None:
        whole(steps, "steps")
    if seconds is not None and not as_number(seconds) > 0:
        raise ValueError(f"seconds must be positive, not {shown(seconds)}.")
    good = isinstance(seed, Integral) and not isinstance(seed, bool) and abs(int(seed)) < 2**62
    require(seed is None or good, "seed", "a whole number", seed)
    if error_every is not None and (problem.exact is None or not is_whole(error_every)):
        raise ValueError("error_every needs a number of at least 1 and a problem with an exact solution.")
    require(points is None or isinstance(points, Points), "points", "Points(...)", points)
    engine(derivatives)
    start, strategies = resolve_weights(weights, problem)
    resolved = resolve_optimizer(optimizer)
    require(isinstance(compile, bool), "compile", "True or False", compile)
    if not getattr(resolved, "compiles", True):
        name = type(resolved).__name__
        if compile:
            raise ValueError(f"{name} works on the Jacobian, which is not compiled: leave compile=True out.")
        if engine(derivatives) not in (ENGINES["taylor"], ENGINES["autograd"]):
            raise ValueError(f"{name} works on the Jacobian of exact residuals: leave derivatives= out.")
    if compile and any(strategy.sets == "points" for strategy in strategies):
        raise ValueError("Weights of single points, as by Causal, cannot be compiled: leave them or compile=True out.")
    _check_after(after, model, problem)
    flag(scale, "scale")
    points = Points() if points is None else points
    resample = resolved.resample if points.resample is None else points.resample
    if points.adaptive and not resample:
        raise ValueError("Adaptive points take effect when drawn again: give Points(resample=...), in steps.")
    chosen, precision = _device.choose(device, dtype)
    return Settings(
        optimizer=resolved,
        steps=None if steps is None else int(steps),
        seconds=None if seconds is None else float(seconds),
        points=points,
        resample=resample,
        weights=start,
        given_weights=weights,
        strategies=strategies,
        derivatives=derivatives,
        device=chosen,
        dtype=precision,
        seed=None if seed is None else int(seed),
        error_every=error_every,
        compile=compile,
        callbacks=callbacks,
        after=after,
        scale=scale,
    )


def _check_after(after: Fit | None, model: nn.Module, problem: Problem) -> None:
    """Raise ValueError unless a run can go on after that one."""
    require(after is None or isinstance(after, Fit), "after", "the Fit that an earlier call returned", after)
    if after is None:
        return
    if after.model is not model:
        raise ValueError("after must be a run of this model: fit(run.model, problem, ..., after=run).")
    for what, old, new in (
        ("terms", after.problem.terms, problem.terms),
        ("unknowns", tuple(after.problem.unknowns), tuple(problem.unknowns)),
    ):
        if old != new:
            raise ValueError(f"after must be a run with the same {what}, not {', '.join(old)} and then {', '.join(new)}.")
