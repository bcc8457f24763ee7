"""Approximate distances, and boundary values that hold exactly."""

from __future__ import annotations

import math

import pytest
import shapely
import torch

from pinnedu import (
    MLP,
    Ball,
    Box,
    Dirichlet,
    Distance,
    GaussNewton,
    LevelSet,
    On,
    PointCloud,
    Points,
    Problem,
    Region,
    fit,
)
from pinnedu.jacobian import jacobian

L = Region(shapely.Polygon([(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)]))
RING = Region(shapely.box(-1, -1, 1, 1) - shapely.box(-0.3, -0.3, 0.3, 0.3))
HOLE = LevelSet(Box(x=(-1, 1), y=(-1, 1)), {"hole": lambda x, y: (0.09 - x**2 - y**2) / 0.6})
SHAPES = {"L": L, "ring": RING, "hole": HOLE, "ball": Ball((0.0, 0.0)), "box": Box(x=(0, 1), y=(0, 2)), "tube": L * Box(t=(0, 1))}


def truth(x, y):
    return 1 + x - y * x


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_zero_on_the_part_positive_inside_and_of_slope_one(name, order):
    domain = SHAPES[name]
    part = "walls" if "walls" in domain.parts else "boundary"
    phi = Distance(domain, part, order=order)
    points, normals = domain.part(part).sample(200, generator=seeded())
    assert phi(points).abs().max() < 1e-10
    slopes = (phi(points - 1e-5 * normals) - phi(points)) / 1e-5
    assert float(slopes.median()) == pytest.approx(1, abs=2e-2)
    assert (phi(domain.sample(500, generator=seeded())) > 0).all()


def test_it_is_smooth_inside_where_the_distance_has_ridges():
    phi = Distance(L)
    points = L.sample(50, generator=seeded()).requires_grad_()
    (slope,) = torch.autograd.grad(phi(points).sum(), points, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), points)
    assert torch.isfinite(curvature).all()
    step = torch.tensor([1e-6, 0.0], dtype=torch.float64)
    assert torch.allclose((phi(points + step) - phi(points - step)) / 2e-6, slope[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("L", {"boundary": truth}),
        ("ring", {"outside": truth, "hole": 2.0}),
        ("hole", {"outside": lambda points: points[:, 0], "hole": 0.5}),
        ("tube", {"walls": truth}),
    ],
)
def test_values_hold_exactly_and_derivatives_agree(name, values):
    domain = SHAPES[name]
    wanted = {part: value if callable(value) else (lambda x, v=value: v + 0 * x) for part, value in values.items()}
    wanted = {p: (lambda x: x) if name == "hole" and p == "outside" else g for p, g in wanted.items()}
    calls = {p: On(p, equation=_minus(g)) for p, g in wanted.items()}
    problem = Problem(domain, {"e": lambda u: u.laplacian("x", "y")}, calls)
    model = Dirichlet(MLP(problem, (8,), seed=0), problem, u=values)
    sample = problem.sample(Points(60, 40), generator=seeded())
    found, other = problem.residuals(model, sample), problem.residuals(model, sample, "autograd")
    for part in calls:
        assert found[part].abs().max() < 1e-9
    assert torch.allclose(found["e"], other["e"], rtol=1e-7, atol=1e-6)
    rows = jacobian(model, problem, {"interior": sample["interior"]})["e"]
    assert torch.allclose(rows[0].detach(), found["e"].detach())
    assert rows[1].shape[0] == 60
    assert torch.isfinite(rows[1]).all()


def _minus(value):
    """The equation u = value, with the coordinates that the value asks for."""
    if value.__code__.co_argcount == 1 or value.__code__.co_varnames[:2] == ("x", "v"):
        return lambda u, x: u - value(x)
    return lambda u, x, y: u - value(x, y)


def test_a_problem_with_values_built_in():
    problem = Problem(
        L,
        {"laplace": lambda u: u.laplacian()},
        {"boundary": On("boundary", equation=lambda u, x, y: u - x**2 + y**2)},
        exact=lambda x, y: x**2 - y**2,
    )
    model = Dirichlet(MLP(problem, (12,)), problem, u={"boundary": lambda x, y: x**2 - y**2})
    run = fit(model, problem, optimizer=GaussNewton(), steps=10, seed=0, points=Points(150, 20))
    assert run.error < 1e-4
    assert run.history["boundary"].max() < 1e-18


PROBLEM = Problem(L, {"e": lambda u: u.laplacian()})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Distance(3), "The domain must be a Domain"),
        (lambda: Distance(L, "hole"), "the parts of .* are boundary, outside"),
        (lambda: Distance(L, order=0), "The order of Distance"),
        (lambda: Distance(PointCloud([[0, 0], [1, 1], [0, 1]], [[1, 0], [math.nan] * 2, [math.nan] * 2])), "is none of them"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM), "needs the values of a field"),
        (lambda: Dirichlet(3, PROBLEM, u={"boundary": 0}), "The model must be"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, v={"boundary": 0}), "the fields are u"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, u={}), "at least one part"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, u=0.0), "a dict of at least one part to its value"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, u={"rim": 0.0}), "names 'rim'"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, u={"boundary": None}), "a finite number or a function"),
        (lambda: Dirichlet(MLP(PROBLEM), PROBLEM, u={"boundary": lambda z: z}), "asks for 'z'"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
