"""The spectrum of the matrix and of the operator, T of an orthonormal basis, and each frequency's rate of learning."""

from math import pi

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import FourierFeatures, GradientDescent, Problem
from pinnedu.problems import poisson
from pinnedu.theory import fourier, kernels, operator, tangent
from pinnedu.theory.bounds import two_by_two
from pinnedu.trainers import Objective

BOX = poisson().domain
END = torch.tensor([[pi]], dtype=torch.float64)
RULE = BOX.quadrature(64, "midpoint")


def network(width=64):
    return kernels.WideNetwork(FourierFeatures(torch.tensor([1.0])), (width,), bias=True)


@pytest.mark.parametrize("K", [1, 4, 10])
def test_basis_agrees_with_the_numpy_basis(K):
    x = np.linspace(-3, 3, 9)
    values = operator.FourierBasis(K)(torch.tensor(x)[:, None])
    np.testing.assert_allclose(values, fourier.Basis(K).values(x), atol=1e-14)


def test_T_of_an_orthonormal_basis_is_the_identity():
    K = 5
    T = operator.integral_operator(operator.fourier_model(K), *RULE)
    functions = fourier.Basis(K).values(RULE[0][:, 0].numpy())
    np.testing.assert_allclose(T @ functions, functions, atol=1e-12)
    np.testing.assert_allclose(operator.spectrum(operator.fourier_model(K), BOX, *RULE).matrix, 1, atol=1e-12)


def test_both_spectra_of_the_fourier_model_are_k_to_the_fourth():
    spectra = operator.spectrum(operator.fourier_model(6), BOX, *RULE, lambda u: u.xx, adjoint=lambda u: u.xxxx)
    np.testing.assert_allclose(spectra.matrix[:12], np.repeat(np.arange(6, 0, -1.0) ** 4, 2), rtol=1e-10)
    assert spectra.rank() == 12
    assert spectra.difference() < 1e-8
    assert spectra.condition() == pytest.approx(6**4, rel=1e-8)


def test_both_spectra_of_a_network_agree():
    """thm-ov-spectra: D T D* for any model, D*D T for a periodic one."""
    rule = BOX.quadrature(256, "midpoint")
    assert operator.spectrum(network(), BOX, *rule, lambda u: u.xx).difference() < 1e-8
    spectra = operator.spectrum(network(), BOX, *rule, lambda u: u.xx, adjoint=lambda u: u.xxxx)
    assert spectra.rank(1e-3) > 10
    assert spectra.difference(1e-3) < 1e-8


def test_preconditioned_features_invert_the_equation():
    spectra = operator.spectrum(operator.fourier_model(6, gamma=1.0), BOX, *RULE, lambda u: u.xx, adjoint=lambda u: u.xxxx)
    np.testing.assert_allclose(spectra.matrix[:12], 1, rtol=1e-10)
    assert spectra.difference() < 1e-8


def test_the_response_of_a_fourier_basis_is_the_equation():
    k = np.arange(1, 7)
    np.testing.assert_allclose(operator.frequency_response(operator.fourier_model(6), k, order=2), k**4.0, rtol=1e-10)


def test_the_product_of_equation_and_smooth_network_has_a_peak():
    k = np.arange(1, 21)
    circle = FourierFeatures(torch.tensor([1.0]), torch.tensor([2.0]))
    for activation, low, high in ((nn.Tanh(), 4, 11), (nn.SiLU(), 2, 4)):
        model = kernels.WideNetwork(circle, (1024,), activation, bias=True)
        values, products = operator.frequency_response(model, k), operator.frequency_response(model, k, order=2)
        assert values[0] > 1e4 * values[-1]
        assert low <= k[products.argmax()] <= high
        assert products.max() > 5 * products[-1]


@pytest.mark.parametrize("order", [0, 2])
def test_each_frequency_is_learned_as_its_eigenvalue_says(order):
    """Full gradient descent on the network, held against the operator: the product of k^4 and T is not enough to pass."""
    frequencies, steps, size = (1, 2, 4, 7, 12), 60, 0.05
    points = BOX.quadrature(64, "midpoint")[0]
    sines = torch.sin(points * torch.tensor(frequencies))

    def equation(u, x):
        waves = size * sum(torch.sin(k * x) for k in frequencies)
        return u.xx + waves if order else u - waves

    problem = Problem(BOX, {"task": equation})
    circle = FourierFeatures(torch.tensor([1.0]), torch.tensor([2.0]))
    start = kernels.WideNetwork(circle, (1024,), bias=True)
    largest = float(torch.linalg.eigvalsh(tangent.kernel(start, points, problem))[-1]) / len(points)
    model = kernels.Centered(start)
    step = GradientDescent(1 / largest).start(model)
    objective = Objective(model, problem, {"interior": points})
    for _ in range(steps):
        step(objective)
    with torch.no_grad():
        learned = 2 / len(points) * (sines * model(points)).sum(dim=0).numpy()
    left = 1 - learned / (size / np.array(frequencies, dtype=float) ** order)
    forecast = (1 - operator.frequency_response(start, frequencies, order=order) / (2 * pi * largest)) ** steps
    assert forecast.min() < 0.1 < 0.9 < forecast.max() or order == 2
    np.testing.assert_allclose(left, forecast, atol=0.12)


