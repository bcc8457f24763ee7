"""Problems of the book: each owns its constants and its exact solution."""

from pinnedu.problems.advection import advection
from pinnedu.problems.allen_cahn import allen_cahn
from pinnedu.problems.burgers import burgers
from pinnedu.problems.cavity import cavity
from pinnedu.problems.gallery import GALLERY, Exhibit
from pinnedu.problems.heat import heat
from pinnedu.problems.heat_cube import heat_cube
from pinnedu.problems.heat_multiscale import heat_multiscale
from pinnedu.problems.helmholtz import helmholtz
from pinnedu.problems.inverse_diffusivity import inverse_diffusivity
from pinnedu.problems.korteweg_de_vries import korteweg_de_vries
from pinnedu.problems.kovasznay import kovasznay
from pinnedu.problems.kuramoto_sivashinsky import kuramoto_sivashinsky
from pinnedu.problems.l_shape import l_shape
from pinnedu.problems.laplace_holes import laplace_holes
from pinnedu.problems.lorenz import lorenz
from pinnedu.problems.navier_stokes import navier_stokes
from pinnedu.problems.pendulum import pendulum
from pinnedu.problems.poisson import poisson
from pinnedu.problems.poisson_ball import poisson_ball
from pinnedu.problems.poisson_cube import poisson_cube
from pinnedu.problems.poisson_multiscale import poisson_multiscale
from pinnedu.problems.schroedinger import schroedinger
from pinnedu.problems.screened_poisson import screened_poisson
from pinnedu.problems.wave import wave

__all__ = [
    "GALLERY",
    "Exhibit",
    "advection",
    "allen_cahn",
    "burgers",
    "cavity",
    "heat",
    "heat_cube",
    "heat_multiscale",
    "helmholtz",
    "inverse_diffusivity",
    "korteweg_de_vries",
    "kovasznay",
    "kuramoto_sivashinsky",
    "l_shape",
    "laplace_holes",
    "lorenz",
    "navier_stokes",
    "pendulum",
    "poisson",
    "poisson_ball",
    "poisson_cube",
    "poisson_multiscale",
    "schroedinger",
    "screened_poisson",
    "wave",
]
