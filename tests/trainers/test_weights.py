"""Weights as strategies: each fulfils its defining equation, and the loss, its tangent and the record follow."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    Causal,
    GaussNewton,
    GradientBalance,
    HardConstraint,
    ModifiedMLP,
    On,
    Points,
    Problem,
    SelfScaledBroyden,
    TangentKernelBalance,
    fit,
    problems,
)
from pinnedu.jacobian import jacobian
from pinnedu.parameters import trainable_parameters
from pinnedu.trainers import Objective
from pinnedu.trainers.quasi_newton import _Broyden
from pinnedu.trainers.weights import balanced, resolve

BOX = Box(x=(0, 1), t=(-1, 3))
PAIR = Problem(  # two equations, one of them with two parts
    BOX,
    {"both": lambda u, v, t: (u.t - v, v.t + t * u), "slope": lambda u, v: u.x - v.x},
    {"start": On(t=-1, equation=lambda u, x: u - x), "wall": On(x=0, equation=lambda v: v - 2)},
    fields=("u", "v"),
)
FEW = Points(40, 7)


def objective(problem=PAIR, **options):
    return Objective(MLP(problem, hidden=(6, 5)), problem, problem.sample(FEW), **options)


def gradient(value, model):
    weights = list(trainable_parameters(model).values())
    parts = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True, allow_unused=True)
    return torch.cat([part.reshape(-1) for part in parts])


# --- balanced terms


def test_balanced_gradients_have_one_norm():
    loss = objective()
    GradientBalance().update(loss, 1)
    norms = {}
    for name, residual in PAIR.residuals(loss.model, loss.sample, "autograd").items():
        norms[name] = float(gradient(0.5 * residual.square().mean(), loss.model).norm())
    for name in PAIR.terms:
        assert loss.loss_weights[name] * norms[name] == pytest.approx(sum(norms.values()), rel=1e-9)


@pytest.mark.parametrize("factorized", [False, True])
def test_balanced_kernels_have_one_trace(factorized):
    loss = Objective(ModifiedMLP(PAIR, (4, 4), factorized=factorized), PAIR, PAIR.sample(FEW))
    TangentKernelBalance().update(loss, 1)
    traces = {
        name: float(torch.trace(rows @ rows.T)) / len(rows)
        for name, (_, rows) in jacobian(loss.model, PAIR, loss.sample, method="func").items()
    }
    for name in PAIR.terms:
        assert loss.loss_weights[name] * traces[name] == pytest.approx(sum(traces.values()), rel=1e-9)


@pytest.mark.parametrize("kind", [GradientBalance, TangentKernelBalance])
def test_after_the_first_update_weights_move_by_an_average_every_so_many_steps(kind):
    loss, other = objective(), objective()
    other.model, other.sample = loss.model, loss.sample
    strategy = kind(every=10, momentum=0.7)
    loss.loss_weights = dict.fromkeys(PAIR.terms, 2.0)
    for step in (2, 10, 12):
        strategy.update(loss, step)
    assert loss.loss_weights == dict.fromkeys(PAIR.terms, 2.0)
    strategy.update(other, 1)
    strategy.update(loss, 11)
    for name in PAIR.terms:
        assert loss.loss_weights[name] == pytest.approx(0.7 * 2 + 0.3 * other.loss_weights[name])


def test_a_term_that_holds_already_keeps_its_weight():
    problem = problems.heat()
    model = HardConstraint(MLP(problem, (4,)), problem, u=lambda u, x, t: torch.sin(x) + t * u)
    for strategy in (GradientBalance(), TangentKernelBalance()):
        loss = Objective(model, problem, problem.sample(FEW))
        strategy.update(loss, 1)
        assert loss.loss_weights["initial"] == 1.0
        assert loss.loss_weights["left"] > 1.0


@pytest.mark.parametrize(("size", "kept"), [(0.0, True), (2e-9, True), (2e-7, False)])
def test_a_term_holds_where_its_share_is_half_the_digits(size, kept):
    """A share of 1e-9 is rounding, one of 1e-7 is not: sqrt(2.2e-16) = 1.5e-8 lies between."""
    weights = balanced({"a": 5.0, "b": 5.0}, {"a": size, "b": 2.0})
    assert weights["b"] == pytest.approx(1, rel=1e-6)
    assert weights["a"] == pytest.approx(5.0 if kept else 1e7, rel=1e-6)


def test_where_all_terms_hold_all_keep_their_weights():
    weights = {"a": 1.0, "b": 3.0}
    assert balanced(weights, {"a": 0.0, "b": 0.0}) == weights
    assert balanced(weights, {"a": 0.0, "b": 2.0}, momentum=0.5) == {"a": 1.0, "b": 2.0}
    assert balanced(weights, {"a": 1.0, "b": 3.0}, momentum=0.5) == {"a": 2.5, "b": 1.5 + 2 / 3}


# --- causal weights


def test_causal_weights_are_their_formula():
    loss, chunks, epsilon = objective(), 8, 0.3
    Causal("t", epsilon, chunks).update(loss, 1)
    interior = loss.sample["interior"]
    found = PAIR.residuals(loss.model, {"interior": interior}, "autograd")
    square = (found["both"][:40] ** 2 + found["both"][40:] ** 2 + found["slope"] ** 2).detach().numpy()
    window = np.floor((interior[:, 1].numpy() + 1) / 4 * chunks)
    means = [square[window == i].mean() if (window == i).any() else 0.0 for i in range(chunks)]
    expected = [np.exp(-epsilon * sum(means[:i])) for i in range(chunks)]
    for name in PAIR.equations:
        values = loss.point_weights[name].values
        assert values.tolist() == pytest.approx(expected, rel=1e-10)
        assert values[0] == 1
        assert (values.diff() <= 0).all()
        assert values[-1] < 0.9
        assert torch.equal(loss.point_weights[name](interior), values[window])


def test_causal_weights_are_one_where_the_equation_holds(closed_form):
    problem = problems.advection(3.0)
    loss = Objective(closed_form(lambda x, t: torch.sin(x - 3 * t)), problem, problem.sample(FEW))
    Causal().update(loss, 1)
    assert torch.allclose(loss.point_weights["advection"].values, torch.ones(32, dtype=torch.float64))
    assert loss.used_weights() == pytest.approx([1, 1, 1])


# --- the loss, its gradient and its tangent


def weighed():
    loss = objective(loss_weights={"start": 3.0})
    Causal(epsilon=0.1, chunks=5).update(loss, 1)
    return loss


def test_the_loss_is_the_sum_over_points_and_the_weights_used_reproduce_it():
    loss = weighed()
    found = PAIR.residuals(loss.model, loss.sample, "autograd")
    share = loss.point_weights["both"](loss.sample["interior"])
    expected = 0.5 * (
        (torch.cat([share, share]) * found["both"] ** 2).mean()
        + (share * found["slope"] ** 2).mean() + 3 * (found["start"] ** 2).mean() + (found["wall"] ** 2).mean()
    )  # fmt: skip
    assert float(loss.loss().detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert np.dot(loss.used_weights(), loss.terms().tolist()) == pytest.approx(float(expected.detach()), rel=1e-12)


def test_scaled_rows_reproduce_the_loss_and_its_gradient():
    loss = weighed()
    slope, expected = gradient(loss.loss(), loss.model), loss.loss().detach()
    pairs = loss.linearize()
    assert float(sum(0.5 * residual @ residual for residual, _ in pairs)) == pytest.approx(float(expected), rel=1e-12)
    assert torch.allclose(sum(rows.T @ residual for residual, rows in pairs), slope, rtol=1e-10)


# --- in training

STRATEGIES = {
    "gradients": GradientBalance(every=3),
    "kernels": TangentKernelBalance(every=3),
    "causal": Causal(epsilon=0.1),
    "both": [GradientBalance(every=3), Causal(epsilon=0.1)],
    "fixed and causal": ({"initial": 5.0}, Causal(epsilon=0.1)),
}
OPTIMIZERS = {"Adam": Adam(3e-2), "L-BFGS": LBFGS(), "Gauss-Newton": GaussNewton(), "Broyden": SelfScaledBroyden()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_optimizer_takes_every_strategy_and_the_record_shows_the_weights(optimizer, strategy):
    problem = problems.advection(2.0)
    run = fit(
        MLP(problem, (8, 8)), problem, optimizer=OPTIMIZERS[optimizer], steps=24, points=Points(80, 10),
        weights=STRATEGIES[strategy], seed=0,
    )  # fmt: skip
    history = run.history
    assert list(history)[-3:] == [f"weight of {name}" for name in problem.terms]
    total = sum(history[f"weight of {name}"] * history[name] for name in problem.terms)
    assert history["loss"] == pytest.approx(total, rel=1e-12)
    seen = history["weight of advection"]
    assert seen.std() > 0
    if strategy in ("gradients", "kernels"):
        assert (np.flatnonzero(np.diff(seen)) % 3 == 2).all()
    assert history["initial"][-1] < 0.9 * history["initial"][0]
    fresh = history["fresh"][np.isfinite(history["fresh"])]
    assert 0.01 < fresh[0] / history["loss"][0] < 100  # measured with the same weights


def test_a_balance_sees_the_causal_weights_in_whatever_order_they_are_given():
    problem = problems.advection(2.0)
    parts = [GradientBalance(every=3), Causal(epsilon=0.1)]
    runs = [
        fit(MLP(problem, (5,)), problem, optimizer=Adam(1e-2), steps=6, points=FEW, weights=weights, seed=0)
        for weights in (parts, parts[::-1], parts[:1])
    ]
    first = [run.history["weight of initial"][0] for run in runs]
    assert first[0] == first[1] != first[2]
    assert np.array_equal(runs[0].history["loss"], runs[1].history["loss"])


def test_without_a_strategy_the_record_has_no_weights(decay):
    run = fit(MLP(decay, (3,)), decay, optimizer=Adam(), steps=2, weights={"start": 2.0})
    assert not [name for name in run.history if name.startswith("weight")]


def test_causal_training_is_not_mistaken_for_overfitting():
    problem = problems.advection(10.0)
    run = fit(
        MLP(problem, (10,)), problem, optimizer=Adam(1e-2), steps=30, points=Points(100, 10), weights=Causal(epsilon=100.0),
        seed=0,
    )  # fmt: skip
    assert run.history["weight of advection"].min() < 0.05
    assert not run.warnings


def test_quasi_newton_does_not_remember_a_loss_of_other_weights(decay):
    loss = objective(decay)
    step = _Broyden(SelfScaledBroyden(), loss.model)
    step(loss)
    loss.loss_weights = {"decay": 1.0, "start": 100.0}
    before = float(loss.loss().detach())
    step(loss)
    assert step.loss_before == pytest.approx(before, rel=1e-12)


class Ramp:
    """A strategy of one's own."""

    sets = "terms"

    def check(self, problem):
        pass

    def update(self, objective, step):
        objective.loss_weights = {name: float(step) for name in objective.loss_weights}


