"""The Cole-Hopf solution against a series in high precision, against two solvers, and against the literature.

The three know nothing of the quadrature: the series sums Bessel functions with as many digits as the
cancellation needs, the solvers do not use the Cole-Hopf transform at all.
"""

from math import pi

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnedu.reference import burgers, spectral

NU = burgers.NU


def fourier_series(x: float, t: float, nu: float) -> float:
    """Return u by the Fourier series of phi: its coefficients are Bessel functions I_k(z), z = 1 / (2 pi nu).

    exp(-z cos(pi x)) = I_0(z) + 2 sum_k (-1)^k I_k(z) cos(k pi x), and each mode decays on its own. The terms
    are as large as exp(z), the sum may be as small as exp(-z): hence the digits.
    """
    with mpmath.workdps(int(40 + 1.3 / (2 * pi * nu))):
        x, t, nu = mpmath.mpf(x), mpmath.mpf(t), mpmath.mpf(nu)
        z = 1 / (2 * mpmath.pi * nu)
        below, above, k = mpmath.mpf(0), mpmath.mpf(0), 0
        while True:
            term = (-1) ** k * (2 if k else 1) * mpmath.besseli(k, z) * mpmath.exp(-((k * mpmath.pi) ** 2) * nu * t)
            below += term * mpmath.cos(k * mpmath.pi * x)
            above += term * k * mpmath.sin(k * mpmath.pi * x)
            if k > mpmath.sqrt(z) and abs(term) < mpmath.mpf(10) ** (5 - mpmath.mp.dps):
                return float(2 * mpmath.pi * nu * above / below)
            k += 1


@pytest.mark.parametrize("nu", [0.002, NU, 0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(("x", "t"), [(1e-4, 0.51), (0.003, 1.0), (0.01, 0.4), (0.5, 0.25), (0.999, 1e-3), (0.2, 3.0)])
def test_agrees_with_the_series_in_high_precision(x, t, nu):
    assert burgers.exact(x, t, nu) == pytest.approx(fourier_series(x, t, nu), rel=0, abs=1e-13)


@pytest.mark.parametrize(("nu", "bound"), [(1e-4, 1e-12), (1e-3, 1e-13), (NU, 2e-14), (0.1, 5e-15), (10.0, 5e-15)])
def test_the_quadrature_has_converged(nu, bound):
    generator = np.random.default_rng(0)
    t = generator.uniform(0, 1, 3000)
    x = generator.uniform(-1, 1, 3000) * np.where(np.arange(3000) < 1500, 1.0, 10 * nu if nu < 0.1 else 1.0)
    assert np.abs(burgers.exact(x, t, nu) - burgers.exact(x, t, nu, tolerance=1e-34)).max() < bound


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
def test_the_tolerance_is_kept(tolerance):
    """The bound of the docstring is a bound: it holds, and is not wasteful by more than two digits."""
    x, t = np.random.default_rng(1).uniform([[-1], [0]], [[1], [1]], (2, 4000))
    error = np.abs(burgers.exact(x, t, tolerance=tolerance) - burgers.exact(x, t)).max()
    assert tolerance / 100 < error < tolerance


@pytest.mark.parametrize(("basis", "points"), [("chebyshev", 200), ("fourier", 1536)])
def test_agrees_with_solvers_that_do_not_know_the_transform(basis, points):
    x, t = np.linspace(-1, 1, 257), np.linspace(0, 1, 41)
    solved = spectral.burgers(x, t, basis=basis, points=points, rtol=1e-12, atol=1e-14)
    assert np.abs(solved - burgers.exact(x[:, None], t)).max() < 1e-10


def test_steepest_slope_of_the_literature():
    """Basdevant et al. (1986): the slope at x = 0 is steepest, 152.00516, at pi t = 1.6037."""

    def slope(t):
        h = 1e-4
        return -(8 * burgers.exact(h, t) - burgers.exact(2 * h, t)) / (6 * h)

    t = np.linspace(1.5, 1.7, 2001) / pi
    slopes = slope(t)
    assert slopes.max() == pytest.approx(152.00516, abs=2e-5)
    assert pi * t[slopes.argmax()] == pytest.approx(1.6037, abs=1.1e-4)


def test_satisfies_the_equation():
    """Central differences of the values, away from the shock, leave a residual of the order of their error."""
    x, t, h = np.linspace(0.2, 0.9, 50)[:, None], np.linspace(0.05, 0.9, 20), 1e-3
    u = burgers.exact(x, t)
    u_t = (burgers.exact(x, t + h) - burgers.exact(x, t - h)) / (2 * h)
    east, west = burgers.exact(x + h, t), burgers.exact(x - h, t)
    residual = u_t + u * (east - west) / (2 * h) - NU * (east - 2 * u + west) / h**2
    assert np.abs(residual).max() < 3e-4


@given(st.floats(0, 1), st.floats(0, 100), st.floats(1e-4, 10))
def test_is_odd_bounded_and_of_one_sign(x, t, nu):
    u = burgers.exact(x, t, nu)
    assert burgers.exact(-x, t, nu) == -u
    assert -1 <= u <= 1e-15


@pytest.mark.parametrize("t", [0.0, 1e-300, 0.1, 1.0, 100.0])
def test_zero_on_the_walls_and_in_the_middle(t):
    np.testing.assert_array_equal(burgers.exact([-1.0, 0.0, 1.0], t), 0.0)


def test_initial_value_and_its_neighborhood():
    x = np.linspace(-1, 1, 201)
    initial = -np.sin(pi * x)
    np.testing.assert_allclose(burgers.exact(x, 0.0), initial, rtol=0, atol=1e-15)
    # u_t = nu u_xx - u u_x at t = 0, so the start is right to second order in t as well.
    rate = pi**2 * NU * np.sin(pi * x) - pi * np.sin(pi * x) * np.cos(pi * x)
    for t in (1e-12, 1e-8, 1e-4):
        np.testing.assert_allclose(burgers.exact(x, t), initial + t * rate, rtol=0, atol=30 * t**2 + 1e-15)


def test_broadcasts_and_does_not_depend_on_the_company_of_a_point():
    x, t = np.linspace(-1, 1, 30)[:, None], np.linspace(0, 1, 20)
    together = burgers.exact(x, t)
    assert together.shape == (30, 20)
    alone = [[float(burgers.exact(a, b)) for b in t] for a in x[:, 0]]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-14)
    assert burgers.exact([], []).shape == (0,)
    assert np.ndim(burgers.exact(0.5, 0.5)) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.1, 0.5), ValueError, r"x must lie in \[-1, 1\], but goes from 1.1 to 1.1"),
        (([0.0, 2.0], 0.5), ValueError, r"x must lie in \[-1, 1\], but goes from 0 to 2"),
        ((0.5, -0.1), ValueError, r"t must lie in \[0, 100\]"),
        ((0.5, np.nan), ValueError, "t must be finite"),
        ((0.5, 0.5, 1e-6), ValueError, r"nu must be a finite number from 0.0001 to 10"),
        ((0.5, 0.5, [0.1, 0.2]), ValueError, "nu must be a finite number"),
        (("left", 0.5), ValueError, "x must be an array of real numbers"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        burgers.exact(*arguments)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="x and t must have shapes that broadcast"):
        burgers.exact(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="tolerance must be a finite number from"):
        burgers.exact(0.5, 0.5, tolerance=0.0)
