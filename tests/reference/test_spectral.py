"""The classical solvers against closed forms, and the speed at which their errors fall."""

import subprocess
import sys
from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnedu.reference import advection, burgers, spectral


@given(st.integers(2, 40), st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(-3, 3), st.floats(0.1, 5))
def test_differentiation_is_exact_for_polynomials(points, coefficients, low, length):
    polynomial = np.polynomial.Chebyshev(coefficients[:points], domain=[low, low + length])
    nodes, matrix = spectral.chebyshev(points, (low, low + length))
    scale = points**2 * 2 / length * sum(abs(c) for c in coefficients)
    np.testing.assert_allclose(
        matrix @ polynomial(nodes), polynomial.deriv()(nodes), rtol=0, atol=1e-12 * scale + 1e-13
    )


def test_chebyshev_nodes_increase_and_hold_the_ends():
    nodes, matrix = spectral.chebyshev(17, (0.0, pi))
    assert nodes[0] == 0.0
    assert nodes[-1] == pi
    assert (np.diff(nodes) > 0).all()
    np.testing.assert_allclose(matrix @ np.ones(17), 0, atol=1e-12)


def heat_error(points: int, rtol: float) -> float:
    x, t = np.linspace(0, pi, 101), np.linspace(0, 1, 21)
    exact = np.exp(-t) * np.sin(x)[:, None]
    return np.linalg.norm(spectral.heat(x, t, points=points, rtol=rtol, atol=rtol / 100) - exact) / np.linalg.norm(
        exact
    )


def test_heat_falls_faster_than_any_power():
    errors = [heat_error(points, 1e-12) for points in (5, 7, 9, 11)]
    assert all(after < before / 50 for before, after in zip(errors, errors[1:], strict=False))
    assert heat_error(20, 1e-12) < 1e-10
    assert heat_error(20, 3e-14) < 5e-12


def test_heat_with_other_constants():
    """Two modes, diffusivity 0.3, on [-1, 2]: each decays at its own rate."""
    x, t = np.linspace(-1, 2, 50), np.array([0.0, 0.2, 0.7])
    modes = [(1, 1.0), (4, -0.5)]

    def solution(x, t):
        return sum(a * np.exp(-0.3 * (k * pi / 3) ** 2 * t) * np.sin(k * pi * (x + 1) / 3) for k, a in modes)

    solved = spectral.heat(
        x, t, initial=lambda x: solution(x, 0.0), diffusivity=0.3, interval=(-1, 2), points=30, rtol=1e-11
    )
    np.testing.assert_allclose(solved, solution(x[:, None], t), rtol=0, atol=1e-9)


def test_times_may_come_in_any_order_and_repeat():
    x, t = np.linspace(0, pi, 5), np.array([0.7, 0.0, 0.7, 0.2])
    np.testing.assert_allclose(spectral.heat(x, t), np.exp(-t) * np.sin(x)[:, None], atol=1e-8)
    np.testing.assert_allclose(spectral.heat(x, [0.0, 0.0])[:, 1], np.sin(x), atol=1e-11)


@pytest.mark.parametrize(("basis", "points", "error"), [("fourier", 512, 2e-4), ("chebyshev", 100, 1e-6)])
def test_burgers_resolves_the_shock(basis, points, error):
    x, t = np.linspace(-1, 1, 256), np.linspace(0, 1, 26)
    exact = burgers.exact(x[:, None], t)
    solved = spectral.burgers(x, t, basis=basis, points=points, rtol=1e-8, atol=1e-10)
    assert np.linalg.norm(solved - exact) < error * np.linalg.norm(exact)
    np.testing.assert_allclose(solved[[0, -1]], 0, atol=1e-7)


def test_burgers_on_its_own_nodes_and_at_the_start():
    nodes, _ = spectral.chebyshev(20, (0.0, 1.0))
    np.testing.assert_allclose(
        spectral.burgers(nodes, 0.0, basis="chebyshev", points=20)[:, 0], -np.sin(pi * nodes), atol=1e-15
    )
    np.testing.assert_allclose(spectral.burgers(nodes, 0.0, points=20)[:, 0], -np.sin(pi * nodes), atol=1e-14)