def test_a_strategy_of_ones_own(decay):
    run = fit(MLP(decay, (3,)), decay, optimizer=Adam(), steps=3, weights=Ramp())
    assert run.history["weight of start"].tolist() == [1, 2, 3]


def test_the_guide_in_small():
    """R15: on the wave the modified network helps Adam, and what the optimizer knows helps far more."""
    problem = problems.advection(6.0)
    error = {}
    for kind in (MLP, ModifiedMLP):
        error[kind] = fit(
            kind(problem, (24, 24, 24)), problem, optimizer=Adam(1e-2), steps=240, points=Points(128, 16), seed=0
        ).error
    second = fit(
        MLP(problem, (24, 24, 24)), problem, optimizer=GaussNewton(momentum=0.9), steps=25,
        points=Points(400, 50, "sobol", resample=1), seed=0,
    )  # fmt: skip
    assert error[ModifiedMLP] < 0.8 * error[MLP]
    assert second.error < 0.05 * error[ModifiedMLP]


# --- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientBalance(every=0), "GradientBalance needs every, a number of steps of at least 1, not 0"),
        (lambda: TangentKernelBalance(momentum=1.0), r"TangentKernelBalance needs a momentum in \[0, 1\), not 1.0"),
        (lambda: Causal(0.5), 'Causal needs the name of the time first, such as Causal."t"., not 0.5'),
        (lambda: Causal(epsilon=0), "Causal needs a positive epsilon, not 0"),
        (lambda: Causal(chunks=1), "Causal needs at least 2 chunks of time, not 1"),
    ],
)
def test_bad_strategies(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (Causal("y"), "Causal names 'y', but the coordinates are t"),
        ("gradients", "weights takes a dict of term to number, .* or a list of them, not 'gradients'"),
        (Causal, r"weights takes a dict .* not Causal \(the class\)"),
        ([{"start": 1.0}, GradientBalance()], "two parts that set the weights of the terms: give one"),
        ([Causal(), Causal()], "two parts that set the weights of the points: give one"),
        ([Causal(), {"strat": 1.0}], "weights names 'strat', but the terms are decay, start"),
    ],
)
def test_bad_weights(decay, weights, message):
    with pytest.raises(ValueError, match=message):
        fit(nn.Linear(1, 1), decay, optimizer=Adam(), steps=1, weights=weights)


