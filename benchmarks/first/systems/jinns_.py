"""jinns 1.10: its natural gradient, and its self-scaled Broyden with zoom line search.

After its notebooks "Heat equation with NGD" and "Burgers", its test of the self-scaled methods, and its
documentation of `vanilla_ngd` and `self_scaled_bfgs_or_broyden`. Hard conditions go through `output_transform`.
"""

from __future__ import annotations

from math import pi

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns
import optax
from jinns.data import CubicMeshPDENonStatio, CubicMeshPDEStatio, DataGeneratorObservations
from jinns.loss import (
    BoundaryConditionAbstract,
    LossPDENonStatio,
    LossPDEStatio,
    LossWeightsPDENonStatio,
    LossWeightsPDEStatio,
    PDENonStatio,
    PDEStatio,
)
from jinns.parameters import Params
from jinns.solver import GetJinnsVariableName
from jinns.validation import AbstractValidationModule

from first.problems import BETA, NU, K, Task, measurements
from first.watch import Watch

jax.config.update("jax_enable_x64", True)


def network(key, kind: str, inputs: int, hidden: tuple[int, ...], outputs: int, **transforms):
    """A fully connected tanh network, and its first weights."""
    widths, layers = (inputs, *hidden), []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        layers += [(eqx.nn.Linear, n_in, n_out), (jax.nn.tanh,)]
    layers.append((eqx.nn.Linear, widths[-1], outputs))
    return jinns.nn.PINN_MLP.create(key=key, eqx_list=tuple(layers), eq_type=kind, **transforms)


def heat(key, task: Task):
    """u_t = u_xx; start and ends built in."""

    class Heat(PDENonStatio):
        def equation(self, t_x, u, params):
            value = lambda t_x: u(t_x, params).squeeze()
            u_t = jax.grad(value)(t_x)[0]
            u_xx = jax.hessian(value)(t_x)[1, 1]
            return (u_t - u_xx)[None]

    def hard(t_x, out, params):
        t, x = t_x[0:1], t_x[1:2]
        return jnp.sin(x) + t * x * (pi - x) * out

    u, weights = network(key, "PDENonStatio", 2, (20, 20), 1, output_transform=hard)
    params = Params(nn_params=weights, eq_params={})
    loss = LossPDENonStatio(u=u, dynamic_loss=Heat(), loss_weights=LossWeightsPDENonStatio(dyn_loss=1.0), params=params)
    data = CubicMeshPDENonStatio(
        key=key,
        n=task.interior,
        nb=None,
        ni=None,
        dim=1,
        min_pts=(0.0,),
        max_pts=(pi,),
        tmin=0.0,
        tmax=1.0,
        method="uniform",
    )
    return u, params, loss, data, None


def poisson(key, task: Task):
    """u'' = -k^2 sin kx; ends built in."""

    class Poisson(PDEStatio):
        def equation(self, x, u, params):
            u_xx = jax.hessian(lambda x: u(x, params).squeeze())(x)[0, 0]
            return u_xx[None] + K**2 * jnp.sin(K * x)

    def hard(x, out, params):
        return (pi**2 - x**2) * out

    u, weights = network(key, "PDEStatio", 1, (20, 20, 20), 1, output_transform=hard)
    params = Params(nn_params=weights, eq_params={})
    loss = LossPDEStatio(u=u, dynamic_loss=Poisson(), loss_weights=LossWeightsPDEStatio(dyn_loss=1.0), params=params)
    data = CubicMeshPDEStatio(key=key, n=task.interior, nb=None, dim=1, min_pts=(-pi,), max_pts=(pi,), method="uniform")
    return u, params, loss, data, None


