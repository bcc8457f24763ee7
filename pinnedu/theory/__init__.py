"""Why training is hard, precisely: the theory of operator preconditioning.

The linear part (`fourier`, `conditioning`, `equivalence`, `regression`) needs numpy and scipy alone. The parts that look
at networks (`tangent`, `operator`, `kernels`, `errors`) need torch, and are imported when they are first asked for.

The matrices of the two model problems are `fourier.poisson` and `fourier.advection`; `precondition` is for an
operator of one's own.

Source: T. De Ryck, F. Bonnet, S. Mishra, E. de Bezenac, "An operator preconditioning perspective on training
in physics-informed machine learning", ICLR 2024.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from pinnedu.theory import conditioning, equivalence, fourier, regression
from pinnedu.theory.conditioning import (
    Descent,
    best_weight,
    condition_number,
    contraction,
    eigenvalues,
    gradient_descent,
    steps_to,
)
from pinnedu.theory.equivalence import Sines, precondition
from pinnedu.theory.fourier import Basis, Waves

__all__ = [
    "Basis",
    "Descent",
    "Sines",
    "Waves",
    "best_weight",
    "condition_number",
    "conditioning",
    "contraction",
    "eigenvalues",
    "equivalence",
    "fourier",
    "gradient_descent",
    "precondition",
    "regression",
    "steps_to",
]

_LATER = (  # read when they are asked for: the first of them alone need no torch
    *("acceleration", "bounds", "forecast", "losses"),
    *("diagnosis", "errors", "kernels", "linearity", "newton", "operator", "patient", "symptoms", "tangent", "trial"),
)


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LATER])
