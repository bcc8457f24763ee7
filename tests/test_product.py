"""Products of domains: points, parts with normals, faces, quadrature."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import shapely
import torch

from pinnedu import Ball, Box, Domain, LevelSet, PointCloud, Product, Region, Shape
from pinnedu.product import MappedShape

PLATE = Region(shapely.box(0, 0, 3, 2) - shapely.box(1, 0.5, 2, 1.5))
TIME = Box(t=(0, 0.5))
TUBE = PLATE * TIME


def seeded():
    return torch.Generator().manual_seed(0)


def test_a_shape_over_time():
    assert isinstance(TUBE, Domain)
    assert repr(TUBE) == "Region(x=(0, 3), y=(0, 2), 8 edges, 1 hole) * Box(t=(0, 0.5))"
    assert TUBE.names == ("x", "y", "t")
    assert TUBE.measure == 2.5
    measures = {name: part.measure for name, part in TUBE.parts.items()}
    assert measures == {"outside": 5, "holes": 2, "hole": 2, "t low": 5, "t high": 5, "boundary": 17, "walls": 7}
    points, normals = TUBE.part("hole").sample(50, generator=seeded())
    assert (normals[:, 2] == 0).all()
    assert torch.allclose(normals.norm(dim=1), torch.ones(50, dtype=torch.float64))
    assert PLATE.contains(points[:, :2]).all()
    start, normals = TUBE.face({"t": 0}).sample(50)
    assert (start[:, 2] == 0).all()
    assert (normals == torch.tensor([0.0, 0.0, -1.0])).all()
    assert TUBE.contains(start).all()
    assert not TUBE.contains(start - torch.tensor([0, 0, 0.1])).any()
    assert float(TUBE.excess(torch.tensor([[1.5, 1.0, 0.7]], dtype=torch.float64))) == pytest.approx(0.5)


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol", "grid"])
def test_factors_are_independent(method):
    disk = LevelSet(Box(x=(-1, 1), y=(-1, 1)), lambda x, y: x**2 + y**2 - 1)
    for domain in (TUBE, Ball((0, 0)) * TIME, disk * TIME, TIME * PLATE, TIME * PLATE * Box(s=(0, 1))):
        if method == "grid" and isinstance(domain.factors[0], Ball):
            points = domain.sample(300, "sobol", generator=seeded())
        else:
            points = domain.sample(300, method, generator=seeded())
        assert points.shape == (300, domain.dim)
        assert domain.contains(points).all()
        t, x = points[:, domain.names.index("t")], points[:, domain.names.index("x" if "x" in domain.names else "x1")]
        assert float(t.mean()) == pytest.approx(0.25, abs=0.03)
        assert abs(float(torch.corrcoef(torch.stack([t, x]))[0, 1])) < 0.2


def test_a_product_is_as_even_as_its_factors():
    """Sobol points of a product: 16 boxes of equal measure get 64 points each, nearly."""
    points = (Box(x=(0, 1)) * Region(shapely.box(0, 0, 1, 1), "y", "z")).sample(1024, "sobol", generator=seeded())
    counts = torch.histogramdd(points[:, [0, 2]].contiguous(), [4, 4], range=[0.0, 1.0, 0.0, 1.0]).hist
    assert (counts - 64).abs().max() <= 12


def test_rules_are_products():
    points, weights = TUBE.quadrature(3)
    assert float(weights.sum()) == pytest.approx(2.5)
    assert float(weights @ (points[:, 0] * points[:, 2])) == pytest.approx(5 * 1.5 * 0.125)
    points, normals, weights = TUBE.part("boundary").quadrature(3)
    flux = (points * normals).sum(dim=1) @ weights
    assert float(flux) == pytest.approx(3 * 2.5)  # the divergence of x is 3
    points, normals, weights = TUBE.part("walls").quadrature(256, "sobol", generator=seeded())
    assert float(weights.sum()) == pytest.approx(7)
    points, weights = TUBE.quadrature(256, "monte-carlo", generator=seeded())
    assert float(weights.sum()) == pytest.approx(2.5)


def test_products_of_many():
    cube = Product(Box(a=(0, 1)), Ball({"x": 0, "y": 0}), Box(t=(0, 2)))
    assert cube.measure == pytest.approx(2 * math.pi)
    assert len((TUBE * Box(s=(0, 1))).factors) == 3
    assert (PointCloud([[0, 0], [1, 1], [0, 1]]) * TIME).sample(5).shape == (5, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PLATE * Box(x=(0, 1)), "'x' is in two of them"),
        (lambda: Product(PLATE), "at least two domains"),
        (lambda: Product(PLATE, 3), "A factor of Product must be a Domain"),
        (lambda: TUBE.face({"x": 0}), "has no faces"),
        (lambda: TUBE.face({"x": 0, "t": 0}), "coordinates of different factors"),
        (lambda: TUBE.quadrature(2, "midpoint"), "choose one of"),
        (lambda: TUBE.quadrature(120), "too many"),
        (lambda: (PLATE * Region(shapely.box(0, 0, 1, 1), "p", "q")).parts, "have a part 'outside'"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_number_is_no_factor():
    with pytest.raises(TypeError):
        _ = PLATE * 3


@pytest.mark.parametrize(("base", "lacks"), [(Domain, "contains"), (Shape, "_draw"), (MappedShape, "unfold")])
def test_what_a_shape_lacks_is_told_when_it_is_made(base, lacks):
    half = type("Half", (base,), {"bounds": {"x": (0.0, 1.0)}})
    with pytest.raises(TypeError, match=lacks):
        half()


def test_a_shape_of_ones_own_needs_no_more_than_what_is_asked_for():
    class Triangle(MappedShape):
        """0 < x < y < 1."""

        bounds: ClassVar = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
        parts: ClassVar = {}
        measure, cube = 0.5, 2

        def contains(self, points, slack=1e-9):
            return (points[:, 0] <= points[:, 1] + slack) & (points >= -slack).all(dim=1) & (points[:, 1] <= 1 + slack)

        def unfold(self, unit):
            return unit.sort(dim=1).values

    shape = Triangle() * Box(t=(0, 1))
    for method in ("uniform", "sobol", "grid"):
        points = shape.sample(100, method)
        assert points.shape == (100, 3)
        assert shape.contains(points).all()
