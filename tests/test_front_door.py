"""The front door: whatever is handed in, a call works or says in one sentence what is wrong with it."""

from __future__ import annotations

import math
import os
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import pinnedu
from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    At,
    Ball,
    Box,
    Causal,
    Dirichlet,
    Distance,
    FourierFeatures,
    GaussNewton,
    GradientBalance,
    GradientDescent,
    HardConstraint,
    Integral,
    LevelSet,
    ModifiedMLP,
    Networks,
    Normalize,
    Observed,
    On,
    Periodic,
    PeriodicEmbedding,
    PointCloud,
    Points,
    Problem,
    Product,
    Region,
    SelfScaledBroyden,
    TangentKernelBalance,
    curriculum,
    decompose,
    fit,
    march,
    problems,
    relative_error,
    sweep,
)

HOME = Path(pinnedu.__file__).parent
ROUNDS = int(os.environ.get("PINNEDU_FUZZ", "0"))  # `make fuzz` draws so many cases anew; otherwise they are the same ones
QUICK = settings(
    max_examples=ROUNDS or 60, derandomize=not ROUNDS, print_blob=bool(ROUNDS), deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def quick(tmp_path_factory):
    """Nothing is left in the repository, and compiled steps are listed but not compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("front"))
        patch.setattr(torch, "compile", lambda listed, **options: listed)
        patch.setattr(sys.modules["pinnedu.derivatives.taylor"], "_warned", set())  # others wait for the first warning
        yield


def told(call):
    """Call, and let pass what the package says by itself: one sentence, raised by one of its ``raise`` lines."""
    error = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (ValueError, TypeError) as raised:
        error = raised
    if error is None:
        return
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == __file__ and type(error) is TypeError and "argument" in str(error):
        return  # Python's own: the call does not fit the signature
    assert HOME in Path(last.filename).parents, f"not said by pinnedu: {error!r}"
    assert last.line.startswith("raise"), f"an accident in {last.filename}:{last.lineno}: {error!r}"
    assert len(str(error)) > 20
    assert "\n" not in str(error)


# --- one wrong argument, or two, in a call that would be right

BOX = Box(x=(0, 1), t=(0, 1))


def heat(**options):
    given = {
        "domain": BOX,
        "equations": {"heat": lambda u: u.t - u.xx},
        "conditions": {"start": On(t=0, equation=lambda u, x: u - x), "around": Periodic("x")},
        "exact": lambda x, t: x,
    }
    return Problem(**given | options)


HEAT = heat()
PLATE = Region("POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))")
TUBE = PLATE * Box(s=(0, 1))
DISK = LevelSet(BOX, lambda x, t: x**2 + t**2 - 0.5, resolution=10)
SAMPLE = HEAT.sample(Points(4, 2))
NETWORK = MLP(HEAT, hidden=(3,))
READ = Problem(
    Box(t=(0, 1)),
    {"decay": lambda u, k: u.t + k * u},
    {"read": Observed(torch.linspace(0, 1, 30)[:, None], u=torch.rand(30, generator=torch.Generator().manual_seed(0)))},
    unknowns={"k": 1.0},
)
ASKED = fit(
    MLP(READ, hidden=(3,)), READ, optimizer=GaussNewton(), steps=3, points=Points(4, 2), seed=0, device="cpu", progress=False
)


class Wrong(nn.Module):
    """A model that answers with something else than it should."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.layer = answer, nn.Linear(2, 1)

    def forward(self, points):
        return self.answer(self.layer(points)) if callable(self.answer) else self.answer


MODELS = {
    "three inputs": lambda: nn.Linear(3, 1),
    "two outputs": lambda: nn.Linear(2, 2),
    "no weights": lambda: Wrong(torch.zeros(4, 1)).requires_grad_(False),
    "no dimension of fields": lambda: Wrong(lambda values: values[:, 0]),
    "no tensor": lambda: Wrong(3.0),
    "nothing": lambda: Wrong(None),
    "a pair": lambda: Wrong(lambda values: (values, values)),
    "a constant": lambda: Wrong(torch.zeros(4, 1)),
    "another precision": lambda: Wrong(lambda values: values.float()),
    "whole numbers": lambda: Wrong(lambda values: values.long()),
    "not there": lambda: Wrong(lambda values: values.nothing),
    "an index too far": lambda: Wrong(lambda values: values[:, 7]),
    "convolution": lambda: nn.Conv2d(1, 1, 3),
    "embedding": lambda: nn.Embedding(3, 1),
    "empty": nn.Sequential,
    "identity": nn.Identity,
    "half": lambda: nn.Linear(2, 1).half(),
    "complex": lambda: nn.Linear(2, 1, dtype=torch.complex64),
}

JUNK = [
    *(None, True, 0, -1, 2, 10**30, 0.5, -2.5, math.nan, math.inf, 1j, "", "x", "u", "taylor", b"x"),
    *((), (0, 1), (1, 0), [], ["x"], [None], ("u", "v"), ("x",), (1, 2), [1, 2], [lambda state: None], range(3), iter([1, 2])),
    *({}, {"x": 1}, {"u": "v"}, {1: 2}, {"x": None}, {"start": 1.0}, {"start": None}, {None: None}, set()),
    *(object(), object, len, print, lambda: None, lambda u: u, lambda u: None, lambda *a, **k: None, lambda x: x[99]),
    *(lambda u: u.nothing, lambda u: u + "a", lambda u: {"u": u}, lambda x, t: x[None], lambda x, t: {"w": x}, lambda u: 1 / 0),
    *(np.zeros(2), np.zeros((3, 2)), np.full((2, 2), np.nan), np.array(["a"]), np.float64(0.5), np.int64(3)),
    *(torch.zeros(0), torch.zeros(3), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.int64), torch.tensor(1.0)),
    *(torch.ones(4, 2, dtype=torch.complex64), torch.float16, torch.int32, torch.device("cpu"), "cuda:99"),
    *(Adam, Adam(), GaussNewton(), LBFGS, Causal(), GradientBalance(), [Causal()], [{"start": 2.0}, Causal()]),
    *(nn.Linear(2, 1), nn.Tanh, nn.Linear, BOX, Box(y=(0, 1)), Points(), Points(2, {"start": 1}), HEAT),
    *(On(t=0, equation=lambda u: u), Periodic("x"), {"a": lambda u: u.x}, {"a": On(x=0, equation=lambda u: u.xx)}),
    *({"a": Periodic("y")}, {"a": Observed(torch.zeros(1, 2), u=torch.zeros(1))}, {"a": On}, {"u": lambda u: u}),
]


