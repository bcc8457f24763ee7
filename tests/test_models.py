"""Models: shapes, what holds exactly by construction, and which weights a seed draws again."""

from __future__ import annotations

import copy
from math import sqrt

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, HardConstraint, ModifiedMLP, Normalize, PeriodicEmbedding, Problem
from pinnedu.models import FactorizedLinear, draw

BOX = Box(x=(-1, 3), t=(0, 10))
PROBLEM = Problem(BOX, {}, fields=("u", "v"))
POINTS = BOX.sample(20, generator=torch.Generator().manual_seed(0))


def flat(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


# --- the network


def test_a_model_sees_the_box_and_not_its_units():
    other = Box(x=(100, 101), t=(-5, 5))
    here, there = MLP(PROBLEM), MLP(Problem(other, {}, fields=("u", "v")))
    there.layers.load_state_dict(here.layers.state_dict())
    assert torch.allclose(here(BOX.grid(5)), there(other.grid(5)), atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (3,), (10, 20), [4, 4, 4]])
def test_widths_shapes_and_number_of_weights(hidden):
    model = MLP(PROBLEM, hidden=hidden)
    widths = [2, *hidden, 2]
    assert model(POINTS).shape == (20, 2)
    assert model(POINTS).dtype == torch.float64
    assert sum(weight.numel() for weight in model.parameters()) == sum(
        (a + 1) * b for a, b in zip(widths, widths[1:], strict=False)
    )


