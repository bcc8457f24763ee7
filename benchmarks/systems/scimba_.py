"""Scimba 1.4 on JAX: its self-scaled Broyden method, its energy natural gradient, and DSGNAR.

After its documentation, www.scimba.org/docs, and the docstrings of `scimba_jax`, the one of its two packages that has all
three:

- `Projector(model, space, sampler, optimizer="SS-Broyden" | "ENG" | "DSGNAR", weights=...)`: weights 1 inside and 10 on
  boundary and first moment, `matrix_regularization=1e-6` for ENG, and `residual_sketch=2000, parameter_sketch=2000` for DSGNAR,
  clamped to the number of weights, are its defaults.
- `projector.project(key, space, n_epochs, n_colloc, n_bc_colloc, n_ic_colloc)`, 1000 points each by default; new points in
  every step is its default (`resample=True`), and `resample=False` draws them once. The line searches of SS-Broyden want the
  same points from step to step.
- A model is an `AbstractPhysicalModel` of residuals; the residuals here are written like those of
  `physical_models/temporal_pde/viscous_burgers.py`, `allen_cahn.py` (whose `PeriodicDirichletResidual` ties the ends),
  `wave_equations.py` (whose initial residual has value and velocity) and `elliptic_pde/navier_stokes_stationary.py`. Domains:
  `Segment1D`, `Square2D` with `add_hole(Disk2D(...))`, `HypercubeND`.
- `MLP(in_size, out_size, hidden_sizes, "tanh")` in an `ApproximationSpace`, whose `pre_processing` scales the inputs.
- Coefficients of a residual are constants, or parameters mu that are inputs of the network: none are trained, so the wake is
  not possible.

The weights are looked at between the compiled calls that `project` makes: one step each for ENG and DSGNAR, five for SS-Broyden
(`scan_chunk`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from clock import TimeIsUp, Watch, as_array
from problems import ALL, family, parameter
from scimba_jax.domains.meshless_domains.domains_1d import Segment1D
from scimba_jax.domains.meshless_domains.domains_2d import Disk2D, Square2D
from scimba_jax.domains.meshless_domains.domains_nd import HypercubeND
from scimba_jax.nonlinear_approximation.approximation_spaces.approximation_spaces import ApproximationSpace
from scimba_jax.nonlinear_approximation.integration.monte_carlo import DomainSampler, TensorizedSampler
from scimba_jax.nonlinear_approximation.integration.monte_carlo_time import UniformTimeSampler
from scimba_jax.nonlinear_approximation.model_class.funcparam_vectorial import ParamFieldFunction, ParamVecFunction
from scimba_jax.nonlinear_approximation.networks.mlp import MLP
from scimba_jax.nonlinear_approximation.numerical_solvers import projectors
from scimba_jax.physical_models.abstract_physical_model import AbstractPhysicalModel
from scimba_jax.physical_models.abstract_residuals import InteriorResidual
from scimba_jax.physical_models.boundary_residuals import DirichletResidual, PeriodicDirichletResidual
from scimba_jax.physical_models.data_residuals import CollocDataResidual
from scimba_jax.physical_models.initial_residuals import ProjectionResidual
from settings import Settings

warnings.filterwarnings("ignore")


class Inside(InteriorResidual):
    """An equation, as a function of the unknown function."""

    def __init__(self, equation: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.equation = equation

    def construct_residual(self, *variables: Any) -> Any:
        return self.equation(variables[0])


class Start(ProjectionResidual):
    """Value and velocity at first."""

    def construct_residual(self, *variables: Any) -> Any:
        u = variables[0]
        return ParamVecFunction.cat([u.set_t_0(0.0), u.d_t().set_t_0(0.0)])


class PeriodicTwice(PeriodicDirichletResidual):
    """The same values and slopes at both ends."""

    def construct_residual(self, *variables: Any) -> Any:
        u = variables[0]
        slope = u.gradient("x").component(0)
        return ParamVecFunction.cat([super().construct_residual(u), super().construct_residual(slope)])


class Velocity(DirichletResidual):
    """The first two components on the boundary."""

    def construct_residual(self, *variables: Any) -> Any:
        return ParamVecFunction.cat([variables[0].component(0), variables[0].component(1)])


class Pressure(CollocDataResidual):
    """The third component at a point."""

    def construct_residual(self, *variables: Any) -> Any:
        return variables[0].component(2)


class Model(AbstractPhysicalModel):
    """An equation, conditions on the boundary, and at first where there is time."""

    def __init__(
        self,
        domain: Any,
        equation: Callable[[Any], Any],
        boundary: Any = DirichletResidual,
        start: Callable[..., Any] | None = None,
        *,
        source: Any = None,
        on_boundary: dict[str, Any] | None = None,
        first: Any = ProjectionResidual,
        size: int = 1,
        sizes: int = 1,
    ) -> None:
        time = None if start is None else (0.0, 1.0)
        super().__init__(main_domain=domain, time_domain=time)
        kind = "x" if start is None else "t_x"
        self.physical_residuals = {
            domain.get_label(): Inside(
                equation, domain=domain, size=size, model_type=kind, f_rhs=source, time_domain=time
            )
        }
        self.add_on_every_boundary(boundary, model_type=kind, time_domain=time, **{"size": 1} | (on_boundary or {}))
        if start is not None:
            self.add_initial_condition(first, size=sizes, model_type=kind, f_rhs=start)


def line(low: float, high: float) -> Any:
    """An interval."""
    return Segment1D((low, high), is_main_domain=True)


def heat(name: str) -> Any:
    """u_t = D u_xx."""
    diffusivity = parameter(name)
    return Model(line(0, pi), lambda u: u.d_t() - diffusivity * u.laplacian("x"), start=jnp.sin)


def poisson(name: str) -> Any:
    """u'' = -k^2 sin kx."""
    k = parameter(name)
    return Model(line(-pi, pi), lambda u: u.laplacian("x"), source=lambda x: -(k**2) * jnp.sin(k * x))


def burgers(name: str) -> Any:
    """u_t + (u^2 / 2)_x = nu u_xx."""
    nu = parameter(name)
    equation = lambda u: u.d_t() + ((u**2) / 2.0).gradient("x") - nu * u.laplacian("x")
    return Model(line(-1, 1), equation, start=lambda x: -jnp.sin(pi * x))


def advection(name: str) -> Any:
    """u_t + beta u_x = 0, periodic."""
    beta = parameter(name)
    equation = lambda u: u.d_t() + beta * u.gradient("x")
    return Model(line(0, 2 * pi), equation, PeriodicDirichletResidual, jnp.sin, on_boundary={"x_sum": 2 * pi})


def allen_cahn(name: str) -> Any:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3, periodic."""
    equation = lambda u: u.d_t() - 1e-4 * u.laplacian("x") + 5.0 * (u**3 - u)
    start = lambda x: x**2 * jnp.cos(pi * x)
    return Model(line(-1, 1), equation, PeriodicTwice, start, on_boundary={"x_sum": 0.0, "size": 2})


