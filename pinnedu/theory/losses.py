"""The third way to precondition: another norm of the residual in the loss.

1/2 <r, G r> instead of 1/2 |r|^2 turns A = Phi* D* D Phi into Phi* D* G D Phi. G is not arbitrary: an
equation of order 2 maps H^2 to L^2, so that L^2 of the residual and H^{3/2} of the boundary values measure the error in H^2;
weak residuals, in H^-1, measure it in H^1. A condition that holds by construction needs no norm.

Sources: Lions & Magenes (1972) for the traces; Bochev & Gunzburger (2009), Least-squares finite element methods; Czarnecki
et al. (2017) and Son et al. (2021) for Sobolev training.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from pinnedu.checks import number, require, whole
from pinnedu.theory.equivalence import Operator, Sines, coefficients
from pinnedu.theory.fourier import gauss_legendre, poisson, preconditioner

Array = NDArray[np.float64]


def sobolev_loss(operator: Operator, basis: Sines, s: float, tests: int | None = None) -> Array:
    """The matrix of the loss 1/2 |D u - f|^2 in the norm of H^s, by sines as test functions: shape (P, P).

    G = (-Laplace)^s multiplies the part of the residual of frequencies k, l by (k^2 + l^2)^s. For D = u'':

    - s = 0, the loss of a PINN: k^4, so kappa = K^4.
    - s = -1, the weak residual, as of variational PINNs and of the energy: k^2, kappa = K^2.
    - s = -2, G = (D D*)^-1: the identity, kappa = 1. It needs D D* invertible, so nothing of its kernel in the basis.
    - s = 1, Sobolev training: k^6, kappa = K^6. For regression, D = 1, it turns the order of learning: k^2.

    Parameters
    ----------
    operator : dict of derivative to coefficient
    basis : Sines
    s : float
    tests : int, optional
        Highest frequency of the test functions, along each axis; twice that of the basis by default.
    """
    s = number(s, "s")
    high = Sines(2 * basis.K if tests is None else whole(tests, "tests", basis.K), basis.dim)
    points, weights = high.quadrature()
    terms = coefficients(basis.check(operator), points)
    images = np.asarray(sum(value[:, None] * basis.values(points, term) for term, value in terms.items()))
    parts = (high.values(points) * weights[:, None]).T @ images  # <psi_i, D phi_j>
    return parts.T @ ((high.modes**2.0).sum(axis=1)[:, None] ** s * parts)


def hard(K: int) -> Array:
    """The functions of `Basis(K)` that vanish at -pi and pi: sin(k x) and cos(k x) - (-1)^k, shape (2K+1, 2K).

    Columns Z in the basis, in the order k = -K, ..., -1, 1, ..., K. Z^T A Z is the matrix of the problem with the condition
    built in: v^T Z = 0, so that the weight of the condition is in it no more, and neither is the constant.
    """
    K = whole(K, "K")
    Z = np.delete(np.eye(2 * K + 1), K, axis=1)
    k = np.arange(-K, 0)
    Z[K, :K] = -((-1.0) ** k) * np.sqrt(2)  # the constant that takes cos(k pi) away
    return Z


def hard_poisson(K: int, *, preconditioned: bool = False) -> Array:
    """The matrix of u'' = f with its condition built in: diag(k^4), or the identity with the features divided by k^2."""
    Z = hard(K)
    if preconditioned:
        Z = Z * np.delete(preconditioner(K, 1.0), K)
    return Z.T @ poisson(K, 0.0) @ Z


def trace_loss(k: int, s: float, degree: int = 40) -> Array:
    """The matrix of a loss with the boundary values in H^s, on a strip, at frequency k along it: shape (degree + 1, degree + 1).

    u(x, y) = e^{ikx} p(y) for -1 < y < 1, with polynomials p in a basis that is orthonormal in H^2. The loss is
    |Laplace u|^2 + |u|^2_{H^s} at y = -1 and 1. In such a basis its condition number says how far the loss is from the
    square of the error in H^2: it is what is left of kappa after the best preconditioner. A harmonic function e^{-k(1-y)}
    has the H^2 norm k^{3/2}, so that only s = 3/2 is right: for s = 0, the plain mean square, kappa grows as k^3.

    Parameters
    ----------
    k : int
        Frequency along the strip, at least 1.
    s : float
        0 for the mean square of the boundary values.
    degree : int
        Of the polynomials; must resolve layers of the width 1/k.
    """
    k, s = whole(k, "k"), number(s, "s")
    degree = whole(degree, "degree", 4)
    require(degree >= 2 * k**0.5 + 4, "degree", f"at least {int(2 * k**0.5) + 5} for k = {k}", degree)
    y, w = gauss_legendre(-1, 1, degree + 2)
    norms = np.sqrt(np.arange(degree + 1) + 0.5)
    value, first, second = (
        legendre.legval(y, legendre.legder(np.diag(norms), order)).T for order in (0, 1, 2)
    )
    ends = legendre.legval(np.array([-1.0, 1.0]), np.diag(norms)).T
    residual = second - k**2 * value
    A = residual.T @ (w[:, None] * residual) + (1 + k**2) ** s * ends.T @ ends
    H = sum(
        scale * part.T @ (w[:, None] * part)
        for scale, part in (((1 + k**2) ** 2, value), (2 * (1 + k**2), first), (1.0, second))
    )
    basis = solve_triangular(cholesky(H, lower=True), np.eye(degree + 1), lower=True).T  # basis^T H basis = 1
    found = basis.T @ A @ basis
    return (found + found.T) / 2
