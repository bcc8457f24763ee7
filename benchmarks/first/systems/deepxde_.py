"""DeepXDE 1.15 on PyTorch, in float64: Adam, then L-BFGS.

After its examples Burgers.py and Navier_Stokes_inverse.py. Hard conditions go through `apply_output_transform`, the
points of Adam are drawn again by `PDEPointResampler`; L-BFGS keeps the last ones.
"""

from __future__ import annotations

from math import pi

import deepxde as dde
import numpy as np
import torch

from first.problems import BETA, NU, K, Task, measurements
from first.watch import Watch

dde.config.set_default_float("float64")
ADAM = 0.25  # share of the time that Adam gets
BETWEEN = 40  # iterations of L-BFGS between two calls of the callbacks


def heat(task: Task):
    """u_t = u_xx; start and ends built in."""

    def pde(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - dde.grad.hessian(u, x, i=0, j=0)

    geometry = dde.geometry.GeometryXTime(dde.geometry.Interval(0, pi), dde.geometry.TimeDomain(0, 1))
    data = dde.data.TimePDE(geometry, pde, [], num_domain=task.interior, train_distribution="Sobol")
    net = dde.nn.FNN([2] + [20] * 2 + [1], "tanh", "Glorot normal")
    net.apply_output_transform(lambda x, u: torch.sin(x[:, :1]) + x[:, 1:] * x[:, :1] * (pi - x[:, :1]) * u)
    return dde.Model(data, net), {}


def poisson(task: Task):
    """u'' = -k^2 sin kx; ends built in."""

    def pde(x, u):
        return dde.grad.hessian(u, x) + K**2 * torch.sin(K * x)

    data = dde.data.PDE(dde.geometry.Interval(-pi, pi), pde, [], num_domain=task.interior, train_distribution="Sobol")
    net = dde.nn.FNN([1] + [20] * 3 + [1], "tanh", "Glorot normal")
    net.apply_output_transform(lambda x, u: (pi**2 - x**2) * u)
    return dde.Model(data, net), {}


def burgers(task: Task):
    """u_t + u u_x = nu u_xx; start and ends built in."""

    def pde(x, u):
        u_x = dde.grad.jacobian(u, x, i=0, j=0)
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t + u * u_x - NU * dde.grad.hessian(u, x, i=0, j=0)

    geometry = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    data = dde.data.TimePDE(geometry, pde, [], num_domain=task.interior, train_distribution="Sobol")
    net = dde.nn.FNN([2] + [24] * 3 + [1], "tanh", "Glorot normal")
    net.apply_output_transform(lambda x, u: -torch.sin(pi * x[:, :1]) + x[:, 1:] * (1 - x[:, :1] ** 2) * u)
    return dde.Model(data, net), {}


def advection(task: Task):
    """u_t + beta u_x = 0, periodic."""

    def pde(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) + BETA * dde.grad.jacobian(u, x, i=0, j=0)

    geometry = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 2 * pi), dde.geometry.TimeDomain(0, 1))
    initial = dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on_initial: on_initial)
    periodic = dde.icbc.PeriodicBC(geometry, 0, lambda _, on_boundary: on_boundary)
    data = dde.data.TimePDE(
        geometry, pde, [initial, periodic], num_domain=task.interior, num_boundary=task.boundary, num_initial=task.boundary,
        train_distribution="Sobol",
    )  # fmt: skip
    net = dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")
    net.apply_feature_transform(lambda x: torch.cat([x[:, :1] / pi - 1, 2 * x[:, 1:] - 1], dim=1))
    return dde.Model(data, net), {}


def wake(task: Task, seed: int):
    """Navier-Stokes with two unknowns and a period that is learned."""
    points, velocity = measurements(seed)
    unknown = {"lambda_1": dde.Variable(0.0), "lambda_2": dde.Variable(0.0), "omega": dde.Variable(2 * pi / 6.0)}

    def pde(x, w):
        u, v = w[:, 0:1], w[:, 1:2]
        u_x, u_y, u_t = (dde.grad.jacobian(w, x, i=0, j=j) for j in range(3))
        v_x, v_y, v_t = (dde.grad.jacobian(w, x, i=1, j=j) for j in range(3))
        p_x, p_y = (dde.grad.jacobian(w, x, i=2, j=j) for j in range(2))
        u_bent = dde.grad.hessian(w, x, component=0, i=0, j=0) + dde.grad.hessian(w, x, component=0, i=1, j=1)
        v_bent = dde.grad.hessian(w, x, component=1, i=0, j=0) + dde.grad.hessian(w, x, component=1, i=1, j=1)
        first, second = unknown["lambda_1"], unknown["lambda_2"]
        along = u_t + first * (u * u_x + v * u_y) + p_x - second * u_bent
        across = v_t + first * (u * v_x + v * v_y) + p_y - second * v_bent
        return [along, across, u_x + v_y]

    def periodic(x):
        angle = unknown["omega"] * x[:, 2:]
        return torch.cat([(x[:, :1] - 4.5) / 3.5, x[:, 1:2] / 2, torch.cos(angle), torch.sin(angle)], dim=1)

    space = dde.geometry.Rectangle([1, -2], [8, 2])
    geometry = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 19.9))
    observed = [dde.icbc.PointSetBC(points, velocity[:, i : i + 1], component=i) for i in range(2)]
    data = dde.data.TimePDE(geometry, pde, observed, num_domain=task.interior)
    net = dde.nn.FNN([4] + [24] * 3 + [3], "tanh", "Glorot normal")
    net.apply_feature_transform(periodic)
    return dde.Model(data, net), unknown


class Look(dde.callbacks.Callback):
    """Measures the error when it is due, and ends a stage of training."""

    def __init__(self, watch: Watch, unknown, until: float) -> None:
        super().__init__()
        self.watch, self.unknown, self.until = watch, unknown, until

    def predict(self, points):
        with torch.no_grad():
            return self.model.net(torch.as_tensor(points)).numpy()

    def on_epoch_end(self) -> None:
        if self.watch.due():
            found = {name: self.unknown[name].item() for name in ("lambda_1", "lambda_2") if self.unknown}
            self.model.stop_training = bool(self.watch.look(self.predict, found)) or self.watch.seconds() > self.until


def train(name: str, watch: Watch, seed: int) -> None:
    """Train until the watch says stop."""
    torch.set_num_threads(1)
    dde.config.set_random_seed(seed)
    model, unknown = wake(watch.task, seed) if name == "wake" else globals()[name](watch.task)
    options = {"external_trainable_variables": list(unknown.values())} if unknown else {}
    if name == "wake":
        options["loss_weights"] = [1, 1, 1, 100, 100]
    never = 10**9
    model.compile("adam", lr=1e-3, **options)
    resample = dde.callbacks.PDEPointResampler(period=100)
    look = Look(watch, unknown, ADAM * watch.limit)
    model.train(iterations=never, display_every=never, verbose=0, callbacks=[look, resample])
    if watch.stopped:
        return
    dde.optimizers.set_LBFGS_options(maxiter=never)
    dde.optimizers.config.LBFGS_options |= {"iter_per_step": BETWEEN, "fun_per_step": 5 * BETWEEN // 4}
    model.compile("L-BFGS", **options)
    look.until = float("inf")
    model.train(display_every=never, verbose=0, callbacks=[look])
    if not watch.stopped:
        watch.look(look.predict)
        watch.stopped = "L-BFGS ended"
