"""Compiled steps: the loss and its gradient as one program instead of hundreds of calls from Python.

One evaluation is run while torch writes down every operation on tensors, the backward pass included:
Taylor mode goes forward once and back once, so it is a plain list. A compiler makes a few loops of that
list (Ansel et al. 2024, PyTorch 2); on a GPU they are started together, as a CUDA graph.

The list holds what is done to tensors and nothing else. Whatever else an equation reads, such as a number
that a callback changes, is in it as it was. So a program is compared with the equations from time to time.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from pinnedu.checks import reason
from pinnedu.parameters import trainable_parameters
from pinnedu.problem import Sample
from pinnedu.trainers.objective import Objective


class NotCompiled(Exception):
    """No program could be made, for the reason given."""


class Program:
    """The terms of a loss and their weighted sum's gradient, compiled for the shapes that the points have now.

    Parameters
    ----------
    objective : Objective

    Raises
    ------
    NotCompiled
        If there is no compiler, if the model or the equations look at numbers, or if the program gives others.
    """

    def __init__(self, objective: Objective) -> None:
        module = _Terms(objective)
        self.weights = trainable_parameters(objective.model)
        fixed = dict(objective.model.named_parameters()) | dict(objective.model.named_buffers())
        self.values = self.weights | {name: value for name, value in fixed.items() if name not in self.weights}
        self.shapes = _shapes(objective.sample)
        self.graphs = next(iter(objective.sample.values())).device.type == "cuda"
        names, sets, count = list(self.values), list(self.shapes), len(self.weights)

        def step(factors: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
            trained = [tensor.detach().requires_grad_() for tensor in tensors[:count]]
            values = dict(zip(names, [*trained, *tensors[count:]], strict=False))
            sample = dict(zip(sets, tensors[len(names) :], strict=True))
            terms = torch.func.functional_call(module, {f"model.{name}": values[name] for name in names}, (sample,))
            slopes = torch.autograd.grad(terms @ factors, trained, allow_unused=True, materialize_grads=True)
            return terms.detach(), torch.cat([slope.reshape(-1) for slope in slopes])

        factors = torch.linspace(1, 2, len(objective.loss_weights)).to(next(iter(objective.sample.values())))
        inputs = factors, *self.inputs(objective.sample)
        terms, gradient = step(*inputs)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                listed = make_fx(step)(*inputs)
                self.compiled: Any = torch.compile(listed, mode="reduce-overhead" if self.graphs else None)
                found = self.compiled(*inputs)
        except Exception as error:  # compilers fail in ways of their own
            cause = error.__cause__ or error
            raise NotCompiled(f"{type(cause).__name__}: {reason(cause)}") from None
        if not (_agree(terms, found[0]) and _agree(gradient, found[1])):
            raise NotCompiled("the program gives other numbers than the equations, which may be random")

    def inputs(self, sample: Sample) -> list[Tensor]:
        """What the program reads, in its order."""
        return [value.detach() for value in self.values.values()] + [sample[name] for name in self.shapes]

    def __call__(self, sample: Sample, factors: Tensor) -> tuple[Tensor, Tensor] | None:
        """The terms of this process, and the gradient (P,) of ``terms @ factors``; None for points of other shapes."""
        if _shapes(sample) != self.shapes:
            return None
        with torch.no_grad():
            if self.graphs:
                torch.compiler.cudagraph_mark_step_begin()
            found = self.compiled(factors, *self.inputs(sample))
        if self.graphs:  # the next run overwrites what this one returned
            found = [tensor.clone() for tensor in found]
        return found[0], found[1]

    def holds(self, objective: Objective) -> bool:
        """Whether it still computes what the equations say, at the present weights and points."""
        found = self(objective.sample, torch.ones(len(objective.loss_weights)).to(next(iter(objective.sample.values()))))
        with torch.no_grad():
            return found is None or _agree(objective.half_mean_squares(objective.residuals()), found[0])


class _Terms(nn.Module):
    """The part of an objective's terms that this process has, as a function of the points."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = objective.model, objective

    def forward(self, sample: Sample) -> Tensor:
        objective = self.objective
        return objective.half_mean_squares(objective.problem.residuals(self.model, sample, objective.derivatives))


def _shapes(sample: Sample) -> dict[str, torch.Size]:
    return {name: points.shape for name, points in sample.items()}


def _agree(wanted: Tensor, found: Tensor) -> bool:
    """Whether some numbers are the same but for rounding. Where they are not finite, training ends for that."""
    slack = torch.finfo(wanted.dtype).eps ** 0.5
    scale = float(wanted.abs().max())
    return not math.isfinite(scale) or torch.allclose(wanted, found, rtol=slack, atol=slack * scale)
