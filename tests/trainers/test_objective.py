"""The loss: half the weighted mean squares, and the evaluation that is kept."""

from __future__ import annotations

import pytest
import torch

from pinnedu import MLP, Points, jacobian
from pinnedu.trainers import Objective
from pinnedu.trainers.weights import Windows


@pytest.fixture
def objective(decay):
    return Objective(MLP(decay, hidden=(4,)), decay, decay.sample(Points(7, 3)), {"start": 5.0})


def test_the_loss_is_half_the_weighted_mean_squares(decay, objective):
    residuals = decay.residuals(objective.model, objective.sample, "autograd")
    decay_term = 0.5 * residuals["decay"].square().sum() / 7
    start_term = 0.5 * residuals["start"].square().sum()  # t = 0 is one point
    assert torch.allclose(objective.terms(), torch.stack([decay_term, start_term]), rtol=1e-12)
    assert torch.allclose(objective.loss(), decay_term + 5 * start_term, rtol=1e-12)
    assert objective.loss_weights == {"decay": 1.0, "start": 5.0}
    assert objective.loss().shape == ()
    objective.loss().backward()
    assert all(weight.grad is not None for weight in objective.model.parameters())


def shift(objective, by=1.0):
    with torch.no_grad():
        objective.model.layers[-1].bias += by


def test_an_evaluation_is_loss_terms_and_gradient(objective):
    found = objective.evaluate()
    assert torch.equal(found.terms, objective.terms().detach())
    assert torch.equal(found.loss, objective.loss().detach())
    gradients = torch.autograd.grad(objective.loss(), list(objective.model.parameters()))
    assert torch.equal(found.gradient, torch.cat([gradient.reshape(-1) for gradient in gradients]))
    assert torch.equal(found.weights, torch.cat([w.detach().reshape(-1) for w in objective.model.parameters()]))
    assert not any(value.requires_grad for value in vars(found).values())


def test_a_factor_multiplies_loss_and_gradient_but_no_term(objective):
    once, twice = objective.evaluate(), objective.evaluate(2.0)
    assert torch.equal(twice.loss, 2 * once.loss)
    assert torch.equal(twice.gradient, 2 * once.gradient)
    assert torch.equal(twice.terms, once.terms)


def change_by_data(objective):
    objective.model.layers[0].weight.data[0, 0] += 1  # torch counts no version here


def change_sample_in_place(objective):
    objective.sample["interior"] *= 0.5


def draw_again(objective):
    objective.sample = objective.problem.sample(Points(7, 3, "uniform"))


def change_loss_weight(objective):
    objective.loss_weights["start"] = 6.0


def give_point_weights(objective):
    values = torch.tensor([1.0, 0.5], dtype=torch.float64)
    objective.point_weights = {"decay": Windows(0, 0.0, 1.0, values)}


def change_a_buffer(objective):
    objective.model.embedding.factor *= 0.5


def hold_a_weight(objective):
    objective.model.layers[0].bias.requires_grad_(False)


@pytest.mark.parametrize(
    "change",
    [shift, change_by_data, change_sample_in_place, draw_again, change_loss_weight, give_point_weights, change_a_buffer,
     hold_a_weight],
)  # fmt: skip
def test_an_evaluation_is_kept_until_something_changes(objective, change):
    before = objective.evaluate()
    assert objective.evaluate() is before
    change(objective)
    after = objective.evaluate()
    assert not torch.equal(after.loss, before.loss) or len(after.gradient) < len(before.gradient)
    assert torch.equal(after.loss, objective.loss().detach())
    assert objective.evaluate() is after


def test_a_forgotten_evaluation_is_made_anew(objective):
    before = objective.evaluate()
    objective.forget()
    assert objective.evaluate() is not before


def test_of_several_evaluations_the_one_at_the_present_weights_is_kept(objective):
    first = objective.evaluate()
    shift(objective)
    second = objective.evaluate()
    shift(objective, -1.0)
    assert torch.equal(first.weights, torch.cat([w.detach().reshape(-1) for w in objective.model.parameters()]))
    objective.keep([first, second])
    assert objective.evaluate() is first


def test_a_linearization_has_the_terms_of_its_residuals(objective):
    linear = objective.linearize()
    assert torch.allclose(linear.terms, objective.terms(), rtol=1e-12)
    assert len(list(linear)) == len(linear.pairs) == 2
    assert float(sum(0.5 * r @ r for r, _ in linear)) == pytest.approx(float(objective.loss().detach()), rel=1e-12)


def test_only_the_first_linearization_compares(objective, monkeypatch):
    made, plain = [], jacobian._Plain
    monkeypatch.setattr(jacobian, "_Plain", lambda *args: made.append(len(args[2]["interior"])) or plain(*args))
    objective.linearize()
    assert made == [7]
    shift(objective)
    objective.linearize()
    objective.sample = {**objective.sample, "interior": objective.sample["interior"].flip(0)}
    objective.linearize()
    assert made == [7]
    objective.sample = {**objective.sample, "interior": objective.sample["interior"][:5]}  # of another kind
    objective.linearize()
    assert made == [7, 5]
