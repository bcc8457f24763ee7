"""Ways to differentiate a model by its inputs, behind one interface so that they can be compared.

An engine takes a model, points (N, d) and requests, and returns the values of each request.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from pinnedu.checks import shown
from pinnedu.derivatives.autograd import nested_autograd
from pinnedu.derivatives.finite_differences import complex_step, finite_differences
from pinnedu.derivatives.requests import Engine, Laplacian, Order, Request
from pinnedu.derivatives.stochastic import hutchinson
from pinnedu.derivatives.taylor import taylor

ENGINES: dict[str, Engine] = {
    "taylor": taylor,
    "autograd": nested_autograd,
    "finite-differences": finite_differences(),
    "complex-step": complex_step,
}
"""The engines that have a name."""


def engine(derivatives: str | Engine) -> Engine:
    """Look an engine up by name; a callable is its own engine.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if callable(derivatives):
        return derivatives
    if not (isinstance(derivatives, str) and derivatives in ENGINES):
        raise ValueError(f"derivatives={shown(derivatives)} is unknown: choose one of {', '.join(ENGINES)}, or an engine.")
    return ENGINES[derivatives]


def evaluate(
    derivatives: str | Engine, model: nn.Module, points: Tensor, requests: Collection[Request]
) -> dict[Request, Tensor]:
    """Values (N,) of every request, by the engine of that name."""
    return engine(derivatives)(model, points, requests)


__all__ = [
    "ENGINES",
    "Engine",
    "Laplacian",
    "Order",
    "Request",
    "complex_step",
    "engine",
    "evaluate",
    "finite_differences",
    "hutchinson",
    "nested_autograd",
    "taylor",
]
