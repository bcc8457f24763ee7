"""PINA 0.3.2, in float64: Adam, then L-BFGS.

After its documentation, mathlab.github.io/PINA:

- tutorial 1 (`PhysicsInformedSingleModelSolver`, there by its old name `PINN`; `Trainer(solver, max_epochs=...,
  accelerator="cpu")`; latin points), tutorial 3 (wave equation: 1000 points, conditions on the faces of the domain; its hard
  constraints are given to nobody, and each condition has a tenth of the points, as for all), tutorial 7 (inverse problem:
  `InverseProblem`, `unknown_parameter_domain`, hidden layers (20, 20, 20)), the docstring of `InputEquationCondition` (data as
  `Condition(input=..., equation=...)`), tutorial 6 (`EllipsoidDomain`, `Difference`), and tutorial 9: periodicity by
  `PeriodicBoundaryEmbedding`, which the rules give to nobody, so that periodic problems are not possible here.
- `TorchOptimizer(torch.optim.Adam, lr=...)`, 1e-3 by default, then `TorchOptimizer(torch.optim.LBFGS, ...)`, with the line search
  that torch recommends and no tolerances: it ends with the time. `discretise_domain` draws anew between the two.
  `ScalarWeighting` for the weights.
- On the wake there is no L-BFGS: PINA adds the unknown parameters as a second group, and a step of torch's ends with "Expected
  exactly one param_group, but got 2". Adam has all of the time there.

Inputs are scaled by one line before its `FeedForward`.
"""

# ruff: noqa: RUF012
from __future__ import annotations

import logging
import warnings
from math import pi, sqrt
from typing import Any

import lightning
import torch
from clock import Watch, as_array
from pina import Condition, LabelTensor, Trainer
from pina.domain import CartesianDomain, Difference, EllipsoidDomain
from pina.equation import Equation, FixedValue, SystemEquation
from pina.model import FeedForward
from pina.operator import grad, laplacian
from pina.optim import TorchOptimizer
from pina.problem import InverseProblem, SpatialProblem, TimeDependentProblem
from pina.solver import PhysicsInformedSingleModelSolver
from pina.weighting import ScalarWeighting
from problems import ALL, Case, family, measurements, parameter
from settings import Settings

torch.set_default_dtype(torch.float64)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")


def in_time(low: float, high: float, equation: Any, start: Any, *more: Any) -> Any:
    """A problem on an interval with zero at its ends, and what holds at first."""

    class Evolution(TimeDependentProblem, SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [low, high]})
        temporal_domain = CartesianDomain({"t": [0, 1]})
        domains = {
            "D": CartesianDomain({"x": [low, high], "t": [0, 1]}),
            "left": CartesianDomain({"x": low, "t": [0, 1]}),
            "right": CartesianDomain({"x": high, "t": [0, 1]}),
            "t0": CartesianDomain({"x": [low, high], "t": 0}),
        }
        conditions = {
            "D": Condition(domain="D", equation=Equation(equation)),
            "left": Condition(domain="left", equation=FixedValue(0.0)),
            "right": Condition(domain="right", equation=FixedValue(0.0)),
            "t0": Condition(domain="t0", equation=SystemEquation([start, *more]) if more else Equation(start)),
        }

    return Evolution()


def heat(name: str, seed: int) -> Any:
    """u_t = D u_xx."""
    diffusivity = parameter(name)

    def equation(points: Any, u: Any) -> Any:
        return grad(u, points, d=["t"]) - diffusivity * laplacian(u, points, d=["x"])

    return in_time(0, pi, equation, lambda points, u: u - torch.sin(points.extract(["x"])))


