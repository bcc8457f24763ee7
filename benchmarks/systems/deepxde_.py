"""DeepXDE 1.15 on PyTorch, in float64: Adam and L-BFGS; with NNCG after them; with residual-based refinement (RAR).

After its repository, github.com/lululxvi/deepxde, `examples/pinn_forward` and `examples/pinn_inverse`:

- `Burgers.py`: `FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")`, `num_domain=2540, num_boundary=80, num_initial=160`,
  `compile("adam", lr=1e-3)`, 15000 iterations, then `compile("L-BFGS")`, at most 15000 (the default `maxiter`): half of the
  time for each here.
- `Burgers_NNCG.py`: the same, and then `set_NNCG_options(rank=50, mu=1e-1)`, `compile("NNCG")`: a quarter, a quarter and a half
  of the time.
- `Burgers_RAR.py`: the same as the first; then, again and again, the point with the largest residual of 100000 random ones is
  added by `data.add_anchors`, and Adam and L-BFGS go on. Half of the time for the first stage, a twentieth for each round.
- `Navier_Stokes_inverse.py`: `dde.Variable`, `PointSetBC` of the measured velocities, `external_trainable_variables`.
- `Allen_Cahn.py`, `Kovasznay_flow.py`, `wave_1d.py` (`OperatorBC` for the velocity), `Poisson_periodic_1d.py` (`PeriodicBC`,
  and its `derivative_order=1`), `Helmholtz_Neumann_2d_hole.py` (`CSGDifference`), and the documentation of
  `geometry.Hypercube`.

Points are drawn again by `callbacks.PDEPointResampler` under Adam; L-BFGS and NNCG keep the last ones, and get new ones
(`data.resample_train_points`) where they have stopped by themselves. `apply_feature_transform` scales the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import deepxde as dde
import numpy as np
import torch
from clock import Watch, as_array
from problems import ALL, family, measurements, parameter
from settings import Settings

dde.config.set_default_float("float64")
jacobian, hessian = dde.grad.jacobian, dde.grad.hessian
BETWEEN = 20  # iterations of L-BFGS between two calls of the callbacks
Made = tuple[Any, int, list[Any]]  # the data, the number of equations and the unknowns


def line(low: float, high: float) -> Any:
    """An interval and the time from 0 to 1."""
    return dde.geometry.GeometryXTime(dde.geometry.Interval(low, high), dde.geometry.TimeDomain(0, 1))


def heat(name: str, points: dict[str, int], seed: int) -> Made:
    """u_t = D u_xx."""
    geometry, diffusivity = line(0, pi), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) - diffusivity * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [ends, start], **points), 1, []


def poisson(name: str, points: dict[str, int], seed: int) -> Made:
    """u'' = -k^2 sin kx."""
    geometry, k = dde.geometry.Interval(-pi, pi), parameter(name)
    pde = lambda x, u: hessian(u, x) + k**2 * torch.sin(k * x)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    return dde.data.PDE(geometry, pde, [ends], num_domain=points["num_domain"], num_boundary=2), 1, []


def burgers(name: str, points: dict[str, int], seed: int) -> Made:
    """u_t + u u_x = nu u_xx."""
    geometry, nu = line(-1, 1), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) + u * jacobian(u, x, i=0, j=0) - nu * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: -np.sin(pi * x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [ends, start], **points), 1, []


def advection(name: str, points: dict[str, int], seed: int) -> Made:
    """u_t + beta u_x = 0, periodic."""
    geometry, beta = line(0, 2 * pi), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) + beta * jacobian(u, x, i=0, j=0)
    periodic = dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [periodic, start], **points), 1, []


def wake(name: str, points: dict[str, int], seed: int) -> Made:
    """Navier-Stokes with two unknown coefficients."""
    where, velocity = measurements(seed)
    first, second = dde.Variable(0.0), dde.Variable(0.0)

    def pde(x: Any, w: Any) -> list[Any]:
        u, v = w[:, 0:1], w[:, 1:2]
        u_x, u_y, u_t = (jacobian(w, x, i=0, j=j) for j in range(3))
        v_x, v_y, v_t = (jacobian(w, x, i=1, j=j) for j in range(3))
        p_x, p_y = (jacobian(w, x, i=2, j=j) for j in range(2))
        u_bent, v_bent = (sum(hessian(w, x, component=i, i=j, j=j) for j in range(2)) for i in range(2))
        along = u_t + first * (u * u_x + v * u_y) + p_x - second * u_bent
        return [along, v_t + first * (u * v_x + v * v_y) + p_y - second * v_bent, u_x + v_y]

    geometry = dde.geometry.GeometryXTime(dde.geometry.Rectangle([1, -2], [8, 2]), dde.geometry.TimeDomain(0, 19.9))
    observed = [dde.icbc.PointSetBC(where, velocity[:, i : i + 1], component=i) for i in range(2)]
    return dde.data.TimePDE(geometry, pde, observed, num_domain=points["num_domain"]), 3, [first, second]


def allen_cahn(name: str, points: dict[str, int], seed: int) -> Made:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3, periodic."""
    geometry = line(-1, 1)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) - 1e-4 * hessian(u, x, i=0, j=0) - 5 * u + 5 * u**3
    periodic = [dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on, derivative_order=k) for k in (0, 1)]
    start = dde.icbc.IC(geometry, lambda x: x[:, :1] ** 2 * np.cos(pi * x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [*periodic, start], **points), 1, []


def wave(name: str, points: dict[str, int], seed: int) -> Made:
    """u_tt = 4 u_xx, at rest at first."""
    geometry = line(0, 1)
    pde = lambda x, u: hessian(u, x, i=1, j=1) - 4 * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(pi * x[:, :1]) + np.sin(4 * pi * x[:, :1]) / 2, lambda _, on: on)
    rest = dde.icbc.OperatorBC(
        geometry, lambda x, u, _: jacobian(u, x, i=0, j=1), lambda x, _: dde.utils.isclose(x[1], 0)
    )
    return dde.data.TimePDE(geometry, pde, [ends, start, rest], **points), 1, []


