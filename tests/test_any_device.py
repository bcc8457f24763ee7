"""Everything follows the device of the model: proven without a GPU, on torch's ``meta`` device.

A tensor on ``meta`` has a shape, a dtype and no numbers. An operation that meets one tensor there and
another on the CPU is a mistake that a GPU would not forgive, and `OneDevice` raises there, as it does for
every look at a number of the device: on a GPU that is where the processor waits (a synchronization).
Some algorithms must look: Gauss-Newton and the line searches accept a step by the value of the loss. To
run those on ``meta`` too, `OneDevice(answers=...)` gives made-up numbers in reply, and counts.
"""

from __future__ import annotations

from itertools import cycle
from math import pi

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    Box,
    FourierFeatures,
    GaussNewton,
    GaussNewtonCG,
    GradientDescent,
    HardConstraint,
    Muon,
    Observed,
    On,
    Periodic,
    PeriodicEmbedding,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
    problems,
    relative_error,
)
from pinnedu.derivatives import ENGINES, evaluate, hutchinson
from pinnedu.field import Laplacian
from pinnedu.jacobian import jacobian
from pinnedu.theory import operator, tangent
from pinnedu.trainers import Objective, loop

META = torch.device("meta")
aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, and looks at numbers unless there are answers to give."""

    def __init__(self, answers=None):
        super().__init__()
        self.answers, self.looks = answers, []

    def answer(self, function):
        self.looks.append(function)
        if self.answers is None:
            raise AssertionError(f"{function} waits for the device.")
        return next(self.answers)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        # Numbers of dimension zero may be anywhere: they travel with the call.
        devices = {tensor.device for tensor in tensors if tensor.ndim}
        if len(devices) > 1 and function not in COPIES:
            raise AssertionError(f"{function} got tensors on {devices}.")
        if any(tensor.device == META for tensor in tensors):
            if function is aten._local_scalar_dense.default:
                value = self.answer(function)
                return value if tensors[0].is_floating_point() else int(tensors[0].dtype == torch.bool)
            if function is aten.equal.default:
                return bool(self.answer(function))
            to_cpu = function is aten._to_copy.default and kwargs.get("device") == torch.device("cpu")
            if to_cpu or (function is aten.copy_.default and args[0].device != META):
                value = self.answer(function)
                like = tensors[0]
                filled = torch.full(like.shape, value, dtype=kwargs.get("dtype") or like.dtype)
                return filled if to_cpu else args[0].copy_(filled)
        return function(*args, **kwargs)


def falling():
    """Answers that get smaller and smaller, like a loss."""
    value = 1.0
    while True:
        yield value
        value *= 0.9


def flow():
    """Two fields, three kinds of conditions, an unknown: whatever makes tensors makes them here."""
    box = Box(x=(-1, 1), y=(0, 2), t=(0, 1))
    places = box.sample(7)
    return Problem(
        box,
        {"one": lambda u, v, k, x: u.t + k * u * u.x - u.laplacian("x", "y") + torch.sin(pi * x), "two": lambda v: v.xy},
        {
            "start": On(t=0, equation=lambda u, x: (u - torch.cos(x), u.t)),
            "around": Periodic("x"),
            "seen": Observed(places, v=places.sum(dim=1)),
        },
        fields=("u", "v"),
        unknowns={"k": 0.5},
        exact=lambda x, y, t: {"u": x * y, "v": t + 0 * x},
    )


def models(problem):
    box = problem.domain
    yield MLP(problem, hidden=(5, 5))
    yield MLP(problem, hidden=(5,), embedding=PeriodicEmbedding(box, x=2), activation="silu")
    yield MLP(problem, hidden=(5,), embedding=FourierFeatures.gaussian(3, 4, 1.0), activation="gelu")
    yield HardConstraint(MLP(problem, hidden=(5,)), problem, u=lambda u, x, t: torch.sin(x) + t * u)


REQUESTS = [(0, (0, 0, 0)), (0, (1, 0, 0)), (1, (0, 1, 0))]
HIGHER = [(1, (2, 1, 0)), (0, Laplacian((0, 1)))]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", [*ENGINES, "hutchinson"])
def test_forward_passes_and_every_engine(name, dtype):
    engine = hutchinson(3, seed=0) if name == "hutchinson" else name
    problem = flow()
    for model in list(models(problem))[:: 1 if name in ("taylor", "autograd") else 4]:
        model = model.to(META, dtype)
        points = torch.empty(9, 3, device=META, dtype=dtype)
        with OneDevice():
            outputs = model(points)
            values = evaluate(engine, model, points, REQUESTS if name == "complex-step" else REQUESTS + HIGHER)
        for value in (outputs, *values.values()):
            assert (value.device, value.dtype, len(value)) == (META, dtype, 9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_points_residuals_and_the_jacobian(dtype):
    problem = flow()
    for model in list(models(problem))[:: 1 if dtype == torch.float64 else 4]:
        with OneDevice():
            sample = problem.sample(Points(8, 4), device=META, dtype=dtype)
            assert {(points.device, points.dtype) for points in sample.values()} == {(META, dtype)}
            model = model.to(META, dtype)
            # Points from elsewhere follow the model.
            residuals = problem.residuals(model, problem.sample(Points(8, 4)))
            rows = [pair for method in ("layers", "func") for pair in jacobian(model, problem, sample, method=method).items()]
        assert list(residuals) == ["one", "two", "start", "around", "seen"]
        tensors = [*residuals.values(), *(tensor for _, pair in rows for tensor in pair)]
        assert {(tensor.device, tensor.dtype) for tensor in tensors} == {(META, dtype)}


def train(optimizer, monkeypatch, mode, *, points=None, derivatives="taylor"):
    """Three steps of ``fit`` on meta, without what reports: the looks at the first loss and fresh points, and the result."""
    monkeypatch.setattr(loop._Run, "look", lambda self: None)
    monkeypatch.setattr(loop._Run, "broken_at_first", lambda self, terms: False)
    monkeypatch.setattr(loop._Run, "result", lambda self: self)
    problem = flow()
    model = MLP(problem, hidden=(5, 5))
    points = points or Points(8, 4, resample=1)
    given = {"optimizer": optimizer, "points": points, "derivatives": derivatives}
    with mode:  # scales are looked at once, before the first step
        return fit(model, problem, steps=3, device="meta", scale=False, **given)


@pytest.mark.parametrize(
    "optimizer",
    [
        *(Adam(), GradientDescent(), lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9), SOAP()),
        *([Muon()] if hasattr(torch.optim, "Muon") else []),
    ],
    ids=["Adam", "GradientDescent", "SGD", "SOAP", *(["Muon"] if hasattr(torch.optim, "Muon") else [])],
)
@pytest.mark.parametrize("derivatives", ["taylor", "autograd", "finite-differences"])
def test_the_loop_does_not_wait_for_the_device(optimizer, derivatives, monkeypatch):
    run = train(optimizer, monkeypatch, OneDevice(), derivatives=derivatives)
    assert len(run.record.terms) == len(run.record.unknowns) == 3
    assert all(terms.device == META and terms.shape == (5,) for terms in run.record.terms)


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol", "grid"])
def test_adaptive_points_do_not_wait_either(method, monkeypatch):
    points = Points(8, 4, method, resample=1, adaptive=0.5)
    run = train(Adam(), monkeypatch, OneDevice(), points=points)
    assert run.state.objective.sample["interior"].device == META


def test_gauss_newton_looks_at_five_numbers_a_step_and_stays_on_the_device(monkeypatch):
    # The largest diagonal entry, the loss, whether the factor exists, the new loss, the predicted decrease.
    mode = OneDevice(cycle([1.0, 1.0, 0.0, 0.5, -0.5]))
    run = train(GaussNewton(acceleration=0.0), monkeypatch, mode)
    assert len(run.record.terms) == 3
    assert len(mode.looks) == 3 * 5
    # With acceleration and momentum, the lengths of step and bend too.
    mode = OneDevice(cycle([1.0, 1.0, 0.0, 0.1, 1.0, 0.5, -0.5]))
    run = train(GaussNewton(momentum=0.5), monkeypatch, mode)
    assert len(mode.looks) == 3 * 7
    assert run.state.take_step.last.device == META
    assert {weight.device for weight in run.model.parameters()} == {META}


@pytest.mark.parametrize("optimizer", [LBFGS(), SelfScaledBroyden()], ids=["LBFGS", "SelfScaledBroyden"])
def test_optimizers_with_a_line_search_stay_on_the_device(optimizer, monkeypatch):
    mode = OneDevice(falling())
    run = train(optimizer, monkeypatch, mode)
    assert len(run.record.terms) == 3
    assert 0 < len(mode.looks) <= 90  # the line search decides how many; one more look an evaluation is too much
    assert {weight.device for weight in run.model.parameters()} == {META}


def test_spring_with_a_fixed_damping_never_looks(monkeypatch):
    run = train(SPRING(adaptive=False), monkeypatch, OneDevice(), points=Points(3, 2, resample=1))
    assert len(run.record.terms) == 3
    assert run.state.take_step.last.device == META


# The loss, the largest entry, what the method itself must know, the new loss and the predicted decrease.
LOOKS = {
    SPRING(): [1.0, 1.0, 0.0, 0.5, -0.5] * 3,  # whether the factor exists
    GaussNewtonCG(iterations=25, rank=5): [1.0, 1.0, 1.0, 0.5, -0.5] * 3,  # whether to end
    KFAC(): [1.0, 1.0, -3.0, -2.0, -1.0, 0.5, -0.5, *[1.0, 1.0, 0.5, -0.5] * 2],  # the search: three decreases
}


@pytest.mark.parametrize("optimizer", LOOKS, ids=lambda optimizer: type(optimizer).__name__)
def test_optimizers_for_large_networks_look_at_few_numbers(optimizer, monkeypatch):
    mode = OneDevice(iter(LOOKS[optimizer]))
    run = train(optimizer, monkeypatch, mode, points=Points(3, 2, resample=1))
    assert len(run.record.terms) == 3
    assert len(mode.looks) == 15
    assert {weight.device for weight in run.model.parameters()} == {META}


@pytest.mark.parametrize("points", [Points(3, 2), Points(60, 20)], ids=["residuals", "weights"])
def test_gauss_newton_in_both_spaces(points, monkeypatch):
    run = train(GaussNewton(acceleration=0.0), monkeypatch, OneDevice(cycle([1.0, 1.0, 0.0, 0.5, -0.5])), points=points)
    assert {matrix.device for matrix in run.state.take_step.memory.values()} == {META}


def test_the_tangent_tools():
    heat = problems.heat()
    model, points = MLP(heat, hidden=(4,)).to(META), torch.empty(6, 2, dtype=torch.float64, device=META)
    with OneDevice(falling()):
        sample = heat.sample(Points(6, 3))
        found = [
            tangent.features(model, points),
            tangent.kernel(model, points),
            tangent.kernel(model, points, heat),
            tangent.gram(model, heat, sample),
            tangent.linearize(model)(points),
            *heat.residuals(tangent.linearize(model), sample).values(),
        ]
        assert tangent.drift(model, model, points) > 0
        both = tangent.compare(model, heat, sample, steps=2)
        assert both.distance.shape == (3,)
        step = tangent.gauss_newton_preconditioner(1.0)
        terms = one_step(model, heat, GradientDescent(preconditioner=step))
        box = Box(x=(0, 1))
        nodes, weights = box.quadrature(8)
        spectra = operator.spectrum(
            MLP(Problem(box, {}), hidden=(4,)).to(META), box, nodes.to(META), weights.to(META), lambda u: u.xx
        )
        assert relative_error(model, heat) > 0
    assert {tensor.device for tensor in found} == {META}
    assert {weight.device for weight in both.linearized.parameters()} == {META}
    assert terms.device == META
    assert isinstance(spectra.matrix, np.ndarray)


def one_step(model, problem, optimizer):
    objective = Objective(model, problem, problem.sample(Points(6, 3), device=META))
    return optimizer.start(model)(objective)


# --- the instrument itself


class Forgetful(nn.Module):
    """Makes a tensor on the CPU, whatever the device of its inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, points):
        return self.layer(points) + torch.zeros(len(points), 2, dtype=torch.float64)


class Curious(nn.Linear):
    """Looks at a number in each pass."""

    def forward(self, points):
        return super().forward(points) * (1.0 if float(self.weight.sum()) > 0 else -1.0)


def test_a_tensor_on_the_wrong_device_is_caught():
    with pytest.raises(AssertionError, match=r"aten\.add\.Tensor got tensors on"), OneDevice():
        Forgetful().to(META)(torch.empty(4, 3, dtype=torch.float64, device=META))


def test_a_look_at_a_number_is_caught():
    with pytest.raises(AssertionError, match="waits for the device"), OneDevice():
        Curious(3, 2, dtype=torch.float64).to(META)(torch.empty(4, 3, dtype=torch.float64, device=META))
