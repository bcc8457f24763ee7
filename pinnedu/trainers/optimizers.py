"""Optimizers: each builds a step, a function that moves the model and returns the loss it started from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, is_whole, reason, require, shown, whole
from pinnedu.device import out_of_memory
from pinnedu.parameters import assign, parts, vector
from pinnedu.sampling import check_resample
from pinnedu.trainers.objective import Evaluation, Objective

# torch's L-BFGS takes up no step with y.s <= 1e-10, whatever the scale of the loss: near a minimum its memory
# freezes. The method itself does not see a constant factor, so a large one moves that threshold out of the way.
LBFGS_SCALE = 1e8

Schedule = Callable[[int], float]
"""From the number of steps done to a factor of the rate."""

Step = Callable[[Objective], Tensor]
"""Moves the model once; returns the loss terms from before the move, detached."""


@runtime_checkable
class Resumable(Protocol):
    """A step that can be kept in a checkpoint."""

    def state(self) -> dict[str, Any]:
        """What the next step depends on besides the weights: tensors, numbers, lists and dicts of them."""

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        """Put such a state back; the objective has its points already."""


class Finished(Exception):
    """Raised by a step that cannot lower the loss any more: training ends, for the reason given."""


class Diverged(Exception):
    """Raised by a step that would leave NaN or infinity in the weights: they are as they were before it."""


class Optimizer(Protocol):
    """What ``fit`` needs of an optimizer."""

    @property
    def resample(self) -> int:
        """Draw the points again every so many steps unless told otherwise; 0 is never."""

    def start(self, model: nn.Module) -> Step:
        """Begin a run: make the state that steps carry along."""


class TorchStep:
    """One step of a ``torch.optim`` optimizer on the objective.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    scale : float
        The loss is multiplied by it.
    schedule : callable, optional
        From the number of steps done to a factor of all rates.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, scale: float = 1.0, schedule: Schedule | None = None
    ) -> None:
        self.optimizer, self.scale, self.schedule, self.steps = optimizer, scale, schedule, 0
        self.rates = [group["lr"] for group in optimizer.param_groups] if schedule else []
        # As they are at first: schedules change them. A checkpoint compares them.
        groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
        self.options_shown = "; ".join(", ".join(f"{name} {value}" for name, value in group.items()) for group in groups)

    def __call__(self, objective: Objective) -> Tensor:
        weights, seen = objective.trained(), list[Evaluation]()

        def closure() -> Tensor:
            found = objective.evaluate(self.scale)
            seen.append(found)
            for weight, gradient in zip(weights, parts(found.gradient.clone(), weights), strict=True):
                weight.grad = gradient
            return found.loss

        if self.schedule is not None:
            factor = as_number(self.schedule(self.steps))
            require(0 <= factor < float("inf"), "What the schedule returns", "a factor of at least 0", factor)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        self.steps += 1
        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except (RuntimeError, TypeError, LookupError, AttributeError, OverflowError) as error:
            if out_of_memory(error):
                raise
            name = type(self.optimizer).__name__
            raise ValueError(f"{name} cannot take a step ({type(error).__name__}: {reason(error)}).") from error
        if not seen:
            raise ValueError(f"{type(self.optimizer).__name__} took a step without evaluating the loss.")
        finite_or_restored(weights, seen[0].weights)
        if len(seen) > 1:
            objective.keep(seen, self.scale)
        else:
            objective.forget()  # the next evaluation is elsewhere: a GPU need not wait for a comparison
        return seen[0].terms

    def state(self) -> dict[str, Any]:
        return {"torch": self.optimizer.state_dict(), "steps": self.steps}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        self.optimizer.load_state_dict(state["torch"])
        self.steps = state["steps"]


@dataclass(frozen=True)
class ExponentialDecay:
    """A schedule, factor^(step / every): smooth, and ``factor`` after the first ``every`` steps.

    Parameters
    ----------
    factor : float
        Above 0 and at most 1.
    every : int
        0.9 every 2000 steps is the choice of Wang, Sankaran, Wang & Perdikaris (2023).
    warmup : int
        So many steps rise linearly to the full rate before.
    """

    factor: float = 0.9
    every: int = 2000
    warmup: int = 0

    def __post_init__(self) -> None:
        require(0 < as_number(self.factor) <= 1, "factor", "a number above 0 and at most 1", self.factor)
        whole(self.every, "every")
        whole(self.warmup, "warmup", 0)

    def __call__(self, step: int) -> float:
        return _warm(step, self.warmup) * self.factor ** (max(step - self.warmup, 0) / self.every)


@dataclass(frozen=True)
class CosineDecay:
    """A schedule that falls from 1 along half a cosine, and stays at its end (Loshchilov & Hutter 2017, without restarts).

    Parameters
    ----------
    steps : int
        How long it falls.
    last : float
        The factor at the end, at least 0 and at most 1.
    warmup : int
        So many steps rise linearly to the full rate before.
    """

    steps: int
    last: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        whole(self.steps, "steps")
        require(0 <= as_number(self.last) <= 1, "last", "a number from 0 to 1", self.last)
        whole(self.warmup, "warmup", 0)

    def __call__(self, step: int) -> float:
        share = min(max(step - self.warmup, 0) / self.steps, 1.0)
        return _warm(step, self.warmup) * (self.last + (1 - self.last) * (1 + math.cos(math.pi * share)) / 2)


