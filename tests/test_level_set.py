"""Level sets: points, surfaces with normals, quadrature in one to five dimensions, and functions that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnedu import MLP, Box, Domain, GaussNewton, LevelSet, On, Points, Problem, fit, plots

SOME = settings(max_examples=6, deadline=None, derandomize=True, database=None)
SQUARE = Box(x=(-1, 1), y=(-1, 1))
CENTERS = {"hole 1": (0.4, 0.4), "hole 2": (-0.4, -0.3)}
HOLES = LevelSet(SQUARE, {name: (lambda x, y, a=a, b=b: 0.04 - (x - a) ** 2 - (y - b) ** 2) for name, (a, b) in CENTERS.items()})


def seeded():
    return torch.Generator().manual_seed(0)


@st.composite
def level_sets(draw):
    """Wavy ellipses, cut by their box here and there."""
    a, b = draw(st.floats(0.4, 1.3)), draw(st.floats(0.4, 1.3))
    wave, k, m = draw(st.floats(-0.2, 0.2)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return LevelSet(SQUARE, lambda x, y: (x / a) ** 2 + (y / b) ** 2 - 1 + wave * torch.sin(k * x + 1) * torch.cos(m * y))


def field(points):
    """V and div V."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        total = points.sum(dim=1)
        values = torch.stack([torch.sin(total + k) + points[:, k] ** 2 * total for k in range(points.shape[1])], dim=1)
        slopes = [torch.autograd.grad(values[:, k].sum(), points, retain_graph=True)[0][:, k] for k in range(points.shape[1])]
    return values.detach(), sum(slopes)


def check_divergence(shape, n, tolerance):
    points, weights = shape.quadrature(n)
    places, normals, shares = shape.part("boundary").quadrature(n)
    divergence = field(points)[1]
    left, right = float(divergence @ weights), float((field(places)[0] * normals).sum(dim=1) @ shares)
    assert abs(left - right) < tolerance * float(divergence.abs() @ weights)


@SOME
@given(level_sets(), st.sampled_from(["uniform", "latin", "sobol", "grid"]))
def test_what_every_level_set_does(shape, method):
    assert isinstance(shape, Domain)
    points = shape.sample(64, method, generator=seeded())
    assert points.shape == (64, 2)
    assert shape.contains(points, 0.0).all()
    for part in shape.parts.values():
        places, normals = part.sample(32, method, generator=seeded())
        assert places.shape == normals.shape == (max(32, len(getattr(part, "pieces", ()))), 2)
        assert shape.contains(places).all()
        assert torch.allclose(normals.norm(dim=1), torch.ones(len(normals), dtype=torch.float64), atol=1e-12)
        assert not shape.contains(places + 1e-5 * normals, 0.0).any()
        assert shape.contains(places - 1e-5 * normals, 0.0).double().mean() > 0.9
        assert (shape.excess(places + 1e-5 * normals) / 1e-5 - 1).abs().median() < 1e-3
    check_divergence(shape, 20, 1e-3)


def test_a_disk_by_its_function():
    disk = LevelSet(SQUARE, lambda x, y: x**2 + y**2 - 0.5)
    assert list(disk.parts) == ["surface", "boundary"]
    assert disk.measure == pytest.approx(math.pi / 2, rel=1e-12)
    assert disk.part("surface").measure == pytest.approx(2 * math.pi * 0.5**0.5, rel=1e-12)
    points, normals = disk.part("surface").sample(500, "sobol", generator=seeded())
    assert torch.allclose(points, 0.5**0.5 * normals, atol=1e-12)
    angles = torch.atan2(points[:, 1], points[:, 0])
    counts = torch.histc(angles, 10, -math.pi, math.pi)
    assert (counts - 50).abs().max() < 25  # uniform along the circle, not along an axis
    points, weights = disk.quadrature(20)
    assert float(weights @ points[:, 0] ** 2) == pytest.approx(math.pi / 4 * 0.25, rel=1e-10)


def test_a_square_with_holes():
    assert list(HOLES.parts) == ["hole 1", "hole 2", "x low", "x high", "y low", "y high", "surface", "outside", "boundary"]
    assert HOLES.measure == pytest.approx(4 - 2 * math.pi * 0.04, rel=1e-12)
    lengths = {name: part.measure for name, part in HOLES.parts.items()}
    assert lengths["hole 1"] == pytest.approx(0.4 * math.pi, rel=1e-9)
    assert lengths["outside"] == pytest.approx(8)
    assert lengths["boundary"] == pytest.approx(8 + 0.8 * math.pi, rel=1e-9)
    points, normals = HOLES.part("hole 2").sample(100, generator=seeded())
    center = torch.tensor(CENTERS["hole 2"], dtype=torch.float64)
    assert torch.allclose(points, center - 0.2 * normals, atol=1e-12)


