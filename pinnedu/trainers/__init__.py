"""Training: the loop, the optimizers, the record, and plans of several runs."""

from pinnedu.trainers.callbacks import stop_below, stop_early
from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.kfac import KFAC
from pinnedu.trainers.loop import fit
from pinnedu.trainers.matrix_free import GaussNewtonCG
from pinnedu.trainers.muon import Muon
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import LBFGS, Adam, CosineDecay, ExponentialDecay, GradientDescent
from pinnedu.trainers.quasi_newton import SelfScaledBroyden
from pinnedu.trainers.record import Fit, State, Status, relative_error
from pinnedu.trainers.soap import SOAP
from pinnedu.trainers.spring import SPRING
from pinnedu.trainers.strategies import Staged, curriculum, decompose, march
from pinnedu.trainers.uncertainty import Interval, Posterior
from pinnedu.trainers.weights import Causal, GradientBalance, TangentKernelBalance, Weighting

__all__ = [
    "KFAC",
    "LBFGS",
    "SOAP",
    "SPRING",
    "Adam",
    "Causal",
    "CosineDecay",
    "ExponentialDecay",
    "Fit",
    "GaussNewton",
    "GaussNewtonCG",
    "GradientBalance",
    "GradientDescent",
    "Interval",
    "Muon",
    "Objective",
    "Posterior",
    "SelfScaledBroyden",
    "Staged",
    "State",
    "Status",
    "TangentKernelBalance",
    "Weighting",
    "curriculum",
    "decompose",
    "fit",
    "march",
    "relative_error",
    "stop_below",
    "stop_early",
]
