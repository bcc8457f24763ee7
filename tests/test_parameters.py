"""Vectors of parameters: there and back, in place, and gradients with zeros."""

import torch
from torch import nn

from pinnedu.parameters import assign, gradient, parts, trainable_parameters, vector


def test_there_and_back():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    model[0].bias.requires_grad_(False)
    weights = trainable_parameters(model)
    assert list(weights) == ["0.weight", "1.weight"]
    whole = vector(weights.values())
    assert whole.tolist() == [*model[0].weight.flatten().tolist(), *model[1].weight.flatten().tolist()]
    assert not whole.requires_grad
    own, version = [weight.data_ptr() for weight in weights.values()], model[0].weight._version
    assign(list(weights.values()), 2 * whole)
    assert torch.equal(vector(weights.values()), 2 * whole)
    assert [weight.data_ptr() for weight in weights.values()] == own
    assert model[0].weight._version > version  # torch sees that it changed
    assert [part.shape for part in parts(whole, list(weights.values()))] == [(3, 2), (1, 3)]


def test_a_vector_is_a_copy():
    weight = nn.Parameter(torch.zeros(3))
    before = vector([weight])
    assign([weight], torch.ones(3))
    assert before.tolist() == [0, 0, 0]


def test_a_gradient_is_zero_where_nothing_depends_on_a_weight():
    used, unused = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([[3.0]]))
    assert gradient((used**2).sum(), [unused, used]).tolist() == [0, 2, 4]
    assert gradient(torch.tensor(1.0), [unused, used]).tolist() == [0, 0, 0]
