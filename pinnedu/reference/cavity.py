r"""Steady flow in a square cavity under a moving lid, by Chebyshev collocation and Newton's method.

.. math::

    (w \cdot \nabla) w + \nabla p = \Delta w / \mathrm{Re}, \qquad \nabla \cdot w = 0 \quad \text{in } [0, 1]^2,

with :math:`w = (u, v)`, :math:`u = g(x)` on the lid :math:`y = 1` and :math:`w = 0` on the other walls. Velocities
are polynomials of degree n in x and in y, given by their values at (n + 1)^2 Chebyshev points; pressure has degree
n - 2 and is given at the (n - 1)^2 inner ones, where all three equations hold (the P_n - P_(n-2) method, Peyret 2002,
section 7.4). It is 0 at x = y = 0.

A lid of constant speed has a jump at both corners, and no polynomial. Two that start from rest there are used instead:
:func:`smooth`, for which the error falls fast with n, and :func:`parabolic`, whose slope still jumps.
"""

import io
from collections.abc import Callable
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BarycentricInterpolator

from pinnedu import checks
from pinnedu.reference.spectral import chebyshev

Array = NDArray[np.float64]
Lid = Callable[[Array], Array]


def smooth(x: ArrayLike) -> Array:
    """The lid's speed 16 x^2 (1 - x)^2: value and slope are 0 at both ends."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(16 * x**2 * (1 - x) ** 2)


def parabolic(x: ArrayLike) -> Array:
    """The lid's speed 4 x (1 - x): the value is 0 at both ends, the slope is not."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(4 * x * (1 - x))


LIDS: dict[str, Lid] = {"smooth": smooth, "parabolic": parabolic}
"""The lids for which a solution is stored."""


def solve(lid: Lid = smooth, reynolds: float = 100.0, degree: int = 24) -> tuple[Array, Array, Array, Array]:
    """Solve for velocity and pressure.

    Parameters
    ----------
    lid : callable
        The speed g(x) of the lid as a function of an array, 0 at both ends.
    reynolds : float
        Re, positive; Newton's method starts from rest, which is near enough up to some hundred.
    degree : int
        n, of the polynomials in each direction: (n + 1)^2 values of u and of v. The work grows as n^6.

    Returns
    -------
    nodes : ndarray, shape (n + 1,)
        Chebyshev points on [0, 1].
    u, v, p : ndarray, shape (n + 1, n + 1)
        Values at (nodes[i], nodes[j]) = (x, y).

    Raises
    ------
    ValueError
        If an argument is out of its range.
    RuntimeError
        If Newton's method does not converge.
    """
    n = checks.whole(degree, "degree", 4, 64)
    viscosity = 1 / checks.positive(reynolds, "reynolds")
    nodes, first = chebyshev(n + 1, (0.0, 1.0))
    second, size, count = first @ first, n - 1, (n - 1) ** 2
    along = checks.numbers(lid(nodes), "the lid's speed")
    if along.shape != nodes.shape or max(abs(along[0]), abs(along[-1])) > 1e-12:
        raise ValueError("The lid's speed must be a function of an array x that is 0 at x = 0 and x = 1.")
    # From the inner points to all: the pressure's polynomial has no other values.
    extend = BarycentricInterpolator(nodes[1:-1], np.eye(size))(nodes)
    one = np.eye(size)
    dx, dy = np.kron(first[1:-1, 1:-1], one), np.kron(one, first[1:-1, 1:-1])
    laplace = np.kron(second[1:-1, 1:-1], one) + np.kron(one, second[1:-1, 1:-1])
    slope = (first @ extend)[1:-1]
    px, py = np.kron(slope, one), np.kron(one, slope)
    corner = np.kron(extend[0], extend[0])
    # What the lid adds to the derivatives of u.
    lid_y, lid_yy = (np.outer(along[1:-1], matrix[1:-1, -1]).ravel() for matrix in (first, second))
    u, v, p = np.zeros((3, count))
    for _ in range(20):
        ux, uy, vx, vy = dx @ u, dy @ u + lid_y, dx @ v, dy @ v
        momentum_x = u * ux + v * uy + px @ p - viscosity * (laplace @ u + lid_yy)
        momentum_y = u * vx + v * vy + py @ p - viscosity * (laplace @ v)
        flow = u[:, None] * dx + v[:, None] * dy - viscosity * laplace
        jacobian = np.block(
            [
                [flow + np.diag(ux), np.diag(uy), px],
                [np.diag(vx), flow + np.diag(vy), py],
                [dx, dy, np.zeros((count, count))],
            ]
        )
        residual = np.concatenate([momentum_x, momentum_y, ux + vy])
        # No mass leaves: one balance of mass follows from the others, and its row fixes the pressure's constant.
        jacobian[2 * count] = np.concatenate([np.zeros(2 * count), corner])
        residual[2 * count] = corner @ p
        step = np.linalg.solve(jacobian, -residual)
        u, v, p = u + step[:count], v + step[count : 2 * count], p + step[2 * count :]
        if abs(step[: 2 * count]).max() < 1e-9:  # the next would be below rounding
            break
    else:
        raise RuntimeError(f"Newton's method did not converge at Re = {reynolds:g}: take a smaller Reynolds number.")
    inner = (size, size)
    velocity = [np.pad(w.reshape(inner), 1) for w in (u, v)]
    velocity[0][:, -1] = along
    return nodes, velocity[0], velocity[1], extend @ p.reshape(inner) @ extend.T


def exact(x: ArrayLike, y: ArrayLike, lid: str = "smooth") -> tuple[Array, Array]:
    """Evaluate the velocity at Re = 100 from a stored solution.

    Parameters
    ----------
    x, y : array_like
        Points in [0, 1]^2, broadcast against each other.
    lid : {"smooth", "parabolic"}

    Returns
    -------
    u, v : ndarray
        Of the broadcast shape of `x` and `y`.

    Raises
    ------
    ValueError
        If a point is off the cavity, or the lid is none of the two.

    Notes
    -----
    `cavity.npz` holds what ``solve(smooth, 100.0, 36)`` and ``solve(parabolic, 100.0, 40)`` returned. The relative error in
    L2 is about 1e-7 for the smooth lid and 2e-4 for the parabolic one. The pressure is not among it: it is singular in the
    corners of the lid, and converges far more slowly.
    """
    checks.one_of(lid, LIDS, "The lid")
    x, y = checks.together(x=checks.numbers(x, "x", 0.0, 1.0), y=checks.numbers(y, "y", 0.0, 1.0))
    content = (resources.files("pinnedu.data") / "cavity.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        values = stored[lid]
    degree = values.shape[1] - 1
    nodes, _ = chebyshev(degree + 1, (0.0, 1.0))
    basis = BarycentricInterpolator(nodes, np.eye(degree + 1))
    at_x, at_y = basis(x.ravel()), basis(y.ravel())
    u, v = (np.einsum("pi,ij,pj->p", at_x, one, at_y, optimize=True).reshape(x.shape) for one in values)
    return u, v


__all__ = ["LIDS", "exact", "parabolic", "smooth", "solve"]