def test_a_term_has_weight_1_unless_it_is_given_another():
    ones = dict.fromkeys(PAIR.terms, 1.0)
    assert resolve(None, PAIR) == resolve({}, PAIR) == (ones, [])
    causal = Causal()
    assert resolve([{"wall": 0, "start": 0.5}, causal], PAIR) == (ones | {"wall": 0.0, "start": 0.5}, [causal])
    for wrong in (-1e-9, float("nan"), "2", True):
        with pytest.raises(ValueError, match="The weight of 'wall' must not be negative, not"):
            resolve({"wall": wrong}, PAIR)


def test_nothing_to_balance_and_nothing_to_order():
    alone = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t + u})
    with pytest.raises(ValueError, match="GradientBalance needs at least 2 terms to balance, not 1"):
        fit(MLP(alone), alone, optimizer=Adam(), steps=1, weights=GradientBalance())
    data = Problem(Box(t=(0, 1)), {}, {"start": On(t=0, equation=lambda u: u)})
    with pytest.raises(ValueError, match="Causal weighs the equations in time, but the problem has none"):
        fit(MLP(data), data, optimizer=Adam(), steps=1, weights=Causal())


def test_balances_look_every_hundred_steps_by_default():
    for strategy in (GradientBalance(), TangentKernelBalance()):
        assert (strategy.every, strategy.momentum, strategy.sets) == (100, 0.9, "terms")
    assert GradientBalance(momentum=0).momentum == 0
    assert (Causal().coordinate, Causal().epsilon, Causal().chunks) == ("t", 1.0, 32)


@pytest.mark.parametrize("kind", [GradientBalance, TangentKernelBalance, Causal])
def test_a_strategy_stays_as_it_was_checked(kind):
    with pytest.raises(FrozenInstanceError):
        kind().sets = "none"
