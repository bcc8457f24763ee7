"""Training: the loop, the optimizers, the record, and plans of several runs."""

from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.loop import fit
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import LBFGS, Adam, GradientDescent
from pinnedu.trainers.quasi_newton import SelfScaledBroyden
from pinnedu.trainers.record import Fit, State, relative_error
from pinnedu.trainers.strategies import Staged, curriculum, decompose, march
from pinnedu.trainers.weights import Causal, GradientBalance, TangentKernelBalance, Weighting

__all__ = [
    "LBFGS",
    "Adam",
    "Causal",
    "Fit",
    "GaussNewton",
    "GradientBalance",
    "GradientDescent",
    "Objective",
    "SelfScaledBroyden",
    "Staged",
    "State",
    "TangentKernelBalance",
    "Weighting",
    "curriculum",
    "decompose",
    "fit",
    "march",
    "relative_error",
]
