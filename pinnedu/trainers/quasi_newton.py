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
from pinnedu.jacobian import weights_of
from pinnedu.sampling import check_resample
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Step, flat


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
    """The state of one run: the inverse Hessian, and the last evaluation of the loss."""

    def __init__(self, options: SelfScaledBroyden, model: nn.Module) -> None:
        self.options = options
        self.weights = list(weights_of(model).values())
        self.inverse: Tensor | None = None
        self.function: tuple[Any, Any, Any] = (None, None, None)  # points and weights: others make another loss
        self.loss_before: float | None = None
        self.at, self.loss, self.gradient, self.terms = np.zeros(0), 0.0, np.zeros(0), torch.zeros(0)

    def __call__(self, objective: Objective) -> Tensor:
        position = torch.cat([weight.detach().reshape(-1) for weight in self.weights]).cpu().double().numpy()
        function = (objective.sample, objective.weights, objective.shares)
        if any(new is not old for new, old in zip(function, self.function, strict=True)):
            self.function, self.loss_before, self.at = function, None, np.zeros(0)
        self.evaluate(objective, position)
        loss, gradient, terms = self.loss, self.gradient, self.terms
        scaled = gradient if self.inverse is None else (self.inverse @ torch.from_numpy(gradient)).numpy()
        with warnings.catch_warnings():  # scipy warns where we fall back
            warnings.simplefilter("ignore")
            length = line_search(
                lambda x: self.evaluate(objective, x).loss,
                lambda x: self.evaluate(objective, x).gradient,
                position, -scaled, gradient, loss, self.loss_before, c1=self.options.c1, c2=self.options.c2,
            )[0]  # fmt: skip
        if length is None:
            self.evaluate(objective, position)
            self.inverse = self.loss_before = None  # begin again from steepest descent
            return terms
        step = -length * scaled
        self.evaluate(objective, position + step)
        self.update(torch.from_numpy(step), torch.from_numpy(self.gradient - gradient), torch.from_numpy(gradient), length)
        self.loss_before = loss
        return terms

    def state(self) -> dict[str, Any]:
        arrays = {"at": torch.from_numpy(self.at), "gradient": torch.from_numpy(self.gradient)}
        numbers = {"loss": self.loss, "loss_before": self.loss_before}
        return {**arrays, **numbers, "terms": self.terms, "inverse": self.inverse}

    def restore(self, state: dict[str, Any], objective: Objective) -> None:
        self.at, self.gradient = state["at"].numpy(), state["gradient"].numpy()
        self.loss, self.loss_before = state["loss"], state["loss_before"]
        self.terms, self.inverse = state["terms"].to(self.weights[0]), state["inverse"]
        self.function = (objective.sample, objective.weights, objective.shares)

    def evaluate(self, objective: Objective, position: np.ndarray) -> _Broyden:
        """Move the model to a position and find loss, terms and gradient there, unless it is there already."""
        if not np.array_equal(position, self.at):
            with torch.no_grad():
                parts = torch.from_numpy(position).split([weight.numel() for weight in self.weights])
                for weight, part in zip(self.weights, parts, strict=True):
                    weight.copy_(part.view_as(weight))
            objective._first = None
            loss, gradients = objective.loss_and_gradient(self.weights)
            self.at, self.loss, self.terms = position.copy(), float(loss), objective.first_terms()
            self.gradient = flat(gradients, self.weights).cpu().double().numpy()
        return self

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
            root = sigma ** (1 / (1 - len(s)))
            tau = min(1, 1 / b) * min(root, 1 / theta) if theta > 0 else min(min(1, 1 / b) * root, sigma)
        v = s / curvature - Hy / yHy
        H.addr_(Hy, Hy, alpha=-1 / yHy).addr_(v, v, alpha=(1 - theta) / sigma * yHy).div_(tau)
        self.inverse = H.addr_(s, s, alpha=1 / curvature)
