"""Tables of truth: accepted as a solution, as accurate as their grid, and refused where they cannot be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pinnedu import problems, relative_error
from pinnedu.reference import Table

X, Y, T = np.linspace(0, 1, 21), np.linspace(-1, 1, 23), np.linspace(0, 2, 25)


def smooth(x, y, t):
    return np.sin(3 * x + 1) * np.cos(2 * y) * np.exp(-t)


def table(degree=3):
    return Table({"x": X, "y": Y, "t": T}, degree=degree, u=smooth(*np.meshgrid(X, Y, T, indexing="ij")), v=np.ones((21, 23, 25)))


@pytest.mark.parametrize(("degree", "accuracy"), [(1, 1e-2), (3, 5e-5), (5, 2e-6)])
def test_it_interpolates_to_the_accuracy_that_it_says(degree, accuracy):
    made = table(degree)
    points = np.random.default_rng(0).uniform([0, -1, 0], [1, 1, 2], (500, 3))
    found = made(points)
    assert found["v"] == pytest.approx(1)
    error = np.linalg.norm(found["u"] - smooth(*points.T)) / np.linalg.norm(found["u"])
    assert error < accuracy
    assert error < made.accuracy["u"] < 400 * error


def test_the_values_of_the_grid_come_back():
    made = Table({"t": T}, u=np.sin(T))
    np.testing.assert_allclose(made(T[:, None])["u"], np.sin(T), atol=1e-14)


def test_a_table_is_an_exact_solution(closed_form):
    heat = problems.heat()
    x, t = np.linspace(0, np.pi, 41), np.linspace(0, 1, 41)
    known = replace(heat, exact=Table({"x": x, "t": t}, degree=5, u=np.exp(-t) * np.sin(x[:, None])))
    assert relative_error(closed_form(heat.exact), known) < 1e-8
    points = heat.domain.grid(7)
    torch.testing.assert_close(known.solution(points)["u"], heat.solution(points)["u"], atol=1e-8, rtol=0)
    single = known.solution(points.float())["u"]
    assert single.dtype == torch.float32


@pytest.mark.parametrize(
    ("axes", "values", "message"),
    [
        ({"x": X}, {"u": np.ones(20)}, r"The values of u must be of shape \(21,\), as the axes, not \(20,\)"),
        ({"x": X[::-1]}, {"u": X}, "The axis x must be increasing, with more than 3 numbers"),
        ({"x": [0, 1, 2]}, {"u": [0, 1, 2]}, "The axis x must be increasing, with more than 3 numbers"),
        ({"x": X}, {"u": np.where(X > 0.5, np.nan, X)}, "The values of u must be finite"),
        ({"x": X}, {}, "made of axes and of values of fields"),
        ({}, {"u": X}, "made of axes and of values of fields"),
        (X, {"u": X}, "axes must be a dict of coordinate to numbers"),
    ],
)
def test_what_is_no_table(axes, values, message):
    with pytest.raises(ValueError, match=message):
        Table(axes, **values)


def test_bad_degrees_and_points():
    with pytest.raises(ValueError, match="degree must be odd"):
        Table({"x": X}, degree=2, u=X)
    with pytest.raises(ValueError, match=r"The points' x must lie in"):
        Table({"x": X}, u=X)([[1.1]])
    with pytest.raises(ValueError, match=r"shape \(N, 1\)"):
        Table({"x": X}, u=X)([[1.0, 0.5]])
    with pytest.raises(ValueError, match="too small to leave out"):
        _ = Table({"x": X[:5]}, u=X[:5]).accuracy
