"""Physics-informed neural networks, to learn from: models, derivatives, trainers and the theory of their training.

The public names are listed below by the module that holds them. A module is imported when one of
its names is first used, so ``import pinnedu`` is instant and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

_HOMES = {
    "pinnedu.ball": ("Ball",),
    "pinnedu.conditions": ("Integral", "On", "Periodic"),
    "pinnedu.distance": ("Dirichlet", "Distance"),
    "pinnedu.domain": ("Box", "Domain"),
    "pinnedu.embeddings": ("FourierFeatures", "Normalize", "PeriodicEmbedding"),
    "pinnedu.exercises": ("check",),
    "pinnedu.level_set": ("LevelSet",),
    "pinnedu.observations": ("At", "Observed"),
    "pinnedu.point_cloud": ("PointCloud",),
    "pinnedu.problem": ("Problem",),
    "pinnedu.product": ("Product", "Shape"),
    "pinnedu.region": ("Region",),
    "pinnedu.sampling": ("Points",),
    "pinnedu.models": ("HardConstraint", "MLP", "ModifiedMLP"),
    "pinnedu.networks": ("Networks",),
    "pinnedu.recipe": ("solve",),
    "pinnedu.scales": ("Scales",),
    "pinnedu.singular": ("CornerFunction", "Enriched"),
    "pinnedu.sweeps": ("Trial", "sweep"),
    "pinnedu.trainers": (
        *("KFAC", "LBFGS", "SOAP", "SPRING", "Adam", "GaussNewton", "GaussNewtonCG", "GradientDescent", "Muon"),
        *("SelfScaledBroyden", "Fit", "fit", "relative_error"),
    ),
    "pinnedu.theory.diagnosis": ("Diagnosis", "diagnose"),
    "pinnedu.trainers.callbacks": ("stop_below", "stop_early"),
    "pinnedu.trainers.optimizers": ("CosineDecay", "ExponentialDecay"),
    "pinnedu.trainers.strategies": ("curriculum", "decompose", "march"),
    "pinnedu.trainers.weights": ("Causal", "GradientBalance", "TangentKernelBalance"),
}
_MODULES = ("data", "derivatives", "plots", "problems", "reference", "theory", "widgets")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF, *_MODULES]  # noqa: PLE0604

if TYPE_CHECKING:
    from pinnedu import data, derivatives, plots, problems, reference, theory, widgets
    from pinnedu.ball import Ball
    from pinnedu.conditions import Integral, On, Periodic
    from pinnedu.distance import Dirichlet, Distance
    from pinnedu.domain import Box, Domain
    from pinnedu.embeddings import FourierFeatures, Normalize, PeriodicEmbedding
    from pinnedu.exercises import check
    from pinnedu.level_set import LevelSet
    from pinnedu.models import MLP, HardConstraint, ModifiedMLP
    from pinnedu.networks import Networks
    from pinnedu.observations import At, Observed
    from pinnedu.point_cloud import PointCloud
    from pinnedu.problem import Problem
    from pinnedu.product import Product, Shape
    from pinnedu.recipe import solve
    from pinnedu.region import Region
    from pinnedu.sampling import Points
    from pinnedu.scales import Scales
    from pinnedu.singular import CornerFunction, Enriched
    from pinnedu.sweeps import Trial, sweep
    from pinnedu.theory.diagnosis import Diagnosis, diagnose
    from pinnedu.trainers import (
        KFAC,
        LBFGS,
        SOAP,
        SPRING,
        Adam,
        Fit,
        GaussNewton,
        GaussNewtonCG,
        GradientDescent,
        Muon,
        SelfScaledBroyden,
        fit,
        relative_error,
    )
    from pinnedu.trainers.callbacks import stop_below, stop_early
    from pinnedu.trainers.optimizers import CosineDecay, ExponentialDecay
    from pinnedu.trainers.strategies import curriculum, decompose, march
    from pinnedu.trainers.weights import Causal, GradientBalance, TangentKernelBalance


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"pinnedu has no {name!r}; it has {', '.join(sorted([*_HOME_OF, *_MODULES]))}.")


def __dir__() -> list[str]:
    return list(__all__)
