"""SOAP: Adam in the eigenbasis of Shampoo's factors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, require, whole
from pinnedu.sampling import check_resample
from pinnedu.trainers.optimizers import Step, TorchStep, check_rate


@dataclass(frozen=True)
class SOAP:
    """Adam in the basis in which the gradients of a layer are uncorrelated (Vyas et al. 2025).

    For the gradient G (out, in) of a matrix the averages of G G^T and G^T G have eigenvectors Q and R.
    Adam's second moments are those of Q^T G R, so that its steps are scaled along these directions and not along
    the weights'. Vectors go to Adam. A step costs 6 products as wide as the layer beside the gradient; memory:
    3 numbers a weight and 4 matrices as wide as the layers.

    Parameters
    ----------
    lr : float
    betas : (float, float)
        Averages of the gradient, and of its squares and products.
    frequency : int
        Follow the eigenvectors every so many steps, by one orthogonal iteration; the first starts from the weights' own
        directions.

    References
    ----------
    Vyas et al. (2025), SOAP: improving and stabilizing Shampoo using Adam, algorithm 3. Wang, Bhartari, Li &
    Perdikaris (2025), Gradient alignment in physics-informed neural networks: a second-order optimization
    perspective.
    """

    lr: float = 1e-2
    betas: tuple[float, float] = (0.95, 0.95)
    frequency: int = 5
    resample: int = 1

    def __post_init__(self) -> None:
        check_rate(self.lr)
        good = isinstance(self.betas, tuple | list) and len(self.betas) == 2
        good = good and all(0 <= as_number(beta) < 1 for beta in self.betas)
        require(good, "betas", "two numbers in [0, 1)", self.betas)
        whole(self.frequency, "frequency")
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        return TorchStep(EigenbasisAdam(model.parameters(), float(self.lr), tuple(self.betas), int(self.frequency)))


class EigenbasisAdam(torch.optim.Optimizer):
    """The ``torch.optim`` optimizer behind :class:`SOAP`."""

    def __init__(self, params: Iterable[Tensor], lr: float, betas: tuple[float, ...], frequency: int) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "frequency": frequency, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, self.state[weight], group)
        return loss

    def _move(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        matrix = weight.ndim == 2
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            if matrix:
                state |= {"left": gradient @ gradient.T, "right": gradient.T @ gradient}
                for side in ("left", "right"):
                    state[f"{side} basis"] = torch.eye(len(state[side]), dtype=weight.dtype, device=weight.device)
        elif matrix:
            state["left"].lerp_(gradient @ gradient.T, 1 - second)
            state["right"].lerp_(gradient.T @ gradient, 1 - second)
        if matrix and state["step"] % group["frequency"] == 0:
            for side in ("left", "right"):
                state[f"{side} basis"] = orthogonal_iteration(state[side], state[f"{side} basis"])
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        rotated, mean = gradient, state["mean"]
        if matrix:
            q, r = state["left basis"], state["right basis"]
            rotated, mean = q.T @ gradient @ r, q.T @ mean @ r
        state["square"].lerp_(rotated.square(), 1 - second)
        root = (state["square"] / (1 - second ** state["step"])).sqrt().add_(group["eps"])
        step = mean / root / (1 - first ** state["step"])
        weight.sub_(q @ step @ r.T if matrix else step, alpha=group["lr"])


def orthogonal_iteration(matrix: Tensor, basis: Tensor) -> Tensor:
    """Turn a basis towards the eigenvectors of a positive matrix, largest eigenvalue first.

    A single gradient has fewer directions than the matrix: without a small shift rounding would choose the others.
    """
    shift = 1e-6 * matrix.diagonal().mean()
    return torch.linalg.qr(matrix @ basis + shift * basis).Q
