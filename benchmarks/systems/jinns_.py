"""jinns 1.10.2: its self-scaled Broyden method with zoom line search, and its natural gradient with ridge regularization.

After its documentation, mia_jinns.gitlab.io/jinns, and the docstrings of the release:

- `jinns.optimizers.scale_by_SSBroyden_family(method="SSBroyden")`, with the line search that it has by default; what it needs
  of `solve` goes through `extra_optax_args_and_kwargs` and `GetJinnsVariableName`. It wants the same loss in each step, so all
  points are in each batch.
- `jinns.optimizers.vanilla_ngd(gram_reg=...)`, 1e-5 by default; unknown coefficients are left to an optimizer of their own
  (`eq_params_tx`).
- `jinns.nn.PINN_MLP.create(eqx_list=...)`, whose `input_transform` scales the inputs; `LossPDEStatio`, `LossPDENonStatio` with
  several dynamic losses where there are two (the velocity at first of the wave); `BoundaryConditionAbstract` for what ties or
  gives values on faces; `CubicMeshPDEStatio`, `CubicMeshPDENonStatio` with uniform points; `DataGeneratorObservations` for
  measured velocities, for the pressure in a corner, and for the values on the border of a cube of five dimensions, which the
  generators do not draw ("Generation of the border of a cube in dimension > 2 is not implemented yet"). `laplacian_rev` and
  `vectorial_laplacian_rev` as in its notebook `heat_equation_ngd.ipynb` and its own `NavierStokesMassConservation2DStatio`.
- Setting 1: 1000 points, as its notebooks have them or fewer, a tenth on each condition, as for all. The velocity at first of the
  wave is asked for at the points inside, at time 0: a dynamic loss has no points of its own.
- What it has no domain for: holes. Its generators draw in intervals and boxes; another shape is a generator of one's own.

In its coordinates time comes first. Where `solve` ends by itself (a weight is no number) it is called again, with the last
weights and new points.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns
import numpy as np
import optax
from clock import Watch, as_array
from jinns.data import CubicMeshPDENonStatio, CubicMeshPDEStatio, DataGeneratorObservations
from jinns.loss import (
    BoundaryConditionAbstract,
    Dirichlet,
    LossPDENonStatio,
    LossPDEStatio,
    LossWeightsPDENonStatio,
    LossWeightsPDEStatio,
    PDENonStatio,
    PDEStatio,
    laplacian_rev,
    vectorial_laplacian_rev,
)
from jinns.parameters import DerivativeKeysPDENonStatio, Params
from jinns.solver import GetJinnsVariableName
from jinns.validation import AbstractValidationModule
from problems import ALL, Case, family, measurements, parameter
from settings import Settings

jax.config.update("jax_enable_x64", True)
Made = tuple[Any, dict[str, Any], Any]  # options of the loss, unknowns, observations or how they are drawn


def slopes(u: Any, t_x: Any, params: Any) -> tuple[Any, Any, Any, Any]:
    """u, u_t, u_x and u_xx of one field at a point (t, x)."""
    value = lambda t_x: u(t_x, params).squeeze()
    u_t, u_x = jax.grad(value)(t_x)
    return value(t_x), u_t, u_x, laplacian_rev(t_x, u, params, eq_type="PDENonStatio")


def bent(point: Any, w: Any, params: Any, kind: Any) -> Any:
    """The Laplacians of both velocities."""
    return vectorial_laplacian_rev(point, lambda point, params: w(point, params)[:2], params, dim_out=2, eq_type=kind)


class Periodic(BoundaryConditionAbstract):
    """The same values on both ends, and the same slopes where asked for."""

    order: int = 0

    def equation_u(self, inputs: Any, u: Any, params: Any) -> Any:
        left, right = inputs[..., 0], inputs[..., 1]
        found = (u(left, params) - u(right, params),)
        if self.order:
            slope = lambda t_x: jax.jacfwd(lambda t_x: u(t_x, params))(t_x)[:, 1]
            found += (slope(left) - slope(right),)
        return found

    def equation_f(self, inputs: Any, params: Any, gridify: bool = False) -> Any:
        return (jnp.zeros((1,)),) * (1 + self.order)


def heat(name: str, seed: int) -> Made:
    """u_t = D u_xx."""
    diffusivity = parameter(name)

    class Heat(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            _, u_t, _, u_xx = slopes(u, t_x, params)
            return (u_t - diffusivity * u_xx)[None]

    return {"dynamic_loss": Heat(), "boundary_condition": Dirichlet(), "initial_condition_fun": jnp.sin}, {}, None


def poisson(name: str, seed: int) -> Made:
    """u'' = -k^2 sin kx."""
    k = parameter(name)

    class Poisson(PDEStatio):
        def equation(self, x: Any, u: Any, params: Any) -> Any:
            return laplacian_rev(x, u, params, eq_type="PDEStatio")[None] + k**2 * jnp.sin(k * x)

    return {"dynamic_loss": Poisson(), "boundary_condition": Dirichlet()}, {}, None


def burgers(name: str, seed: int) -> Made:
    """u_t + u u_x = nu u_xx."""
    nu = parameter(name)

    class Burgers(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            value, u_t, u_x, u_xx = slopes(u, t_x, params)
            return (u_t + value * u_x - nu * u_xx)[None]

    start = lambda x: -jnp.sin(pi * x)
    return {"dynamic_loss": Burgers(), "boundary_condition": Dirichlet(), "initial_condition_fun": start}, {}, None


def advection(name: str, seed: int) -> Made:
    """u_t + beta u_x = 0, periodic."""
    beta = parameter(name)

    class Advection(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            u_t, u_x = jax.grad(lambda t_x: u(t_x, params).squeeze())(t_x)
            return (u_t + beta * u_x)[None]

    return {"dynamic_loss": Advection(), "boundary_condition": Periodic(), "initial_condition_fun": jnp.sin}, {}, None


def wake(name: str, seed: int) -> Made:
    """Navier-Stokes with two unknown coefficients."""
    points, velocity = measurements(seed)

    class NavierStokes(PDENonStatio):
        def equation(self, t_xy: Any, w: Any, params: Any) -> Any:
            field = lambda t_xy: w(t_xy, params)
            (u, v, _), d, bends = field(t_xy), jax.jacfwd(field)(t_xy), bent(t_xy, w, params, "PDENonStatio")
            (u_t, u_x, u_y), (v_t, v_x, v_y), (_, p_x, p_y) = d
            first, second = params.eq_params.lambda_1, params.eq_params.lambda_2
            along = u_t + first * (u * u_x + v * u_y) + p_x - second * bends[0]
            across = v_t + first * (u * v_x + v * v_y) + p_y - second * bends[1]
            return jnp.stack([along, across, u_x + v_y])

    unknowns = {"lambda_1": jnp.array(0.0), "lambda_2": jnp.array(0.0)}
    observed = (jnp.asarray(points[:, [2, 0, 1]]), jnp.asarray(velocity))
    return {"dynamic_loss": NavierStokes(), "obs_slice": jnp.s_[0:2]}, unknowns, observed


def allen_cahn(name: str, seed: int) -> Made:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3, periodic."""

    class AllenCahn(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            value, u_t, _, u_xx = slopes(u, t_x, params)
            return (u_t - 1e-4 * u_xx - 5 * value + 5 * value**3)[None]

    start = lambda x: x**2 * jnp.cos(pi * x)
    return (
        {"dynamic_loss": AllenCahn(), "boundary_condition": Periodic(order=1), "initial_condition_fun": start},
        {},
        None,
    )


def wave(name: str, seed: int) -> Made:
    """u_tt = 4 u_xx, at rest at first."""

    class Wave(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            bend = jax.hessian(lambda t_x: u(t_x, params).squeeze())(t_x)
            return (bend[0, 0] - 4 * bend[1, 1])[None]

    class Rest(PDENonStatio):
        def equation(self, t_x: Any, u: Any, params: Any) -> Any:
            return jax.grad(lambda t_x: u(t_x, params).squeeze())(t_x.at[0].set(0.0))[:1]

    start = lambda x: jnp.sin(pi * x) + jnp.sin(4 * pi * x) / 2
    return (
        {"dynamic_loss": (Wave(), Rest()), "boundary_condition": Dirichlet(), "initial_condition_fun": start},
        {},
        None,
    )


def kovasznay(name: str, seed: int) -> Made:
    """Navier-Stokes, stationary, with the velocity given on the boundary and the pressure in a corner."""
    re = 20
    rate = re / 2 - sqrt(re**2 / 4 + 4 * pi**2)

    class NavierStokes(PDEStatio):
        def equation(self, xy: Any, w: Any, params: Any) -> Any:
            field = lambda xy: w(xy, params)
            (u, v, _), d, bends = field(xy), jax.jacfwd(field)(xy), bent(xy, w, params, "PDEStatio")
            (u_x, u_y), (v_x, v_y), (p_x, p_y) = d
            along = u * u_x + v * u_y + p_x - bends[0] / re
            return jnp.stack([along, u * v_x + v * v_y + p_y - bends[1] / re, u_x + v_y])

    class Inflow(BoundaryConditionAbstract):
        def equation_u(self, inputs: Any, w: Any, params: Any) -> Any:
            return tuple(w(inputs[:, k], params)[:2] for k in range(4))

        def equation_f(self, inputs: Any, params: Any, gridify: bool = False) -> Any:
            y, decay = inputs[1], jnp.exp(rate * inputs[0])
            u, v = 1 - decay * jnp.cos(2 * pi * y), rate / (2 * pi) * decay * jnp.sin(2 * pi * y)
            return tuple(jnp.stack([u[k], v[k]]) for k in range(4))

    corner = (jnp.array([[-0.5, -0.5]]), jnp.array([[(1 - np.exp(-rate)) / 2]]))
    return {"dynamic_loss": NavierStokes(), "boundary_condition": Inflow(), "obs_slice": jnp.s_[2:3]}, {}, corner


def poisson_5(name: str, seed: int) -> Made:
    """The Laplacian in five dimensions; the solution on the boundary is a sum of cosines."""

    class Poisson(PDEStatio):
        def equation(self, x: Any, u: Any, params: Any) -> Any:
            return laplacian_rev(x, u, params, eq_type="PDEStatio")[None] + pi**2 * jnp.cos(pi * x).sum()

    def on_faces(count: int, key: Any) -> tuple[Any, Any]:
        inside, axis, end = jax.random.split(key, 3)
        where = jnp.arange(count), jax.random.randint(axis, (count,), 0, 5)
        points = jax.random.uniform(inside, (count, 5)).at[where].set(jax.random.randint(end, (count,), 0, 2))
        return points, jnp.cos(pi * points).sum(axis=1, keepdims=True)

    return {"dynamic_loss": Poisson()}, {}, on_faces


class Look(AbstractValidationModule):
    """Hands the weights to the watch inside of jinns' compiled loop."""

    answer: Callable[..., np.ndarray] = eqx.field(static=True)
    call_every: int = eqx.field(static=True, kw_only=True)

    def __call__(self, params: Any) -> Any:
        leaves = jax.tree.leaves(params.nn_params)
        stop = jax.experimental.io_callback(self.answer, jax.ShapeDtypeStruct((), bool), *leaves)
        return self, stop, jnp.array(0.0), False


def layers_of(case: Case, leaves: Any, timed: bool) -> list[Any]:
    """Weights and biases in turn, with the column of time at the end."""
    arrays = [as_array(leaf) for leaf in leaves]
    if timed:
        arrays[0] = np.roll(arrays[0], -1, axis=1)
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Train until the time is up."""
    watch.declare()
    case, weight = ALL[name], settings.weight
    options, unknowns, observed = globals()[family(name)](name, seed)
    timed = name not in ("kovasznay", "poisson_5") and len(case.low) > 1
    order = [len(case.low) - 1, *range(len(case.low) - 1)] if timed else list(range(len(case.low)))
    low, high = jnp.array(case.low)[jnp.array(order)], jnp.array(case.high)[jnp.array(order)]
    widths, stack = (len(case.low), *settings.hidden), list[Any]()
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        stack += [(eqx.nn.Linear, n_in, n_out), (jax.nn.tanh,)]
    stack.append((eqx.nn.Linear, widths[-1], case.fields))
    key = jax.random.PRNGKey(seed)
    u, weights = jinns.nn.PINN_MLP.create(
        key=key,
        eqx_list=tuple(stack),
        eq_type="PDENonStatio" if timed else "PDEStatio",
        input_transform=lambda inputs, params: 2 * (inputs - low) / (high - low) - 1,
    )
    params = Params(nn_params=weights, eq_params=unknowns)
    several = isinstance(options["dynamic_loss"], tuple)
    given: dict[str, Any] = {"dyn_loss": (1.0, weight) if several else 1.0}
    given |= {"boundary_loss": weight} if "boundary_condition" in options else {}
    given |= {"observations": weight} if observed is not None else {}
    given |= {"initial_condition": weight} if "initial_condition_fun" in options else {}
    if unknowns:
        options["derivative_keys"] = DerivativeKeysPDENonStatio.from_str(
            dyn_loss="both", observations="both", params=params
        )
    kind, kind_of_weights = (
        (LossPDENonStatio, LossWeightsPDENonStatio) if timed else (LossPDEStatio, LossWeightsPDEStatio)
    )
    loss: Any = kind(u=u, params=params, loss_weights=kind_of_weights(**given), **options)

    def answer(*leaves: Any) -> np.ndarray:
        return np.array(watch.step(lambda: layers_of(case, leaves, timed)))

    call_every, extra = 1, None
    if method == "natural gradient":
        rates = dict.fromkeys(unknowns, optax.adam(1e-2)) if unknowns else None
        optimizer = jinns.optimizers.vanilla_ngd(gram_reg=settings.damping, eq_params_tx=rates)
    else:
        optimizer, call_every, extra = jinns.optimizers.scale_by_SSBroyden_family(), 5, of_the_loop()
    while not watch.over:
        key, of_data = jax.random.split(key)
        data = points_of(name, case, settings, of_data, timed, "boundary_condition" in options)
        pairs = observed(settings.on_conditions, key) if callable(observed) else observed
        seen = (
            None
            if pairs is None
            else DataGeneratorObservations(
                key=of_data, obs_batch_size=None, observed_pinn_in=pairs[0], observed_values=pairs[1]
            )
        )
        params = jinns.solve(
            n_iter=1_000_000,
            init_params=params,
            data=data,
            loss=loss,
            optimizer=optimizer,
            obs_data=seen,
            verbose=False,
            key=of_data,
            validation=Look(answer, call_every=call_every),
            extra_optax_args_and_kwargs=extra,
        )[0]


def points_of(name: str, case: Case, settings: Settings, key: Any, timed: bool, bounded: bool) -> Any:
    """Uniform points of the box, of its faces, and of the first moment."""
    dim = len(case.low) - timed
    low, high = (tuple(map(float, ends[:dim])) for ends in (case.low, case.high))
    faces = 2 * dim * -(-settings.on_conditions // (1 if dim == 1 else 2 * dim)) if bounded else None
    common: dict[str, Any] = {
        "key": key,
        "n": settings.points,
        "nb": faces,
        "dim": dim,
        "min_pts": low,
        "max_pts": high,
        "method": "uniform",
    }
    if not timed:
        return CubicMeshPDEStatio(**common)
    return CubicMeshPDENonStatio(
        **common,
        ni=None if name == "wake" else settings.on_conditions,
        tmin=float(case.low[-1]),
        tmax=float(case.high[-1]),
    )


def of_the_loop() -> dict[str, Any]:
    """What the self-scaled methods ask of `solve`, as its documentation shows it; so are the names that it asks for."""

    def callback_value(params: Any, batch: Any, loss: Any) -> Any:
        return loss.evaluate(params, batch)[0]

    def callback_gradient(params: Any, batch: Any, loss: Any) -> Any:
        return loss.ponderate_and_sum_gradient(loss.values_and_grads(params, batch)[1])

    return {
        "value": GetJinnsVariableName("train_loss_value"),
        "grad_pt": GetJinnsVariableName("grads"),
        "value_fn": callback_value,
        "grad_fn": callback_gradient,
        "batch": GetJinnsVariableName("batch"),
        "loss": GetJinnsVariableName("loss"),
    }
