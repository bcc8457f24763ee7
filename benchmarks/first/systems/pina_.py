"""PINA 0.3.2, in float64: Adam, then L-BFGS.

After its tutorials: problems as classes, hard conditions in a model of one's own (tutorial 3), periodicity by
`PeriodicBoundaryEmbedding` (tutorial 9), unknown parameters by `InverseProblem` (tutorial 7). Points stay where they are:
its refinement callback leaves points with a graph behind, on which L-BFGS breaks down.
"""

# ruff: noqa: RUF012 (a problem is a class with plain attributes, that is how PINA wants it)
from __future__ import annotations

import logging
import warnings
from math import pi

import lightning
import torch
from pina import Condition, LabelTensor, Trainer
from pina.domain import CartesianDomain
from pina.equation import Equation, SystemEquation
from pina.model import FeedForward
from pina.model.block import PeriodicBoundaryEmbedding
from pina.operator import grad, laplacian
from pina.optim import TorchOptimizer
from pina.problem import InverseProblem, SpatialProblem, TimeDependentProblem
from pina.solver import PhysicsInformedSingleModelSolver
from pina.weighting import ScalarWeighting

from first.problems import BETA, NU, K, Task, measurements
from first.watch import Watch

torch.set_default_dtype(torch.float64)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
ADAM = 0.25  # share of the time that Adam gets


class Hard(torch.nn.Module):
    """A network within a formula that satisfies the conditions."""

    def __init__(self, inputs: int, layers: list[int], formula) -> None:
        super().__init__()
        self.network, self.formula = FeedForward(inputs, 1, layers=layers), formula

    def forward(self, points):
        return self.formula(points, self.network(points))


def heat(task: Task):
    """u_t = u_xx; start and ends built in."""

    def equation(points, u):
        return grad(u, points, d=["t"]) - laplacian(u, points, d=["x"])

    class Heat(TimeDependentProblem, SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [0, pi]})
        temporal_domain = CartesianDomain({"t": [0, 1]})
        domains = {"D": CartesianDomain({"x": [0, pi], "t": [0, 1]})}
        conditions = {"D": Condition(domain="D", equation=Equation(equation))}

    def formula(points, u):
        x, t = points.extract(["x"]), points.extract(["t"])
        return torch.sin(x) + t * x * (pi - x) * u

    return Heat(), Hard(2, [20, 20], formula), None


def poisson(task: Task):
    """u'' = -k^2 sin kx; ends built in."""

    def equation(points, u):
        return laplacian(u, points, d=["x"]) + K**2 * torch.sin(K * points.extract(["x"]))

    class Poisson(SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [-pi, pi]})
        domains = {"D": spatial_domain}
        conditions = {"D": Condition(domain="D", equation=Equation(equation))}

    def formula(points, u):
        return (pi**2 - points.extract(["x"]) ** 2) * u

    return Poisson(), Hard(1, [20, 20, 20], formula), None


def burgers(task: Task):
    """u_t + u u_x = nu u_xx; start and ends built in."""

    def equation(points, u):
        slopes = grad(u, points)
        u_x, u_t = slopes.extract(["dudx"]), slopes.extract(["dudt"])
        return u_t + u * u_x - NU * laplacian(u, points, d=["x"])

    class Burgers(TimeDependentProblem, SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [-1, 1]})
        temporal_domain = CartesianDomain({"t": [0, 1]})
        domains = {"D": CartesianDomain({"x": [-1, 1], "t": [0, 1]})}
        conditions = {"D": Condition(domain="D", equation=Equation(equation))}

    def formula(points, u):
        x, t = points.extract(["x"]), points.extract(["t"])
        return -torch.sin(pi * x) + t * (1 - x**2) * u

    return Burgers(), Hard(2, [24, 24, 24], formula), None


def advection(task: Task):
    """u_t + beta u_x = 0, periodic."""

    def equation(points, u):
        slopes = grad(u, points)
        return slopes.extract(["dudt"]) + BETA * slopes.extract(["dudx"])

    def start(points, u):
        return u - torch.sin(points.extract(["x"]))

    class Advection(TimeDependentProblem, SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [0, 2 * pi]})
        temporal_domain = CartesianDomain({"t": [0, 1]})
        domains = {
            "D": CartesianDomain({"x": [0, 2 * pi], "t": [0, 1]}),
            "t0": CartesianDomain({"x": [0, 2 * pi], "t": 0}),
        }
        conditions = {
            "D": Condition(domain="D", equation=Equation(equation)),
            "t0": Condition(domain="t0", equation=Equation(start)),
        }

    return Advection(), PeriodicInSpace(), None


