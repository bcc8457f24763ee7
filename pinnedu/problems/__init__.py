"""Problems of the book: each owns its constants and its exact solution."""

from pinnedu.problems.advection import advection
from pinnedu.problems.allen_cahn import allen_cahn
from pinnedu.problems.burgers import burgers
from pinnedu.problems.heat import heat
from pinnedu.problems.navier_stokes import navier_stokes
from pinnedu.problems.poisson import poisson
from pinnedu.problems.poisson_ball import poisson_ball

__all__ = ["advection", "allen_cahn", "burgers", "heat", "navier_stokes", "poisson", "poisson_ball"]
