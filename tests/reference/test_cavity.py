"""The cavity: the stored solution against coarser ones, and against finite differences of the stream function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.interpolate import BarycentricInterpolator
from scipy.sparse.linalg import spsolve

from pinnedu.reference import cavity

GRID = np.linspace(0, 1, 51)


def difference(found, wanted):
    return np.linalg.norm(np.subtract(found, wanted)) / np.linalg.norm(wanted)


def stream(lid, n, reynolds=100.0):
    """Velocity at the inner points, second order, from Delta^2 psi / Re = psi_y (Delta psi)_x - psi_x (Delta psi)_y."""
    m, h, x = n - 1, 1 / n, np.linspace(0, 1, n + 1)[1:-1]
    one = sparse.identity(m)
    d1 = sparse.diags([-1.0, 1.0], [-1, 1], (m, m)) / (2 * h)
    d2 = sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], (m, m)) / h**2
    d3, d4 = sparse.lil_matrix(d1 @ d2), sparse.lil_matrix(d2 @ d2)
    # Where psi and its slope are 0 the second derivative on the wall is 2 psi_1 / h^2, by the point reflected in the wall.
    d3[0, 0] -= 2 / h**2 / (2 * h)
    d3[-1, -1] += 2 / h**2 / (2 * h)
    d4[0, 0] += 2 / h**4
    d4[-1, -1] += 2 / h**4
    psi_x, psi_y = sparse.kron(d1, one), sparse.kron(one, d1)
    omega_x = sparse.kron(d3, one) + sparse.kron(d1, d2)
    omega_y = sparse.kron(d2, d1) + sparse.kron(one, d3)
    biharmonic = sparse.kron(d4, one) + 2 * sparse.kron(d2, d2) + sparse.kron(one, d4)
    last = np.zeros(m)
    last[-1] = 1
    on_lid = 2 * np.outer(lid(x), last).ravel() / h  # what the lid's speed adds to the second derivative on the wall
    psi = np.zeros(m * m)
    for _ in range(9):
        oy = omega_y @ psi + on_lid / (2 * h)
        ox, u, minus_v = omega_x @ psi, psi_y @ psi, psi_x @ psi
        residual = (biharmonic @ psi + on_lid / h**2) / reynolds - u * ox + minus_v * oy
        jacobian = biharmonic / reynolds - sparse.diags(u) @ omega_x - sparse.diags(ox) @ psi_y
        jacobian = jacobian + sparse.diags(minus_v) @ omega_y + sparse.diags(oy) @ psi_x
        step = spsolve(sparse.csc_matrix(jacobian), -residual)
        psi += step
        if abs(step).max() < 1e-10:
            return (psi_y @ psi).reshape(m, m), -(psi_x @ psi).reshape(m, m)
    raise AssertionError("Newton's method did not converge")


@pytest.mark.parametrize(("lid", "accuracy"), [("smooth", 6e-4), ("parabolic", 9e-4)])
def test_finite_differences_of_the_stream_function_converge_to_it(lid, accuracy):
    coarse, fine = (np.array(stream(cavity.LIDS[lid], n)) for n in (32, 64))
    fine = fine[:, 1::2, 1::2]
    inner = np.linspace(0, 1, 33)[1:-1]
    exact = np.array(cavity.exact(inner[:, None], inner, lid))
    # The order is two away from the corners; what is left after extrapolation is smaller than the fine grid's error.
    assert difference(fine, exact) < 0.35 * difference(coarse, exact)
    assert difference((4 * fine - coarse) / 3, exact) < accuracy


@pytest.mark.parametrize(("lid", "accuracy"), [("smooth", 1e-4), ("parabolic", 2e-3)])
def test_the_stored_solution_is_what_the_solver_gives(lid, accuracy):
    nodes, *coarse = cavity.solve(cavity.LIDS[lid], degree=20)
    basis = BarycentricInterpolator(nodes, np.eye(len(nodes)))(GRID)
    exact = cavity.exact(GRID[:, None], GRID, lid)
    assert difference([basis @ w @ basis.T for w in coarse[:2]], exact) < accuracy


@pytest.mark.parametrize("lid", cavity.LIDS)
def test_the_walls(lid):
    lids = cavity.exact(GRID, 1.0, lid)
    np.testing.assert_allclose(lids, [cavity.LIDS[lid](GRID), 0 * GRID], atol=1e-12)
    for x, y in ((0.0, GRID), (1.0, GRID), (GRID, 0.0)):
        np.testing.assert_allclose(cavity.exact(x, y, lid), 0, atol=1e-12)


def test_it_turns_with_the_lid_and_mass_is_kept():
    """Through any section as much flows to the right as to the left."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    y = (nodes + 1) / 2
    u, _ = cavity.exact(np.array([[0.2], [0.5], [0.8]]), y)
    assert u.max() > 0.2
    assert u.min() < -0.1
    np.testing.assert_allclose(u @ weights / 2, 0, atol=1e-7)


def test_slow_flow_is_symmetric():
    _, u, v, _ = cavity.solve(reynolds=1e-3, degree=12)
    np.testing.assert_allclose(u, u[::-1], atol=1e-5)
    np.testing.assert_allclose(v, -v[::-1], atol=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="The lid 'flat' is unknown: choose one of smooth, parabolic"):
        cavity.exact(0.5, 0.5, "flat")
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        cavity.exact(1.5, 0.5)
    with pytest.raises(ValueError, match="0 at x = 0 and x = 1"):
        cavity.solve(np.cos)
    with pytest.raises(ValueError, match="reynolds must be a positive number"):
        cavity.solve(reynolds=-1.0)
    with pytest.raises(ValueError, match="degree must be a whole number from 4 to 64"):
        cavity.solve(degree=2)