def test_bad_input():
    points, weights = RULE
    with pytest.raises(ValueError, match="N positive weights"):
        operator.spectrum(network(4), BOX, points, weights[:-1])
    with pytest.raises(ValueError, match="N positive weights"):
        operator.spectrum(network(4), BOX, points, -weights)
    with pytest.raises(ValueError, match="not linear"):
        operator.spectrum(network(4), BOX, points, weights, lambda u: u * u.x)
    with pytest.raises(ValueError, match="K must be a whole number"):
        operator.fourier_model(0)
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        operator.fourier_model(3, gamma=-1.0)


def test_basis_is_no_parameter():
    model = operator.fourier_model(2)
    assert [weight.shape for weight in model.parameters()] == [(1, 5)]
    assert isinstance(model, nn.Module)
    assert model(torch.zeros(1, 1, dtype=torch.float64)).item() == 0
    assert pytest.approx(pi) == BOX.high.item()


# --- features whose derivatives are no functions


def test_a_rectifier_has_no_derivatives_to_speak_of():
    """One derivative of a 1[w x + b > 0] x is a Dirac term, which automatic differentiation drops."""
    line = torch.tensor([[0.1]])
    rectifier = kernels.WideNetwork(1, (16,), kernels.Rectifier(), bias=True)
    assert kernels.orders(rectifier, line) == 0
    assert kernels.orders(kernels.WideNetwork(1, (16,), kernels.Rectifier(3), bias=True), line) == 2
    assert kernels.orders(kernels.WideNetwork(1, (16,), nn.LeakyReLU(), bias=True), line) == 0
    assert kernels.orders(network(16), torch.zeros(1, 1)) == float("inf")
    assert operator.frequency_response(rectifier, [1, 2]).shape == (2,)
    for order in (1, 2):
        with pytest.raises(ValueError, match="The features of this model have no such derivatives"):
            operator.frequency_response(rectifier, [1, 2], order=order)
    with pytest.raises(ValueError, match="no such derivatives"):
        operator.spectrum(rectifier, BOX, *RULE, lambda u: u.x)
    with pytest.warns(UserWarning, match="no such derivatives"):
        tangent.gram(rectifier, poisson(), poisson().domain.grid(4))
    cubic = kernels.WideNetwork(1, (16,), kernels.Rectifier(3), bias=True)
    assert (operator.frequency_response(cubic, [1, 2], order=2) > 0).all()


# --- the boundary in the operator


@pytest.mark.parametrize(("K", "lam", "gamma"), [(3, 2.0, None), (6, 0.5, None), (6, 2 * pi, 1.0)])
def test_the_operator_with_its_boundary_has_the_spectrum_of_the_matrix(K, lam, gamma):
    problem = poisson()
    weights = {"poisson": 2 * pi, "left": lam / 2, "right": lam / 2}
    sample = {"interior": RULE[0], "left": -END, "right": END}
    spectra, blocks = operator.extended(operator.fourier_model(K, gamma), problem, sample, weights)
    A = fourier.poisson(K, lam)
    A = A if gamma is None else fourier.precondition(A, gamma)
    np.testing.assert_allclose(spectra.matrix, np.linalg.eigvalsh(A)[::-1], rtol=1e-8)
    assert spectra.difference(1e-9) < 1e-8
    # The blocks are those of D_ext T D_ext*, from the kernel of T and its derivatives in closed form.
    basis, scale = fourier.Basis(K), 1.0 if gamma is None else fourier.preconditioner(K, gamma)
    x, h = sample["interior"][:, 0].numpy(), 2 * pi / len(RULE[0])
    second = basis.values(x, 2) * scale
    np.testing.assert_allclose(blocks["poisson", "poisson"], h * second @ second.T, rtol=1e-9, atol=1e-9)
    ends = basis.values(np.array([pi]), 0) * scale
    np.testing.assert_allclose(blocks["poisson", "right"], np.sqrt(h * lam / 2) * second @ ends.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(blocks["left", "right"], lam / 2 * ends @ ends.T, rtol=1e-9)


def test_the_two_ends_of_the_preconditioned_spectrum_are_those_of_the_block():
    lam = 3.0
    weights = {"poisson": 2 * pi, "left": lam / 2, "right": lam / 2}
    sample = {"interior": RULE[0], "left": -END, "right": END}
    spectra, _ = operator.extended(operator.fourier_model(8, 1.0), poisson(), sample, weights)
    np.testing.assert_allclose(spectra.matrix[[-1, 0]], np.linalg.eigvalsh(two_by_two(8, lam)), rtol=1e-9)