def test_a_dome_in_space():
    dome = LevelSet(Box(x=(-1, 1), y=(-1, 1), z=(0, 1)), lambda points: points.square().sum(dim=1) - 0.8, resolution=40)
    assert dome.measure == pytest.approx(2 / 3 * math.pi * 0.8**1.5, rel=1e-3)
    assert dome.part("surface").measure == pytest.approx(2 * math.pi * 0.8, rel=1e-3)
    assert dome.part("z low").measure == pytest.approx(0.8 * math.pi, rel=1e-4)
    assert (dome.part("z low").sample(5)[1] == torch.tensor([0.0, 0.0, -1.0])).all()
    points, normals = dome.part("surface").sample(400, "latin", generator=seeded())
    assert torch.allclose(points, 0.8**0.5 * normals, atol=1e-12)
    assert float(points[:, 2].mean()) == pytest.approx(0.8**0.5 / 2, abs=0.05)  # Archimedes: uniform in z
    check_divergence(dome, 16, 1e-2)


def test_five_dimensions():
    box = Box(**{f"x{i}": (-1, 1) for i in range(5)})
    ball = LevelSet(box, lambda points: points.square().sum(dim=1) - 1, resolution=20)
    assert ball.measure == pytest.approx(8 * math.pi**2 / 15, rel=5e-3)
    assert ball.part("surface").measure == pytest.approx(8 * math.pi**2 / 3, rel=1e-2)
    points, normals = ball.part("surface").sample(50, generator=seeded())
    assert torch.allclose(points, normals, atol=1e-12)
    with pytest.raises(ValueError, match="take the rule 'sobol'"):
        ball.quadrature(3)


def test_pieces_of_a_line():
    line = LevelSet(Box(x=(0, 3)), lambda x: torch.sin(math.pi * x))
    assert line.measure == pytest.approx(1.0, abs=1e-12)
    points, _ = line.part("surface").sample(9)
    assert sorted(points[:, 0].round(decimals=9).tolist()) == [0, 1, 2]
    points, weights = line.quadrature(4)
    assert float(weights @ points[:, 0] ** 3) == pytest.approx((16 - 1) / 4, rel=1e-12)


def test_faces_and_slices():
    disk = LevelSet(SQUARE, lambda x, y: x**2 + y**2 - 0.5)
    chord = disk.face({"x": 0.5})
    assert chord.measure == pytest.approx(1.0, rel=1e-9)
    assert (chord.sample(5)[0][:, 0] == 0.5).all()
    assert not chord.normal
    assert disk.face({"x": 0, "y": 0}).measure == 1
    with pytest.raises(ValueError, match="nothing of LevelSet.* lies at"):
        disk.face({"x": 0.9})


def test_a_robin_problem_in_a_flower():
    """The normal of a surface that is no polygon; error and picture inside."""
    flower = LevelSet(SQUARE, lambda x, y: x**2 + y**2 - 0.4 - 0.4 * x * y)
    problem = Problem(
        flower,
        {"poisson": lambda u: u.laplacian() - 4},
        {"rim": On("surface", equation=lambda u, x, y, n: u.n + u - 2 * (x * n.x + y * n.y) - x**2 - y**2)},
        exact=lambda x, y: x**2 + y**2,
    )
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=40, seed=0, points=Points(200, 60))
    assert run.error < 1e-2
    drawn = 1 - np.ma.getmaskarray(plots.solution(run).axes[0].images[0].get_array()).mean()
    assert drawn == pytest.approx(flower.measure / 4, abs=0.02)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x, y: x + 5, "negative nowhere"),
        (lambda x, y: x - y + 1.99, "less than 0.0001"),
        (lambda x, y: 3, "must return one number a point"),
        (lambda x, y: x * math.nan, "NaN or infinite"),
        (lambda x, z: x, "asks for 'z'"),
        (lambda x, y: torch.sign(x), "no slope at its zero"),
        (lambda x, y: torch.from_numpy(np.sin(x.detach().numpy())), "made of functions of torch"),
        (3, "must be a function"),
        ({}, "a dict with at least one"),
        ({"boundary": lambda x, y: x}, "needs another name"),
        ({"x low": lambda x, y: x}, "needs another name"),
    ],
)
def test_functions_that_are_none(f, message):
    with pytest.raises(ValueError, match=message):
        _ = LevelSet(SQUARE, f).parts


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LevelSet(3, lambda x: x), "The box of LevelSet must be a Box"),
        (lambda: LevelSet(SQUARE, lambda x, y: x, resolution=0), "resolution must be a whole number"),
        (lambda: HOLES.part("hole 3"), "the parts of .* are hole 1, hole 2"),
        (lambda: HOLES.quadrature(3, "midpoint"), "choose one of"),
        (lambda: HOLES.quadrature(10**7), "too many nodes"),
        (lambda: HOLES.part("surface").quadrature(10**8), "too many nodes"),
        (lambda: HOLES.contains(torch.zeros(2, 3)), "must be a tensor"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