def _warm(step: int, warmup: int) -> float:
    """1 but for the first steps, which rise to it."""
    return min((step + 1) / (warmup + 1), 1.0)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015): momentum, and each weight's step scaled by its gradient's size.

    Parameters
    ----------
    lr : float
    betas : (float, float)
    schedule : callable, optional
        From the number of steps done to a factor of the rate: ``ExponentialDecay()``, ``CosineDecay(steps)``, or
        a function such as ``lambda step: 1 / (1 + step / 1000)``.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    resample: int = 1
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        check_rate(self.lr)
        check_resample(self.resample)
        good = self.schedule is None or (callable(self.schedule) and not isinstance(self.schedule, type))
        require(good, "schedule", "a function of the step such as ExponentialDecay()", self.schedule)
        good = isinstance(self.betas, tuple | list) and len(self.betas) == 2
        good = good and all(0 <= as_number(beta) < 1 for beta in self.betas)
        require(good, "betas", "two numbers in [0, 1)", self.betas)

    def start(self, model: nn.Module) -> Step:
        return TorchStep(torch.optim.Adam(model.parameters(), lr=self.lr, betas=self.betas), schedule=self.schedule)


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a strong Wolfe line search; a step of ``fit`` is one iteration.

    The tolerances are below what float64 resolves near a minimum, so that training does not stop
    early; in float32 the resolution itself ends it (see the book's chapter on failures).

    Parameters
    ----------
    history : int
        Number of past steps kept.
    tolerance_grad, tolerance_change : float
        Stop where the gradient, or the change of a step, falls below (largest component).
    """

    history: int = 50
    tolerance_grad: float = 1e-14
    tolerance_change: float = 1e-16
    resample: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.history):
            raise ValueError(f"LBFGS needs a history of at least 1 step, not {shown(self.history)}.")
        for what, tolerance in (("grad", self.tolerance_grad), ("change", self.tolerance_change)):
            require(as_number(tolerance) >= 0, f"tolerance_{what}", "a number of at least 0", tolerance)
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        return TorchStep(
            torch.optim.LBFGS(
                model.parameters(),
                max_iter=1,
                max_eval=25,
                history_size=self.history,
                tolerance_grad=float(self.tolerance_grad) * LBFGS_SCALE,
                tolerance_change=float(self.tolerance_change),
                line_search_fn="strong_wolfe",
            ),
            LBFGS_SCALE,
        )


@dataclass(frozen=True)
class GradientDescent:
    """Plain gradient descent, theta <- theta - lr * P grad L.

    Parameters
    ----------
    lr : float
    preconditioner : callable, optional
        Takes the objective and the gradient (P,), returns the direction P grad (P,). The identity
        by default.
    """

    lr: float = 1e-2
    preconditioner: Callable[[Objective, Tensor], Tensor] | None = None
    resample: int = 1

    def __post_init__(self) -> None:
        check_rate(self.lr)
        check_resample(self.resample)
        good = self.preconditioner is None or callable(self.preconditioner)
        require(good, "The preconditioner", "a function of an objective and a gradient", self.preconditioner)

    def start(self, model: nn.Module) -> Step:
        return _Descent(self, model)


class _Descent:
    """One step of gradient descent: it remembers nothing."""

    def __init__(self, options: GradientDescent, model: nn.Module) -> None:
        self.options = options
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]

    def __call__(self, objective: Objective) -> Tensor:
        start = objective.evaluate()
        direction = start.gradient
        if self.options.preconditioner is not None:
            shape = direction.shape
            try:
                direction = self.options.preconditioner(objective, direction)
            except TypeError as error:
                raise ValueError(f"The preconditioner cannot be called so ({reason(error)}).") from error
            good = isinstance(direction, Tensor) and direction.shape == shape
            require(good, "What the preconditioner returns", f"a tensor of shape {tuple(shape)}", direction)
        with torch.no_grad():
            for weight, part in zip(self.weights, parts(direction, self.weights), strict=True):
                weight.sub_(part, alpha=float(self.options.lr))
        finite_or_restored(self.weights, start.weights)
        return start.terms

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        pass


@dataclass(frozen=True)
class FromTorch:
    """Any factory of a torch optimizer, such as ``lambda weights: torch.optim.SGD(weights, lr=1e-3)``."""

    factory: Callable[..., torch.optim.Optimizer]
    resample: int = 1

    def start(self, model: nn.Module) -> Step:
        try:
            optimizer = self.factory(model.parameters())
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"The optimizer factory fails ({type(error).__name__}: {reason(error)}).") from error
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(f"The optimizer factory must return a torch.optim.Optimizer, not {shown(optimizer)}.")
        return TorchStep(optimizer)


def resolve(optimizer: object) -> Optimizer:
    """Accept an optimizer of pinnedu or a factory of a torch optimizer.

    Raises
    ------
    ValueError
        For anything else: names, classes that were not called, optimizers bound to other weights.
    """
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
        return FromTorch(optimizer)
    if not isinstance(optimizer, type):
        if callable(getattr(optimizer, "start", None)):
            return optimizer  # type: ignore[return-value]
        if callable(optimizer):
            return FromTorch(optimizer)
    raise ValueError(
        f"The optimizer {shown(optimizer)} is unknown: use Adam(), LBFGS(), GradientDescent() or a factory such as "
        "lambda weights: torch.optim.SGD(weights, lr=1e-3)."
    )


def finite_or_restored(weights: Sequence[Tensor], before: Tensor) -> None:
    """Raise Diverged if a step left NaN or infinity in the weights, which return to where they were before (P,).

    On a GPU every such question would have to wait for the answer: there the next look at the loss asks it for all steps since.
    """
    if before.device.type == "cpu" and not bool(torch.isfinite(vector(weights)).all()):
        assign(weights, before)
        raise Diverged("the weights became infinite or NaN")


def check_rate(lr: float) -> None:
    """Raise ValueError unless a rate is a positive number."""
    if not as_number(lr) > 0:
        raise ValueError(f"The rate lr must be positive, not {shown(lr)}.")
