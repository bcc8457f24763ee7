"""Truth: closed forms and classical solvers, in numpy and scipy alone, always in float64.

``burgers.exact`` and ``advection.exact`` are exact solutions, evaluated at any points; ``allen_cahn.exact``,
``schroedinger.exact``, ``cavity.exact``, ``lorenz.exact``, ``laplace_holes.exact``, ``screened_poisson.exact``,
``l_shape.exact`` and the evolutions of ``periodic`` are computed to as many digits as each of them says. ``Table`` makes a
solution of your own values on a grid. ``spectral`` holds the solvers you would use instead of a PINN: method of lines on a
Fourier or Chebyshev grid for the heat equation and Burgers' equation, Chebyshev collocation for Poisson.
"""

from . import (
    advection,
    allen_cahn,
    burgers,
    cavity,
    l_shape,
    laplace_holes,
    lorenz,
    periodic,
    schroedinger,
    screened_poisson,
    spectral,
)
from .table import Table

__all__ = [
    "Table",
    "advection",
    "allen_cahn",
    "burgers",
    "cavity",
    "l_shape",
    "laplace_holes",
    "lorenz",
    "periodic",
    "schroedinger",
    "screened_poisson",
    "spectral",
]
