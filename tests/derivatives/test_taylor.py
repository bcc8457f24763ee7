"""The Taylor engine: closed forms at high order, its interface, and what happens where it has no rule."""

from __future__ import annotations

import sys
import warnings
from math import factorial

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, Problem
from pinnedu.derivatives import Laplacian, nested_autograd, taylor

POINTS = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def nothing_warned_yet(monkeypatch):
    monkeypatch.setattr(sys.modules["pinnedu.derivatives.taylor"], "_warned", set())


def network(**options):
    return MLP(Problem(Box(x=(0, 1), t=(0, 1)), {}, fields=("u", "v")), hidden=(6, 5), **options)


# --- closed forms


@pytest.mark.parametrize("k", range(13))
def test_geometric_series_to_order_twelve(closed_form, k):
    values = taylor(closed_form(lambda x, t: 1 / (2 - x)), POINTS, [(0, (k, 0))])[0, (k, 0)]
    assert torch.allclose(values, factorial(k) / (2 - POINTS[:, 0]) ** (k + 1), rtol=1e-12)


@pytest.mark.parametrize("order", [(0, 0), (4, 0), (0, 7), (3, 4), (6, 6)])
def test_waves_to_order_twelve(closed_form, order):
    a, b = 1.7, -0.6
    x, t = POINTS.unbind(1)
    expected = a ** order[0] * torch.sin(a * x + order[0] * torch.pi / 2) * b ** order[1] * torch.exp(b * t)
    got = taylor(closed_form(lambda x, t: torch.sin(a * x) * torch.exp(b * t)), POINTS, [(0, order)])[0, order]
    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-13)


def test_tanh_obeys_its_differential_equation(closed_form):
    """w = tanh(x): w' = 1 - w^2, w'' = -2 w w', w''' = -2 w'^2 - 2 w w''."""
    values = taylor(closed_form(lambda x, t: torch.tanh(x)), POINTS, [(0, (k, 0)) for k in range(4)])
    w, d1, d2, d3 = values.values()
    assert torch.allclose(d1, 1 - w**2, rtol=1e-13)
    assert torch.allclose(d2, -2 * w * d1, rtol=1e-13)
    assert torch.allclose(d3, -2 * d1**2 - 2 * w * d2, rtol=1e-13)


def test_what_does_not_depend_on_a_coordinate_has_derivative_zero(closed_form):
    model = closed_form(lambda x, t: 3 * x, lambda x, t: x * 0 + 2)
    values = taylor(model, POINTS, [(0, (0, 1)), (0, (2, 0)), (1, (1, 1)), (1, Laplacian((0, 1)))])
    for value in values.values():
        assert torch.equal(value, torch.zeros(7, dtype=torch.float64))


# --- the interface


def test_values_alone_are_the_model_itself():
    model = network()
    values = taylor(model, POINTS, [(0, (0, 0)), (1, (0, 0))])
    assert torch.equal(torch.stack(list(values.values()), dim=1), model(POINTS))


def test_no_grad_gives_the_same_values_without_a_graph():
    model, request = network(), (0, (2, 1))
    with_graph = taylor(model, POINTS, [request])[request]
    with torch.no_grad():
        without = taylor(model, POINTS, [request])[request]
    assert torch.equal(with_graph, without)
    assert with_graph.requires_grad
    assert not without.requires_grad


def test_precision_and_points_stay_as_they_are():
    points = POINTS.float()
    value = taylor(network(dtype=torch.float32), points, [(0, (1, 1))])[0, (1, 1)]
    assert value.dtype == torch.float32
    assert not points.requires_grad


def test_each_point_has_its_own_derivative_and_one_point_is_enough():
    model, request = network(), (1, (1, 2))
    together = taylor(model, POINTS, [request])[request]
    alone = torch.cat([taylor(model, point[None], [request])[request] for point in POINTS])
    assert torch.allclose(together, alone, rtol=1e-12)


def test_gradient_reaches_every_weight():
    model = network()
    taylor(model, POINTS, [(0, (2, 0)), (1, (0, 1))])[0, (2, 0)].square().sum().backward()
    assert model.layers[0].weight.grad.abs().min() > 0
    assert model.layers[1].bias.grad.abs().min() > 0


# --- where there is no rule


class Strange(nn.Module):
    """A network with an operation that jets do not know."""

    def __init__(self, operation):
        super().__init__()
        self.inner, self.operation = network(), operation

    def forward(self, points):
        return self.operation(self.inner(points))


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda h: torch.cumsum(h, dim=1), "cumsum"),
        (lambda h: h.cumprod(dim=1), "cumprod"),
        (nn.Mish(), "mish"),
        (nn.Softmax(dim=1), "softmax"),
    ],
)
def test_falls_back_with_one_warning_that_names_the_operation(nothing_warned_yet, operation, name):
    model, requests = Strange(operation), [(0, (2, 0)), (1, (1, 1))]
    with pytest.warns(UserWarning, match=f"no rule for '{name}': nested autograd is used") as caught:
        values = taylor(model, POINTS, requests)
    assert len(caught) == 1
    expected = nested_autograd(model, POINTS, requests)
    for request in requests:
        assert torch.equal(values[request], expected[request])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taylor(model, POINTS, requests)


def test_inputs_hidden_from_torch_fall_back_too(nothing_warned_yet):
    class Constant(nn.Module):
        def forward(self, points):
            return torch.ones(len(points), 1, dtype=torch.float64)

    with pytest.warns(UserWarning, match="hides the inputs"):
        assert taylor(Constant(), POINTS, [(0, (1, 0))])[0, (1, 0)].abs().max() == 0


def test_an_error_of_the_model_is_not_taken_for_a_missing_rule():
    class Broken(nn.Module):
        def forward(self, points):
            raise TypeError("the model's own mistake")

    with pytest.raises(TypeError, match="own mistake"):
        taylor(Broken(), POINTS, [(0, (1, 0))])
