"""Preconditioned conjugate gradients (Hestenes & Stiefel 1952)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOOK = 10  # iterations of conjugate gradients between two looks at their residual, each of which waits for a GPU


def conjugate_gradients(
    product: Any, right: Tensor, precondition: Any, iterations: int, tolerance: float, look: int = LOOK
) -> Tensor:
    """Solve A x = b from x = 0 for a symmetric positive A, given as a product."""
    solution, residual = torch.zeros_like(right), right
    scaled = precondition(residual)
    direction, size = scaled, residual @ scaled
    tiny = torch.finfo(right.dtype).tiny
    for iteration in range(1, iterations + 1):
        image = product(direction)
        length = size / (direction @ image).clamp(min=tiny)
        solution = solution + length * direction
        residual = residual - length * image
        if iteration == iterations or (iteration % look == 0 and _fallen(residual, right, tolerance)):
            break
        scaled = precondition(residual)
        before, size = size, residual @ scaled
        direction = scaled + size / before.clamp(min=tiny) * direction
    return solution


def _fallen(residual: Tensor, right: Tensor, tolerance: float) -> bool:
    return bool(torch.linalg.norm(residual) <= tolerance * torch.linalg.norm(right))
