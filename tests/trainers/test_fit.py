"""Training: what is fixed by a seed, where a run starts, in which precision, and what is said about bad input."""

from __future__ import annotations

import copy
import sys
from math import nan

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Fit,
    GaussNewton,
    GradientDescent,
    On,
    Points,
    Problem,
    fit,
    problems,
)
from pinnedu.derivatives import hutchinson

FEW = Points(interior=30, conditions=5)


def small(problem, **options):
    return MLP(problem, hidden=(6,), **options)


def weights(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


def same(a: Fit, b: Fit) -> bool:
    """Whether two runs are the same to the last bit, seconds aside."""
    columns = [name for name in a.history if name != "seconds"]
    return torch.equal(weights(a.model), weights(b.model)) and all(
        np.array_equal(a.history[name], b.history[name], equal_nan=True) for name in columns
    )


# --- seeds


@pytest.mark.parametrize("optimizer", [Adam(1e-2), LBFGS(), GradientDescent(0.1)], ids=lambda o: type(o).__name__)
def test_a_seed_fixes_a_run_whatever_came_before(decay, optimizer):
    def run(seed, before):
        torch.manual_seed(before)
        return fit(small(decay), decay, optimizer=optimizer, steps=12, points=FEW, seed=seed, error_every=5)

    first = run(0, before=1)
    assert same(first, run(0, before=2))
    other = run(1, before=1)
    assert not np.isclose(other.history["loss"], first.history["loss"]).any()


def test_a_seed_fixes_weights_and_points_apart(decay, scripted):
    def points_of(seed, model):
        seen = []
        fit(
            model,
            decay,
            optimizer=scripted(),
            steps=1,
            points=FEW,
            seed=seed,
            callbacks=[lambda state: seen.append(state.objective.sample["interior"])],
        )
        return seen[0]

    model = small(decay)
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    fixed = weights(model).clone()
    assert torch.equal(points_of(0, model), points_of(0, small(decay)))
    assert not torch.isin(points_of(1, model), points_of(0, model)).any()
    assert torch.equal(weights(model), fixed)


def test_without_a_seed_runs_follow_torchs_own_and_keep_the_weights(decay, scripted):
    def run(before):
        torch.manual_seed(before)
        return fit(small(decay), decay, optimizer=Adam(1e-2), steps=5, points=FEW)

    assert same(run(1), run(1))
    assert not same(run(1), run(2))
    model = small(decay)
    before = weights(model).clone()
    fit(model, decay, optimizer=scripted(), steps=1, points=FEW)
    assert torch.equal(weights(model), before)


def test_looking_at_fresh_points_does_not_change_training(decay, monkeypatch):
    def run(looks):
        monkeypatch.setattr(sys.modules["pinnedu.trainers.loop"], "CHECKS", looks)
        return fit(small(decay), decay, optimizer=Adam(1e-2), steps=20, points=FEW, seed=0)

    often, seldom = run(20), run(1)
    assert np.isfinite(often.history["fresh"]).sum() == 20
    assert np.isfinite(seldom.history["fresh"]).sum() == 1
    assert np.array_equal(often.history["loss"], seldom.history["loss"])


# --- where a run starts


def test_training_goes_on_where_it_ended(decay):
    model = small(decay)
    first = fit(model, decay, optimizer=Adam(1e-2), steps=100, points=FEW, seed=0)
    reached = weights(model).clone()
    second = fit(model, decay, optimizer=LBFGS(), steps=1, points=FEW, seed=0)
    assert second.model is first.model is model
    assert second.history["loss"][0] < 2 * first.loss < 0.1 * first.history["loss"][0]
    assert (weights(model) - reached).norm() < 0.1 * reached.norm()


def test_loaded_weights_are_kept(decay, scripted):
    trained = fit(small(decay), decay, optimizer=Adam(1e-2), steps=100, points=FEW, seed=0)
    model = small(decay)
    model.load_state_dict(copy.deepcopy(trained.model.state_dict()))
    run = fit(model, decay, optimizer=scripted(), steps=1, points=FEW, seed=5)
    assert torch.equal(weights(model), weights(trained.model))
    assert run.error == trained.error


def test_any_module_can_be_trained(decay):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))  # torch's own, float32
    run = fit(model, decay, optimizer=LBFGS(), steps=30, points=FEW, seed=0)
    assert run.model is model
    assert run.error < 0.02


# --- precision