def kovasznay(name: str, points: dict[str, int], seed: int) -> Made:
    """Navier-Stokes, stationary, with the velocity given on the boundary and the pressure in a corner."""
    geometry, re = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5]), 20
    rate = re / 2 - sqrt(re**2 / 4 + 4 * pi**2)

    def pde(x: Any, w: Any) -> list[Any]:
        u, v = w[:, 0:1], w[:, 1:2]
        (u_x, u_y), (v_x, v_y), (p_x, p_y) = ([jacobian(w, x, i=i, j=j) for j in range(2)] for i in range(3))
        u_bent, v_bent = (sum(hessian(w, x, component=i, i=j, j=j) for j in range(2)) for i in range(2))
        return [u * u_x + v * u_y + p_x - u_bent / re, u * v_x + v * v_y + p_y - v_bent / re, u_x + v_y]

    along = lambda x: 1 - np.exp(rate * x[:, :1]) * np.cos(2 * pi * x[:, 1:])
    across = lambda x: rate / (2 * pi) * np.exp(rate * x[:, :1]) * np.sin(2 * pi * x[:, 1:])
    inflow = [dde.icbc.DirichletBC(geometry, f, lambda _, on: on, component=i) for i, f in enumerate((along, across))]
    corner = dde.icbc.PointSetBC(np.array([[-0.5, -0.5]]), np.array([[(1 - np.exp(-rate)) / 2]]), component=2)
    points = {key: points[key] for key in ("num_domain", "num_boundary")}
    return dde.data.PDE(geometry, pde, [*inflow, corner], **points), 3, []


def laplace_holes(name: str, points: dict[str, int], seed: int) -> Made:
    """u_xx + u_yy = 0, 1 on the sides and 0 on the circles."""
    geometry = dde.geometry.Rectangle([-0.5, -0.5], [0.5, 0.5])
    for center in ([0.3, 0.3], [-0.3, 0.3], [-0.3, -0.3], [0.3, -0.3]):
        geometry = dde.geometry.CSGDifference(geometry, dde.geometry.Disk(center, 0.1))
    pde = lambda x, u: hessian(u, x, i=0, j=0) + hessian(u, x, i=1, j=1)
    outer = lambda x: bool(np.isclose(np.abs(x).max(), 0.5))
    sides = dde.icbc.DirichletBC(geometry, lambda x: 1, lambda x, on: on and outer(x))
    circles = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda x, on: on and not outer(x))
    points = {key: points[key] for key in ("num_domain", "num_boundary")}
    return dde.data.PDE(geometry, pde, [sides, circles], **points), 1, []