class PeriodicInSpace(torch.nn.Module):
    """A network that gets t, and 1, cosine and sine of x."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = PeriodicBoundaryEmbedding(input_dimension=1, periods=2 * pi)
        self.network = FeedForward(4, 1, layers=[20, 20, 20])

    def forward(self, points):
        x, t = (points.extract([name]).as_subclass(torch.Tensor) for name in ("x", "t"))
        return self.network(torch.cat([self.embedding(x), 2 * t - 1], dim=1))


class PeriodicInTime(torch.nn.Module):
    """A network that gets x, y and cosine and sine of a learned frequency times t."""

    def __init__(self) -> None:
        super().__init__()
        self.network = FeedForward(4, 3, layers=[24, 24, 24])
        self.omega = torch.nn.Parameter(torch.tensor(2 * pi / 6.0))

    def forward(self, points):
        x, y, t = (points.extract([name]).as_subclass(torch.Tensor) for name in ("x", "y", "t"))
        angle = self.omega * t
        return self.network(torch.cat([(x - 4.5) / 3.5, y / 2, torch.cos(angle), torch.sin(angle)], dim=1))


def wake(task: Task, seed: int):
    """Navier-Stokes with two unknowns and a period that is learned."""
    measured = torch.cat([torch.as_tensor(part) for part in measurements(seed)], dim=1)

    def momentum(component: str, slope: str):
        def equation(points, w, unknown):
            d, bend = grad(w, points), laplacian(w, points, components=[component], d=["x", "y"])
            along = w.extract(["u"]) * d.extract([f"d{component}dx"]) + w.extract(["v"]) * d.extract(
                [f"d{component}dy"]
            )
            force = d.extract([slope]) - unknown["lambda_2"] * bend
            return d.extract([f"d{component}dt"]) + unknown["lambda_1"] * along + force

        return equation

    def mass(points, w):
        d = grad(w, points)
        return d.extract(["dudx"]) + d.extract(["dvdy"])

    def misfit(points, w):
        return w.extract(["u", "v"]) - points.extract(["measured_u", "measured_v"])

    class NavierStokes(TimeDependentProblem, SpatialProblem, InverseProblem):
        output_variables = ["u", "v", "p"]
        spatial_domain = CartesianDomain({"x": [1, 8], "y": [-2, 2]})
        temporal_domain = CartesianDomain({"t": [0, 19.9]})
        unknown_parameter_domain = CartesianDomain({"lambda_1": [-5, 5], "lambda_2": [-5, 5]})
        domains = {"D": CartesianDomain({"x": [1, 8], "y": [-2, 2], "t": [0, 19.9]})}
        conditions = {
            "D": Condition(domain="D", equation=SystemEquation([momentum("u", "dpdx"), momentum("v", "dpdy"), mass])),
            "data": Condition(
                input=LabelTensor(measured, [*"xyt", "measured_u", "measured_v"]), equation=Equation(misfit)
            ),
        }

    problem = NavierStokes()
    for unknown in problem.unknown_parameters.values():
        unknown.data.zero_()  # all systems start from the same guess
    # A mean over three equations, and over two components, where others sum.
    return problem, PeriodicInTime(), ScalarWeighting({"D": 3.0, "data": 200.0})


class Look(lightning.pytorch.Callback):
    """Measures the error when it is due, and ends a stage of training."""

    def __init__(self, watch: Watch, model, problem, until: float) -> None:
        self.watch, self.model, self.problem, self.until = watch, model, problem, until

    def predict(self, points):
        labels = ["x", "y", "t"][-points.shape[1] :] if points.shape[1] == 3 else ["x", "t"][: points.shape[1]]
        with torch.no_grad():
            return self.model(LabelTensor(torch.as_tensor(points), labels)).as_subclass(torch.Tensor).numpy()

    def on_train_batch_end(self, trainer, *_) -> None:
        if self.watch.due():
            found = {name: value.item() for name, value in getattr(self.problem, "unknown_parameters", {}).items()}
            trainer.should_stop = bool(self.watch.look(self.predict, found)) or self.watch.seconds() > self.until


def train(name: str, watch: Watch, seed: int) -> None:
    """Train until the watch says stop."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    problem, model, weighting = wake(watch.task, seed) if name == "wake" else globals()[name](watch.task)
    problem.discretise_domain(watch.task.interior, "latin" if name != "poisson" else "random", domains="D")
    if name == "advection":
        problem.discretise_domain(watch.task.boundary, "random", domains="t0")
    look = Look(watch, model, problem, ADAM * watch.limit)
    stages = [
        (TorchOptimizer(torch.optim.Adam, lr=1e-3), [look]),
        (
            TorchOptimizer(torch.optim.LBFGS, line_search_fn="strong_wolfe", history_size=100, tolerance_change=0.0),
            [look],
        ),
    ]
    if name == "wake":  # torch's L-BFGS refuses the second group of weights in which PINA keeps unknown parameters
        stages, look.until = stages[:1], float("inf")
    for optimizer, callbacks in stages:
        solver = PhysicsInformedSingleModelSolver(problem, model, optimizer=optimizer, weighting=weighting)
        trainer = Trainer(
            solver, max_epochs=10**7, accelerator="cpu", callbacks=callbacks, enable_progress_bar=False, logger=False,
            enable_checkpointing=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.train()
        look.until = float("inf")
        if watch.stopped:
            return
    watch.look(look.predict)
    watch.stopped = "L-BFGS ended"
