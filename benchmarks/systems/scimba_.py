"""Scimba 1.4 on JAX: its self-scaled Broyden method, its energy natural gradient, and DSGNAR.

After its documentation, www.scimba.org/docs, and the docstrings of `scimba_jax`, the one of its two packages that has all
three:

- `Projector(model, space, sampler, optimizer="SS-Broyden" | "ENG" | "DSGNAR", weights=...)`: weights 1 inside and 10 on
  boundary and first moment, `matrix_regularization=1e-6` for ENG, and `residual_sketch=2000, parameter_sketch=2000` for DSGNAR,
  clamped to the number of weights, are its defaults. DSGNAR's `batch_size`, 1024 by default, has to divide the number of points
  where these are more: it is 1000 here.
- `projector.project(key, space, n_epochs, n_colloc, n_bc_colloc, n_ic_colloc)`, 1000 points each by default (here a tenth on each
  end and at first, as for all; its default weight of data is 1, here that of the conditions); new points in every step is its
  default (`resample=True`), and `resample=False` draws them once. SS-Broyden begins with the latter, which is ours: it compares
  gradients of two steps.
- A model is an `AbstractPhysicalModel` of residuals; the residuals here are written like those of
  `physical_models/temporal_pde/viscous_burgers.py`, `allen_cahn.py` (whose `PeriodicDirichletResidual` ties the ends),
  `wave_equations.py` (whose initial residual has value and velocity) and `elliptic_pde/navier_stokes_stationary.py`. Domains:
  `Segment1D`, `Square2D` with `add_hole(Disk2D(...))`, `HypercubeND`.
- `MLP(in_size, out_size, hidden_sizes, "tanh")` in an `ApproximationSpace`, whose `pre_processing` scales the inputs.
- An unknown coefficient is a `ScalarParam`, "an extra variable of an `ApproximationSpace` for a physical parameter to identify
  from data (inverse problem): `vars[1]` in the residual" (its docstring); measured velocities are a `CollocDataResidual`.

The weights are looked at between the compiled calls that `project` makes: one step each for ENG and DSGNAR, five for SS-Broyden
(`scan_chunk`, 20 by default). Judged are those that it would give back: of the smallest loss since it was called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from clock import TimeIsUp, Watch, as_array
from problems import ALL, family, measurements, parameter
from scimba_jax.domains.meshless_domains.domains_1d import Segment1D
from scimba_jax.domains.meshless_domains.domains_2d import Disk2D, Square2D
from scimba_jax.domains.meshless_domains.domains_nd import HypercubeND
from scimba_jax.nonlinear_approximation.approximation_spaces.approximation_spaces import ApproximationSpace
from scimba_jax.nonlinear_approximation.integration.monte_carlo import DomainSampler, TensorizedSampler
from scimba_jax.nonlinear_approximation.integration.monte_carlo_time import UniformTimeSampler
from scimba_jax.nonlinear_approximation.model_class.funcparam_vectorial import ParamFieldFunction, ParamVecFunction
from scimba_jax.nonlinear_approximation.networks.mlp import MLP
from scimba_jax.nonlinear_approximation.networks.scalar_param import ScalarParam
from scimba_jax.nonlinear_approximation.numerical_solvers import projectors
from scimba_jax.physical_models.abstract_physical_model import AbstractPhysicalModel
from scimba_jax.physical_models.abstract_residuals import InteriorResidual
from scimba_jax.physical_models.boundary_residuals import DirichletResidual, PeriodicDirichletResidual
from scimba_jax.physical_models.data_residuals import CollocDataResidual
from scimba_jax.physical_models.initial_residuals import ProjectionResidual
from settings import Settings

warnings.filterwarnings("ignore")


class Inside(InteriorResidual):
    """An equation, as a function of the unknown function, and of unknown coefficients where there are any."""

    def __init__(self, equation: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self.equation = equation

    def construct_residual(self, *variables: Any) -> Any:
        return self.equation(*variables)


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


class Measured(CollocDataResidual):
    """The first two components where they were measured."""

    def construct_residual(self, *variables: Any) -> Any:
        return ParamVecFunction.cat([variables[0].component(0), variables[0].component(1)])


class Pressure(CollocDataResidual):
    """The third component at a point."""

    def construct_residual(self, *variables: Any) -> Any:
        return variables[0].component(2)


class Model(AbstractPhysicalModel):
    """An equation, conditions on the boundary, and at first where there are any."""

    def __init__(
        self,
        domain: Any,
        equation: Callable[..., Any],
        boundary: Any = DirichletResidual,
        start: Callable[..., Any] | None = None,
        *,
        source: Any = None,
        on_boundary: dict[str, Any] | None = None,
        first: Any = ProjectionResidual,
        size: int = 1,
        sizes: int = 1,
        time: tuple[float, float] | None = None,
    ) -> None:
        time = (0.0, 1.0) if start is not None else time
        super().__init__(main_domain=domain, time_domain=time)
        kind = "x" if time is None else "t_x"
        self.physical_residuals = {
            domain.get_label(): Inside(
                equation, domain=domain, size=size, model_type=kind, f_rhs=source, time_domain=time
            )
        }
        if boundary is not None:
            self.add_on_every_boundary(boundary, model_type=kind, time_domain=time, **{"size": 1} | (on_boundary or {}))
        if start is not None:
            self.add_initial_condition(first, size=sizes, model_type=kind, f_rhs=start)


def line(low: float, high: float) -> Any:
    """An interval."""
    return Segment1D((low, high), is_main_domain=True)


def heat(name: str, seed: int) -> Any:
    """u_t = D u_xx."""
    diffusivity = parameter(name)
    return Model(line(0, pi), lambda u: u.d_t() - diffusivity * u.laplacian("x"), start=jnp.sin)


def poisson(name: str, seed: int) -> Any:
    """u'' = -k^2 sin kx."""
    k = parameter(name)
    return Model(line(-pi, pi), lambda u: u.laplacian("x"), source=lambda x: -(k**2) * jnp.sin(k * x))


def burgers(name: str, seed: int) -> Any:
    """u_t + (u^2 / 2)_x = nu u_xx."""
    nu = parameter(name)
    equation = lambda u: u.d_t() + ((u**2) / 2.0).gradient("x") - nu * u.laplacian("x")
    return Model(line(-1, 1), equation, start=lambda x: -jnp.sin(pi * x))


def advection(name: str, seed: int) -> Any:
    """u_t + beta u_x = 0, periodic."""
    beta = parameter(name)
    equation = lambda u: u.d_t() + beta * u.gradient("x")
    return Model(line(0, 2 * pi), equation, PeriodicDirichletResidual, jnp.sin, on_boundary={"x_sum": 2 * pi})


def wake(name: str, seed: int) -> Any:
    """Navier-Stokes with two unknown coefficients."""
    where, velocity = measurements(seed)

    def equation(w: Any, convection: Any, friction: Any) -> Any:
        u, p = ParamFieldFunction.cat([w.component(0), w.component(1)], main_var="x"), w.component(2)
        bend = u.laplacian("x")
        momentum = [
            w.component(i).d_t()
            + convection * u.component(i).advection("x", u)
            + p.partial_derivative("x", i)
            - friction * bend.component(i)
            for i in range(2)
        ]
        return ParamVecFunction.cat([*momentum, u.divergence("x")])

    domain = Square2D([(1.0, 8.0), (-2.0, 2.0)], is_main_domain=True)
    model = Model(domain, equation, None, size=3, time=(0.0, 19.9))
    data = (jnp.asarray(where[:, 2:]), jnp.asarray(where[:, :2]), jnp.asarray(velocity))
    model.add_data_residual("velocity", Measured(size=2, model_type="t_x", data=data))
    return model


def allen_cahn(name: str, seed: int) -> Any:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3, periodic."""
    equation = lambda u: u.d_t() - 1e-4 * u.laplacian("x") + 5.0 * (u**3 - u)
    start = lambda x: x**2 * jnp.cos(pi * x)
    return Model(line(-1, 1), equation, PeriodicTwice, start, on_boundary={"x_sum": 0.0, "size": 2})


