"""One recipe for all problems, and the parts it is made of."""

from pinnedu.recipe.clock import Clock
from pinnedu.recipe.look import (
    amplification,
    explodes,
    forward,
    growth,
    is_linear,
    looked_at,
    periodic_coordinates,
    random_waves,
    rates_of,
    weights_of,
    without,
)
from pinnedu.recipe.network import Continued, GrowingNetwork, Watch, widened
from pinnedu.recipe.solver import Solver, solve
from pinnedu.recipe.waves import frequencies, solved_by_waves, waves
from pinnedu.trainers.composite import Corrected
from pinnedu.trainers.strategies import window

__all__ = [
    "Clock",
    "Continued",
    "Corrected",
    "GrowingNetwork",
    "Solver",
    "Watch",
    "amplification",
    "explodes",
    "forward",
    "frequencies",
    "growth",
    "is_linear",
    "looked_at",
    "periodic_coordinates",
    "random_waves",
    "rates_of",
    "solve",
    "solved_by_waves",
    "waves",
    "weights_of",
    "widened",
    "window",
    "without",
]
