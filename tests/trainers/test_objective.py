"""The loss: half the weighted mean squares, and the record of where a step started."""

from __future__ import annotations

import pytest
import torch

from pinnedu import MLP, Points
from pinnedu.trainers import Objective


@pytest.fixture
def objective(decay):
    return Objective(MLP(decay, hidden=(4,)), decay, decay.sample(Points(7, 3)), {"start": 5.0})


def test_the_loss_is_half_the_weighted_mean_squares(decay, objective):
    residuals = decay.residuals(objective.model, objective.sample, "autograd")
    decay_term = 0.5 * residuals["decay"].square().sum() / 7
    start_term = 0.5 * residuals["start"].square().sum()  # t = 0 is one point
    assert torch.allclose(objective.terms(), torch.stack([decay_term, start_term]), rtol=1e-12)
    assert torch.allclose(objective.loss(), decay_term + 5 * start_term, rtol=1e-12)
    assert objective.weights == {"decay": 1.0, "start": 5.0}
    assert objective.loss().shape == ()
    objective.loss().backward()
    assert all(weight.grad is not None for weight in objective.model.parameters())


def test_first_terms_are_those_of_the_first_evaluation_of_a_step(objective):
    def shift():
        with torch.no_grad():
            objective.model.layers[-1].bias += 1.0

    before = objective.terms().detach()
    objective.loss()
    shift()
    objective.loss()
    assert torch.equal(objective.first_terms(), before)
    assert not objective.first_terms().requires_grad
    assert torch.equal(objective.first_terms(), objective.terms().detach())  # evaluated now, if it was not before
    assert not torch.equal(objective.first_terms(), before)
