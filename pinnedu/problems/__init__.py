"""Problems of the book: each owns its constants and its exact solution."""

from pinnedu.problems.burgers import burgers
from pinnedu.problems.heat import heat
from pinnedu.problems.navier_stokes import navier_stokes

__all__ = ["burgers", "heat", "navier_stokes"]
