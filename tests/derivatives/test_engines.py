"""All exact engines agree: random networks, random mixed derivatives up to order 6, Laplacians, gradients by the weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pinnedu import MLP, Box, HardConstraint, ModifiedMLP, PeriodicEmbedding, Problem
from pinnedu.derivatives import Laplacian, evaluate, nested_autograd, taylor


class Sine(nn.Module):
    def forward(self, values):
        return torch.sin(values)


class Branches(nn.Module):
    """Two networks joined by a product, a concatenation and a stack."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second, self.last = first, second, nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, points):
        a, b = self.first(points), self.second(points)
        joined = torch.cat([a * b, a[:, :1] - points[:, :1]], dim=1)
        columns = self.last(joined).unbind(dim=1)
        return torch.stack([columns[0] * b[:, 1], columns[1] + a[:, 0]], dim=1)


ACTIVATIONS = {"tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "sine": Sine}
KINDS = ("plain", "branches", "constrained", "periodic", "modified", "factorized")


def network(kind, activation, dim=2, hidden=(5, 4), seed=0):
    torch.manual_seed(seed)
    names = ("x", "y", "t")[:dim]
    problem = Problem(Box(**dict.fromkeys(names, (-1, 1))), {}, fields=("u", "v"))
    embedding = PeriodicEmbedding(problem.domain, x=2) if kind == "periodic" else None
    options = {"activation": ACTIVATIONS[activation], "factorized": kind == "factorized"}
    model = MLP(problem, hidden=hidden, embedding=embedding, **options)
    if kind == "modified":
        model = ModifiedMLP(problem, hidden=(4, 4), **options)
    if kind == "branches":
        model = Branches(model, MLP(problem, hidden=(3,), activation=ACTIVATIONS[activation]))
    if kind == "constrained":
        model = HardConstraint(model, problem, u=lambda u, v, x: torch.sin(x) + (1 - x**2) * u * torch.exp(-v))
    return model, problem.domain.sample(5, "uniform")


def assert_agree(model, points, requests, tolerance=1e-10):
    expected, got = nested_autograd(model, points, requests), taylor(model, points, requests)
    for request in requests:
        scale = expected[request].abs().max()
        assert (got[request] - expected[request]).abs().max() <= tolerance * scale, request


@st.composite
def orders(draw, dim, most=6):
    """A multi-index with at most ``most`` derivatives in total."""
    order = []
    for _ in range(dim):
        order.append(draw(st.integers(0, most - sum(order))))
    return tuple(order)


@settings(max_examples=60)
@given(data=st.data())
def test_random_networks_and_random_derivatives(data):
    dim = data.draw(st.integers(1, 3), label="dim")
    kind = data.draw(st.sampled_from(KINDS), label="kind")
    activation = data.draw(st.sampled_from(sorted(ACTIVATIONS)), label="activation")
    hidden = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=2).map(tuple), label="hidden")
    order = data.draw(orders(dim), label="order")
    model, points = network(kind, activation, dim, hidden, seed=data.draw(st.integers(0, 999), label="seed"))
    assert_agree(model, points, [(data.draw(st.integers(0, 1), label="output"), order)])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network(kind, activation):
    model, points = network(kind, activation)
    derivatives = [(0, 0), (1, 0), (0, 2), (2, 1), (3, 1), Laplacian((0, 1)), Laplacian((1,))]
    requests = [(output, what) for output in (0, 1) for what in derivatives]
    assert_agree(model, points, requests)


@pytest.mark.parametrize("kind", KINDS)
def test_sixth_derivatives(kind):
    model, points = network(kind, "tanh", hidden=(4,))
    assert_agree(model, points, [(0, (6, 0)), (1, (2, 4)), (1, (3, 3))])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_the_weights(kind, activation):
    model, points = network(kind, activation)
    requests = [(0, (2, 0)), (1, (1, 2)), (1, Laplacian((0, 1))), (0, (0, 0))]
    gradients = []
    for engine in (taylor, nested_autograd):
        values = engine(model, points, requests)
        loss = sum((k + 1) * values[request].square().mean() for k, request in enumerate(requests))
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    size = max(gradient.abs().max() for gradient in gradients[1])
    for got, expected in zip(*gradients, strict=True):
        assert (got - expected).abs().max() <= 1e-10 * size


@pytest.mark.parametrize("dim", range(1, 21))
def test_laplacian_in_many_dimensions(dim):
    torch.manual_seed(dim)
    model = nn.Sequential(nn.Linear(dim, 8), nn.Tanh(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 1)).double()
    points = torch.randn(4, dim, dtype=torch.float64)
    everything = (0, Laplacian(tuple(range(dim))))
    some = (0, Laplacian(tuple(range(0, dim, 2))))
    values = taylor(model, points, [everything, some])
    for n, point in enumerate(points):
        hessian = torch.autograd.functional.hessian(lambda x: model(x[None])[0, 0], point)
        diagonal = hessian.diagonal()
        assert torch.isclose(values[everything][n], diagonal.sum(), rtol=1e-10, atol=1e-13)
        assert torch.isclose(values[some][n], diagonal[::2].sum(), rtol=1e-10, atol=1e-13)


def test_laplacian_of_a_gaussian_in_twenty_dimensions(closed_form):
    dim = 20
    model = closed_form(lambda *x: torch.exp(-sum(c * c for c in x) / 2))
    points = torch.rand(6, dim, dtype=torch.float64)
    request = (0, Laplacian(tuple(range(dim))))
    square = points.square().sum(dim=1)
    expected = (square - dim) * torch.exp(-square / 2)
    assert torch.allclose(taylor(model, points, [request])[request], expected, rtol=1e-12)


def test_laplacian_beside_higher_derivatives():
    model, points = network("plain", "tanh", dim=3)
    assert_agree(model, points, [(0, Laplacian((0, 1))), (1, (0, 1, 3)), (0, (2, 2, 0)), (1, Laplacian((0, 1, 2)))])


@pytest.mark.parametrize("name", ["taylor", "autograd", "finite-differences"])
def test_engines_agree_by_name(name):
    model, points = network("plain", "tanh")
    requests = [(0, (0, 0)), (0, (1, 0)), (1, (1, 1)), (1, Laplacian((0, 1)))]
    values = evaluate(name, model, points, requests)
    assert list(values) == requests
    expected = nested_autograd(model, points, requests)
    for request in requests:
        assert values[request].shape == (5,)
        assert torch.allclose(values[request], expected[request], atol=1e-5)
