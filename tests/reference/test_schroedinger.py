"""The Schroedinger equation: against itself, the formula of the whole line, and a common solver that shares nothing with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import fft, fftfreq, ifft
from scipy.integrate import solve_ivp

from pinnedu.reference import schroedinger

X, T = np.linspace(-5, 5, 81)[:, None], np.linspace(0, schroedinger.END, 9)


def difference(u, v):
    return np.linalg.norm(u - v) / np.linalg.norm(v)


@pytest.fixture(scope="module")
def exact():
    return schroedinger.exact(X, T)


def test_other_resolutions_change_little(exact):
    assert difference(schroedinger.exact(X, T, steps=500), exact) < 6e-6
    assert difference(schroedinger.exact(X, T, modes=1024), exact) < 3e-6  # the kink


def test_the_method_of_lines_with_a_library_gives_the_same(exact):
    """With the modes that an explicit method can afford; the kink keeps it from more digits."""
    n = 256
    x, k = -5 + 10 * np.arange(n) / n, 2 * np.pi / 10 * fftfreq(n, 1 / n)
    found = solve_ivp(
        lambda t, h: ifft(-0.5j * k**2 * fft(h)) + 1j * np.abs(h) ** 2 * h,
        (0, schroedinger.END),
        schroedinger.initial(x) + 0j,
        method="DOP853",
        rtol=1e-6,
        atol=1e-7,
        max_step=1.5e-3,  # it is unstable beyond
    )
    wanted = schroedinger.exact(x, schroedinger.END)
    assert difference(found.y[:, -1], wanted) < 1e-4


def test_the_whole_line_is_another_problem(exact):
    """The two agree where the kink's waves have not come yet, and differ by 7e-3 in all."""
    assert difference(schroedinger.two_solitons(X, T), exact) == pytest.approx(7e-3, rel=0.2)
    middle = np.linspace(-1, 1, 11)
    early = difference(schroedinger.exact(middle, 0.2), schroedinger.two_solitons(middle, 0.2))
    assert early < 1e-3


def test_the_formula_solves_the_equation():
    h, x, t = 1e-3, np.linspace(-3, 3, 31)[:, None], np.linspace(0.1, 1.5, 8)
    f = schroedinger.two_solitons
    h_t = (8 * (f(x, t + h) - f(x, t - h)) - f(x, t + 2 * h) + f(x, t - 2 * h)) / (12 * h)
    h_xx = (16 * (f(x + h, t) + f(x - h, t)) - f(x + 2 * h, t) - f(x - 2 * h, t) - 30 * f(x, t)) / (12 * h**2)
    assert np.abs(1j * h_t + h_xx / 2 + np.abs(f(x, t)) ** 2 * f(x, t)).max() < 1e-6
    np.testing.assert_allclose(f(x, 0.0), schroedinger.initial(x), rtol=1e-14)


def test_mass_symmetry_and_start():
    x = np.linspace(-5, 5, 2001)
    mass = [np.trapezoid(np.abs(schroedinger.exact(x, t)) ** 2, x) for t in (0.0, 0.5, 1.5)]
    np.testing.assert_allclose(mass, 8 * np.tanh(5), rtol=1e-6)
    h = schroedinger.exact(x, 0.7)
    np.testing.assert_allclose(h, h[::-1], atol=1e-12)
    np.testing.assert_array_equal(schroedinger.exact(x, 0.0), schroedinger.initial(x))


def test_bad_input():
    with pytest.raises(ValueError, match=r"x must lie in \[-5, 5\]"):
        schroedinger.exact(6.0, 0.0)
    with pytest.raises(ValueError, match="t must lie in"):
        schroedinger.exact(0.0, 2.0)
    with pytest.raises(ValueError, match="modes must be a whole number"):
        schroedinger.exact(0.0, 1.0, modes=3)