def test_model_and_points_are_moved_to_the_precision_asked_for(decay):
    for dtype, before in ((torch.float64, torch.float32), (torch.float32, torch.float64)):
        seen = set()

        def note(state, seen=seen):
            seen |= {points.dtype for points in state.objective.sample.values()}
            seen |= {tensor.dtype for tensor in state.model.state_dict().values()}

        run = fit(
            small(decay, dtype=before),
            decay,
            optimizer=Adam(1e-2),
            steps=60,
            points=FEW,
            dtype=dtype,
            seed=0,
            callbacks=[note],
        )
        assert seen == {dtype}
        assert run.loss < 0.3 * run.history["loss"][0]
        assert run.history["loss"].dtype == np.float64


def test_single_precision_follows_double_precision_at_first(decay):
    losses = [
        fit(small(decay), decay, optimizer=Adam(1e-2), steps=20, points=FEW, dtype=dtype, seed=0).history["loss"]
        for dtype in (torch.float32, torch.float64)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert not np.array_equal(*losses)


# --- bad input: one sentence, before any training

HEAT = problems.heat()


class Spread(nn.Module):
    """A model of two inputs that gives its values without the dimension of fields."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, points):
        return self.layer(points)[:, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"steps": -5}, "steps must be a whole number of at least 1, not -5"),
        ({"steps": 10.0}, r"steps must be a whole number of at least 1, not 10\.0"),
        ({"steps": True}, "steps must be a whole number"),
        ({"seconds": 0}, "seconds must be positive, not 0"),
        ({"seconds": nan}, "seconds must be positive, not nan"),
        ({"seed": "a"}, "seed must be a whole number, not 'a'"),
        ({"error_every": 0}, "error_every needs a number of at least 1 and a problem with an exact solution"),
        ({"weights": {"hot": 1.0}}, "weights names 'hot', but the terms are heat, initial, left, right"),
        ({"weights": {"left": -1.0}}, r"The weight of 'left' must not be negative, not -1\.0"),
        ({"weights": {"left": nan}}, "The weight of 'left' must not be negative, not nan"),
        ({"optimizer": "adam"}, r"The optimizer 'adam' is unknown: use Adam\(\), LBFGS\(\)"),
        ({"optimizer": Adam}, r"The optimizer Adam \(the class\) is unknown"),
        ({"derivatives": "magic"}, "derivatives='magic' is unknown: choose one of .*autograd"),
        (
            {"derivatives": hutchinson(2), "optimizer": GaussNewton()},
            "GaussNewton works on the Jacobian of exact residuals: leave derivatives= out",
        ),
        ({"device": "gpu"}, "The device 'gpu' cannot be used here"),
        ({"dtype": torch.int32}, "dtype must be torch.float64 or torch.float32, not torch.int32"),
        ({"points": Points(10, {"left": 5})}, "Points has no count for the condition 'initial'"),
        (
            {"points": Points(10, adaptive=0.5, resample=0)},
            r"Adaptive points take effect when drawn again: give Points\(",
        ),
        ({"model": HEAT}, r"fit\(model, problem\) needs a torch.nn.Module first, not Problem"),
        ({"problem": MLP(HEAT)}, r"fit\(model, problem\) needs a Problem as its second argument, not MLP"),
        (
            {"model": nn.Linear(3, 1)},
            r"The model must map \(N, 2\) -> \(N, 1\) \(coordinates x, t; fields u\), but it fails on such points: ",
        ),
        ({"model": nn.Linear(2, 3)}, r"The model must map \(N, 2\) -> \(N, 1\) .*, but it gives shape \(2, 3\) for 2"),
        ({"model": Spread()}, r"The model must map .* but it gives shape \(2,\) for 2 points"),
        (
            {"problem": Problem(HEAT.domain, {"pde": lambda u: u.z})},
            r"u\.z is not a derivative: the coordinates are x, t",
        ),
        ({"problem": Problem(HEAT.domain, {"pde": lambda u: 1.0})}, "'pde' must return one number a point"),
        (
            {"problem": Problem(HEAT.domain, {}, {"end": On(t=1, equation=lambda u: u.y)})},
            r"u\.y is not a derivative: the coordinates are x, t",
        ),
        ({"problem": Problem(HEAT.domain, {"pde": lambda x: x})}, "No residual depends on the model's weights"),
        ({"problem": Problem(HEAT.domain, {"pde": lambda u: u.t}), "error_every": 5}, "error_every needs .* exact"),
    ],
)
def test_bad_input_is_told_before_any_training(options, message, scripted):
    model, optimizer = MLP(HEAT, hidden=(4,)), scripted()
    arguments = {"model": model, "problem": HEAT, "optimizer": optimizer, "steps": 3, "points": FEW, **options}
    with pytest.raises(ValueError, match=message) as raised:
        fit(arguments.pop("model"), arguments.pop("problem"), **arguments)
    assert optimizer.steps == 0
    assert "\n" not in str(raised.value)
