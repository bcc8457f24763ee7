"""Finite differences: the stencils, the order of the error, the step that is chosen; the complex step."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, Problem
from pinnedu.derivatives import ENGINES, Laplacian, complex_step, finite_differences, nested_autograd, taylor
from pinnedu.derivatives.finite_differences import stencil

POINTS = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def network(**options):
    torch.manual_seed(0)
    return MLP(Problem(Box(x=(-1, 1), t=(-1, 1)), {}, fields=("u", "v")), hidden=(6, 5), **options)


def relative_error(engine, model, request, points=POINTS):
    expected = nested_autograd(model, points, [request])[request].detach()
    return float((engine(model, points, [request])[request].detach() - expected).norm() / expected.norm())


# --- stencils


@pytest.mark.parametrize(
    ("order", "accuracy", "weights"),
    [
        (0, 2, {0: 1}),
        (1, 2, {-1: -1 / 2, 1: 1 / 2}),
        (1, 4, {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}),
        (2, 2, {-1: 1, 0: -2, 1: 1}),
        (2, 4, {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12}),
        (3, 2, {-2: -1 / 2, -1: 1, 1: -1, 2: 1 / 2}),
        (4, 2, {-2: 1, -1: -4, 0: 6, 1: -4, 2: 1}),
    ],
)
def test_stencils_of_the_textbook(order, accuracy, weights):
    assert stencil(order, accuracy) == pytest.approx(weights)


@pytest.mark.parametrize("order", range(9))
@pytest.mark.parametrize("accuracy", [2, 4, 6])
def test_stencils_are_exact_for_polynomials(order, accuracy):
    """Central ones for all degrees below order + accuracy."""
    weights = stencil(order, accuracy)
    for degree in range(order + accuracy):
        total = sum(weight * offset**degree for offset, weight in weights.items())
        assert total == pytest.approx(factorial(order) if degree == order else 0, abs=1e-6)


# --- errors


@pytest.mark.parametrize("order", [(1, 0), (0, 2), (1, 1), (2, 1), (3, 0)])
@pytest.mark.parametrize("accuracy", [2, 4])
def test_the_error_falls_as_the_step_to_its_order_of_accuracy(order, accuracy):
    steps = np.geomspace(0.2, 0.05, 4)
    model = network()
    errors = [relative_error(finite_differences(accuracy, step), model, (0, order)) for step in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(accuracy, abs=0.3)


@pytest.mark.parametrize(
    ("what", "second", "fourth"),
    [
        ((0, 0), 1e-16, 1e-16),
        ((1, 0), 1e-8, 1e-10),
        ((2, 0), 1e-5, 1e-7),
        ((1, 1), 1e-5, 1e-7),
        ((2, 2), 1e-2, 1e-4),
        (Laplacian((0, 1)), 1e-5, 1e-7),
    ],
)
def test_the_chosen_step_is_good(what, second, fourth):
    model = network()
    assert relative_error(finite_differences(2), model, (0, what)) <= second
    assert relative_error(finite_differences(4), model, (0, what)) <= fourth


def test_the_chosen_step_fits_the_precision():
    model = network(dtype=torch.float32)
    assert relative_error(finite_differences(4), model, (0, (1, 0)), POINTS.float()) <= 1e-4
    assert relative_error(finite_differences(4), model, (0, (2, 0)), POINTS.float()) <= 1e-2


@pytest.mark.parametrize("step", [1e-12, 1.0])
def test_no_step_far_from_the_chosen_one_is_better(step):
    model, request = network(), (0, (2, 0))
    assert relative_error(finite_differences(2, step), model, request) > 10 * relative_error(
        finite_differences(2), model, request
    )


# --- the interface


def test_outputs_and_orders_in_one_call_and_gradients_by_the_weights():
    model = network()
    requests = [(1, (1, 0)), (0, (0, 0)), (0, (1, 0)), (1, Laplacian((1,))), (0, (0, 2))]
    values = finite_differences(4)(model, POINTS, requests)
    expected = taylor(model, POINTS, requests)
    assert list(values) == requests
    for request in requests:
        assert torch.allclose(values[request], expected[request], atol=1e-7)
    gradients = [
        torch.autograd.grad(sum(v.square().sum() for v in found.values()), list(model.parameters()))
        for found in (values, expected)
    ]
    for got, wanted in zip(*gradients, strict=True):
        assert torch.allclose(got, wanted, atol=1e-5)


def test_a_model_that_jets_do_not_know_is_no_matter():
    model = nn.Sequential(network(), nn.Mish())
    assert relative_error(ENGINES["finite-differences"], model, (1, (1, 0))) < 1e-7


@pytest.mark.parametrize("accuracy", [0, 1, 3, -2, 2.0])
def test_an_odd_order_of_accuracy_is_refused(accuracy):
    with pytest.raises(ValueError, match="order_of_accuracy must be 2, 4, 6"):
        finite_differences(accuracy)


@pytest.mark.parametrize("step", [0, -0.1, float("nan")])
def test_a_step_must_be_positive(step):
    with pytest.raises(ValueError, match="step must be positive"):
        finite_differences(2, step)


# --- the complex step


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 1)])
def test_complex_step_is_exact_to_rounding(activation, order):
    assert relative_error(complex_step, network(activation=activation), (1, order)) < 1e-14


def test_complex_step_in_single_precision():
    model = network(dtype=torch.float32)
    assert relative_error(complex_step, model, (0, (1, 0)), POINTS.float()) < 1e-6


def test_complex_step_is_differentiable_by_the_weights():
    model, request = network(), (0, (1, 0))
    gradients = []
    for engine in (complex_step, taylor):
        loss = engine(model, POINTS, [request])[request].square().sum()
        gradients.append(torch.autograd.grad(loss, model.layers[0].weight)[0])
    assert torch.allclose(*gradients, rtol=1e-10)


@pytest.mark.parametrize("what", [(2, 0), (1, 1), Laplacian((0,))])
def test_complex_step_gives_first_derivatives_only(what):
    with pytest.raises(ValueError, match="complex step gives first derivatives"):
        complex_step(network(), POINTS, [(0, what)])


def test_models_without_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="does not take complex numbers"):
        complex_step(network(activation="gelu"), POINTS, [(0, (1, 0))])


def test_models_that_drop_the_imaginary_part_are_refused(closed_form):
    class Modulus(nn.Module):
        def forward(self, points):
            return points.abs()

    with pytest.raises(TypeError, match="turns complex numbers into real ones"):
        complex_step(Modulus(), POINTS, [(0, (1, 0))])
