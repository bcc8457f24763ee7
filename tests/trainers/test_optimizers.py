"""Optimizers: each lowers the loss, does what its name says, and returns where a step started from."""

from __future__ import annotations

import copy
from math import nan

import pytest
import torch

import pinnedu
from pinnedu import LBFGS, MLP, Adam, Box, GradientDescent, Observed, Points, Problem, fit
from pinnedu.trainers import Objective
from pinnedu.trainers.optimizers import Diverged, resolve

POINTS = Points(40, 5)

OPTIMIZERS = {
    "Adam": Adam(1e-2),
    "LBFGS": LBFGS(),
    "GradientDescent": GradientDescent(0.1),
    "class of torch": torch.optim.Adam,
    "factory of torch": lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9),
    # The others of the public face, by their defaults.
    **{name: getattr(pinnedu, name)() for name in ("GaussNewton", "SelfScaledBroyden", "SPRING", "GaussNewtonCG", "KFAC")},
    "SOAP": pinnedu.SOAP(1e-2),
    **({"Muon": pinnedu.Muon(1e-2, adam_lr=1e-2)} if hasattr(torch.optim, "Muon") else {}),
}


def weights(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


def flat_gradient(objective):
    found = torch.autograd.grad(objective.loss(), list(objective.model.parameters()))
    return torch.cat([gradient.reshape(-1) for gradient in found])


@pytest.fixture
def model(decay):
    """A model that is no longer as it was drawn, so that a seed fixes the points alone."""
    model = MLP(decay, hidden=(6,))
    with torch.no_grad():
        model.layers[0].bias += 0.1
    return model


# --- what every optimizer does


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_and_keeps_what_it_reached(decay, name):
    model = MLP(decay, hidden=(6,))
    steps = 400 if name == "class of torch" else 60  # torch's own default rate is small
    first = fit(model, decay, optimizer=OPTIMIZERS[name], steps=steps, points=POINTS, seed=0)
    assert first.loss < 0.1 * first.history["loss"][0]
    assert first.stopped == f"all {steps} steps done" or name in ("GaussNewton", "SelfScaledBroyden")
    # A second run goes on from there, seed or not: no trained weight is drawn again.
    second = fit(model, decay, optimizer=OPTIMIZERS[name], steps=2, points=POINTS, seed=0)
    assert second.history["loss"][0] < 2 * first.loss + 1e-12


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_first_row_is_the_loss_before_any_step(decay, model, name):
    points = Points(9, 1, method="grid")
    expected = Objective(copy.deepcopy(model), decay, decay.sample(points), derivatives="autograd").terms()
    run = fit(model, decay, optimizer=OPTIMIZERS[name], steps=2, points=points)
    assert [run.history[term][0] for term in decay.terms] == pytest.approx(expected.tolist(), rel=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_that_are_held_fixed_stay(decay, model, name):
    model.layers[0].weight.requires_grad_(False)
    held, free = model.layers[0].weight.clone(), model.layers[1].weight.detach().clone()
    fit(model, decay, optimizer=OPTIMIZERS[name], steps=3, points=POINTS)
    assert torch.equal(model.layers[0].weight, held)
    assert not torch.equal(model.layers[1].weight, free)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_unknown_that_no_equation_uses_stays_at_its_guess(name):
    problem = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t + u}, unknowns={"unused": 0.25})
    run = fit(MLP(problem, hidden=(4,)), problem, optimizer=OPTIMIZERS[name], steps=3, points=POINTS, seed=0)
    assert run.unknowns == {"unused": 0.25}


# --- what each is


def test_gradient_descent_is_its_formula(decay, model):
    points = Points(9, 1, method="grid")
    objective = Objective(copy.deepcopy(model), decay, decay.sample(points))
    expected = weights(model) - 0.3 * flat_gradient(objective)
    fit(model, decay, optimizer=GradientDescent(0.3), steps=1, points=points)
    assert torch.allclose(weights(model), expected, rtol=1e-12, atol=1e-14)


def test_a_preconditioner_gets_objective_and_gradient_and_gives_the_direction(decay, model):
    seen = []

    def precondition(objective, gradient):
        seen.append((objective, gradient.clone()))
        return torch.arange(len(gradient), dtype=gradient.dtype)

    start = weights(model).clone()
    points = Points(9, 1, method="grid")
    expected = flat_gradient(Objective(copy.deepcopy(model), decay, decay.sample(points)))
    fit(model, decay, optimizer=GradientDescent(0.5, precondition), steps=1, points=points)
    ((objective, gradient),) = seen
    assert isinstance(objective, Objective)
    assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14)
    assert torch.allclose(weights(model), start - 0.5 * torch.arange(len(start), dtype=torch.float64))


