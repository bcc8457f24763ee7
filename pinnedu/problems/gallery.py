"""The gallery: problems on which a recipe is judged, what the literature reached on them, and what is aimed at.

Problems with an even number, and Burgers' equation, may be looked at while a recipe is made. The odd ones are for its
trial: nothing is chosen by their results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from pinnedu.problem import Problem
from pinnedu.problems.allen_cahn import allen_cahn
from pinnedu.problems.burgers import burgers
from pinnedu.problems.cavity import cavity
from pinnedu.problems.heat_cube import heat_cube
from pinnedu.problems.heat_multiscale import heat_multiscale
from pinnedu.problems.helmholtz import helmholtz
from pinnedu.problems.inverse_diffusivity import inverse_diffusivity
from pinnedu.problems.korteweg_de_vries import korteweg_de_vries
from pinnedu.problems.kovasznay import kovasznay
from pinnedu.problems.kuramoto_sivashinsky import kuramoto_sivashinsky
from pinnedu.problems.l_shape import l_shape
from pinnedu.problems.laplace_holes import laplace_holes
from pinnedu.problems.lorenz import TRUTH, lorenz
from pinnedu.problems.poisson_cube import poisson_cube
from pinnedu.problems.poisson_multiscale import poisson_multiscale
from pinnedu.problems.schroedinger import schroedinger
from pinnedu.problems.screened_poisson import screened_poisson
from pinnedu.problems.wave import wave
from pinnedu.trainers.record import relative_error


@dataclass(frozen=True)
class Exhibit:
    """One problem of the gallery.

    Attributes
    ----------
    number : int
        Variants of one problem share it.
    name : str
    problem : callable
        Makes the problem.
    published : float, or None where none was found
        The smallest error in the literature.
    source : str
        Who reached it, in which time and on what.
    aim : float
        The error aimed at.
    seconds : float
        In which time, on two cores.
    judged : tuple of str
        The fields whose error counts; all that the solution names by default.
    unknowns : dict of name to float
        The true values of unknown parameters. Where there are any, their error counts, and not that of the fields.
    """

    number: int
    name: str
    problem: Callable[[], Problem]
    published: float | None
    source: str
    aim: float
    seconds: float
    judged: tuple[str, ...] = ()
    unknowns: Mapping[str, float] = field(default_factory=dict)

    @property
    def development(self) -> bool:
        """Whether a recipe may be developed on it."""
        return self.number % 2 == 0 or self.number == 1

    def error(self, model: nn.Module, problem: Problem, unknowns: Mapping[str, float] | None = None) -> float:
        """The error that counts: relative, in L2, over the fields judged; or of the unknown that is worst.

        Parameters
        ----------
        model : Module
        problem : Problem
            Made by this exhibit.
        unknowns : dict of name to float
            What was found for the problem's unknowns.
        """
        if self.unknowns:
            found = unknowns or {}
            return max(abs(found[name] / true - 1) for name, true in self.unknowns.items())
        return relative_error(model, problem, fields=self.judged)


GALLERY: tuple[Exhibit, ...] = (
    Exhibit(1, "burgers", burgers, 5.4e-9, "residual weights and self-scaled Broyden, GPU", 1e-6, 300),
    Exhibit(
        1, "burgers_thin", partial(burgers, 1e-3), 2.7e-7, "residual weights and self-scaled Broyden, GPU", 1e-6, 300
    ),
    Exhibit(2, "allen_cahn", allen_cahn, 1.9e-6, "residual weights, GPU", 1e-5, 600),
    Exhibit(
        3, "korteweg_de_vries", korteweg_de_vries, 8.2e-11, "DSGNAR in slabs of time, 1210 s on an H100", 1e-5, 600
    ),
    Exhibit(4, "kuramoto_sivashinsky", kuramoto_sivashinsky, 5.1e-7, "DSGNAR, 5227 s on an H100", 1e-3, 1800),
    Exhibit(5, "schroedinger", schroedinger, 1.97e-3, "Raissi, Perdikaris & Karniadakis (2019)", 1e-5, 300),
    Exhibit(6, "wave", wave, 1.2e-15, "DSGNAR, 635 s on an H100", 1e-6, 120),
    Exhibit(7, "helmholtz", helmholtz, 2.0e-9, "SPRING, 540 s", 1e-8, 120),
    Exhibit(7, "helmholtz_high", partial(helmholtz, 6, 6, 10.0), None, "", 1e-4, 300),
    Exhibit(8, "poisson_multiscale", poisson_multiscale, 4.5e-14, "DSGNAR, 281 s on an H100", 1e-4, 300),
    Exhibit(9, "laplace_holes", laplace_holes, 1.2e-2, "PINNacle, table 3", 1e-5, 120),
    Exhibit(10, "screened_poisson", screened_poisson, 1.4e-2, "PINNacle, table 3", 1e-3, 300),
    Exhibit(11, "l_shape", l_shape, None, "", 1e-2, 300),
    Exhibit(11, "l_shape_singular", partial(l_shape, "singular"), None, "", 1e-2, 300),
    Exhibit(12, "cavity", cavity, 1.1e-4, "DSGNAR, 403 s on an H100", 1e-4, 300),
    Exhibit(12, "cavity_parabolic", partial(cavity, "parabolic"), 3.6e-2, "PINNacle, table 3", 1e-3, 300),
    Exhibit(13, "kovasznay", kovasznay, 1e-7, "about, several", 1e-7, 120),
    Exhibit(14, "heat_multiscale", heat_multiscale, 6.2e-2, "PINNacle, table 3", 1e-3, 120),
    Exhibit(15, "poisson_5", poisson_cube, 3.0e-16, "DSGNAR, 407 s on an H100", 1e-7, 120),
    Exhibit(15, "poisson_10", partial(poisson_cube, 10, "products"), 6.0e-12, "3240 s", 1e-5, 120),
    Exhibit(15, "poisson_100", partial(poisson_cube, 100, "square"), 3.6e-3, "SPRING, 7000 s", 1e-2, 600),
    Exhibit(16, "heat_cube", heat_cube, 7.4e-7, "energy natural gradient", 1e-7, 120),
    Exhibit(
        17, "inverse_diffusivity", inverse_diffusivity, 2.5e-2, "PINNacle, table 3", 1.5e-2, 300, judged=("a",)
    ),
    Exhibit(18, "lorenz", lorenz, None, "", 1e-4, 300, unknowns=TRUTH),
)
"""The problems in their order."""
