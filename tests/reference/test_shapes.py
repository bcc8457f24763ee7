"""References on shapes: each against a second method, and its error on the boundary, which bounds that inside."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from scipy.spatial import Delaunay
from skfem.models.poisson import laplace, mass, unit_load

from pinnedu.reference import l_shape, laplace_holes, screened_poisson


def laplacian(function, x, y, h):
    """By differences of order four."""
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    terms = [w * (function(x + k * h, y) + function(x, y + k * h)) for k, w in weights.items()]
    return sum(terms) / (12 * h**2)


def ring(points):
    """Points of the square around the hole of the first quadrant, and between all holes."""
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-0.45, 0.45, (2, points))
    far = np.hypot(abs(x) - 0.3, abs(y) - 0.3) > 0.13
    return x[far], y[far]


def test_a_square_with_four_equal_holes():
    assert laplace_holes.boundary_error() < 1e-12
    x, y = ring(100)
    assert abs(laplacian(laplace_holes.exact, x, y, 5e-3)).max() < 1e-3
    assert laplace_holes.exact(x, y) == pytest.approx(laplace_holes.exact(-y, x), abs=1e-12)
    assert laplace_holes.exact(x, y) == pytest.approx(laplace_holes.exact(y, x), abs=1e-12)
    assert laplace_holes.exact([0.5, -0.2], [0.1, -0.5]) == pytest.approx(1, abs=1e-12)
    assert laplace_holes.exact(0.3, 0.4) == pytest.approx(0, abs=1e-12)


def test_a_square_with_four_equal_holes_by_finite_elements():
    """On a quarter of it: rings about the hole in a lattice; the lines of symmetry have no flux."""
    angle = 2 * np.pi * np.arange(96) / 96
    rings = [0.3 + r * np.stack([np.cos(angle), np.sin(angle)], axis=1) for r in (0.1, 0.107, 0.115, 0.125, 0.137, 0.15)]
    lattice = np.stack(np.meshgrid(*[np.linspace(0, 0.5, 41)] * 2), axis=-1).reshape(-1, 2)
    lattice = lattice[np.hypot(*(lattice - 0.3).T) > 0.158]
    points = np.concatenate([*rings, lattice])
    cells = Delaunay(points).simplices
    cells = cells[np.hypot(*(points[cells].mean(axis=1) - 0.3).T) > 0.1]
    mesh = skfem.MeshTri(points.T.copy(), cells.T.copy())
    basis = skfem.Basis(mesh, skfem.ElementTriP2())
    matrix = laplace.assemble(basis)
    outer = basis.get_dofs(lambda x: np.isclose(x[0], 0.5) | np.isclose(x[1], 0.5)).all()
    inner = basis.get_dofs(lambda x: np.hypot(x[0] - 0.3, x[1] - 0.3) < 0.101).all()
    value = basis.zeros()
    value[outer] = 1
    value = skfem.solve(*skfem.condense(matrix, x=value, D=np.concatenate([outer, inner])))
    x, y = mesh.p
    inside = np.hypot(x - 0.3, y - 0.3) > 0.101
    found = value[basis.nodal_dofs[0]][inside]
    assert np.abs(found - laplace_holes.exact(x[inside], y[inside])).max() < 1e-3


def test_a_screened_potential():
    assert screened_poisson.boundary_error() < 1e-8
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-0.95, 0.95, (2, 200))
    far = np.all([np.hypot(x - a, y - b) > r + 0.03 for a, b, r in screened_poisson.HOLES], axis=0)
    x, y = x[far], y[far]
    left = -laplacian(screened_poisson.exact, x, y, 5e-3) + 64 * screened_poisson.exact(x, y)
    source = screened_poisson.source(x, y)
    assert np.abs(left - source).max() < 1e-3 * np.abs(source).max()
    s = np.linspace(-1, 1, 21)
    for side in ((s, 1 + 0 * s), (s, -1 + 0 * s), (1 + 0 * s, s), (-1 + 0 * s, s)):
        assert screened_poisson.exact(*side) == pytest.approx(0.2, abs=1e-7)
    for a, b, radius in screened_poisson.HOLES:
        angle = np.linspace(0, 6, 17)
        assert screened_poisson.exact(a + radius * np.cos(angle), b + radius * np.sin(angle)) == pytest.approx(1, abs=1e-8)


def test_the_smooth_part_by_finite_elements():
    """On the square without holes."""
    mesh = skfem.MeshQuad.init_tensor(np.linspace(-1, 1, 33), np.linspace(-1, 1, 65))
    basis = skfem.Basis(mesh, skfem.ElementQuad2())
    load = skfem.LinearForm(lambda v, w: screened_poisson.source(w.x[0], w.x[1]) * v).assemble(basis)
    value = basis.zeros()
    rim = basis.get_dofs().all()
    value[rim] = 0.2
    matrix = laplace.assemble(basis) + 64 * mass.assemble(basis)
    value = skfem.solve(*skfem.condense(matrix, load, x=value, D=rim))
    found = value[basis.nodal_dofs[0]]
    assert np.abs(found - screened_poisson.smooth(*mesh.p)).max() < 2e-3


def test_an_l():
    assert l_shape.boundary_error() < 1e-7
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-0.95, -0.05, (2, 100))
    assert np.abs(laplacian(l_shape.exact, x, y, 5e-3) + 1).max() < 1e-2
    assert l_shape.exact(x, y) == pytest.approx(l_shape.exact(y, x), abs=1e-7)
    mesh = skfem.MeshTri.init_lshaped().refined(5)
    basis = skfem.Basis(mesh, skfem.ElementTriP2())
    value = skfem.solve(*skfem.condense(laplace.assemble(basis), unit_load.assemble(basis), D=basis.get_dofs()))
    found = value[basis.nodal_dofs[0]]
    turned = (mesh.p[0], -mesh.p[1]) if ((mesh.p[0] > 0.1) & (mesh.p[1] > 0.1)).any() else mesh.p
    side = np.minimum(*turned) <= 0
    assert side.all()
    error = np.abs(found - l_shape.exact(*turned))
    assert error.max() < 1e-3  # at the corner, where polynomials do not follow
    assert np.median(error) < 2e-5


def test_the_singular_function():
    x, y = np.random.default_rng(0).uniform(-0.95, -0.05, (2, 50))
    assert np.abs(laplacian(l_shape.singular, x, y, 2e-3)).max() < 1e-2
    assert l_shape.singular([0, 0.5, 0], [0.3, 0, 1]) == pytest.approx([0, 0, 0], abs=1e-7)
    r = np.array([1e-6, 1e-3])
    assert l_shape.singular(-r, 0 * r) == pytest.approx(r ** (2 / 3) * np.sin(np.pi / 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplace_holes.exact(0.3, 0.3), "some points lie in a hole"),
        (lambda: laplace_holes.exact(0.6, 0.0), r"x must lie in \[-0.5, 0.5\]"),
        (lambda: screened_poisson.exact(0.4, -0.4), "some points lie in a hole"),
        (lambda: screened_poisson.exact([0.0, np.nan], 0.0), "x must be finite"),
        (lambda: l_shape.exact(0.5, 0.5), "some points have x > 0 and y > 0"),
        (lambda: l_shape.singular(2.0, 0.0), "x must lie in"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
