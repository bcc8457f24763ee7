"""Nested autograd against closed forms, against torch.func, and at the edges of the interface."""

from __future__ import annotations

from itertools import product
from math import perm

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, jacfwd, jacrev, vmap

from pinnedu import MLP, Box, Problem
from pinnedu.derivatives import ENGINES, Laplacian, engine, evaluate, nested_autograd

BOX = Box(x=(-1, 1), t=(0, 2))
POINTS = BOX.sample(13, generator=torch.Generator().manual_seed(0))


def network(fields=("u", "v")):
    torch.manual_seed(0)
    return MLP(Problem(BOX, {}, fields=fields), hidden=(7, 5))


# --- closed forms


@pytest.mark.parametrize("order", list(product(range(4), range(3))))
def test_waves_have_the_derivatives_of_the_textbook(closed_form, order):
    a, b = 1.7, -0.6
    model = closed_form(lambda x, t: torch.sin(a * x) * torch.exp(b * t))
    x, t = POINTS.unbind(1)
    expected = a ** order[0] * torch.sin(a * x + order[0] * torch.pi / 2) * b ** order[1] * torch.exp(b * t)
    got = nested_autograd(model, POINTS, [(0, order)])[0, order]
    assert got.shape == (13,)
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-13)


coefficients = st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4), min_size=4, max_size=4)


@given(c=coefficients, order=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_polynomials_are_differentiated_exactly(closed_form, c, order):
    i, j = order

    def polynomial(x, t):
        return sum(c[p][q] * x**p * t**q for p in range(4) for q in range(4)) + 0 * x

    x, t = POINTS.unbind(1)
    expected = sum(
        (c[p][q] * perm(p, i) * perm(q, j) * x ** (p - i) * t ** (q - j) for p in range(i, 4) for q in range(j, 4)),
        torch.zeros_like(x),
    )
    got = nested_autograd(closed_form(polynomial), POINTS, [(0, order)])[0, order]
    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-10)


# --- torch.func


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch.func's own forward mode
def test_a_network_against_torch_func():
    model = network()

    def single(point):
        return model(point[None])[0]

    first = vmap(jacrev(single))(POINTS)
    second = vmap(jacfwd(jacrev(single)))(POINTS)
    third = vmap(jacfwd(jacfwd(jacrev(single))))(POINTS)
    requests, expected = [], []
    for output in (0, 1):
        requests += [(output, order) for order in [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (2, 1), (0, 3)]]
        expected += [model(POINTS)[:, output], first[:, output, 0], first[:, output, 1]]
        expected += [second[:, output, 0, 0], second[:, output, 0, 1], second[:, output, 1, 1]]
        expected += [third[:, output, 0, 0, 1], third[:, output, 1, 1, 1]]
    values = nested_autograd(model, POINTS, requests)
    assert set(values) == set(requests)
    for request, wanted in zip(requests, expected, strict=True):
        assert torch.allclose(values[request], wanted, rtol=1e-11, atol=1e-12), request


def test_gradients_by_the_weights_against_torch_func():
    model = network(fields=("u",))
    weights = dict(model.named_parameters())

    def loss(weights):
        def u_xt(point):
            def value(x, t):
                return functional_call(model, weights, (torch.stack([x, t])[None],))[0, 0]

            return grad(grad(value, argnums=0), argnums=1)(point[0], point[1])

        return vmap(u_xt)(POINTS).square().mean()

    expected = grad(loss)({name: weight.detach() for name, weight in weights.items()})
    nested_autograd(model, POINTS, [(0, (1, 1))])[0, (1, 1)].square().mean().backward()
    for name, weight in weights.items():
        if name == "layers.2.bias":
            assert weight.grad is None or weight.grad.abs().max() == 0
        else:
            assert torch.allclose(weight.grad, expected[name], rtol=1e-9, atol=1e-12), name


# --- the Laplacian


def test_laplacian_is_the_sum_of_second_derivatives(closed_form):
    model = closed_form(lambda x, y, z: x**3 * y + z**2 * y**2, lambda x, y, z: x + y + z)
    points = torch.rand(6, 3, dtype=torch.float64)
    x, y, z = points.unbind(1)
    requests = [(0, Laplacian((0, 1, 2))), (0, Laplacian((1,))), (0, Laplacian((0, 2))), (1, Laplacian((0, 1, 2)))]
    values = nested_autograd(model, points, requests)
    assert torch.allclose(values[requests[0]], 6 * x * y + 2 * z**2 + 2 * y**2)
    assert torch.allclose(values[requests[1]], 2 * z**2)
    assert torch.allclose(values[requests[2]], 6 * x * y + 2 * y**2)
    assert torch.equal(values[requests[3]], torch.zeros(6, dtype=torch.float64))


# --- what does not depend on a coordinate, or on the points at all


class Constant(nn.Module):
    """The same value everywhere."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

    def forward(self, points):
        return self.value.expand(len(points), 2)


@pytest.mark.parametrize("order", [(1, 0), (0, 1), (2, 0), (1, 1), (1, 3)])
def test_a_constant_has_derivative_zero(order):
    assert torch.equal(
        nested_autograd(Constant(), POINTS, [(1, order)])[1, order], torch.zeros(13, dtype=torch.float64)
    )


def test_a_formula_without_time_has_no_time_derivative(closed_form):
    model = closed_form(lambda x, t: 3 * x)
    values = nested_autograd(model, POINTS, [(0, (1, 0)), (0, (0, 1)), (0, (2, 0)), (0, (1, 2))])
    assert [float(value.abs().max().detach()) for value in values.values()] == [3, 0, 0, 0]


# --- the interface


def test_points_are_left_as_they_were_and_one_point_is_enough():
    point = POINTS[:1].clone()
    (value,) = nested_autograd(network(), point, [(0, (2, 0))]).values()
    assert value.shape == (1,)
    assert not point.requires_grad
    assert point.grad is None


def test_each_point_has_its_own_derivative():
    request = (0, (2, 1))
    together = nested_autograd(network(), POINTS, [request])[request]
    alone = torch.cat([nested_autograd(network(), point[None], [request])[request] for point in POINTS])
    assert torch.allclose(together, alone, rtol=1e-12)


def test_no_grad_gives_the_same_values_without_a_graph():
    requests = [(0, (2, 0)), (1, Laplacian((0, 1)))]
    with_graph = nested_autograd(network(), POINTS, requests)
    with torch.no_grad():
        without = nested_autograd(network(), POINTS, requests)
    for request in requests:
        assert torch.equal(with_graph[request], without[request])
        assert with_graph[request].requires_grad
        assert not without[request].requires_grad


def test_values_have_the_precision_of_the_model():
    model = network().to(torch.float32)
    (value,) = nested_autograd(model, POINTS.float(), [(0, (1, 0))]).values()
    assert value.dtype == torch.float32


def test_engines_are_found_by_name_and_a_function_is_its_own_engine():
    request = (0, (1, 1))
    assert engine("autograd") is ENGINES["autograd"] is nested_autograd
    assert engine(nested_autograd) is nested_autograd
    direct = nested_autograd(network(), POINTS, [request])[request]
    assert torch.equal(evaluate("autograd", network(), POINTS, [request])[request], direct)


def test_an_unknown_engine_is_named_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"derivatives='backprop' is unknown: choose one of .*autograd.*, or an engine"
    ):
        evaluate("backprop", network(), POINTS, [(0, (1, 0))])
