"""Clouds of points: choices of them, rules by their weights, meshes, and arrays that do not fit."""

from __future__ import annotations

import meshio
import numpy as np
import pytest
import skfem
import torch

from pinnedu import MLP, Domain, GaussNewton, On, PointCloud, Points, Problem, fit

GRID = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 2, 9), indexing="ij"), axis=-1).reshape(-1, 2)
LEFT = GRID[:, 0] == 0
NORMALS = np.where(LEFT[:, None], [-3.0, 0.0], np.nan)


def mesh():
    """A disk of triangles."""
    disk = skfem.MeshTri.init_circle(4)
    return meshio.Mesh(np.c_[disk.p.T, 0 * disk.p[0]], {"triangle": disk.t.T})


def test_a_cloud_draws_its_own_points():
    cloud = PointCloud(GRID, NORMALS)
    assert isinstance(cloud, Domain)
    assert cloud.bounds == {"x": (0, 1), "y": (0, 2)}
    for method in ("uniform", "sobol", "grid"):
        points = cloud.sample(20, method, generator=torch.Generator().manual_seed(0))
        assert {tuple(row) for row in points.tolist()} <= {tuple(row) for row in GRID[~LEFT].tolist()}
        assert len({tuple(row) for row in points.tolist()}) == 20
    counts = torch.unique(cloud.sample(90), dim=0, return_counts=True)[1]
    assert counts.tolist() == [2] * 45
    points, normals = cloud.part("boundary").sample(9)
    assert (points[:, 0] == 0).all()
    assert (normals == torch.tensor([-1.0, 0.0])).all()
    assert len(cloud.evaluation_points()) == 45
    assert len(cloud.evaluation_points(10)) == 10
    assert PointCloud(GRID).parts == {}


def test_where_a_cloud_reaches():
    cloud = PointCloud(GRID)
    inside = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0])
    assert cloud.contains(inside).all()
    assert not cloud.contains(inside + 3).any()
    assert not cloud.contains(torch.tensor([[torch.nan, 0.0]])).any()
    assert float(cloud.excess(torch.tensor([[5.0, 1.0]], dtype=torch.float64))) == pytest.approx(4, abs=0.5)


def test_a_disk_from_a_mesh():
    cloud = PointCloud.from_mesh(mesh(), names=("p", "q"))
    assert cloud.names == ("p", "q")
    rim = cloud.part("boundary")
    assert cloud.measure == pytest.approx(np.pi, rel=2e-3)
    assert rim.measure == pytest.approx(2 * np.pi, rel=1e-3)
    points, normals, weights = rim.quadrature(3)
    assert torch.allclose(normals, points / points.norm(dim=1, keepdim=True), atol=1e-6)
    # The divergence theorem for V = (p^3, 0).
    inside, shares = cloud.quadrature(3)
    assert float(3 * inside[:, 0] ** 2 @ shares) == pytest.approx(float(points[:, 0] ** 3 * normals[:, 0] @ weights), rel=5e-3)


def test_a_cube_from_a_file(tmp_path):
    cube = skfem.MeshTet().refined(2)
    meshio.write(tmp_path / "cube.vtk", meshio.Mesh(cube.p.T, {"tetra": cube.t.T}))
    cloud = PointCloud.from_mesh(tmp_path / "cube.vtk")
    assert cloud.measure == pytest.approx(1)
    points, normals, weights = cloud.part("boundary").quadrature(1)
    assert float(weights.sum()) == pytest.approx(6)
    assert float((points * normals).sum(dim=1) @ weights) == pytest.approx(3)


def test_named_facets_are_parts():
    square = skfem.MeshTri().refined(2)
    facets = square.facets.T
    middles = square.p[:, facets].mean(axis=2)
    left = facets[middles[0] == 0]
    walls = {"wall": [np.zeros(0, int), np.arange(len(left))]}
    made = meshio.Mesh(square.p.T, {"triangle": square.t.T, "line": left}, cell_sets=walls)
    cloud = PointCloud.from_mesh(made)
    points, normals = cloud.part("wall").sample(4)
    assert (points[:, 0] == 0).all()
    assert (normals == torch.tensor([-1.0, 0.0])).all()
    assert cloud.part("wall").measure == pytest.approx(1)


def test_a_problem_on_a_cloud():
    cloud = PointCloud.from_mesh(mesh())
    problem = Problem(
        cloud,
        {"poisson": lambda u: u.laplacian() - 4},
        {"rim": On("boundary", equation=lambda u, x, y: u.n + u - 3 * (x**2 + y**2))},
        exact=lambda x, y: x**2 + y**2,
    )
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=40, seed=0, points=Points(200, 60))
    assert run.error < 1e-2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointCloud(3), "must have shape"),
        (lambda: PointCloud("points"), "must be an array of real numbers"),
        (lambda: PointCloud(np.full((3, 2), np.nan)), "at row 0, column 0 it is NaN"),
        (lambda: PointCloud(np.zeros((3, 2))), "have the same x"),
        (lambda: PointCloud([[0, 0], [1, 1], [0, 0]]), "is there twice"),
        (lambda: PointCloud(GRID, NORMALS[:5]), r"must have shape \(54, 2\)"),
        (lambda: PointCloud(GRID, np.where(LEFT[:, None], [np.nan, 1.0], np.nan)), "or all NaN"),
        (lambda: PointCloud(GRID, 0 * GRID), "other than 0"),
        (lambda: PointCloud(GRID, 1 + 0 * GRID), "none inside"),
        (lambda: PointCloud(GRID, weights=-np.ones(54)), "must lie in"),
        (lambda: PointCloud(GRID, weights=np.ones(5)), r"must have shape \(54,\)"),
        (lambda: PointCloud(GRID, weights=np.zeros(54)), "positive somewhere inside"),
        (lambda: PointCloud(GRID, names=("x",)), "2 different names"),
        (lambda: PointCloud(GRID, names=("x", "x")), "2 different names"),
        (lambda: PointCloud(GRID, NORMALS, parts={"right": ~LEFT}), "True for some points that have normals"),
        (lambda: PointCloud(GRID, NORMALS, parts={"right": [1, 2]}), "must be an array of 54 bool"),
        (lambda: PointCloud.from_mesh("nowhere.vtk"), "cannot be read"),
        (lambda: PointCloud.from_mesh(3), "needs a meshio.Mesh"),
        (lambda: PointCloud.from_mesh(meshio.Mesh(np.zeros((2, 3)), {"line": [[0, 1]]})), "no triangles or tetra"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