@pytest.mark.parametrize("basis", ["fourier", "chebyshev"])
def test_a_thick_shock_needs_few_points(basis):
    x, t = np.linspace(-1, 1, 50), [0.1, 0.5, 2.0]
    solved = spectral.burgers(x, t, nu=0.1, basis=basis, points=64, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(solved, burgers.exact(x[:, None], t, 0.1), rtol=0, atol=2e-9)


def test_poisson():
    x = np.linspace(-pi, pi, 301)
    errors = [
        np.abs(spectral.poisson(x, lambda x: -25 * np.sin(5 * x), points=points) - np.sin(5 * x)).max()
        for points in (20, 25, 30, 40)
    ]
    assert all(after < before / 20 for before, after in zip(errors, errors[1:], strict=False))
    assert errors[-1] < 1e-11


def test_poisson_takes_end_values_and_a_constant_source():
    x = np.linspace(0, 2, 9)
    solved = spectral.poisson(x, lambda x: 2.0, interval=(0, 2), ends=(1.0, 5.0), points=8)
    np.testing.assert_allclose(solved, x**2 + 1, atol=1e-12)


def test_advection_moves_the_profile_along():
    x = np.linspace(0, 2 * pi, 40)[:, None]
    t = np.linspace(0, 1, 15)
    np.testing.assert_allclose(advection.exact(x, t, 30.0), np.sin(x - 30 * t), atol=1e-13)
    sawtooth = advection.exact(0.25, 0.5, -1.0, initial=lambda x: x, period=0.5)
    assert sawtooth == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spectral.chebyshev(1), ValueError, "points must be a whole number from 2 to 4096, not 1"),
        (lambda: spectral.chebyshev(4.0), ValueError, "points must be a whole number"),
        (lambda: spectral.chebyshev(4, (1, 0)), ValueError, r"interval must be a pair of finite numbers \(low, high\)"),
        (lambda: spectral.heat([4.0], [1.0]), ValueError, "x must lie in"),
        (lambda: spectral.heat([1.0], [-1.0]), ValueError, "t must lie in"),
        (lambda: spectral.heat([], [1.0]), ValueError, "x must be a non-empty one-dimensional array"),
        (lambda: spectral.heat(np.zeros((2, 2)), [1.0]), ValueError, r"not one of shape \(2, 2\)"),
        (lambda: spectral.heat([1.0], [1.0], diffusivity=-1), ValueError, "diffusivity must be a positive number"),
        (
            lambda: spectral.heat([1.0], [1.0], initial=lambda x: x[:3]),
            ValueError,
            "one value for each of the 20 points",
        ),
        (lambda: spectral.heat([1.0], [1.0], rtol=0.0), ValueError, "rtol must be a finite number from"),
        (lambda: spectral.burgers([1.0], [1.0], points=33), ValueError, "take 34"),
        (lambda: spectral.burgers([1.0], [1.0], basis="wavelet"), ValueError, "basis must be one of"),
        (lambda: spectral.burgers([1.0], [1.0], nu=0.0), ValueError, "nu must be a positive number"),
        (lambda: spectral.poisson([1.0], lambda x: np.nan * x), ValueError, "must be finite"),
        (lambda: advection.exact(0.0, 0.0, 1.0, period=0.0), ValueError, "period must be a positive number"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_time_integration_that_fails_says_so():
    """With hardly any viscosity the shock cannot be resolved, and the solution blows up."""
    with (
        np.errstate(all="ignore"),
        pytest.raises(RuntimeError, match=r"The time integration failed .* take more points"),
    ):
        spectral.burgers([0.5], [1.0], nu=1e-6, points=128)


def test_no_torch_is_needed():
    code = "import sys, pinnedu.reference, pinnedu.data; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
