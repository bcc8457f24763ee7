"""Closed forms of tangent kernels against finite networks, and their spectra on the circle and the sphere."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from pinnedu import FourierFeatures
from pinnedu.theory import kernels, tangent


def circle(n):
    angle = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)


def relative(found, exact):
    return np.linalg.norm(np.asarray(found) - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize(("hidden", "width"), [(1, 8192), (2, 1024)])
def test_rectifier_kernel_is_the_limit_of_wide_networks(hidden, width):
    points = circle(16)
    exact = kernels.relu((points @ points.T).clamp(-1, 1), hidden=hidden)
    found = [
        tangent.kernel(kernels.WideNetwork(2, (width,) * hidden, kernels.Rectifier(), seed=seed), points)
        for seed in range(2)
    ]
    assert relative(np.mean(found, axis=0), exact) < 0.05


def test_rectifier_kernel_with_bias():
    points = circle(40)
    extended = torch.cat([points, torch.ones(40, 1, dtype=torch.float64)], dim=1) / 2**0.5
    found = tangent.kernel(kernels.WideNetwork(3, (8192,), kernels.Rectifier()), extended)
    assert relative(found, kernels.relu((points @ points.T).clamp(-1, 1), bias=True)) < 0.05


@given(st.integers(1, 40), st.floats(-10, 10))
def test_dirichlet_kernel_is_the_sum_of_cosines(m, z):
    total = 1 + 2 * np.cos(np.arange(1, m + 1) * z).sum()
    np.testing.assert_allclose(kernels.dirichlet(z, m), total, atol=1e-8)
    np.testing.assert_allclose(kernels.convolution(z, np.arange(1, m + 1)), (total - 1) / (2 * m), atol=1e-10)


@pytest.mark.parametrize("b", [np.arange(1.0, 9), np.array([0.3, 2.2, 7.0])])
def test_network_on_fourier_features_has_the_composed_kernel(b):
    features = FourierFeatures(torch.tensor(b), torch.full((len(b),), len(b) ** -0.5))
    x = torch.linspace(-3, 3, 40, dtype=torch.float64)[:, None]
    found = tangent.kernel(kernels.WideNetwork(features, (8192,), kernels.Rectifier()), x)
    exact = kernels.relu(kernels.convolution((x - x.T).numpy(), b))
    assert relative(found, exact) < 0.05


@pytest.mark.parametrize("bias", [False, True])
def test_spectra_decay_as_k_to_the_minus_dimension(bias):
    def kernel(cosine):
        return kernels.relu(cosine, bias=bias)

    assert kernels.decay(kernels.circle_spectrum(kernel, 60), 8, 60) == pytest.approx(-2, abs=0.3)
    assert kernels.decay(kernels.sphere_spectrum(kernel, 60), 8, 60) == pytest.approx(-3, abs=0.3)


def test_odd_frequencies_are_missing_without_a_bias():
    values = kernels.circle_spectrum(kernels.relu, 9)
    assert np.abs(values[3::2]).max() < 1e-6 * values[0]
    assert kernels.circle_spectrum(lambda c: kernels.relu(c, bias=True), 9).min() > 1e-3


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_harmonics_of_the_circle_are_eigenfunctions(k):
    n = 1024
    angle = 2 * np.pi * np.arange(n) / n
    matrix = kernels.relu(np.cos(angle[:, None] - angle), bias=True) * 2 * np.pi / n
    value = kernels.circle_spectrum(lambda c: kernels.relu(c, bias=True), 6)[k]
    np.testing.assert_allclose(matrix @ np.cos(k * angle), value * np.cos(k * angle), atol=1e-5)


@pytest.mark.parametrize(("degree", "order"), [(0, 0), (1, 0), (2, 1), (3, 3)])
def test_spherical_harmonics_are_eigenfunctions(degree, order):
    t, wt = np.polynomial.legendre.leggauss(60)
    phi = 2 * np.pi * np.arange(120) / 120
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(t), phi, indexing="ij"))
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    weights = np.repeat(wt, 120) * 2 * np.pi / 120
    harmonic = sph_harm_y(degree, order, theta, phi).real
    some = slice(0, len(points), 311)
    image = kernels.relu(np.clip(points[some] @ points.T, -1, 1), bias=True) @ (weights * harmonic)
    value = kernels.sphere_spectrum(lambda c: kernels.relu(c, bias=True), 4)[degree]
    np.testing.assert_allclose(image, value * harmonic[some], atol=2e-3)


def test_spectra_of_a_polynomial_are_exact():
    np.testing.assert_allclose(kernels.circle_spectrum(lambda c: c, 3), [0, np.pi, 0, 0], atol=1e-12)
    np.testing.assert_allclose(kernels.sphere_spectrum(lambda c: c, 2), [0, 4 * np.pi / 3, 0], atol=1e-12)


def test_centered_is_zero_at_first_with_the_same_features():
    model = kernels.WideNetwork(1, (8, 8), bias=True)
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    centered = kernels.Centered(model)
    assert centered(x).abs().max() == 0
    assert [w.shape for w in model.parameters()] == [w.shape for w in centered.parameters() if w.requires_grad]


def test_bad_input():
    with pytest.raises(ValueError, match="between -1 and 1"):
        kernels.relu(1.1)
    with pytest.raises(ValueError, match="hidden must be a whole number"):
        kernels.relu(0.5, hidden=0)
    with pytest.raises(ValueError, match="at least one layer"):
        kernels.WideNetwork(1, ())
    with pytest.raises(ValueError, match="hidden must be a whole number"):
        kernels.WideNetwork(1, (0,))
    with pytest.raises(ValueError, match="finite numbers"):
        kernels.convolution(0.0, [np.nan])
    with pytest.raises(ValueError, match="m must be a whole number"):
        kernels.dirichlet(1.0, 0)
    with pytest.raises(ValueError, match="highest must be below"):
        kernels.circle_spectrum(kernels.relu, 50, nodes=60)
    with pytest.raises(ValueError, match="low < high"):
        kernels.decay(np.ones(5), 3, 9)
    with pytest.raises(ValueError, match="power must be"):
        kernels.Rectifier(0)
