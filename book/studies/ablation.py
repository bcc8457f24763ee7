"""What each ingredient of the recipe does: the gallery again for a short time, with one of them left out.

One seed and twenty seconds of the processor a run: what is left out only matters where it would have been used, so an
ingredient is left out of those problems that it can change. Which these are was set down before the first run; the problems
that the recipe solves by waves or by products never reach a network in this time, whatever it would do there.
"""

import time

import numpy as np

from pinnedu.problems import GALLERY
from pinnedu.recipe import Solver
from pinnedu.studies import Claim, Study
from pinnedu.trainers import clock

SECONDS = 20
EXHIBITS = {exhibit.name: exhibit for exhibit in GALLERY}
FORWARD = [
    "burgers", "burgers_thin", "allen_cahn", "korteweg_de_vries", "kuramoto_sivashinsky", "schroedinger",
]  # fmt: skip
HOLED = ["laplace_holes", "screened_poisson", "l_shape", "l_shape_singular"]
OTHERS = [name for name in EXHIBITS if name not in (*FORWARD, "inverse_diffusivity")]
HARD = ["laplace_holes", "cavity", "cavity_parabolic", "heat_multiscale", "poisson_10", "lorenz"]  # waves may not do in the time
APPLIES = {  # ingredient: the problems that it can change
    "products": FORWARD,
    "waves": list(EXHIBITS),
    "weights": list(EXHIBITS),
    "search": OTHERS,
    "spectrum": OTHERS,
    "shape": HOLED,
    "smoothing": ["inverse_diffusivity"],
    "network": HARD,
    "growth": HARD,
    "correction": HARD,
    "march": ["lorenz"],
}


def run(problem, without):
    """Solve one problem without an ingredient; seconds are those of the processor."""
    exhibit = EXHIBITS[problem]
    made = exhibit.problem()
    before, clock.now = clock.now, time.process_time
    try:
        solver = Solver(made, clock.Clock(SECONDS), without=[without] if without else [])
        first = float(solver.size)
        found = solver.solve()
    finally:
        clock.now = before
    error = exhibit.error(found.model, made, found.unknowns)
    return {"size": first, "error": error, "estimate": found.error_estimate, "seconds": found.seconds}


def loss(results, problem, without):
    """By how many decades the error is larger without an ingredient; an error above 1 counts as 1, below 1e-12 as that."""
    with_all, less = (results.where(problem=problem, without=one)["error"][0] for one in ("", without))
    return float(np.diff(np.log10(np.clip([with_all, less], 1e-12, 1.0)))[0])


def losses(results, without):
    """Of all problems that an ingredient can change."""
    return np.array([loss(results, problem, without) for problem in APPLIES[without]])


CLAIMS = [
    Claim(
        "waves",
        "Without waves the error of the problems that are no evolutions in one dimension grows by over 1.5 powers of ten, in "
        "the median.",
        lambda results: np.median([loss(results, problem, "waves") for problem in OTHERS]) > 1.5,
    ),
    Claim(
        "products",
        "Without products it grows by over 1.5 powers of ten on at least three of the six evolutions.",
        lambda results: (losses(results, "products") > 1.5).sum() >= 3,
    ),
    Claim(
        "shape",
        "Without the functions of the shape it grows by over one power of ten on at least three of the four shapes.",
        lambda results: (losses(results, "shape") > 1).sum() >= 3,
    ),
    Claim(
        "weights",
        "Without the weights it grows by over 4 powers of ten on the string.",
        lambda results: loss(results, "wave", "weights") > 4,
    ),
]

study = Study(
    run,
    grid=[
        *({"problem": problem, "without": ""} for problem in EXHIBITS),
        *({"problem": problem, "without": without} for without, names in APPLIES.items() for problem in names),
    ],
    claims=CLAIMS,
    cheap={"problem": "poisson_5", "without": ""},
    agree={"size": 1e-6},
    hours=True,
)