def poisson_5(name: str, points: dict[str, int], seed: int) -> Made:
    """The Laplacian in five dimensions; the solution on the boundary is a sum of cosines."""
    geometry = dde.geometry.Hypercube([0.0] * 5, [1.0] * 5)
    pde = lambda x, u: (
        sum(hessian(u, x, i=j, j=j) for j in range(5)) + pi**2 * torch.cos(pi * x).sum(dim=1, keepdim=True)
    )
    faces = dde.icbc.DirichletBC(geometry, lambda x: np.cos(pi * x).sum(axis=1, keepdims=True), lambda _, on: on)
    points = {key: points[key] for key in ("num_domain", "num_boundary")}
    return dde.data.PDE(geometry, pde, [faces], **points), 1, []


class Look(dde.callbacks.Callback):
    """Measures the error when it is due, and ends a stage of training."""

    def __init__(self, watch: Watch, until: float = float("inf")) -> None:
        super().__init__()
        self.watch, self.until = watch, until

    def layers(self) -> list[Any]:
        return [(as_array(layer.weight.detach()), as_array(layer.bias.detach())) for layer in self.model.net.linears]

    def on_epoch_end(self) -> None:
        if self.watch.step(self.layers) or self.watch.seconds() >= self.until:
            self.model.stop_training = True


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Train until the time is up."""
    torch.set_num_threads(1)
    dde.config.set_random_seed(seed)
    watch.declare()
    case, never = ALL[name], 10**9
    counts = {
        "num_domain": settings.points,
        "num_boundary": 2 * settings.on_conditions,
        "num_initial": settings.on_conditions,
    }
    data, equations, unknowns = globals()[family(name)](name, counts, seed)
    net = dde.nn.FNN([len(case.low), *settings.hidden, case.fields], "tanh", "Glorot normal")
    low, high = torch.tensor(case.low), torch.tensor(case.high)
    net.apply_feature_transform(lambda x: 2 * (x - low) / (high - low) - 1)
    model = dde.Model(data, net)
    options: dict[str, Any] = {"loss_weights": [1.0] * equations + [settings.weight] * len(data.bcs)}
    options |= {"external_trainable_variables": unknowns} if unknowns else {}
    quiet: dict[str, Any] = {"display_every": never, "verbose": 0}
    dde.optimizers.set_LBFGS_options(maxcor=settings.memory, maxiter=never)
    dde.optimizers.config.LBFGS_options |= {"iter_per_step": BETWEEN, "fun_per_step": 5 * BETWEEN // 4}
    dde.optimizers.set_NNCG_options(rank=50, mu=settings.damping)

    def adam(until: float, *callbacks: Any) -> None:
        model.compile("adam", lr=settings.rate, **options)
        model.train(iterations=never, callbacks=[Look(watch, until), *callbacks], **quiet)

    def second(optimizer: str, until: float) -> None:
        """Until the time given: again with new points where it stops by itself."""
        while watch.seconds() < min(until, watch.limit):
            model.compile(optimizer, **options)
            model.train(
                callbacks=[Look(watch, until)], **quiet | ({} if optimizer == "L-BFGS" else {"iterations": never})
            )
            if watch.seconds() < min(until, watch.limit):
                data.resample_train_points(True, False)

    redraw = [dde.callbacks.PDEPointResampler(period=settings.redraw)] if settings.redraw else []
    share, limit = settings.share * watch.limit, watch.limit
    if method == "RAR":
        adam(share / 2, *redraw)
        second("L-BFGS", limit / 2)
        refine(data, model, watch, lambda until: adam(until), second, settings.share)
    else:
        adam(share, *redraw)
        second("L-BFGS", limit if method == "L-BFGS" else (share + limit) / 3)
        second(method, limit)


def refine(
    data: Any,
    model: Any,
    watch: Watch,
    adam: Callable[[float], None],
    second: Callable[[str, float], None],
    share: float,
) -> None:
    """Add the point with the largest residual, and go on; again and again."""
    while not watch.over:
        points = data.geom.random_points(100_000)
        residual = np.absolute(model.predict(points, operator=data.pde))
        data.add_anchors(points[[int(np.argmax(residual))]])
        begin, length = watch.seconds(), watch.limit / 20
        adam(begin + share * length)
        second("L-BFGS", begin + length)