def wave(name: str) -> Any:
    """u_tt = 4 u_xx, at rest at first."""
    start = lambda x: jnp.concatenate([jnp.sin(pi * x) + jnp.sin(4 * pi * x) / 2, jnp.zeros(1)])
    return Model(line(0, 1), lambda u: u.d_tt() - 4.0 * u.laplacian("x"), start=start, first=Start, sizes=2)


def kovasznay(name: str) -> Any:
    """Navier-Stokes, stationary, with the velocity given on the boundary and the pressure in a corner."""
    re = 20
    rate = re / 2 - sqrt(re**2 / 4 + 4 * pi**2)

    def equation(w: Any) -> Any:
        u, p = ParamFieldFunction.cat([w.component(0), w.component(1)], main_var="x"), w.component(2)
        bend = u.laplacian("x")
        momentum = [
            u.component(i).advection("x", u) - bend.component(i) * (1 / re) + p.partial_derivative("x", i)
            for i in range(2)
        ]
        return ParamVecFunction.cat([*momentum, u.divergence("x")])

    def inflow(x: Any, *_: Any) -> Any:
        decay, angle = jnp.exp(rate * x[0]), 2 * pi * x[1]
        return jnp.stack([1 - decay * jnp.cos(angle), rate / (2 * pi) * decay * jnp.sin(angle)])

    square = Square2D([(-0.5, 1.0), (-0.5, 1.5)], is_main_domain=True)
    model = Model(square, equation, Velocity, size=3, on_boundary={"f_rhs": inflow, "size": 2})
    corner = (jnp.array([[-0.5, -0.5]]), jnp.array([[(1 - jnp.exp(-rate)) / 2]]))
    model.add_data_residual("pressure", Pressure(size=1, model_type="x", data=corner))
    return model