@pytest.mark.parametrize("optimizer", [Adam(0.02, betas=(0.8, 0.95)), LBFGS(history=5)], ids=lambda o: type(o).__name__)
def test_torchs_optimizers_do_what_they_do_in_a_loop_by_hand(decay, model, optimizer):
    points = Points(9, 1, method="grid")
    by_hand = copy.deepcopy(model)
    objective = Objective(by_hand, decay, decay.sample(points))
    if isinstance(optimizer, Adam):
        torchs = torch.optim.Adam(by_hand.parameters(), lr=0.02, betas=(0.8, 0.95))
    else:
        torchs = torch.optim.LBFGS(
            by_hand.parameters(),
            max_iter=1,
            max_eval=25,
            history_size=5,
            tolerance_grad=1e-14,
            tolerance_change=1e-16,
            line_search_fn="strong_wolfe",
        )

    def closure():
        torchs.zero_grad()
        loss = objective.loss()
        loss.backward()
        return loss

    for _ in range(8):
        torchs.step(closure)
    fit(model, decay, optimizer=optimizer, steps=8, points=points)
    assert torch.allclose(weights(model), weights(by_hand), rtol=1e-10, atol=1e-12)


def sum_of_coordinates(size):
    """Regression of a linear function by a linear model: a quadratic loss of seven weights."""
    box = Box(**{f"x{i}": (0, 1) for i in range(6)})
    where = box.sample(60, generator=torch.Generator().manual_seed(1))
    values = (where * torch.tensor([1.0, -2.0, 3.0, 0.5, 0.1, 9.0])).sum(dim=1) + 1
    problem = Problem(box, {}, {"data": Observed(where, u=size * values)})
    model = MLP(problem, hidden=())
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    return model, problem


def decrease(run):
    return run.loss / run.history["loss"][0]


def test_lbfgs_remembers_its_steps():
    """On a quadratic loss its steps are conjugate: few suffice, and with less memory more are needed."""
    short, long = (fit(*sum_of_coordinates(1.0), optimizer=LBFGS(history=n), steps=20) for n in (1, 20))
    assert decrease(long) < 1e-20
    assert decrease(long) < 1e-3 * decrease(short)


def test_lbfgs_goes_on_where_the_loss_is_small():
    """Torch's own takes up no step with y.s <= 1e-10, whatever the scale of the loss: it would reach 5e-11."""
    assert decrease(fit(*sum_of_coordinates(1e-4), optimizer=LBFGS(), steps=20)) < 1e-15


def test_lbfgs_rests_where_the_gradient_is_below_its_tolerance(decay, model):
    start = weights(model).clone()
    fit(model, decay, optimizer=LBFGS(tolerance_grad=1e6), steps=3, points=POINTS, seed=0)
    assert torch.equal(weights(model), start)


# --- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "The rate lr must be positive, not 0"),
        (lambda: Adam(-1e-3), "The rate lr must be positive, not -0.001"),
        (lambda: Adam(nan), "The rate lr must be positive, not nan"),
        (lambda: GradientDescent(0.0), "The rate lr must be positive, not 0.0"),
        (lambda: LBFGS(history=0), "LBFGS needs a history of at least 1 step, not 0"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda model: "adam", "The optimizer 'adam' is unknown: use Adam"),
        (lambda model: None, "The optimizer None is unknown"),
        (lambda model: Adam, r"The optimizer Adam \(the class\) is unknown"),
        (lambda model: dict, r"The optimizer dict \(the class\) is unknown"),
        (
            lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
            "is unknown: .* or a factory such as lambda weights",
        ),
        (lambda model: lambda weights: 3, r"The optimizer factory must return a torch\.optim\.Optimizer, not 3"),
    ],
)
def test_unknown_optimizers(decay, model, optimizer, message):
    before = weights(model).clone()
    with pytest.raises(ValueError, match=f"(?s){message}"):
        fit(model, decay, optimizer=optimizer(model), steps=2, points=POINTS)
    assert torch.equal(weights(model), before)


def test_lbfgs_evaluates_as_often_as_torchs_own_and_goes_the_same_way(decay, model, monkeypatch):
    calls, plain = [0], Objective.loss_and_gradient

    def counted(self, *args):
        calls[0] += 1
        return plain(self, *args)

    points, by_hand, evaluations = Points(9, 1, method="grid"), copy.deepcopy(model), [0]
    objective = Objective(by_hand, decay, decay.sample(points))
    torchs = torch.optim.LBFGS(
        by_hand.parameters(), max_iter=25, max_eval=10_000, history_size=50, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        evaluations[0] += 1
        torchs.zero_grad()
        loss = 1e8 * objective.loss()
        loss.backward()
        return loss

    torchs.step(closure)
    monkeypatch.setattr(Objective, "loss_and_gradient", counted)
    fit(model, decay, optimizer=LBFGS(), steps=25, points=points, progress=False)
    assert torch.equal(weights(model), weights(by_hand))
    assert calls[0] == evaluations[0]


class Jump(torch.optim.SGD):
    """Ends at infinity."""

    def step(self, closure):
        closure()
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(float("inf"))


@pytest.mark.parametrize(
    "optimizer", [GradientDescent(1e305), LBFGS(), Adam(1e-3), lambda w: Jump(w, lr=1.0)], ids=lambda o: type(o).__name__
)
def test_no_step_leaves_nan_or_infinity_in_the_weights(optimizer):
    steep = Problem(Box(t=(0, 1)), {"steep": lambda u: 1e160 * torch.sqrt(u.value - u.value.detach()) + 1e5 * u})
    model = MLP(steep, hidden=(3,))
    before = weights(model)
    step = resolve(optimizer).start(model)
    with pytest.raises(Diverged, match="the weights became infinite or NaN"):
        step(Objective(model, steep, steep.sample(Points(4))))
    assert torch.equal(weights(model), before)
