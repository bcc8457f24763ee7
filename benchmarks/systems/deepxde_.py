"""DeepXDE 1.15 on PyTorch, in float64: Adam and L-BFGS; with NNCG after them; with residual-based refinement (RAR).

After its repository, github.com/lululxvi/deepxde, `examples/pinn_forward` and `examples/pinn_inverse`:

- `Burgers.py`: `FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")`, `num_domain=2540, num_boundary=80, num_initial=160` (here
  160 at each end as well), `compile("adam", lr=1e-3)`, 15000 iterations, then `compile("L-BFGS")`, at most 15000 (the default
  `maxiter`): half of the time for each here.
- `Burgers_NNCG.py`: the same, and then `set_NNCG_options(rank=50, mu=1e-1)`, `compile("NNCG")`: a quarter, a quarter and a half
  of the time.
- `Burgers_RAR.py`: the same with 2500 and 100 points; then, again and again, `x_id = np.argmax(err_eq)` of 100000 random points,
  `data.add_anchors(X[x_id])`, which is one point a round, and Adam and L-BFGS go on. Half of the time for the first stage, a
  twentieth for each round; the 100000 points are new in each round.
- `Navier_Stokes_inverse.py`: `dde.Variable`, `PointSetBC` of each measured velocity, `external_trainable_variables`. It asks for
  the equations at the measured points too (`anchors`), and has Adam only.
- `Allen_Cahn.py` and `Kovasznay_flow.py` for the equations: the first builds start and ends in by `apply_output_transform`, the
  second knows the pressure on a side, and the rules give neither. `wave_1d.py` (`OperatorBC` for the velocity),
  `Poisson_periodic_1d.py` (`PeriodicBC`; `derivative_order=1` is in its documentation), `Helmholtz_Neumann_2d_hole.py`
  (`outer - inner`), and the documentation of `geometry.Hypercube`. The holes are a balanced union: a difference draws half of its
  points on the boundary of the last shape, so that four differences in turn would leave a sixteenth for the sides.

Points are drawn again by `callbacks.PDEPointResampler` under Adam, with `train_distribution="pseudo"` as in the example
`diffusion_1d_resample.py`, for those of the default ("Hammersley") are the same each time. L-BFGS and NNCG keep the last ones and
get new ones (`data.resample_train_points`) where they have stopped by themselves. `apply_feature_transform` scales the inputs.
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
Counts = dict[str, Any]  # of points, and how they are drawn


def without(points: Counts, *names: str) -> Counts:
    """What is left of them."""
    return {name: value for name, value in points.items() if name not in names}


def line(low: float, high: float) -> Any:
    """An interval and the time from 0 to 1."""
    return dde.geometry.GeometryXTime(dde.geometry.Interval(low, high), dde.geometry.TimeDomain(0, 1))


def heat(name: str, points: Counts, seed: int) -> Made:
    """u_t = D u_xx."""
    geometry, diffusivity = line(0, pi), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) - diffusivity * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [ends, start], **points), 1, []


def poisson(name: str, points: Counts, seed: int) -> Made:
    """u'' = -k^2 sin kx."""
    geometry, k = dde.geometry.Interval(-pi, pi), parameter(name)
    pde = lambda x, u: hessian(u, x) + k**2 * torch.sin(k * x)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    return dde.data.PDE(geometry, pde, [ends], **(without(points, "num_initial") | {"num_boundary": 2})), 1, []


def burgers(name: str, points: Counts, seed: int) -> Made:
    """u_t + u u_x = nu u_xx."""
    geometry, nu = line(-1, 1), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) + u * jacobian(u, x, i=0, j=0) - nu * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: -np.sin(pi * x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [ends, start], **points), 1, []


def advection(name: str, points: Counts, seed: int) -> Made:
    """u_t + beta u_x = 0, periodic."""
    geometry, beta = line(0, 2 * pi), parameter(name)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) + beta * jacobian(u, x, i=0, j=0)
    periodic = dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [periodic, start], **points), 1, []


def wake(name: str, points: Counts, seed: int) -> Made:
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
    points = without(points, "num_initial", "num_boundary")
    return dde.data.TimePDE(geometry, pde, observed, **points), 3, [first, second]


def allen_cahn(name: str, points: Counts, seed: int) -> Made:
    """u_t = 1e-4 u_xx + 5 u - 5 u^3, periodic."""
    geometry = line(-1, 1)
    pde = lambda x, u: jacobian(u, x, i=0, j=1) - 1e-4 * hessian(u, x, i=0, j=0) - 5 * u + 5 * u**3
    periodic = [dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on, derivative_order=k) for k in (0, 1)]
    start = dde.icbc.IC(geometry, lambda x: x[:, :1] ** 2 * np.cos(pi * x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geometry, pde, [*periodic, start], **points), 1, []


def wave(name: str, points: Counts, seed: int) -> Made:
    """u_tt = 4 u_xx, at rest at first."""
    geometry = line(0, 1)
    pde = lambda x, u: hessian(u, x, i=1, j=1) - 4 * hessian(u, x, i=0, j=0)
    ends = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(geometry, lambda x: np.sin(pi * x[:, :1]) + np.sin(4 * pi * x[:, :1]) / 2, lambda _, on: on)
    rest = dde.icbc.OperatorBC(
        geometry, lambda x, u, _: jacobian(u, x, i=0, j=1), lambda x, _: dde.utils.isclose(x[1], 0)
    )
    return dde.data.TimePDE(geometry, pde, [ends, start, rest], **points), 1, []


def kovasznay(name: str, points: Counts, seed: int) -> Made:
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
    return dde.data.PDE(geometry, pde, [*inflow, corner], **without(points, "num_initial")), 3, []


def laplace_holes(name: str, points: Counts, seed: int) -> Made:
    """u_xx + u_yy = 0, 1 on the sides and 0 on the circles."""
    a, b, c, d = (dde.geometry.Disk([x, y], 0.1) for x in (-0.3, 0.3) for y in (-0.3, 0.3))
    geometry = dde.geometry.Rectangle([-0.5, -0.5], [0.5, 0.5]) - ((a | b) | (c | d))
    pde = lambda x, u: hessian(u, x, i=0, j=0) + hessian(u, x, i=1, j=1)
    outer = lambda x: bool(np.isclose(np.abs(x).max(), 0.5))
    sides = dde.icbc.DirichletBC(geometry, lambda x: 1, lambda x, on: on and outer(x))
    circles = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda x, on: on and not outer(x))
    return dde.data.PDE(geometry, pde, [sides, circles], **without(points, "num_initial")), 1, []


def poisson_5(name: str, points: Counts, seed: int) -> Made:
    """The Laplacian in five dimensions; the solution on the boundary is a sum of cosines."""
    geometry = dde.geometry.Hypercube([0.0] * 5, [1.0] * 5)
    pde = lambda x, u: (
        sum(hessian(u, x, i=j, j=j) for j in range(5)) + pi**2 * torch.cos(pi * x).sum(dim=1, keepdim=True)
    )
    faces = dde.icbc.DirichletBC(geometry, lambda x: np.cos(pi * x).sum(axis=1, keepdims=True), lambda _, on: on)
    return dde.data.PDE(geometry, pde, [faces], **without(points, "num_initial")), 1, []


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
        "train_distribution": "pseudo" if settings.redraw else "Hammersley",
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
                data.train_distribution = "pseudo"
                data.resample_train_points(True, False)

    redraw = [dde.callbacks.PDEPointResampler(period=settings.redraw)] if settings.redraw else []
    share, limit = settings.share * watch.limit, watch.limit
    if method == "RAR":
        adam(share / 2, *redraw)
        second("L-BFGS", limit / 2)
        refine(data, model, watch, lambda until: adam(until), second, settings.share)
    else:
        adam(share, *redraw)
        second("L-BFGS", limit if method == "L-BFGS" else share + (limit - share) / 3)
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