def build_and_fit(**given):
    model = given.pop("model", None)
    fit(MLP(HEAT, hidden=(3,)) if model is None else model, given.pop("problem", HEAT), **given)


def fitted(optimizer, **options):
    """A call that makes an optimizer or a strategy and takes a step with it."""
    return lambda **given: build_and_fit(optimizer=optimizer(**given), steps=1, points=Points(4, 2), **options)


def with_condition(kind):
    return lambda **given: heat(conditions={"one": kind(**given)})


DOUBLE = {"device": "cpu", "dtype": torch.float64}
CALLS = {
    "Box": (Box, {"x": (0, 1), "t": (0, 2)}),
    "Box.sample": (BOX.sample, {"n": 3, "method": "sobol", "fixed": {"x": 0}, "generator": None, **DOUBLE}),
    "Box.grid": (BOX.grid, {"shape": 3, "fixed": {"x": 0}}),
    "Box.quadrature": (BOX.quadrature, {"n": 3, "rule": "midpoint", "fixed": {"x": 0}, "generator": None}),
    "Box.contains": (BOX.contains, {"points": torch.zeros(3, 2), "slack": 1e-9}),
    "Points": (Points, {"interior": 3, "conditions": {"a": 3}, "method": "grid", "resample": 1, "adaptive": 0.5}),
    "On": (with_condition(On), {"equation": lambda u: u, "x": 0}),
    "On a part": (
        lambda part, equation: heat(conditions={"one": On(part, equation=equation)}),
        {"part": "x low", "equation": lambda u, n: u.n},
    ),
    "Periodic": (with_condition(Periodic), {"coordinate": "x", "order": 1, "fields": ("u",)}),
    "Periodic by an equation": (
        with_condition(Periodic),
        {"coordinate": "x", "equation": lambda left, right: right.u - left.u},
    ),
    "Integral": (with_condition(Integral), {"equation": lambda u: u, "over": "x high", "value": 1.0}),
    "At": (with_condition(At), {"points": [[0.5, 0.5]], "equation": lambda u, q: u.x - q, "q": [1.0]}),
    "Observed": (with_condition(Observed), {"points": [[0.5, 0.5]], "u": [1.0]}),
    "Problem": (
        Problem,
        {"domain": BOX, "equations": {"e": lambda u: u.t}, "conditions": {}, "fields": ("u",), "exact": None}
        | {"unknowns": {"c": 1.0}, "derived": {"v": lambda u: -u.x}},
    ),
    "Problem.sample": (HEAT.sample, {"points": Points(3, 3), "generator": None, **DOUBLE}),
    "Problem.residuals": (HEAT.residuals, {"model": NETWORK, "points": SAMPLE, "derivatives": "taylor"}),
    "Problem.values": (HEAT.values, {"model": NETWORK, "points": torch.zeros(2, 2), "names": ("u",), "derivatives": "autograd"}),
    "Problem.solution": (heat().solution, {"points": torch.zeros(2, 2)}),
    "exact": (lambda exact: heat(exact=exact).solution(torch.zeros(2, 2)), {"exact": lambda x, t: {"u": x}}),
    "MLP": (MLP, {"problem": HEAT, "hidden": (3,), "activation": "tanh", "embedding": None, "factorized": False}),
    "MLP in single precision": (MLP, {"problem": HEAT, "dtype": torch.float32}),
    "MLP of some inputs": (MLP, {"problem": HEAT, "inputs": ("x",), "fields": ("u",)}),
    "Networks": (
        lambda problem, functions, u: Networks(problem, functions=functions, u=u),
        {"problem": HEAT, "functions": [nn.Tanh()], "u": NETWORK},
    ),
    "Fit.interval": (ASKED.interval, {"level": 0.5}),
    "Fit.posterior": (ASKED.posterior, {"points": Points(4, 2)}),
    "pendulum": (problems.pendulum, {"law": lambda v: v, "noise": 0.1, "seed": 1}),
    "ModifiedMLP": (
        ModifiedMLP,
        {"problem": HEAT, "hidden": (3, 3), "activation": nn.Tanh, "embedding": Normalize(BOX)},
    ),
    "Normalize": (Normalize, {"box": BOX, "scale": {"x": 2.0}}),
    "PeriodicEmbedding": (
        lambda box, guesses, scale, x: PeriodicEmbedding(box, guesses=guesses, scale=scale, x=x),
        {"box": BOX, "guesses": {"x": 1.0}, "scale": 1.0, "x": 2},
    ),
    "FourierFeatures": (FourierFeatures, {"frequencies": torch.ones(3, 2), "scales": torch.ones(3)}),
    "FourierFeatures.gaussian": (FourierFeatures.gaussian, {"dim": 2, "count": 3, "std": 1.0, "seed": 0}),
    "HardConstraint": (HardConstraint, {"model": NETWORK, "problem": HEAT, "u": lambda u, x: x * u}),
    "Adam": (fitted(Adam), {"lr": 1e-3, "betas": (0.9, 0.99), "resample": 1}),
    "LBFGS": (fitted(LBFGS), {"history": 5, "tolerance_grad": 1e-9, "tolerance_change": 1e-9, "resample": 0}),
    "GradientDescent": (fitted(GradientDescent), {"lr": 1e-3, "preconditioner": None, "resample": 1}),
    "GaussNewton": (
        fitted(GaussNewton),
        {"damping": 1e-3, "acceleration": 0.5, "momentum": 0.5, "trials": 3, "resample": 1},
    ),
    "SelfScaledBroyden": (fitted(SelfScaledBroyden), {"c1": 1e-4, "c2": 0.9, "resample": 1}),
    "Causal": (
        lambda **given: build_and_fit(optimizer=Adam(), steps=1, weights=Causal(**given)),
        {"coordinate": "t", "epsilon": 1.0, "chunks": 3},
    ),
    "GradientBalance": (GradientBalance, {"every": 2, "momentum": 0.5}),
    "TangentKernelBalance": (TangentKernelBalance, {"every": 2, "momentum": 0.5}),
    "Ball": (lambda dim, n, method: Ball(dim).sample(n, method), {"dim": 3, "n": 2, "method": "sobol"}),
    "Ball around a center": (Ball, {"center": {"x": 0.5, "y": 1}, "radius": 2.0}),
    "Ball.quadrature": (Ball(2).quadrature, {"n": 2, "rule": "sobol", "generator": None}),
    "Ball.boundary": (Ball(2).parts["boundary"].sample, {"n": 2, "method": "sobol", "generator": None}),
    "Region": (Region, {"geometry": PLATE.geometry, "x": "x", "y": "y", "parts": {"left": lambda x: x == 0}}),
    "Region.sample": (PLATE.sample, {"n": 3, "method": "sobol", "generator": None, **DOUBLE}),
    "Region.contains": (PLATE.contains, {"points": torch.zeros(3, 2), "slack": 1e-9}),
    "Region.quadrature": (PLATE.quadrature, {"n": 2, "rule": "sobol", "generator": None}),
    "Region.boundary": (PLATE.parts["boundary"].quadrature, {"n": 2, "rule": "gauss-legendre", "generator": None}),
    "LevelSet": (LevelSet, {"box": BOX, "f": lambda x, t: x**2 + t**2 - 0.5, "resolution": 10}),
    "LevelSet.sample": (DISK.sample, {"n": 3, "method": "grid", "generator": None, **DOUBLE}),
    "LevelSet.face": (DISK.face, {"fixed": {"x": 0.25}, "what": "The face"}),
    "LevelSet.quadrature": (DISK.quadrature, {"n": 2, "rule": "gauss-legendre", "generator": None}),
    "LevelSet.surface": (DISK.parts["surface"].sample, {"n": 2, "method": "latin", "generator": None}),
    "PointCloud": (
        PointCloud,
        {"points": [[0, 0], [1, 1], [0, 1]], "normals": None, "weights": None, "names": ("x", "y"), "parts": None},
    ),
    "PointCloud.from_mesh": (PointCloud.from_mesh, {"mesh": "nowhere.vtk", "names": None}),
    "Product": (lambda one, two: Product(one, two).parts, {"one": PLATE, "two": Box(s=(0, 1))}),
    "Product.quadrature": (TUBE.quadrature, {"n": 2, "rule": "sobol", "generator": None}),
    "Product.face": (TUBE.face, {"fixed": {"s": 0}, "what": "The face"}),
    "Distance": (Distance, {"domain": PLATE, "part": "outside", "order": 1}),
    "Dirichlet": (Dirichlet, {"model": NETWORK, "problem": HEAT, "order": 1, "u": {"t low": lambda x: x, "x low": 0.0}}),
    "Box.part": (BOX.part, {"name": "boundary"}),
    "Box.boundary": (BOX.parts["boundary"].quadrature, {"n": 2, "rule": "midpoint", "generator": None}),
    "Ball.contains": (Ball(2).contains, {"points": torch.zeros(3, 2), "slack": 1e-9}),
    "curriculum": (
        lambda **given: curriculum(**given, points=Points(3, 2), progress=False),
        {"model": NETWORK, "problems": [HEAT, HEAT], "optimizer": Adam(), "steps": [1, 2]},
    ),
    "march": (
        lambda **given: march(**given, points=Points(3, 2), progress=False),
        {"build": lambda window: MLP(window, (2,)), "problem": HEAT, "windows": 2, "optimizer": Adam(), "steps": 1}
        | {"overlap": 0.5, "time": "t", "seed": 0},
    ),
    "decompose": (
        lambda **given: decompose(**given, points=Points(3, 2), progress=False),
        {"build": lambda part: MLP(part, (2,)), "problem": HEAT, "parts": {"x": 2}, "optimizer": Adam(), "steps": 1}
        | {"overlap": 0.5},
    ),
    "relative_error": (relative_error, {"model": NETWORK, "problem": HEAT, "points": torch.ones(3, 2)}),
    "fit": (
        build_and_fit,
        {"model": None, "problem": HEAT, "optimizer": Adam(), "steps": 2, "points": Points(4, 2), "seed": 0, **DOUBLE}
        | {"weights": {"start": 2.0}, "derivatives": "taylor", "seconds": 9.0, "error_every": 1, "compile": False}
        | {"progress": False, "callbacks": (), "checkpoint": None, "checkpoint_every": 1.0},
    ),
    # An empty grid: nothing is run, so that no process is started.
    "sweep": (sweep, {"function": len, "grid": [], "client": None, "workers": 1, "folder": None, "progress": False}),
    "sweep without a folder": (lambda grid: sweep(lambda x: x, grid, folder="/proc/nowhere"), {"grid": {"x": []}}),
}


