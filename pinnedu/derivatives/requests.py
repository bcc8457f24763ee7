"""What an equation may ask of a model, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor, nn

Order = tuple[int, ...]
"""How often to differentiate by each coordinate: (2, 0) is u_xx on a domain (x, t)."""


@dataclass(frozen=True)
class Laplacian:
    """The sum of the second derivatives by some of the coordinates, given by their positions."""

    axes: tuple[int, ...]


Request = tuple[int, Order | Laplacian]
"""What an equation asks of a model: which output, differentiated how."""

Engine = Callable[[nn.Module, Tensor, Collection[Request]], dict[Request, Tensor]]
"""Takes a model, points (N, d) and requests; returns each request's values (N,)."""
