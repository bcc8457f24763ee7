"""The Allen-Cahn reference against itself at other resolutions, and against a solver that shares nothing with it."""

from math import pi

import numpy as np
import pytest
from scipy.fft import irfft, rfft
from scipy.integrate import solve_ivp

from pinnedu.reference import allen_cahn

X, T = np.linspace(-1, 1, 201)[:, None], np.linspace(0, 1, 21)


def difference(u, v):
    return np.linalg.norm(u - v) / np.linalg.norm(v)


def test_twice_the_resolution_changes_nothing_that_matters():
    u = allen_cahn.exact(X, T)
    assert difference(u, allen_cahn.exact(X, T, points=32768)) < 1e-7  # the kink at small t
    assert difference(u, allen_cahn.exact(X, T, steps=500)) < 1e-10


def test_the_order_in_time_is_four():
    fine = allen_cahn.exact(X, T, points=2048, steps=1280)
    coarse, half = (difference(allen_cahn.exact(X, T, points=2048, steps=n), fine) for n in (40, 80))
    assert coarse / half == pytest.approx(16, rel=0.3)


def test_the_method_of_lines_with_a_library_gives_the_same():
    """From a smooth state on, where 1024 modes are enough for a common solver."""
    n, start = 2048, 0.1
    nodes = -1 + 2 * np.arange(n) / n
    decay = -allen_cahn.DIFFUSION * (pi * np.arange(n // 2 + 1)) ** 2
    solution = solve_ivp(
        lambda t, u: irfft(decay * rfft(u), n) + 5 * u - 5 * u**3,
        (start, 1.0),
        allen_cahn.exact(nodes, start),
        method="DOP853",
        rtol=1e-9,
        atol=1e-11,
    )
    assert np.abs(solution.y[:, -1] - allen_cahn.exact(nodes, 1.0)).max() < 1e-6


def test_without_diffusion_to_speak_of_every_point_is_on_its_own():
    """Away from the layers the reaction alone has a closed form."""
    x, t = np.array([0.0, 0.05]), 0.3
    u0 = allen_cahn.initial(x)
    reaction = u0 / np.sqrt(u0**2 + (1 - u0**2) * np.exp(-10 * t))
    assert np.abs(allen_cahn.exact(x, t, 1e-5) - reaction).max() < 2e-3


def test_the_start_symmetry_and_period_are_exact():
    x = np.linspace(-1, 1, 33)
    assert np.array_equal(allen_cahn.exact(x, 0.0), x**2 * np.cos(pi * x))
    u = allen_cahn.exact(x, 0.37)
    assert np.allclose(u, u[::-1], rtol=0, atol=1e-13)
    assert u[0] == pytest.approx(u[-1], abs=1e-13)
    assert u.shape == x.shape


def test_any_shape_and_order_of_points():
    x, t = np.array([0.3, -0.7, 0.1]), np.array([0.9, 0.2, 0.9])
    one_by_one = [float(allen_cahn.exact(a, b)) for a, b in zip(x, t, strict=True)]
    assert np.array_equal(allen_cahn.exact(x, t), one_by_one)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((1.5, 0.5), {}, "x must lie in"),
        ((0.5, 1.5), {}, "t must lie in"),
        ((0.5, 0.5, 0.0), {}, "diffusion must be a finite number from 1e-05 to 1"),
        ((0.5, 0.5), {"points": 17}, "points must be even"),
        ((0.5, 0.5), {"steps": 0}, "steps must be a whole number from 1 to 100000"),
        (([0.1, 0.2], [0.1, 0.2, 0.3]), {}, "must have shapes that broadcast"),
    ],
)
def test_bad_input(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        allen_cahn.exact(*arguments, **options)