@QUICK
@given(st.data())
def test_wrong_arguments(data):
    function, right = CALLS[data.draw(st.sampled_from(sorted(CALLS)))]
    names = data.draw(st.lists(st.sampled_from(sorted(right)), min_size=1, max_size=2, unique=True))
    given = {name: data.draw(st.sampled_from(JUNK)) for name in names}
    told(lambda: function(**right | given))


# --- random problems, models and options: of each what is right, and what may be wrong

POINT = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)
PARTS = {
    "domain": (
        [{"x": (0, 1), "t": (0, 1)}, {"t": (0, 2), "x": (-1, 1)}, {"x": (0, 1e-3), "t": (0, 1e3)}],
        [{"x": (0, 1)}, {"x1": (0, 1)}, {"x": (1, 0)}, {"x": (0, math.nan), "t": (0, 1)}, {"t": (0, 5e-324), "x": (0, 1)}]
        + [{"x": (-1e300, 1e300), "t": (0, 1)}, {"x": (0, 1), "y": (0, 1), "t": (0, 1)}, {}],
    ),
    "equation": (
        [lambda u: u.t - u.xx, lambda u, x: u.x - x, lambda u, c: c * u.x + u, lambda u: u.laplacian(), lambda u: u.xt]
        + [lambda u: torch.sin(u) * u.x, lambda u: (u.x, u.t), lambda u: torch.exp(1e3 * u), lambda u: u.d("x", "x")],
        [lambda u: u.x.mean(), lambda u: 0.0, lambda x: x, lambda u: u[0], lambda u: u.x @ u.x, lambda q: q, lambda v: v.x]
        + [lambda u: torch.cat([u.x, u.x]), lambda u: torch.stack([u.x, u.x], dim=1) @ torch.ones(3, 1), lambda u: u.zz]
        + [lambda u: u * torch.nan, lambda u: (u.x, 1), lambda u: torch.log(-u.x.square()), lambda u: u.x > 0, lambda: None]
        + [lambda u: u.x.detach(), lambda u: u.x.to(torch.complex64), lambda u: u.x.float(), lambda u: float(u.x[0]) * u.x],
    ),
    "condition": (
        [On(t=0, equation=lambda u, x: u - x), On(x=0, equation=lambda u: u.x), Periodic("x"), Periodic("x", 2)]
        + [On("x low", equation=lambda u: u.n), Integral(lambda u: u, value=1.0), At(POINT, equation=lambda u, q: u - q, q=ONE)]
        + [Periodic("x", equation=lambda left, right: right.u + left.u), On("boundary", equation=lambda u: (1 + 1j) * u)]
        + [Observed(POINT, u=ONE), On(x=0, t=0, equation=lambda u: u)],
        [On(t=9, equation=lambda u: u), On(t=0, equation=lambda u: 1), On(s=0, equation=lambda u: u), Periodic("s")]
        + [Observed(POINT, w=ONE), Observed(POINT, u=[1.0, 2.0]), Observed(POINT * 9, u=ONE), Observed(POINT[0], u=ONE)]
        + [Observed(POINT, u=ONE * math.nan), Observed(POINT[:0], u=ONE[:0]), On(t=0, equation=lambda u: u.x[:1])],
    ),
    "fields": ([("u",), ("u", "v"), ["u"]], [("x",), ("u", "u"), (), ("psi",), ("1",)]),
    "unknowns": ([{}, {"c": 1.0}], [{"u": 1.0}, {"c": math.inf}, {"items": 1.0}, {"keys": 1.0, "c": 1.0}, {"x": 0.0}]),
    "derived": ([{}, {"w": lambda u: -u.x}], [{"w": lambda u: u * u}, {"w": lambda z: z}, {"u": lambda u: u.x}]),
    "exact": (
        [None, lambda x: x, lambda t, x: {"u": t * x}, lambda: 1.0],
        [lambda x: x[:1], lambda x: x[:, None], lambda u: u, lambda x: {"w": x}, lambda x: "a", lambda x: x + 1j]
        + [lambda x: 0 * x],
    ),
    "model": (
        [lambda p: MLP(p, (3,)), lambda p: ModifiedMLP(p, (3, 3)), lambda p: MLP(p, (), nn.SiLU, factorized=True)]
        + [lambda p: MLP(p, (3,), nn.ReLU, embedding=PeriodicEmbedding(p.domain, x=1))]
        + [lambda p: MLP(p, (3,), nn.Mish), lambda p: HardConstraint(MLP(p), p, u=lambda u, x: x * u)]
        + [lambda p: MLP(p, embedding=FourierFeatures.gaussian(2, 3, 1.0))],
        [lambda p, make=make: make() for make in MODELS.values()]
        + [lambda p: HardConstraint(MLP(p), p, u=lambda u, x: 1.0), lambda p: MLP(p, embedding=nn.Linear(3, 3))]
        + [lambda p: HardConstraint(nn.Linear(2, 1), p, u=lambda u, v: u)],
    ),
    "optimizer": (
        [Adam(1e-2), LBFGS(), GaussNewton(), GaussNewton(momentum=0.5), SelfScaledBroyden(), GradientDescent()]
        + [lambda weights: torch.optim.SGD(weights, lr=0.1)],
        [Adam(1e300), torch.optim.SparseAdam, torch.optim.Muon, lambda weights: None, GradientDescent(1.0, lambda o, g: g[:1])],
    ),
    "steps": ([1, 2], [0]),
    "points": (
        [Points(5, 2), Points(1, 1), Points(4, 2, "sobol", 1, 0.5), Points(3, 1, "latin"), Points(3, {"one": 2})],
        [Points(4, {"other": 2}), Points(4, 2, "grid", 0, 0.5)],
    ),
    "weights": (
        [None, {"pde": 2.0}, {"one": 0.0}, GradientBalance(1), TangentKernelBalance(1), Causal(chunks=2), [{"one": 3}, Causal()]],
        [Causal("s"), {"two": 1.0}, [{}, {}], {"pde": math.inf}],
    ),
    "derivatives": (["taylor", "autograd", "finite-differences"], ["complex-step", lambda model, points, requests: {}]),
    "dtype": ([torch.float64, torch.float32], [torch.float16]),
    "error_every": ([None, 1], [0]),
    "callbacks": ([(), [lambda state: state.step == 1]], [[None]]),
    "compile": ([False, False, False, True], [1]),
    "checkpoint": ([None, None, "run.pt"], [3, "nowhere/run.pt", "."]),
    "seed": ([None, 3], [-1, 2**40]),
}


