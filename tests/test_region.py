"""Regions of polygons: points, edges with normals, quadrature, and what is said of shapes that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

from pinnedu import MLP, Box, Domain, GaussNewton, On, Points, Problem, Region, fit, plots, relative_error

L = shapely.Polygon([(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)])
FRAME = Region(shapely.box(0, 0, 3, 2) - shapely.box(1, 0.5, 2, 1.5))
SOME = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def seeded():
    return torch.Generator().manual_seed(0)


@st.composite
def polygons(draw):
    """Stars of several corners with a hole, anywhere and of any size."""
    count = draw(st.integers(6, 14))
    jitter = draw(st.lists(st.floats(-0.3, 0.3), min_size=2 * count, max_size=2 * count))
    radii = draw(st.lists(st.floats(0.5, 1.5), min_size=count, max_size=count))
    angles = (np.arange(count)[:, None] + np.reshape(jitter, (count, 2))) * 2 * np.pi / count
    ring, hole = ([(r * np.cos(a), r * np.sin(a)) for r, a in zip(rs, angles[:, k], strict=True)]
                  for k, rs in enumerate((radii, [0.15 * r for r in radii])))  # fmt: skip
    scale, x, y = draw(st.sampled_from([1e-3, 1.0, 50.0])), draw(st.floats(-9, 9)), draw(st.floats(-9, 9))
    return shapely.Polygon(*(np.add(np.multiply(r, scale), (x, y)) if k == 0 else [np.add(np.multiply(r, scale), (x, y))]
                             for k, r in enumerate((ring, hole))))  # fmt: skip


@SOME
@given(polygons(), st.sampled_from(["uniform", "latin", "sobol", "grid"]))
def test_what_every_region_does(geometry, method):
    region = Region(geometry)
    assert isinstance(region, Domain)
    assert region.measure == pytest.approx(geometry.area, rel=1e-12)
    points = region.sample(64, method, generator=seeded())
    assert points.shape == (64, 2)
    assert region.contains(points).all()
    lengths = {}
    for name, part in region.parts.items():
        places, normals = part.sample(32, method, generator=seeded())
        lengths[name] = part.measure
        step = 1e-5 * region.size
        assert torch.allclose(normals.norm(dim=1), torch.ones(32, dtype=torch.float64), atol=1e-12)
        assert region.contains(places).all()
        # Where the normals are outward and of length one, the distance grows by a step for each step.
        rise = region.excess(places + step * normals) / step
        assert (rise - 1).abs().median() < 1e-3
        assert region.contains(places - step * normals, 0.0).double().mean() > 0.9
    assert lengths["boundary"] == pytest.approx(geometry.length, rel=1e-12)
    assert lengths["outside"] + lengths["hole"] == pytest.approx(geometry.length, rel=1e-12)
    inside = region.quadrature(5)
    assert float(inside[1].sum()) == pytest.approx(geometry.area, rel=1e-9)
    check_divergence(region, inside, region.part("boundary").quadrature(8), 1e-6)


def check_divergence(domain, inside, boundary, tolerance):
    """The integral of div V is that of V . n over the boundary, for a V with all kinds of terms."""
    size, center = max(b - a for a, b in domain.bounds.values()), (domain.low + domain.high) / 2
    points, weights = inside
    places, normals, shares = boundary

    def field(where):
        s = (where - center) / size
        return torch.stack([torch.sin(s.sum(dim=1) + k) + s[:, k] ** 2 * s.sum(dim=1) for k in range(domain.dim)], dim=1)

    with torch.enable_grad():
        points = points.requires_grad_()
        values = field(points)
        divergence = sum(torch.autograd.grad(values[:, k].sum(), points, retain_graph=True)[0][:, k] for k in range(domain.dim))
    left = float(divergence @ weights)
    right = float((field(places) * normals).sum(dim=1) @ shares)
    scale = float(divergence.abs() @ weights)
    assert abs(left - right) < tolerance * scale


def test_points_are_uniform():
    """Each of the squares of a grid has its share of the points, whichever triangle it lies in."""
    for method, slack in (("uniform", 0.02), ("sobol", 0.004)):
        points = FRAME.sample(5000, method, generator=seeded())
        cells = torch.floor(2 * points)
        counts = torch.unique(cells, dim=0, return_counts=True)[1]
        assert len(counts) == 4 * (6 - 1)  # 24 cells of the box without the 4 of the hole
        assert (counts / 5000 - 1 / 20).abs().max() < slack
    grid = Region(L).sample(300, "grid")
    assert torch.pdist(grid).min() > 0.9 * 0.1  # 20 cells a side


def test_edges_are_sampled_by_their_length():
    points, normals = FRAME.part("hole").sample(4000, "sobol", generator=seeded())
    for normal in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert int((normals == torch.tensor(normal, dtype=torch.float64)).all(dim=1).sum()) == pytest.approx(1000, abs=5)
    assert ((points[:, 0] - 1.5) * normals[:, 0] <= 0).all()  # out of the region is into the hole


def test_a_million_points_of_a_polygon_with_a_hundred_holes():
    plate = shapely.box(0, 0, 10, 10)
    holes = [shapely.Point(i + 0.5, j + 0.5).buffer(0.3) for i in range(10) for j in range(10)]
    region = Region(plate - shapely.union_all(holes))
    assert len(region.parts) == 103
    points = region.sample(1_000_000, generator=seeded())
    assert points.shape == (1_000_000, 2)
    assert region.contains(points[::100]).all()
    assert float(points.mean()) == pytest.approx(5, abs=0.01)


def test_names_of_parts():
    region = Region(FRAME.geometry, parts={"left": lambda x: x == 0, "low": lambda y: y == 0})
    assert list(region.parts) == ["boundary", "outside", "holes", "hole", "left", "low", "rest"]
    assert [region.parts[name].measure for name in ("outside", "holes", "left", "low", "rest")] == [10, 4, 2, 3, 9]
    two = shapely.box(0, 0, 3, 1) - shapely.box(0.2, 0.2, 0.4, 0.4) - shapely.box(2, 0.2, 2.5, 0.4)
    assert [Region(two).parts[f"hole {k}"].measure for k in (1, 2)] == pytest.approx([0.8, 1.4])


def test_polygons_by_text_and_by_geojson():
    same = [L, L.wkt, shapely.to_geojson(L), {"type": "Polygon", "coordinates": [list(L.exterior.coords)]}]
    assert [Region(one).measure for one in same] == [3.0] * 4
    feature = {"type": "Feature", "properties": {}, "geometry": same[3]}
    assert Region(feature, "p", "q").names == ("p", "q")


def test_regions_of_regions():
    square = Region(shapely.box(0, 0, 2, 2))
    shifted = Region(shapely.box(1, 1, 3, 3))
    assert (square | shifted).measure == 7
    assert (square & shifted).measure == 1
    assert (square - shifted).measure == 3
    assert Region(square.geometry.buffer(1, quad_segs=64)).measure == pytest.approx(12 + math.pi, rel=1e-3)
    with pytest.raises(ValueError, match="the same coordinates"):
        _ = square | Region(L, "p", "q")


def test_polynomials_are_integrated_exactly():
    points, weights = Region(L).quadrature(3)
    for power in range(6):
        exact = (1 - (-1) ** (power + 1)) / (power + 1) * 2 - 1 / (power + 1)
        assert float(weights @ points[:, 0] ** power) == pytest.approx(exact, abs=1e-13)
    points, weights = Region(L).quadrature(2048, "sobol", generator=seeded())
    assert float(weights.sum()) == pytest.approx(3)
    assert float(weights @ points[:, 0]) == pytest.approx(-0.5, abs=0.01)


def test_a_flux_problem_with_a_hole_is_solved_and_judged_inside():
    """Case: u.n on the rim of a hole, errors and pictures inside the shape."""
    ring = Region(shapely.box(-1, -1, 1, 1) - shapely.Point(0, 0).buffer(0.3, quad_segs=64))
    problem = Problem(
        ring,
        {"laplace": lambda u: u.laplacian()},
        {
            "rim": On("hole", equation=lambda u, x, y: u.n + torch.ones_like(x) / 0.3),  # out of the region is inwards
            "outside": On("outside", equation=lambda u, x, y: u - torch.log(x**2 + y**2) / 2),
        },
        exact=lambda x, y: torch.log(x**2 + y**2) / 2,
    )
    run = fit(MLP(problem, (16, 16)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=Points(400, 80, adaptive=0.2))
    assert run.error < 3e-2
    assert ring.contains(ring.evaluation_points()).all()
    assert run.error == relative_error(run.model, problem, ring.evaluation_points())
    values = plots.solution(run).axes[0].images[0].get_array()
    assert np.ma.getmaskarray(values).mean() == pytest.approx(math.pi * 0.09 / 4, abs=0.01)
    assert [len(line.get_xdata()) for line in plots.cuts(run, y=(0.0,)).axes[0].lines] == [401, 401]


def test_shapes_are_drawn_with_the_first_coordinate_to_the_right(closed_form):
    problem = Problem(Region(shapely.box(0, 0, 3, 1)), {"e": lambda u: u.x})
    axes = plots.solution(closed_form(lambda x, y: x), problem).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    values = axes.images[0].get_array()
    assert float(values[0, -1] - values[0, 0]) == pytest.approx(3)
    assert list(axes.images[0].get_extent()) == [0, 3, 0, 1]


SQUARE, FAR = shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)
BAD = {
    "a bow tie": ("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))", "crosses or overlaps itself"),
    "nothing": (shapely.Polygon(), "is empty"),
    "nothing left": (SQUARE - shapely.box(-1, -1, 2, 2), "is empty"),
    "a point": (shapely.Point(0, 0), "there is a Point in it, which has no area"),
    "a line beside it": (shapely.GeometryCollection([SQUARE, shapely.LineString([(2, 2), (3, 3)])]), "LineString"),
    "flat": (shapely.Polygon([(0, 0), (1, 0), (2, 0)]), "crosses or overlaps|no area"),
    "pieces that touch": (shapely.MultiPolygon([SQUARE, shapely.box(1, 1, 2, 2)]), r"rings .* touch, at \(1, 1\)"),
    "pieces that share an edge": (shapely.MultiPolygon([SQUARE, shapely.box(1, 0, 2, 1)]), "crosses or overlaps itself"),
    "pieces that overlap": (shapely.MultiPolygon([SQUARE, shapely.box(0.5, 0.5, 2, 2)]), "crosses or overlaps itself"),
    "a hole that touches": (SQUARE - shapely.Polygon([(0, 0.5), (0.5, 0.2), (0.5, 0.8)]), "touch, at"),
    "a hole outside": (shapely.Polygon(SQUARE.exterior, [FAR.exterior]), "hole lies outside"),
    "in space": (shapely.Polygon([(0, 0, 1), (1, 0, 1), (1, 1, 1)]), "shapely.force_2d"),
    "no number": (lambda: shapely.from_wkt("POLYGON ((0 0, 1 0, nan 1, 0 0))"), "NaN or infinite"),
    "no geometry": ("a square", "WKT or GeoJSON of one, but 'a square' is none"),
    "no GeoJSON": ({"type": "Square"}, "is none"),
    "a number": (3, "not 3"),
    "a box": (Box(x=(0, 1), y=(0, 1)), "Region needs a shapely Polygon"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_shapes_that_are_none(name):
    geometry, message = BAD[name]
    geometry = geometry() if callable(geometry) else geometry
    with pytest.raises(ValueError, match=message):
        Region(geometry)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Region(SQUARE, "x", "x"), "two different names"),
        (lambda: Region(SQUARE, "d"), "coordinate name"),
        (lambda: Region(SQUARE, parts={"a": lambda x: x == 5}), "'a' has no edge"),
        (lambda: Region(SQUARE, parts={"a": lambda x: x}), "must say True or False for each edge"),
        (lambda: Region(SQUARE, parts={"a": lambda z: z}), "asks for 'z'"),
        (lambda: Region(SQUARE, parts={"hole": lambda x: x == 0}), "has its meaning: choose another"),
        (lambda: Region(SQUARE).part("hole"), "the parts of .* are boundary, outside"),
        (lambda: Region(SQUARE).face({"x": 0}), "has no faces: name a part"),
        (lambda: Region(SQUARE).quadrature(3, "trapezoid"), "choose one of gauss-legendre, monte-carlo, sobol"),
        (lambda: Region(SQUARE).quadrature(3000), "too many nodes"),
        (lambda: Region(SQUARE).contains(torch.zeros(3)), "must be a tensor"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_thin_triangles_have_few_nodes_and_lose_nothing():
    """Round holes have many short edges: along these one node does."""
    disk = Region(shapely.Point(0, 0).buffer(1, quad_segs=256))
    points, weights = disk.quadrature(10)
    assert len(points) < 15 * len(disk.triangles)
    assert float(weights.sum()) == pytest.approx(disk.measure, rel=1e-12)
    assert disk.contains(points).all()
    x, y = points.T
    assert float(weights @ torch.cos(2 * x + y)) == pytest.approx(math.pi * 2 * j1(5**0.5) / 5**0.5, rel=2e-5)
    check_divergence(disk, (points, weights), disk.part("boundary").quadrature(10), 1e-5)
    coarse = Region(shapely.Point(0, 0).buffer(1, quad_segs=4))  # edges longer than a tenth: nothing is left out
    assert len(coarse.quadrature(3)[0]) == 9 * len(coarse.triangles)