def burgers(key, task: Task):
    """u_t + u u_x = nu u_xx; start and ends built in."""

    class Burgers(PDENonStatio):
        def equation(self, t_x, u, params):
            value = lambda t_x: u(t_x, params).squeeze()
            (u_t, u_x), u_xx = jax.grad(value)(t_x), jax.hessian(value)(t_x)[1, 1]
            return (u_t + value(t_x) * u_x - NU * u_xx)[None]

    def hard(t_x, out, params):
        t, x = t_x[0:1], t_x[1:2]
        return -jnp.sin(pi * x) + t * (1 - x**2) * out

    u, weights = network(key, "PDENonStatio", 2, (24, 24, 24), 1, output_transform=hard)
    params = Params(nn_params=weights, eq_params={})
    loss = LossPDENonStatio(
        u=u, dynamic_loss=Burgers(), loss_weights=LossWeightsPDENonStatio(dyn_loss=1.0), params=params
    )
    data = CubicMeshPDENonStatio(
        key=key,
        n=task.interior,
        nb=None,
        ni=None,
        dim=1,
        min_pts=(-1.0,),
        max_pts=(1.0,),
        tmin=0.0,
        tmax=1.0,
        method="uniform",
    )
    return u, params, loss, data, None


def advection(key, task: Task):
    """u_t + beta u_x = 0, periodic."""

    class Advection(PDENonStatio):
        def equation(self, t_x, u, params):
            u_t, u_x = jax.grad(lambda t_x: u(t_x, params).squeeze())(t_x)
            return (u_t + BETA * u_x)[None]

    class Periodic(BoundaryConditionAbstract):
        def equation_u(self, inputs, u, params):
            return (u(inputs[..., 0], params) - u(inputs[..., 1], params),)

        def equation_f(self, inputs, params, gridify=False):
            return (jnp.zeros((1,)),)

    def scaled(t_x, params):
        return jnp.array([2 * t_x[0] - 1, t_x[1] / pi - 1])

    u, weights = network(key, "PDENonStatio", 2, (20, 20, 20), 1, input_transform=scaled)
    params = Params(nn_params=weights, eq_params={})
    loss = LossPDENonStatio(
        u=u, dynamic_loss=Advection(), boundary_condition=Periodic(), initial_condition_fun=jnp.sin, params=params,
        loss_weights=LossWeightsPDENonStatio(dyn_loss=1.0, initial_condition=1.0, boundary_loss=1.0),
    )  # fmt: skip
    data = CubicMeshPDENonStatio(
        key=key, n=task.interior, nb=2 * task.boundary, ni=task.boundary, dim=1, min_pts=(0.0,), max_pts=(2 * pi,),
        tmin=0.0, tmax=1.0, method="uniform",
    )  # fmt: skip
    return u, params, loss, data, None


def wake(key, task: Task, seed: int, method: str):
    """Navier-Stokes with two unknowns and a period that is learned."""
    # A quasi-Newton method needs the same loss in each step: all measurements, five for each that the others draw.
    batch, count = (task.boundary, 5000) if method == "natural gradient" else (None, 5 * task.boundary)
    points, velocity = measurements(seed, count)

    class NavierStokes(PDENonStatio):
        def equation(self, t_xy, w, params):
            field = lambda t_xy: w(t_xy, params)
            (u, v, _), slopes = field(t_xy), jax.jacfwd(field)(t_xy)
            bends = jax.hessian(field)(t_xy)
            (u_t, u_x, u_y), (v_t, v_x, v_y), (_, p_x, p_y) = slopes
            first, second = params.eq_params.lambda_1, params.eq_params.lambda_2
            along = u_t + first * (u * u_x + v * u_y) + p_x - second * (bends[0, 1, 1] + bends[0, 2, 2])
            across = v_t + first * (u * v_x + v * v_y) + p_y - second * (bends[1, 1, 1] + bends[1, 2, 2])
            return jnp.stack([along, across, u_x + v_y])

    def periodic(t_xy, params):
        angle = params.eq_params.omega * t_xy[0]
        return jnp.array([(t_xy[1] - 4.5) / 3.5, t_xy[2] / 2, jnp.cos(angle), jnp.sin(angle)])

    w, weights = network(key, "PDENonStatio", 4, (24, 24, 24), 3, input_transform=periodic)
    unknown = {"lambda_1": jnp.array(0.0), "lambda_2": jnp.array(0.0), "omega": jnp.array(2 * pi / 6.0)}
    params = Params(nn_params=weights, eq_params=unknown)
    loss = LossPDENonStatio(
        u=w,
        dynamic_loss=NavierStokes(),
        loss_weights=LossWeightsPDENonStatio(dyn_loss=1.0, observations=100.0),
        derivative_keys=jinns.parameters.DerivativeKeysPDENonStatio.from_str(
            dyn_loss="both", observations="both", params=params
        ),
        obs_slice=jnp.s_[0:2],
        params=params,
    )
    data = CubicMeshPDENonStatio(
        key=key, n=task.interior, nb=None, ni=None, dim=2, min_pts=(1.0, -2.0), max_pts=(8.0, 2.0), tmin=0.0, tmax=19.9,
        method="uniform",
    )  # fmt: skip
    first_t = jnp.asarray(points[:, [2, 0, 1]])
    observed = DataGeneratorObservations(
        key=key, obs_batch_size=batch, observed_pinn_in=first_t, observed_values=jnp.asarray(velocity)
    )
    return w, params, loss, data, observed


