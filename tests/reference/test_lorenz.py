"""Lorenz: against an implicit method, and against its own residual between the steps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pinnedu.reference import lorenz


def test_an_implicit_method_gives_the_same():
    t = np.linspace(0, lorenz.END, 31)
    found = solve_ivp(lorenz.rate, (0, lorenz.END), lorenz.START, method="Radau", t_eval=t, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.y, lorenz.exact(t), atol=1e-5)


def test_half_the_step_changes_nothing_that_matters():
    t = np.linspace(0, lorenz.END, 301)
    options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12, "dense_output": True}
    finer = solve_ivp(lorenz.rate, (0, lorenz.END), lorenz.START, max_step=0.004, **options)
    np.testing.assert_allclose(finer.sol(t), lorenz.exact(t), atol=1e-9)


def test_the_equations_hold_between_the_steps():
    t, h = np.linspace(0.01, 2.99, 200), 1e-4
    slope = (8 * (lorenz.exact(t + h) - lorenz.exact(t - h)) - lorenz.exact(t + 2 * h) + lorenz.exact(t - 2 * h)) / (12 * h)
    np.testing.assert_allclose(slope, lorenz.rate(0.0, lorenz.exact(t)), atol=1e-5)


def test_start_and_shape():
    assert lorenz.exact(0.0).tolist() == list(lorenz.START)
    assert lorenz.exact(np.ones((2, 3))).shape == (3, 2, 3)
    with pytest.raises(ValueError, match=r"t must lie in \[0, 3\]"):
        lorenz.exact(3.5)