@QUICK
@given(st.data())
def test_random_problems(data):
    wrong = data.draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=2))
    part = {name: data.draw(st.sampled_from(choices[name in wrong])) for name, choices in PARTS.items()}

    def call():
        problem = Problem(
            Box(**part.pop("domain")), {"pde": part.pop("equation")}, {"one": part.pop("condition")},
            **{name: part.pop(name) for name in ("fields", "unknowns", "derived", "exact")},
        )  # fmt: skip
        model = part.pop("model")(problem)
        run = fit(model, problem, progress=False, **part)
        problem.residuals(model, problem.sample(part["points"]), part["derivatives"])
        assert math.isfinite(run.loss) or run.stopped

    told(call)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimizer", [Adam(), GaussNewton()], ids=["Adam", "GaussNewton"])
def test_models_that_do_not_fit(name, optimizer):
    told(lambda: fit(MODELS[name](), HEAT, optimizer=optimizer, steps=2, points=Points(4, 2)))
    told(lambda: HEAT.residuals(MODELS[name](), SAMPLE))
    told(lambda: relative_error(MODELS[name](), HEAT))


def test_the_instrument_sees_accidents():
    sizes = torch.zeros(2), torch.zeros(3)
    for accident in (lambda: {}["a"], lambda: None.x, lambda: sizes[0] @ sizes[1], lambda: float("a"), lambda: len(3)):
        with pytest.raises((AssertionError, IndexError, KeyError, AttributeError, RuntimeError)):
            told(accident)