def test_the_network_is_the_textbook_formula():
    model = MLP(PROBLEM, hidden=(5, 4))
    values = (POINTS - torch.tensor([1.0, 5.0])) / torch.tensor([2.0, 5.0])
    (w1, b1), (w2, b2), (w3, b3) = ((layer.weight, layer.bias) for layer in model.layers)
    expected = torch.tanh(torch.tanh(values @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    assert torch.allclose(model(POINTS), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", torch.tanh),
        ("silu", nn.functional.silu),
        ("gelu", nn.functional.gelu),
        ("sigmoid", torch.sigmoid),
        (nn.Softplus, nn.functional.softplus),
    ],
)
def test_activations(activation, function):
    model = MLP(PROBLEM, hidden=(6,), activation=activation)
    first, last = model.layers
    assert torch.allclose(model(POINTS), last(function(first(Normalize(BOX)(POINTS)))))


def test_weights_are_glorot_normal_and_biases_zero():
    model = MLP(PROBLEM, hidden=(300, 200))
    layer = model.layers[1]
    assert layer.weight.std().item() == pytest.approx(sqrt(2 / 500), rel=0.02)
    assert abs(layer.weight.mean().item()) < 1e-3
    assert all((layer.bias == 0).all() for layer in model.layers)


def test_a_model_in_single_precision():
    model = MLP(PROBLEM, dtype=torch.float32)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert model(POINTS.float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": (0,)}, r"hidden must hold widths of at least 1, such as \(20, 20\), not \(0,\)"),
        ({"hidden": (20, -1)}, "hidden must hold widths of at least 1"),
        ({"hidden": (20.0,)}, "hidden must hold widths"),
        ({"hidden": 20}, "hidden must hold widths of at least 1, .* not 20"),
        ({"activation": "relu6"}, "The activation 'relu6' is unknown: choose one of tanh, silu, gelu, sigmoid"),
        ({"activation": nn.Tanh()}, "The activation must be a name or a Module class such as nn.Tanh, not Tanh"),
    ],
)
def test_bad_networks(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(PROBLEM, **arguments)


# --- the modified network, and factorized weights


@pytest.mark.parametrize("embedding", [None, PeriodicEmbedding(BOX, x=2)])
def test_the_modified_network_is_the_textbook_formula(embedding):
    model = ModifiedMLP(PROBLEM, hidden=(5, 5, 5), embedding=embedding)
    x = model.embedding(POINTS)
    U, V = (torch.tanh(x @ gate.weight.T + gate.bias) for gate in model.gates)
    g = x
    for layer in model.layers[:-1]:
        z = torch.tanh(g @ layer.weight.T + layer.bias)
        g = z * U + (1 - z) * V
    assert torch.allclose(model(POINTS), g @ model.layers[-1].weight.T + model.layers[-1].bias, atol=1e-14)
    assert not torch.equal(model.gates[0].weight, model.gates[1].weight)


@pytest.mark.parametrize("hidden", [(), (5, 4)])
def test_the_modified_network_needs_equal_widths(hidden):
    with pytest.raises(ValueError, match=r"ModifiedMLP needs hidden layers, all of one width, such as \(20, 20\), not"):
        ModifiedMLP(PROBLEM, hidden=hidden)


def test_a_factorized_layer_is_glorot_at_first_and_its_scales_are_drawn():
    layer = FactorizedLinear(300, 200)
    assert torch.allclose(layer.weight, torch.diag(torch.exp(layer.s)) @ layer.V, atol=1e-15)
    assert layer.weight.std().item() == pytest.approx(sqrt(2 / 500), rel=0.02)
    assert layer.s.mean().item() == pytest.approx(1.0, abs=0.03)
    assert layer.s.std().item() == pytest.approx(0.1, rel=0.2)
    values = torch.randn(4, 300, dtype=torch.float64)
    assert torch.allclose(layer(values), values @ layer.weight.T + layer.bias, atol=1e-13)
    with pytest.raises(ValueError, match="The standard deviation of s must not be negative, not -1"):
        FactorizedLinear(2, 2, std=-1)


def test_a_gradient_step_of_v_moves_the_weight_by_the_square_of_its_scale():
    layer = FactorizedLinear(3, 2)
    values = torch.randn(4, 3, dtype=torch.float64)
    W = layer.weight.detach().requires_grad_()
    by_weight = torch.autograd.grad((values @ W.T).square().sum(), W)[0]
    by_v = torch.autograd.grad(layer(values).square().sum(), layer.V)[0]
    assert torch.allclose(torch.exp(layer.s)[:, None] * by_v, torch.exp(2 * layer.s)[:, None] * by_weight)


@pytest.mark.parametrize("kind", [MLP, ModifiedMLP])
def test_factorized_networks(kind):
    model = kind(PROBLEM, hidden=(6, 6), factorized=True, dtype=torch.float32)
    plain = kind(PROBLEM, hidden=(6, 6))
    neurons = sum(len(layer.bias) for layer in (*plain.layers, *plain.gates))
    assert len(flat(model)) == len(flat(plain)) + neurons
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert model(POINTS.float()).shape == (20, 2)
    first = drawn(model)
    assert torch.equal(drawn(kind(PROBLEM, hidden=(6, 6), factorized=True)).float(), first)
    assert not torch.equal(drawn(model, seed=1), first)
    with torch.no_grad():
        model.layers[0].s[0] += 1.0
    touched = flat(model)
    assert torch.equal(drawn(model), touched)


# --- hard constraints


def test_hard_constraint_holds_exactly_and_leaves_other_fields_alone():
    inner = MLP(PROBLEM)
    model = HardConstraint(inner, PROBLEM, u=lambda t, x, u: torch.sin(x) + t * u)
    start = BOX.grid(9, fixed={"t": 0})
    assert torch.equal(model(start)[:, 0], torch.sin(start[:, 0]))
    x, t = POINTS.unbind(1)
    assert torch.allclose(model(POINTS)[:, 0], torch.sin(x) + t * inner(POINTS)[:, 0])
    assert torch.equal(model(POINTS)[:, 1], inner(POINTS)[:, 1])
    assert set(dict(model.named_parameters())) == {f"model.{name}" for name, _ in inner.named_parameters()}


def test_hard_constraint_may_mix_fields_and_use_constants():
    inner = MLP(PROBLEM)
    model = HardConstraint(inner, PROBLEM, v=lambda u, v, scale=2.0: scale * (u + v))
    u, v = inner(POINTS).unbind(1)
    assert torch.allclose(model(POINTS), torch.stack([u, 2 * (u + v)], dim=1))


def test_bad_hard_constraints():
    with pytest.raises(ValueError, match="HardConstraint names 'w', but the fields are u, v"):
        HardConstraint(MLP(PROBLEM), PROBLEM, w=lambda u: u)
    with pytest.raises(ValueError, match="The formula of 'u' asks for 'y': there is u, v, x, t"):
        HardConstraint(MLP(PROBLEM), PROBLEM, u=lambda u, y: u * y)


# --- which weights a seed draws again


def drawn(model, seed=0):
    draw(model, seed)
    return flat(model)


def test_a_seed_fixes_the_weights_of_a_new_model():
    torch.manual_seed(1)
    first = drawn(MLP(PROBLEM))
    torch.manual_seed(2)
    assert torch.equal(drawn(MLP(PROBLEM)), first)
    assert not torch.isclose(drawn(MLP(PROBLEM), seed=1), first)[first != 0].any()
    assert drawn(MLP(PROBLEM)).std() > 0.1


def test_a_new_model_can_be_drawn_many_times():
    model = MLP(PROBLEM)
    first = drawn(model)
    assert not torch.equal(drawn(model, seed=1), first)
    assert torch.equal(drawn(model), first)


def test_a_seed_draws_the_same_weights_in_every_precision():
    double = drawn(MLP(PROBLEM))
    assert torch.equal(drawn(MLP(PROBLEM, dtype=torch.float32)), double.float())


def test_drawing_leaves_the_global_random_numbers_alone():
    model = MLP(PROBLEM)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draw(model, 0)
    assert torch.equal(torch.rand(2), expected)


def test_a_network_inside_a_constraint_is_drawn_and_foreign_layers_are_not():
    wrapped = HardConstraint(MLP(PROBLEM), PROBLEM, u=lambda u: u)
    assert torch.equal(drawn(wrapped), drawn(MLP(PROBLEM)))
    foreign = nn.Linear(2, 2, dtype=torch.float64)
    before = flat(foreign)
    assert torch.equal(drawn(foreign), before)


def by_optimizer(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model(POINTS).square().mean().backward()
    optimizer.step()


def by_loading(model):
    model.load_state_dict({name: value + 0.1 for name, value in model.state_dict().items()})


def by_data(model):
    for weight in model.parameters():
        weight.data.fill_(0.1)


def by_vector(model):
    nn.utils.vector_to_parameters(0.1 * torch.ones(len(flat(model)), dtype=torch.float64), model.parameters())


def by_one_weight(model):
    with torch.no_grad():
        model.layers[-1].bias[0] = 1.0


@pytest.mark.parametrize("touch", [by_optimizer, by_loading, by_data, by_vector, by_one_weight])
def test_weights_that_were_touched_are_kept(touch):
    model = MLP(PROBLEM)
    touch(model)
    before = flat(model)
    assert torch.equal(drawn(model), before)
    assert torch.equal(drawn(copy.deepcopy(model)), before)
    assert torch.equal(drawn(model.to(torch.float32)), before.float())