def poisson(name: str, seed: int) -> Any:
    """u'' = -k^2 sin kx."""
    k = parameter(name)

    def equation(points: Any, u: Any) -> Any:
        return laplacian(u, points, d=["x"]) + k**2 * torch.sin(k * points.extract(["x"]))

    class Poisson(SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain({"x": [-pi, pi]})
        domains = {"D": spatial_domain, "left": CartesianDomain({"x": -pi}), "right": CartesianDomain({"x": pi})}
        conditions = {
            "D": Condition(domain="D", equation=Equation(equation)),
            "left": Condition(domain="left", equation=FixedValue(0.0)),
            "right": Condition(domain="right", equation=FixedValue(0.0)),
        }

    return Poisson()


def burgers(name: str, seed: int) -> Any:
    """u_t + u u_x = nu u_xx."""
    nu = parameter(name)

    def equation(points: Any, u: Any) -> Any:
        slopes = grad(u, points)
        return slopes.extract(["dudt"]) + u * slopes.extract(["dudx"]) - nu * laplacian(u, points, d=["x"])

    return in_time(-1, 1, equation, lambda points, u: u + torch.sin(pi * points.extract(["x"])))


def wave(name: str, seed: int) -> Any:
    """u_tt = 4 u_xx, at rest at first."""

    def equation(points: Any, u: Any) -> Any:
        return laplacian(u, points, d=["t"]) - 4 * laplacian(u, points, d=["x"])

    def start(points: Any, u: Any) -> Any:
        x = points.extract(["x"])
        return u - torch.sin(pi * x) - torch.sin(4 * pi * x) / 2

    return in_time(0, 1, equation, start, lambda points, u: grad(u, points, d=["t"]))


def momentum(component: str, slope: str, first: Any, second: Any) -> Any:
    """One component of the momentum balance: convection, pressure, friction."""

    def equation(points: Any, w: Any, unknown: Any = None) -> Any:
        d, bend = grad(w, points), laplacian(w, points, components=[component], d=["x", "y"])
        along = w.extract(["u"]) * d.extract([f"d{component}dx"]) + w.extract(["v"]) * d.extract([f"d{component}dy"])
        value = first(unknown) * along + d.extract([slope]) - second(unknown) * bend
        return value + d.extract([f"d{component}dt"]) if "t" in points.labels else value

    return equation


def mass(points: Any, w: Any) -> Any:
    """No sources."""
    d = grad(w, points)
    return d.extract(["dudx"]) + d.extract(["dvdy"])


def wake(name: str, seed: int) -> Any:
    """Navier-Stokes with two unknown coefficients."""
    measured = torch.cat([torch.as_tensor(part) for part in measurements(seed)], dim=1)

    def one(component: str) -> Any:
        made = momentum(
            component, "dpdx" if component == "u" else "dpdy", lambda w: w["lambda_1"], lambda w: w["lambda_2"]
        )
        return lambda points, w, unknown: made(points, w, unknown)

    def misfit(points: Any, w: Any) -> Any:
        return w.extract(["u", "v"]) - points.extract(["measured_u", "measured_v"])

    class NavierStokes(TimeDependentProblem, SpatialProblem, InverseProblem):
        output_variables = ["u", "v", "p"]
        spatial_domain = CartesianDomain({"x": [1, 8], "y": [-2, 2]})
        temporal_domain = CartesianDomain({"t": [0, 19.9]})
        unknown_parameter_domain = CartesianDomain({"lambda_1": [-5, 5], "lambda_2": [-5, 5]})
        domains = {"D": CartesianDomain({"x": [1, 8], "y": [-2, 2], "t": [0, 19.9]})}
        conditions = {
            "D": Condition(domain="D", equation=SystemEquation([one("u"), one("v"), mass])),
            "data": Condition(
                input=LabelTensor(measured, [*"xyt", "measured_u", "measured_v"]), equation=Equation(misfit)
            ),
        }

    problem = NavierStokes()
    for unknown in problem.unknown_parameters.values():
        unknown.data.zero_()  # all systems start from the same guess
    return problem


def kovasznay(name: str, seed: int) -> Any:
    """Navier-Stokes, stationary, with the velocity given on the boundary and the pressure in a corner."""
    re = 20
    rate = re / 2 - sqrt(re**2 / 4 + 4 * pi**2)
    along_x, along_y = (
        momentum(field, slope, lambda _: 1, lambda _: 1 / re) for field, slope in (("u", "dpdx"), ("v", "dpdy"))
    )
    balance = [lambda points, w: along_x(points, w), lambda points, w: along_y(points, w)]

    def along(points: Any, w: Any) -> Any:
        x, y = points.extract(["x"]), points.extract(["y"])
        return w.extract(["u"]) - 1 + torch.exp(rate * x) * torch.cos(2 * pi * y)

    def across(points: Any, w: Any) -> Any:
        x, y = points.extract(["x"]), points.extract(["y"])
        return w.extract(["v"]) - rate / (2 * pi) * torch.exp(rate * x) * torch.sin(2 * pi * y)

    def corner_pressure(points: Any, w: Any) -> Any:
        return w.extract(["p"]) - (1 - torch.exp(2 * rate * points.extract(["x"]))) / 2

    class Kovasznay(SpatialProblem):
        output_variables = ["u", "v", "p"]
        spatial_domain = CartesianDomain({"x": [-0.5, 1], "y": [-0.5, 1.5]})
        domains = {
            "D": spatial_domain,
            "left": CartesianDomain({"x": -0.5, "y": [-0.5, 1.5]}),
            "right": CartesianDomain({"x": 1, "y": [-0.5, 1.5]}),
            "bottom": CartesianDomain({"x": [-0.5, 1], "y": -0.5}),
            "top": CartesianDomain({"x": [-0.5, 1], "y": 1.5}),
            "corner": CartesianDomain({"x": -0.5, "y": -0.5}),
        }
        conditions = {
            "D": Condition(domain="D", equation=SystemEquation([*balance, mass])),
            **{
                s: Condition(domain=s, equation=SystemEquation([along, across]))
                for s in ("left", "right", "bottom", "top")
            },
            "corner": Condition(domain="corner", equation=Equation(corner_pressure)),
        }

    return Kovasznay()


def laplace_holes(name: str, seed: int) -> Any:
    """u_xx + u_yy = 0, 1 on the sides and 0 on the circles."""
    square = CartesianDomain({"x": [-0.5, 0.5], "y": [-0.5, 0.5]})
    boxes = [{"x": [a - 0.1, a + 0.1], "y": [b - 0.1, b + 0.1]} for a in (-0.3, 0.3) for b in (-0.3, 0.3)]
    sides = [CartesianDomain({"x": [-0.5, 0.5], "y": y}) for y in (-0.5, 0.5)]
    sides += [CartesianDomain({"x": x, "y": [-0.5, 0.5]}) for x in (-0.5, 0.5)]

    class Laplace(SpatialProblem):
        output_variables = ["u"]
        spatial_domain = square
        domains = {
            "D": Difference([square, *(EllipsoidDomain(box) for box in boxes)]),
            **{f"side{i}": side for i, side in enumerate(sides)},
            **{f"hole{i}": EllipsoidDomain(box, sample_surface=True) for i, box in enumerate(boxes)},
        }
        conditions = {
            "D": Condition(domain="D", equation=Equation(lambda points, u: laplacian(u, points, d=["x", "y"]))),
            **{f"side{i}": Condition(domain=f"side{i}", equation=FixedValue(1.0)) for i in range(4)},
            **{f"hole{i}": Condition(domain=f"hole{i}", equation=FixedValue(0.0)) for i in range(4)},
        }

    return Laplace()


def poisson_5(name: str, seed: int) -> Any:
    """The Laplacian in five dimensions; the solution on the boundary is a sum of cosines."""
    names = [f"x{i + 1}" for i in range(5)]

    def cosines(points: Any) -> Any:
        return torch.cos(pi * points.extract(names)).sum(dim=1, keepdim=True).as_subclass(torch.Tensor)

    def equation(points: Any, u: Any) -> Any:
        return laplacian(u, points, d=names) + pi**2 * cosines(points)

    cube = {key: [0, 1] for key in names}
    faces = {f"{name}_{end}": CartesianDomain(cube | {name: end}) for name in names for end in (0, 1)}

    class Poisson(SpatialProblem):
        output_variables = ["u"]
        spatial_domain = CartesianDomain(cube)
        domains = {"D": spatial_domain, **faces}
        conditions = {
            "D": Condition(domain="D", equation=Equation(equation)),
            **{
                face: Condition(domain=face, equation=Equation(lambda points, u: u - cosines(points))) for face in faces
            },
        }

    return Poisson()


class Scaled(torch.nn.Module):
    """A network whose inputs are scaled to [-1, 1]."""

    def __init__(self, case: Case, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.network = FeedForward(len(case.low), case.fields, layers=list(hidden))
        self.low, self.high = torch.tensor(case.low), torch.tensor(case.high)

    def forward(self, points: Any) -> Any:
        points = points.as_subclass(torch.Tensor)[:, : len(self.low)]  # data carry their values in more columns
        return self.network(2 * (points - self.low) / (self.high - self.low) - 1)

    def layers(self) -> list[Any]:
        linear = [part for part in self.network.modules() if isinstance(part, torch.nn.Linear)]
        return [(as_array(part.weight.detach()), as_array(part.bias.detach())) for part in linear]


class Look(lightning.pytorch.Callback):
    """Measures the error when it is due, and ends a stage of training."""

    def __init__(self, watch: Watch, model: Scaled, until: float) -> None:
        self.watch, self.model, self.until = watch, model, until

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = self.watch.step(self.model.layers) or self.watch.seconds() > self.until


def draw(problem: Any, settings: Settings) -> None:
    """Points for all domains, those of one condition shared by its faces."""
    sides = [name for name in problem.domains if name not in ("D", "t0", "corner")]
    groups = {
        "side": [s for s in sides if not s.startswith("hole")],
        "hole": [s for s in sides if s.startswith("hole")],
    }
    holes = any(name.startswith("hole") for name in problem.domains)
    problem.discretise_domain(
        settings.points, "random" if holes or len(problem.input_variables) == 1 else "latin", domains="D"
    )
    line = list(problem.domains) == ["D", "left", "right"]
    for faces in groups.values():
        for face in faces:
            each = settings.on_conditions if "t0" in problem.domains else -(-settings.on_conditions // len(faces))
            problem.discretise_domain(1 if line else each, "random", domains=face)
    if "t0" in problem.domains:
        problem.discretise_domain(settings.on_conditions, "random", domains="t0")
    if "corner" in problem.domains:
        problem.discretise_domain(1, "random", domains="corner")


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Train until the time is up."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    watch.declare()
    case = ALL[name]
    problem, model = globals()[family(name)](name, seed), Scaled(case, settings.hidden)
    weights = dict.fromkeys(problem.conditions, settings.weight) | {"D": 1.0}
    if case.fields > 1:  # a mean over three equations, and over two components, where others sum
        weights = {
            condition: weight * (3 if condition == "D" else 1 if condition == "corner" else 2)
            for condition, weight in weights.items()
        }
    adam = TorchOptimizer(torch.optim.Adam, lr=settings.rate)
    lbfgs = TorchOptimizer(
        torch.optim.LBFGS,
        line_search_fn="strong_wolfe",
        history_size=settings.memory,
        tolerance_change=0.0,
        tolerance_grad=0.0,
    )
    only_adam = name == "wake"
    optimizer, until = adam, watch.limit if only_adam else settings.share * watch.limit
    while not watch.over:
        draw(problem, settings)
        solver = PhysicsInformedSingleModelSolver(
            problem, model, optimizer=optimizer, weighting=ScalarWeighting(weights)
        )
        trainer = Trainer(
            solver,
            max_epochs=10**7,
            accelerator="cpu",
            callbacks=[Look(watch, model, until)],
            enable_progress_bar=False,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.train()
        if not only_adam:
            optimizer, until = lbfgs, float("inf")
