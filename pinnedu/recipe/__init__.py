"""One recipe for all problems, and the parts it is made of."""

from pinnedu.recipe.look import (
    forward,
    is_linear,
    looked_at,
    periodic_coordinates,
    random_waves,
    rates_of,
    without,
)
from pinnedu.recipe.solver import Solver, solve
from pinnedu.singular import additions
from pinnedu.theory.posedness import amplification, explodes, growth
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.composite import Corrected
from pinnedu.trainers.growing import Continued, GrowingNetwork, Watch, widened
from pinnedu.trainers.products import Products
from pinnedu.trainers.spectral import solved_forward
from pinnedu.trainers.strategies import window
from pinnedu.trainers.waves import frequencies, solved_by_waves, waves
from pinnedu.trainers.weights import weights_of

__all__ = [
    "Clock",
    "Continued",
    "Corrected",
    "GrowingNetwork",
    "Products",
    "Solver",
    "Watch",
    "additions",
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
    "solved_forward",
    "waves",
    "weights_of",
    "widened",
    "window",
    "without",
]
