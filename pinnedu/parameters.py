"""The parameters of a model that training moves, and vectors of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

FOUND = "found_"
"""Begins the name of a buffer with the first guess of an unknown and what training made of it."""


class WithUnknowns(nn.Module):
    """A model and, beside it, the unknown parameters of a problem: together they are what training moves.

    The model itself stays as its user made it. Its weights come first among the parameters, then the unknowns.

    Parameters
    ----------
    model : Module
    guesses : dict of name to float
    scales : dict of name to float, optional
        What is trained is the unknown divided by its scale, which is 1 by default.

    Attributes
    ----------
    unknowns : ParameterDict
        What is trained.
    units : dict of name to float
        The scales that are not 1: an unknown is ``units[name] * unknowns[name]``.
    """

    def __init__(self, model: nn.Module, guesses: Mapping[str, float], scales: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.model = model
        self.units = {name: scale for name, scale in (scales or {}).items() if scale != 1}
        starts = {name: float(guess) / self.units.get(name, 1.0) for name, guess in guesses.items()}
        self.unknowns = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(start, dtype=torch.float64)) for name, start in starts.items()}
        )

    def forward(self, points: Tensor) -> Tensor:
        values: Tensor = self.model(points)
        return values


def trainable_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training moves, by name: the columns of a Jacobian and the entries of a gradient, in this order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def found_unknowns(model: nn.Module, guesses: Mapping[str, float]) -> dict[str, Tensor]:
    """What the networks of a model keep of these unknowns, where it was found from the same first guess."""
    kept = {name.rpartition(".")[2]: buffer for name, buffer in model.named_buffers() if FOUND in name}
    pairs = {name: kept[FOUND + name] for name in guesses if FOUND + name in kept}
    return {name: pair[1] for name, pair in pairs.items() if pair[0] == pair.new_tensor(float(guesses[name]))}


def vector(tensors: Iterable[Tensor]) -> Tensor:
    """One vector (P,) of some tensors, a copy without graph."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def parts(whole: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a vector (P,) that belong to the weights, each of its weight's shape."""
    pieces = whole.split([weight.numel() for weight in weights])
    return [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]


def assign(weights: Sequence[Tensor], whole: Tensor) -> None:
    """Write a vector (P,) into the weights, in place: torch's ``vector_to_parameters`` gives them other memory instead."""
    with torch.no_grad():
        for weight, part in zip(weights, parts(whole, weights), strict=True):
            weight.copy_(part)


def gradient(scalar: Tensor, weights: Sequence[Tensor], keep: bool = False) -> Tensor:
    """The gradient (P,) of a scalar by the weights, zero where it does not depend on one; frees the graph unless kept."""
    if not scalar.requires_grad:
        return torch.zeros_like(vector(weights))
    return vector(torch.autograd.grad(scalar, weights, retain_graph=keep, allow_unused=True, materialize_grads=True))
