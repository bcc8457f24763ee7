"""A ball: its points, its sphere with normals, its quadrature, and what is said of wrong ones."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from pinnedu import MLP, Ball, Box, Domain, GaussNewton, On, Points, Problem, fit, plots, relative_error
from pinnedu.theory import errors

DISK = Ball({"x": 0.5, "y": -1.0}, 2.0)


def seeded():
    return torch.Generator().manual_seed(0)


def test_a_ball_is_a_domain_and_no_box():
    assert isinstance(DISK, Domain)
    assert not isinstance(DISK, Box)
    assert Box not in Ball.__mro__
    assert not hasattr(DISK, "grid")
    assert DISK.names == ("x", "y")
    assert DISK.bounds == {"x": (-1.5, 2.5), "y": (-3.0, 1.0)}


@pytest.mark.parametrize(
    ("ball", "names"),
    [
        (Ball((0.5, -1), 2), ("x", "y")),
        (Ball(np.zeros(3)), ("x", "y", "z")),
        (Ball([0.0] * 4), ("x1", "x2", "x3", "x4")),
        (Ball(2), ("x1", "x2")),
        (Ball(np.int64(3)), ("x1", "x2", "x3")),
        (Ball({"r": 0, "s": 1}), ("r", "s")),
    ],
)
def test_ways_to_say_a_center(ball, names):
    assert ball.names == names


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol"])
def test_points_are_uniform_in_the_ball_and_on_its_sphere(method):
    points = DISK.sample(4096, method, generator=seeded())
    assert DISK.contains(points).all()
    distance = (points - DISK.center).norm(dim=1)
    assert float(distance.square().mean()) == pytest.approx(2.0, rel=0.03)  # R^2 / 2 in a disk
    points, normals = DISK.part("boundary").sample(512, method, generator=seeded())
    assert torch.allclose(points, DISK.center + 2 * normals)
    assert torch.allclose(normals.norm(dim=1), torch.ones(512, dtype=torch.float64))
    assert normals.mean(dim=0).norm() < 0.1


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_gauss_quadrature_of_polynomials(dim):
    ball = Ball(dim, 1.5)
    points, weights = ball.quadrature(4)
    assert float(weights.sum()) == pytest.approx(ball.measure, rel=1e-13)
    assert float(weights @ points[:, 0].square()) == pytest.approx(ball.measure * 1.5**2 / (dim + 2), rel=1e-13)
    assert float(weights @ points[:, -1].square()) == pytest.approx(ball.measure * 1.5**2 / (dim + 2), rel=1e-13)
    sphere = ball.part("boundary")
    points, normals, weights = sphere.quadrature(4)
    assert float(weights.sum()) == pytest.approx(sphere.measure, rel=1e-13)
    assert float(weights @ (points * normals).sum(dim=1)) == pytest.approx(dim * ball.measure, rel=1e-13)  # Gauss' theorem


def test_measures():
    assert Ball(2, 3.0).measure == pytest.approx(9 * pi)
    assert Ball(3, 2.0).part("boundary").measure == pytest.approx(16 * pi)


def test_norms_over_a_ball_are_exact_and_not_random(closed_form):
    problem = Problem(
        Ball((0.0, 0.0)), {"e": lambda u: u - 0}, {"rim": On("boundary", equation=lambda u: u.n)}, exact=lambda x, y: 0 * x
    )
    model = closed_form(lambda x, y: x)
    found = errors.norms(model, problem)
    assert found == errors.norms(model, problem)
    assert found["e"] == pytest.approx((pi / 4) ** 0.5, rel=1e-13)
    assert found["rim"] == pytest.approx(pi**0.5, rel=1e-13)


def test_a_rule_with_too_many_nodes_is_told():
    with pytest.raises(ValueError, match="too many nodes: take fewer, or the rule 'sobol'"):
        Ball(10).quadrature(32)
    with pytest.raises(ValueError, match="too many nodes"):
        Box(**{f"x{i}": (0, 1) for i in range(10)}).quadrature(32)


def test_a_robin_problem_on_a_disk():
    problem = Problem(
        domain=DISK,
        equations={"poisson": lambda u: u.laplacian() - 4},
        conditions={"rim": On("boundary", equation=lambda u: u.n + u - 8)},
        exact=lambda x, y: (x - 0.5) ** 2 + (y + 1) ** 2,
    )
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=80, seed=0, points=Points(200, 60))
    assert run.error < 1e-2
    assert run.error == relative_error(run.model, problem, DISK.evaluation_points())
    for figure in (plots.solution(run), plots.comparison(run)):
        values = figure.axes[0].images[0].get_array()
        assert 0.7 < 1 - np.ma.getmaskarray(values).mean() < 0.8  # pi / 4 of the square is drawn


BAD = [1, 0, -3, 2.0, True, None, "xy", (), (1.0,), (0, float("nan")), (0, None), {"x": 0}, {1: 0, 2: 0}]


@pytest.mark.parametrize("center", BAD)
def test_centers_that_are_none(center):
    with pytest.raises(ValueError, match=r"Ball needs|The center|coordinate name"):
        Ball(center)


@pytest.mark.parametrize("radius", [0, -1, float("inf"), float("nan"), "1", None])
def test_radii_that_are_none(radius):
    with pytest.raises(ValueError, match="The radius must be a positive number"):
        Ball((0, 0), radius)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (On("rim", equation=lambda u: u), "names 'rim', but the parts of .* are boundary"),
        (On(x=0, equation=lambda u: u), "no faces: name a part, boundary"),
        (On("boundary", equation=lambda u, k: u), "asks for 'k'"),
    ],
)
def test_conditions_that_a_ball_does_not_have(condition, message):
    with pytest.raises(ValueError, match=message):
        Problem(DISK, {}, {"one": condition})
