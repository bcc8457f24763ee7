"""Why training is hard, precisely: the theory of operator preconditioning.

The linear part (`fourier`, `conditioning`, `regression`) needs numpy and scipy alone. The parts that look at networks
(`tangent`, `operator`, `kernels`, `errors`) need torch, and are imported when they are first asked for.

Source: T. De Ryck, F. Bonnet, S. Mishra, E. de Bezenac, "An operator preconditioning perspective on training
in physics-informed machine learning", ICLR 2024.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from pinnedu.theory import conditioning, fourier, regression
from pinnedu.theory.conditioning import (
    Descent,
    best_weight,
    condition_number,
    contraction,
    gradient_descent,
    spectrum,
    steps_to,
)
from pinnedu.theory.fourier import Basis, Waves, advection, poisson, precondition

__all__ = [
    "Basis",
    "Descent",
    "Waves",
    "advection",
    "best_weight",
    "condition_number",
    "conditioning",
    "contraction",
    "fourier",
    "gradient_descent",
    "poisson",
    "precondition",
    "regression",
    "spectrum",
    "steps_to",
]

_LATER = (  # read when they are asked for: the first of them alone need no torch
    *("acceleration", "bounds", "equivalence", "forecast", "losses"),
    *("errors", "kernels", "newton", "operator", "tangent"),
)


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LATER])
