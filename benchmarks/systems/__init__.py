"""The systems of the comparison: which file, which method, what of the settings each has, and what its library documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from settings import Settings

ALWAYS = ("hidden", "points", "weight")
ADAM = ("rate", "share")


@dataclass(frozen=True)
class Entry:
    """One row of the comparison.

    Attributes
    ----------
    module : str
        Its file in this folder: a function for each problem, and ``train(problem, watch, seed, settings, method)``.
    method : str
        Which of the file's methods.
    uses : tuple of str
        The settings that it has, which is what is tuned; none where it is not tuned.
    documented : Settings
        Setting 1. The file's docstring says where it is from.
    only : tuple of str
        The problems on which it runs, where these are not all.
    impossible : dict of problem to str
        What it cannot state, with the sentence that says so.
    """

    module: str
    method: str
    uses: tuple[str, ...]
    documented: Settings
    only: tuple[str, ...] = ()
    impossible: Mapping[str, str] = field(default_factory=dict)


BURGERS = Settings((20, 20, 20), 2540, 160, 1e-3, 0.5, memory=100)
GROUPS = "doesn't currently support per-parameter options (parameter groups)"
NNCG = {"wake": f"its error: NNCG {GROUPS}; unknown coefficients are a second group"}
MESHES = (
    "not offered: its domains, CubicMeshPDEStatio and CubicMeshPDENonStatio, are intervals and cubes, none with holes"
)
JINNS = {"laplace_holes": MESHES}
EMBEDDED = (
    'not offered as a condition: its tutorial 9 calls that "clearly infeasible" (one for every derivative) and builds the period '
    "into the network, by PeriodicBoundaryEmbedding"
)
PINA = {"advection": EMBEDDED, "tune_advection": EMBEDDED, "allen_cahn": EMBEDDED}
ENTRIES: dict[str, Entry] = {
    "DeepXDE, Adam and L-BFGS": Entry("deepxde_", "L-BFGS", (*ALWAYS, *ADAM, "redraw", "memory"), BURGERS),
    "DeepXDE, Adam, L-BFGS, NNCG": Entry(
        "deepxde_",
        "NNCG",
        (*ALWAYS, *ADAM, "redraw", "memory", "damping"),
        Settings((20, 20, 20), 2540, 160, 1e-3, 0.25, damping=1e-1),
        impossible=NNCG,
    ),
    "DeepXDE, RAR": Entry("deepxde_", "RAR", (*ALWAYS, *ADAM, "memory"), BURGERS, ("burgers", "allen_cahn")),
    "jinns, self-scaled Broyden": Entry("jinns_", "Broyden", ALWAYS, Settings((20, 20, 20), 1000), impossible=JINNS),
    "jinns, natural gradient": Entry(
        "jinns_", "natural gradient", (*ALWAYS, "damping"), Settings((20, 20, 20), 1000, damping=1e-5), impossible=JINNS
    ),
    "PINA, Adam and L-BFGS": Entry(
        "pina_", "L-BFGS", (*ALWAYS, *ADAM, "memory"), Settings((20, 20, 20), 1000), impossible=PINA
    ),
    "Scimba, self-scaled Broyden": Entry(
        "scimba_", "SS-Broyden", (*ALWAYS, "redraw"), Settings((20, 20, 20), 1000, weight=10.0)
    ),
    "Scimba, energy natural gradient": Entry(
        "scimba_",
        "ENG",
        (*ALWAYS, "redraw", "damping"),
        Settings((20, 20, 20), 1000, weight=10.0, redraw=1, damping=1e-6),
    ),
    "Scimba, DSGNAR": Entry(
        "scimba_", "DSGNAR", (*ALWAYS, "redraw"), Settings((20, 20, 20), 1000, weight=10.0, redraw=1)
    ),
    "pinnedu.fit": Entry(
        "pinnedu_", "fit", (*ALWAYS, "redraw", "damping"), Settings((20, 20), 1000, 100, redraw=10, damping=1e-3)
    ),
    "pinnedu.solve": Entry("pinnedu_", "solve", (), Settings()),
    "classical": Entry("classical", "", (), Settings()),
}
