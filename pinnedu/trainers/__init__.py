"""Training: the loop, the optimizers, the record."""

from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.loop import fit
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import LBFGS, Adam, GradientDescent
from pinnedu.trainers.quasi_newton import SelfScaledBroyden
from pinnedu.trainers.record import Fit, State, evaluation_points, relative_error
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
    "State",
    "TangentKernelBalance",
    "Weighting",
    "evaluation_points",
    "fit",
    "relative_error",
]
