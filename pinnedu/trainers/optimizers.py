"""Optimizers: each builds a step, a function that moves the model and tells the loss it started from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, is_whole, reason, require, shown
from pinnedu.device import out_of_memory
from pinnedu.sampling import check_resample
from pinnedu.trainers.objective import Objective

# torch's L-BFGS takes up no step with y.s <= 1e-10, whatever the scale of the loss: near a minimum its memory
# freezes. The method itself does not see a constant factor, so a large one moves that threshold out of the way.
LBFGS_SCALE = 1e8

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


class Optimizer(Protocol):
    """What ``fit`` needs of an optimizer."""

    @property
    def resample(self) -> int:
        """Draw the points again every so many steps unless told otherwise; 0 is never."""

    def start(self, model: nn.Module) -> Step:
        """Begin a run: make the state that steps carry along."""


class TorchStep:
    """One step of a ``torch.optim`` optimizer on the objective."""

    def __init__(self, optimizer: torch.optim.Optimizer, scale: float = 1.0) -> None:
        self.optimizer, self.scale = optimizer, scale

    def __call__(self, objective: Objective) -> Tensor:
        weights = [w for group in self.optimizer.param_groups for w in group["params"] if w.requires_grad]

        def closure() -> Tensor:
            loss, gradients = objective.loss_and_gradient(weights, self.scale)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            return loss

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except (RuntimeError, TypeError, LookupError, AttributeError, OverflowError) as error:
            if out_of_memory(error):
                raise
            name = type(self.optimizer).__name__
            raise ValueError(f"{name} cannot take a step ({type(error).__name__}: {reason(error)}).") from error
        return objective.first_terms()

    def state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        self.optimizer.load_state_dict(state)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015): momentum, and each weight's step scaled by its gradient's size.

    Parameters
    ----------
    lr : float
    betas : (float, float)
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    resample: int = 1

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        check_resample(self.resample)
        good = isinstance(self.betas, tuple | list) and len(self.betas) == 2
        good = good and all(0 <= as_number(beta) < 1 for beta in self.betas)
        require(good, "betas", "two numbers in [0, 1)", self.betas)

    def start(self, model: nn.Module) -> Step:
        return TorchStep(torch.optim.Adam(model.parameters(), lr=self.lr, betas=self.betas))


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
        _check_rate(self.lr)
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
        direction = flat(objective.loss_and_gradient(self.weights)[1], self.weights)
        if self.options.preconditioner is not None:
            shape = direction.shape
            try:
                direction = self.options.preconditioner(objective, direction)
            except TypeError as error:
                raise ValueError(f"The preconditioner cannot be called so ({reason(error)}).") from error
            good = isinstance(direction, Tensor) and direction.shape == shape
            require(good, "What the preconditioner returns", f"a tensor of shape {tuple(shape)}", direction)
        with torch.no_grad():
            parts = direction.split([weight.numel() for weight in self.weights])
            for weight, part in zip(self.weights, parts, strict=True):
                weight.sub_(part.view_as(weight), alpha=float(self.options.lr))
        return objective.first_terms()

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


def flat(gradients: Sequence[Tensor | None], weights: Sequence[Tensor]) -> Tensor:
    """One vector of several gradients, zero where there is none."""
    pairs = zip(gradients, weights, strict=True)
    return torch.cat([(torch.zeros_like(w) if gradient is None else gradient).reshape(-1) for gradient, w in pairs])


def _check_rate(lr: float) -> None:
    if not as_number(lr) > 0:
        raise ValueError(f"The rate lr must be positive, not {shown(lr)}.")