def wave(name: str, seed: int) -> Any:
    """u_tt = 4 u_xx, at rest at first."""
    start = lambda x: jnp.concatenate([jnp.sin(pi * x) + jnp.sin(4 * pi * x) / 2, jnp.zeros(1)])
    return Model(line(0, 1), lambda u: u.d_tt() - 4.0 * u.laplacian("x"), start=start, first=Start, sizes=2)


def kovasznay(name: str, seed: int) -> Any:
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


def laplace_holes(name: str, seed: int) -> Any:
    """u_xx + u_yy = 0, 1 on the sides and 0 on the circles."""
    square = Square2D([(-0.5, 0.5), (-0.5, 0.5)], is_main_domain=True)
    for i, center in enumerate([(0.3, 0.3), (-0.3, 0.3), (-0.3, -0.3), (0.3, -0.3)]):
        square.add_hole(Disk2D(center, 0.1, label_str="hole", label_idx=i))
    given = lambda x, *_: jnp.where(jnp.abs(x).max() > 0.45, 1.0, 0.0)[None]
    return Model(square, lambda u: u.laplacian("x"), on_boundary={"f_rhs": given})


def poisson_5(name: str, seed: int) -> Any:
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
    case, model, key = ALL[name], globals()[family(name)](name, seed), jax.random.PRNGKey(seed)
    timed = bool(model.time_domain)
    order = [len(case.low) - 1, *range(len(case.low) - 1)] if timed else list(range(len(case.low)))
    low, high = (jnp.array(ends)[jnp.array(order)] for ends in (case.low, case.high))
    scale = lambda *inputs: (2 * (jnp.concatenate(inputs, axis=-1) - low) / (high - low) - 1,)
    net = MLP(len(case.low), case.fields, list(settings.hidden), "tanh", key=key)
    kind = ("scalar", None) if case.fields == 1 else ("vec", case.fields)
    unknowns = [(ScalarParam(0.0), "scalar", None) for _ in range(2 if name == "wake" else 0)]
    space = ApproximationSpace(
        {"x": len(case.low) - timed}, [(net, *kind), *unknowns], "t_x" if timed else "x", pre_processing=scale
    )
    samplers = [UniformTimeSampler(model.time_domain)] if timed else []
    limited = len(model.physical_residuals) > 1
    sampler = TensorizedSampler(
        [*samplers, DomainSampler(model.main_domain)],
        "t_x" if timed else "x",
        bc=limited,
        ic=limited,
        data_samplers=model.data_residuals,
    )
    inside = model.main_domain.get_label()
    terms = model.physical_residuals | model.data_residuals
    weights = {label: [1.0 if label == inside else settings.weight] * term.size for label, term in terms.items()}
    special = {"ENG": {"matrix_regularization": settings.damping}, "DSGNAR": {"seed": seed, "batch_size": 1000}}
    projector = projectors.Projector(model, space, sampler, method, weights=weights, **special.get(method, {}))
    conditions = (2 if timed or name == "laplace_holes" else 1) * settings.on_conditions
    original, best = projectors._scan_train, list[Any]()  # the smallest loss of a call of `project`, and its space

    def layers(space: Any) -> list[Any]:
        found = [(as_array(layer.weight), as_array(layer.bias)) for layer in space.models[0].layers]
        weights, biases = found[0]
        return [(weights[:, [order.index(k) for k in range(len(order))]], biases), *found[1:]]

    def observed(*arguments: Any, **options: Any) -> Any:
        done = original(*arguments, **options)
        jax.block_until_ready(done[-1])
        if done[3]["total"] < best[0]:
            best[:] = done[3]["total"], done[1]
        if watch.step(lambda: layers(best[1])):
            raise TimeIsUp
        return done

    projectors._scan_train = observed  # the one place from which each call can be seen
    try:
        while not watch.over:
            best[:] = jnp.inf, projector.space
            key, projector = projector.project(
                key,
                projector.space,
                settings.redraw if settings.redraw > 1 else 10**6,
                settings.points,
                conditions,
                settings.on_conditions,
                sum(len(term.data_vals[0]) for term in model.data_residuals.values()) or 1,
                verbose=True,
                scan_chunk=5 if method == "SS-Broyden" else 1,
                resample=settings.redraw == 1,
            )
    finally:
        projectors._scan_train = original
