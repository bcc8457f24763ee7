"""One recipe for all problems, and the parts it is made of."""

from pinnedu.recipe.look import (
    amplification,
    explodes,
    forward,
    growth,
    is_linear,
    looked_at,
    periodic_coordinates,
    rates_of,
    weights_of,
    without,
)
from pinnedu.recipe.parts import Continued, Corrected, Watch, waves, widened
from pinnedu.recipe.solver import Recipe, Solution, solve
from pinnedu.trainers.strategies import window

__all__ = [
    "Continued",
    "Corrected",
    "Recipe",
    "Solution",
    "Watch",
    "amplification",
    "explodes",
    "forward",
    "growth",
    "is_linear",
    "looked_at",
    "periodic_coordinates",
    "rates_of",
    "solve",
    "waves",
    "weights_of",
    "widened",
    "window",
    "without",
]
