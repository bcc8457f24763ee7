"""Muon: steps whose singular values are all alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pinnedu.checks import as_number, require
from pinnedu.sampling import check_resample
from pinnedu.trainers.optimizers import Step, TorchStep, check_rate


@dataclass(frozen=True)
class Muon:
    """Momentum, with the step of each matrix made orthogonal: ``torch.optim.Muon``; other weights go to Adam.

    A gradient matrix U S V^T has few large singular values; the step is U V^T, near enough, so that all directions
    that the layer sees move alike. Torch finds it by 5 iterations of Newton and Schulz in 16 bits, which cost
    15 products as wide as the layer. Memory: one number a weight of a matrix, two of any other.

    Parameters
    ----------
    lr : float
        For matrices: the root mean square of a step is 0.2 lr, about that of Adam's (Liu et al. 2025).
    momentum : float
    adam_lr : float
        For biases and other weights that are no matrices, and for matrices with a single row or column.

    Raises
    ------
    ValueError
        Where this torch has no Muon: it came with torch 2.9.

    References
    ----------
    Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks. Liu et al. (2025), Muon is
    scalable for LLM training.
    """

    lr: float = 1e-2
    momentum: float = 0.95
    adam_lr: float = 1e-3
    resample: int = 1

    def __post_init__(self) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"Muon needs torch 2.9 or newer, and this is {torch.__version__}: use SOAP() or a newer torch.")
        check_rate(self.lr)
        check_rate(self.adam_lr)
        require(0 <= as_number(self.momentum) < 1, "The momentum", "a number in [0, 1)", self.momentum)
        check_resample(self.resample)

    def start(self, model: nn.Module) -> Step:
        matrices = [weight for weight in model.parameters() if weight.ndim == 2 and min(weight.shape) > 1]
        others = [weight for weight in model.parameters() if not (weight.ndim == 2 and min(weight.shape) > 1)]
        optimizers: list[torch.optim.Optimizer] = []
        if matrices:
            optimizers.append(
                torch.optim.Muon(
                    matrices,
                    lr=float(self.lr),
                    momentum=float(self.momentum),
                    weight_decay=0.0,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if others:
            optimizers.append(torch.optim.Adam(others, lr=float(self.adam_lr)))
        return TorchStep(_Together(optimizers))  # type: ignore[arg-type]


class _Together:
    """Several torch optimizers, each with weights of its own, that take their steps by one gradient."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self, closure: Callable[[], Any]) -> Any:
        loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {str(i): optimizer.state_dict() for i, optimizer in enumerate(self.optimizers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(state[str(i)])