def laplace_holes(name: str) -> Any:
    """u_xx + u_yy = 0, 1 on the sides and 0 on the circles."""
    square = Square2D([(-0.5, 0.5), (-0.5, 0.5)], is_main_domain=True)
    for i, center in enumerate([(0.3, 0.3), (-0.3, 0.3), (-0.3, -0.3), (0.3, -0.3)]):
        square.add_hole(Disk2D(center, 0.1, label_str="hole", label_idx=i))
    given = lambda x, *_: jnp.where(jnp.abs(x).max() > 0.45, 1.0, 0.0)[None]
    return Model(square, lambda u: u.laplacian("x"), on_boundary={"f_rhs": given})


def poisson_5(name: str) -> Any:
    """The Laplacian in five dimensions; the solution on the boundary is a sum of cosines."""
    cube, cosines = HypercubeND([(0.0, 1.0)] * 5, is_main_domain=True), lambda x: jnp.cos(pi * x).sum()[None]
    return Model(
        cube,
        lambda u: u.laplacian("x"),
        source=lambda x: -(pi**2) * cosines(x),
        on_boundary={"f_rhs": lambda x, *_: cosines(x)},
    )


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Train until the time is up."""
    watch.declare()
    case, model, key = ALL[name], globals()[family(name)](name), jax.random.PRNGKey(seed)
    timed = bool(model.time_domain)
    order = [len(case.low) - 1, *range(len(case.low) - 1)] if timed else list(range(len(case.low)))
    low, high = (jnp.array(ends)[jnp.array(order)] for ends in (case.low, case.high))
    scale = lambda *inputs: (2 * (jnp.concatenate(inputs, axis=-1) - low) / (high - low) - 1,)
    net = MLP(len(case.low), case.fields, list(settings.hidden), "tanh", key=key)
    kind = ("scalar", None) if case.fields == 1 else ("vec", case.fields)
    space = ApproximationSpace(
        {"x": len(case.low) - timed}, [(net, *kind)], "t_x" if timed else "x", pre_processing=scale
    )
    samplers = [UniformTimeSampler(model.time_domain)] if timed else []
    sampler = TensorizedSampler(
        [*samplers, DomainSampler(model.main_domain)], "t_x" if timed else "x", data_samplers=model.data_residuals
    )
    inside = model.main_domain.get_label()
    terms = model.physical_residuals | model.data_residuals
    weights = {label: [1.0 if label == inside else settings.weight] * term.size for label, term in terms.items()}
    special = {"ENG": {"matrix_regularization": settings.damping}, "DSGNAR": {"seed": seed}}.get(method, {})
    projector = projectors.Projector(model, space, sampler, method, weights=weights, **special)
    conditions = (2 if timed or name == "laplace_holes" else 1) * settings.on_conditions
    original = projectors._scan_train

    def layers(space: Any) -> list[Any]:
        found = [(as_array(layer.weight), as_array(layer.bias)) for layer in space.models[0].layers]
        weights, biases = found[0]
        return [(weights[:, [order.index(k) for k in range(len(order))]], biases), *found[1:]]

    def observed(*arguments: Any, **options: Any) -> Any:
        done = original(*arguments, **options)
        now = jax.block_until_ready(done[-1])
        if watch.step(lambda: layers(now)):
            raise TimeIsUp
        return done

    projectors._scan_train = observed  # the one place from which each call can be seen
    try:
        while not watch.over:
            key, projector = projector.project(
                key,
                projector.space,
                settings.redraw if settings.redraw > 1 else 10**6,
                settings.points,
                conditions,
                settings.on_conditions,
                max(1, len(model.data_residuals)),
                verbose=True,
                scan_chunk=5 if method == "SS-Broyden" else 1,
                resample=settings.redraw == 1,
            )
    finally:
        projectors._scan_train = original