class Look(AbstractValidationModule):
    """Measures the error inside of jinns' compiled loop, with the watch stopped meanwhile."""

    u: object
    points: jax.Array
    truth: jax.Array
    watch: Watch = eqx.field(static=True)
    call_every: int = eqx.field(static=True, kw_only=True)

    def __call__(self, params):
        watch, flag = self.watch, jax.ShapeDtypeStruct((), bool)

        def due(_) -> bool:
            answer = watch.due()
            watch.pause()
            return answer

        def record(error, unknown) -> bool:
            return bool(watch.record(error, unknown))

        def measure():
            found = jax.vmap(lambda point: self.u(point, params))(self.points)[:, : self.truth.shape[1]]
            error = jnp.linalg.norm(found - self.truth) / jnp.linalg.norm(self.truth)
            unknown = {
                name: getattr(params.eq_params, name) for name in ("lambda_1", "lambda_2") if self.points.shape[1] == 3
            }
            return jax.experimental.io_callback(record, flag, error, unknown), error

        ask = jax.experimental.io_callback(due, flag, jax.tree.leaves(params)[0])
        stop, error = jax.lax.cond(ask, measure, lambda: (False, jnp.nan))
        return self, stop, error, False


def train(name: str, watch: Watch, seed: int, method: str) -> None:
    """Train until the watch says stop."""
    task, key = watch.task, jax.random.PRNGKey(seed)
    u, params, loss, data, observed = wake(key, task, seed, method) if name == "wake" else globals()[name](key, task)
    points, truth = task.points, task.truth[:, task.judged]
    if points.shape[1] > 1:  # here time comes first
        points = points[:, [points.shape[1] - 1, *range(points.shape[1] - 1)]]
    extra = None
    if method == "natural gradient":
        rates = {unknown: optax.adam(1e-2) for unknown in ("lambda_1", "lambda_2", "omega")} if name == "wake" else None
        optimizer = jinns.optimizers.vanilla_ngd(eq_params_tx=rates)
    else:
        optimizer = jinns.optimizers.self_scaled_bfgs_or_broyden(broyden=True)

        def callback_value_fn(params, batch, loss):
            return loss.evaluate(params, batch)[0]

        def callback_grad_fn(params, batch, loss):
            return loss.ponderate_and_sum_gradient(loss.values_and_grads(params, batch)[1])

        extra = {
            "value": GetJinnsVariableName("train_loss_value"),
            "grad_pt": GetJinnsVariableName("grads"),
            "value_fn": callback_value_fn,
            "grad_fn": callback_grad_fn,
            "batch": GetJinnsVariableName("batch"),
            "loss": GetJinnsVariableName("loss"),
        }
    jinns.solve(
        n_iter=200_000, init_params=params, data=data, loss=loss, optimizer=optimizer, obs_data=observed, verbose=False, key=key,
        validation=Look(u, jnp.asarray(points), jnp.asarray(truth), watch, call_every=5 if extra else 1),
        extra_optax_args_and_kwargs=extra,
    )  # fmt: skip
    watch.stopped = watch.stopped or "broke down: a weight was no number"
