"""Derivatives by nested reverse mode: differentiate the model, then the derivative, and so on."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from pinnedu.derivatives.requests import Laplacian, Order, Request


def nested_autograd(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
    """Evaluate requests by repeated calls of ``torch.autograd.grad``.

    This is how the talk, and most PINN code, differentiates. Every order builds a graph of the
    graph below it, so time and memory grow exponentially with the order (Griewank & Walther 2008,
    chapter 13).

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    points : Tensor, shape (N, d)
    requests : collection of (output, order) or (output, Laplacian)

    Returns
    -------
    dict of request to Tensor, each (N,)
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        outputs = model(points)
        known: dict[tuple[int, Order], Tensor] = {}
        gradients: dict[tuple[int, Order], Tensor] = {}

        def partial(output: int, order: Order) -> Tensor:
            """Differentiate once what is one order lower, and remember it for the other requests."""
            if not any(order):
                return outputs[:, output]
            if (output, order) not in known:
                axis = next(i for i, n in enumerate(order) if n)
                lower = order[:axis] + (order[axis] - 1,) + order[axis + 1 :]
                if (output, lower) not in gradients:
                    gradients[output, lower] = _gradient(partial(output, lower), points)
                known[output, order] = gradients[output, lower][:, axis]
            return known[output, order]

        def second(axis: int) -> Order:
            return tuple(2 * (i == axis) for i in range(points.shape[1]))

        values: dict[Request, Tensor] = {}
        for output, what in requests:
            if isinstance(what, Laplacian):
                values[output, what] = sum(
                    (partial(output, second(axis)) for axis in what.axes), torch.zeros_like(points[:, 0])
                )
            else:
                values[output, what] = partial(output, what)
    return values if torch.is_grad_enabled() else {request: value.detach() for request, value in values.items()}


def _gradient(values: Tensor, points: Tensor) -> Tensor:
    """Gradient of each value (N,) by its own point, shape (N, d); zero where there is no dependence."""
    if not values.requires_grad:
        return torch.zeros_like(points)
    return torch.autograd.grad(values.sum(), points, create_graph=True, materialize_grads=True, allow_unused=True)[0]
