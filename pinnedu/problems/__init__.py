"""Problems of the book: each owns its constants and its exact solution."""

from pinnedu.problems.burgers import burgers
from pinnedu.problems.heat import heat

__all__ = ["burgers", "heat"]
