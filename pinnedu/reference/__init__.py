"""Truth: closed forms and classical solvers, in numpy and scipy alone, always in float64.

``burgers.exact`` and ``advection.exact`` are exact solutions, evaluated at any points; ``allen_cahn.exact`` is one
to some eight digits.
``spectral`` holds the solvers you would use instead of a PINN: method of lines on a Fourier or
Chebyshev grid for the heat equation and Burgers' equation, Chebyshev collocation for Poisson.
"""

from . import advection, allen_cahn, burgers, spectral

__all__ = ["advection", "allen_cahn", "burgers", "spectral"]
