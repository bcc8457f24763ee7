"""Self-scaled Broyden: a dense quasi-Newton method for the last digits."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import line_search
from torch import Tensor, nn

from pinnedu.checks import as_number, shown
from pinnedu.parameters import assign, trainable_parameters, vector
from pinnedu.sampling import check_resample
from pinnedu.trainers.objective import Evaluation, Objective, same_function
from pinnedu.trainers.optimizers import Step, finite_or_restored


@dataclass(frozen=True)
class SelfScaledBroyden:
    """Builds an inverse Hessian from gradients alone, and scales it down where it is too large.

    Full batch, strong Wolfe line search. Broyden's family of updates lies between BFGS and its dual;
    its free parameter and the scaling of the old matrix follow Al-Baali (1998) as chosen by Urban,
    Stefanou & Pons (2025, equations 13 to 23) for PINNs; Kiyani et al. (2025) find it the most
    accurate of its kind. Memory and time of a step grow as the square of the number of weights,
    where Gauss-Newton's grow as its cube.

    Parameters
    ----------
    c1, c2 : float
        Wolfe constants: sufficient decrease, and how much of the slope must be gone.
    resample : int
        Draw the points again every so many steps; the matrix is kept.
    """

    c1: float = 1e-4
    c2: float = 0.9
    resample: int = 500

    def __post_init__(self) -> None:
        if not 0 < as_number(self.c1) < as_number(self.c2) < 1:
            raise ValueError(f"The line search needs 0 < c1 < c2 < 1, not c1 = {shown(self.c1)}, c2 = {shown(self.c2)}.")
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        return _Broyden(self, model)


class _Broyden:
    """The state of one run: the inverse Hessian, and the loss of one step before."""

    def __init__(self, options: SelfScaledBroyden, model: nn.Module) -> None:
        self.options = options
        self.weights = list(trainable_parameters(model).values())
        self.inverse: Tensor | None = None
        self.function: list[Any] = []
        self.loss_before: float | None = None

    def __call__(self, objective: Objective) -> Tensor:
        if not same_function(function := objective.function(), self.function):
            self.function, self.loss_before = function, None
        position = _array(vector(self.weights))
        start = objective.evaluate()
        loss, gradient = float(start.loss), _array(start.gradient)
        scaled = gradient if self.inverse is None else (self.inverse @ torch.from_numpy(gradient)).numpy()
        with warnings.catch_warnings():  # scipy warns where we fall back
            warnings.simplefilter("ignore")
            length = line_search(
                lambda x: float(self.evaluate(objective, x).loss),
                lambda x: _array(self.evaluate(objective, x).gradient),
                position, -scaled, gradient, loss, self.loss_before, c1=self.options.c1, c2=self.options.c2,
            )[0]  # fmt: skip
        if length is None:
            assign(self.weights, start.weights)
            self.inverse = self.loss_before = None  # begin again from steepest descent
            return start.terms
        step = -length * scaled
        after = self.evaluate(objective, position + step)
        finite_or_restored(self.weights, start.weights)
        change = _array(after.gradient) - gradient
        self.update(torch.from_numpy(step), torch.from_numpy(change), torch.from_numpy(gradient), length)
        self.loss_before = loss
        return start.terms

    def state(self) -> dict[str, Any]:
        return {"loss_before": self.loss_before, "inverse": self.inverse}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        self.loss_before, self.inverse = state["loss_before"], state["inverse"]
        self.function = objective.function()

    def evaluate(self, objective: Objective, position: np.ndarray) -> Evaluation:
        """Move the model to a position (P,) and evaluate the objective there."""
        assign(self.weights, torch.from_numpy(position).to(self.weights[0]))
        return objective.evaluate()

    def update(self, s: Tensor, y: Tensor, gradient: Tensor, length: float) -> None:
        """Update the inverse Hessian H for a step s along which the gradient changed by y."""
        curvature = float(y @ s)
        if curvature <= 0:
            return
        fresh = self.inverse is None
        H = torch.eye(len(s), dtype=s.dtype) if self.inverse is None else self.inverse
        Hy = H @ y
        yHy = float(y @ Hy)
        b, h = -length * float(s @ gradient) / curvature, yHy / curvature
        a = max(b * h - 1, 1e-14)  # not negative, by the inequality of Cauchy and Schwarz
        low = min(1.0, h * (1 - (a / (1 + a)) ** 0.5))
        theta = max((low - 1) / a, min(1 / low, (1 - b) / b))
        sigma = 1 + a * theta
        if fresh:
            tau = h / sigma
        else:
            root = sigma ** (1 / (1 - len(s))) if len(s) > 1 else 1.0  # of one weight, s / y is all there is
            tau = min(1, 1 / b) * min(root, 1 / theta) if theta > 0 else min(min(1, 1 / b) * root, sigma)
        v = s / curvature - Hy / yHy
        H.addr_(Hy, Hy, alpha=-1 / yHy).addr_(v, v, alpha=(1 - theta) / sigma * yHy).div_(tau)
        self.inverse = H.addr_(s, s, alpha=1 / curvature)


def _array(tensor: Tensor) -> np.ndarray:
    """A vector in double precision, as scipy takes it."""
    return tensor.cpu().double().numpy()
