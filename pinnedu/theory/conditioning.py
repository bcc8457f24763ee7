"""How fast gradient descent is: condition numbers, predicted and measured contraction, and the best boundary
weight.

For a quadratic loss with gradient A theta - b, A symmetric and positive definite, a step of gradient descent
at the rate eta multiplies the error theta - theta* by I - eta A. With eta = c / mu_max its norm shrinks at
least by

    1 - c / kappa(A),   kappa(A) = mu_max / mu_min,   0 < c <= 1,

so that a tolerance eps costs about kappa(A) ln(1/eps) / c steps. Everything here is numpy and scipy.

Source: De Ryck et al., ICLR 2024; the asymptotics of `weight_law` are derived in the chapter "Choosing
lambda".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, cholesky, eigvalsh, solve_triangular
from scipy.optimize import brentq
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from pinnedu.checks import positive, vector, whole
from pinnedu.theory.fourier import Basis

Array = NDArray[np.float64]


def eigenvalues(A: ArrayLike) -> Array:
    """The eigenvalues of a symmetric matrix in ascending order, found block by block where A decouples: shape
    (P,).
    """
    return np.sort(np.concatenate([eigvalsh(block) for block in diagonal_blocks(symmetric(A))]))


def condition_number(A: ArrayLike) -> float:
    """The condition number mu_max / mu_min of a symmetric positive definite matrix.

    The smallest eigenvalue is the inverse of the largest of A^-1, and A^-1 comes from a Cholesky factor of
    the matrix scaled to unit diagonal. That costs only the digits that the scaled matrix is ill-conditioned.
    An eigenvalue routine applied to A itself errs by rounding times mu_max, which spoils mu_min where A spans
    many orders of magnitude, as k^4 does.

    Raises
    ------
    ValueError
        If A is not a symmetric matrix of finite numbers, or is singular or indefinite.
    """
    extremes = [extreme_values(block) for block in diagonal_blocks(symmetric(A))]
    return max(high for _, high in extremes) / min(low for low, _ in extremes)


def contraction(A: ArrayLike, rate: float | None = None) -> float:
    """The factor by which a step of gradient descent at `rate` shrinks the slowest part of the error: max |1
    - rate mu|.

    Proven in the book: thm-gd-contraction.

    The default rate is 1 / mu_max, as in `gradient_descent`, and the factor then 1 - 1 / kappa(A).
    """
    extremes = [extreme_values(block) for block in diagonal_blocks(symmetric(A))]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    rate = _rate(rate, high)
    return max(1 - rate * low, rate * high - 1)


def steps_to(A: ArrayLike, tolerance: float, rate: float | None = None) -> int:
    """Steps after which gradient descent has surely shrunk its error by the factor `tolerance`, as predicted
    by A.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, and it is {tolerance!r}")
    factor = contraction(A, rate)
    # log1p, because the factor is as close to 1 as kappa is large.
    return max(1, int(np.ceil(np.log(tolerance) / np.log1p(factor - 1)))) if factor > 0 else 1


@dataclass(frozen=True)
class Descent:
    """What a run of gradient descent did.

    Attributes
    ----------
    theta : (P,) array
        The last iterate.
    errors : (steps + 1,) array
        Euclidean distance of every iterate to the solution, the start included.
    rate : float
        The learning rate.
    path : (steps + 1, P) array, or None
        Every iterate, if it was asked for.
    """

    theta: Array
    errors: Array
    rate: float
    path: Array | None = None

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.errors) - 1

    @property
    def contraction(self) -> float:
        """The measured factor a step, the geometric mean over the last tenth; 0 if the error has vanished."""
        tail = self.steps // 10 or 1
        if self.steps == 0 or self.errors[-1] == 0:
            return 0.0
        return float((self.errors[-1] / self.errors[-1 - tail]) ** (1 / tail))


def gradient_descent(
    A: ArrayLike,
    b: ArrayLike,
    steps: int,
    rate: float | None = None,
    *,
    start: ArrayLike | None = None,
    preconditioner: ArrayLike | None = None,
    tolerance: float = 0.0,
    keep: bool = False,
) -> Descent:
    """Minimize 1/2 theta^T A theta - b^T theta by gradient descent, theta <- theta - rate M (A theta - b).

    Proven in the book: thm-pl-same.

    Parameters
    ----------
    A : (P, P) array
        Symmetric positive definite.
    b : (P,) array
    steps : int
        At most so many steps.
    rate : float, optional
        Learning rate, between 0 and 2 / mu_max; beyond that the iteration diverges. The default is 1 /
        mu_max.
    start : (P,) array, optional
        First iterate, zero by default.
    preconditioner : (P, P) array, optional
        M, symmetric positive definite. Then mu_max is the largest eigenvalue of M A.
    tolerance : float
        Stop when the error has fallen to this fraction of the first one; with 0, take every step.
    keep : bool
        Keep every iterate in `path`. That is steps + 1 vectors of size P.

    Raises
    ------
    ValueError
        For a matrix that is not symmetric positive definite, a wrong shape, or a rate that diverges.
    """
    A, steps = symmetric(A), whole(steps, "steps")
    b = vector(b, "b", len(A))
    theta = np.zeros(len(A)) if start is None else vector(start, "start", len(A)).copy()
    scale, factor = scaled_cholesky(A)
    target = cho_solve((factor, True), b / scale) / scale
    step = A
    if preconditioner is None:
        rate = _rate(rate, _largest(A))
    else:
        M = symmetric(preconditioner)
        if M.shape != A.shape:
            raise ValueError(f"preconditioner must have the shape of A, {A.shape}, and it has {M.shape}")
        root_scale, root = scaled_cholesky(M)
        root = root_scale[:, None] * root
        rate = _rate(rate, _largest(root.T @ A @ root))
        step, b = M @ A, M @ b
    step, b = rate * step, rate * b  # once, instead of in every step
    path = [theta.copy()] if keep else None
    errors = np.empty(steps + 1)
    errors[0] = np.linalg.norm(theta - target)
    done = 0
    while done < steps and not (tolerance and errors[done] <= tolerance * errors[0]):
        theta -= step @ theta - b
        done += 1
        errors[done] = np.linalg.norm(theta - target)
        if path is not None:
            path.append(theta.copy())
    return Descent(theta, errors[: done + 1].copy(), rate, None if path is None else np.array(path))


def poisson_extremes(K: int, lam: float) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of `poisson(K, lam)`, lam > 0, from its secular equation.

    Proven in the book: thm-cl-secular.

    The sines keep the eigenvalues k^4. The constant and the cosines see the rank-one matrix lam v v^T, and
    the eigenvalues mu of their block solve sum_k v_k^2 / (mu - k^4) = 1 / lam. The smallest lies in (0, 1)
    and the largest above K^4, so they are the extremes of the whole spectrum. Costs O(K), for any K.
    """
    weight = positive(lam, "lam")
    poles, squares = _secular(K)
    top = poles[-1]
    gaps = top - poles  # exact near the top, where mu - k^4 would cancel

    def low(mu: float) -> float:
        return float(np.sum(squares / (mu - poles)) - 1 / weight)

    def high(above: float) -> float:
        return float(np.sum(squares / (above + gaps)) - 1 / weight)

    tiny = 4 * np.finfo(float).eps
    # Both functions fall from far above zero to far below it here, so each interval holds one root.
    first = weight * squares[0]
    mu_min = brentq(low, first * 1e-9 / (1 + first), 1 - 1e-12, xtol=1e-300, rtol=tiny)
    nu = brentq(high, weight * squares[-1] * 0.5, 2 * weight * squares.sum(), xtol=1e-300, rtol=tiny)
    return mu_min, top + nu


def best_weight(K: int) -> float:
    """The boundary weight lam that minimizes the condition number of `poisson(K, lam)`.

    At the optimum both ends of the spectrum grow at the same relative speed. An eigenvalue grows with lam at
    the speed (v^T q)^2, q its unit eigenvector (Hellmann and Feynman), which the secular equation gives
    without q.

    Raises
    ------
    ValueError
        If K < 1.
    """
    poles, squares = _secular(K)

    def speed(mu: float, gaps: Array, lam: float) -> float:
        return float(1 / (lam * mu * np.sum(squares / gaps**2)))  # d log mu / d log lam

    def imbalance(log_lam: float) -> float:
        lam = float(np.exp(log_lam))
        low, high = poisson_extremes(K, lam)
        return speed(high, (high - poles[-1]) + (poles[-1] - poles), lam) - speed(low, low - poles, lam)

    guess = np.log(weight_law(K)[0])
    return float(np.exp(brentq(imbalance, guess - 5, guess + 5, xtol=1e-12)))


def clamped_tone() -> float:
    """The number a with tan(pi a) = -tanh(pi a), 1/2 < a < 1: a^4 is the lowest eigenvalue of a clamped beam.

    u'''' = a^4 u on (-pi, pi) with u = u' = 0 at both ends: what the smallest eigenvalue of `poisson(K, lam)`
    tends to as lam and K grow.
    """
    return float(brentq(lambda a: np.tan(np.pi * a) + np.tanh(np.pi * a), 0.51, 0.99, xtol=1e-15))


def weight_law(K: int) -> tuple[float, float]:
    """Best weight and least condition number for large K: 2 sqrt(2) a tanh(pi a) K^2 and K^4 / a^4.

    Proven in the book: thm-cl-law.
    """
    a = clamped_tone()
    return float(2 * np.sqrt(2) * a * np.tanh(np.pi * a)) * whole(K, "K") ** 2, K**4 / a**4


def gradient_balanced_weight(K: int, theta: ArrayLike, load: ArrayLike) -> float:
    """The weight by the rule of Wang, Teng and Perdikaris (2021): max |grad R| / mean |grad B| at the
    parameters theta.

    R = 1/2 int (u'' - f)^2 and B = 1/4 [u(-pi)^2 + u(pi)^2] are the two terms of the loss of `poisson`;
    `load` is `poisson_load`. Only the weight of a single evaluation: their moving average over the training
    is left out.
    """
    basis = Basis(K)
    theta, load = vector(theta, "theta", basis.size), vector(load, "load", basis.size)
    residual = basis.modes**4.0 * theta - load
    boundary = basis.boundary * (basis.boundary @ theta)
    return float(np.abs(residual).max() / np.abs(boundary).mean())


def tangent_balanced_weight(K: int) -> float:
    """The weight by the rule of Wang, Yu and Perdikaris (2022): both terms get the same trace of the tangent
    kernel.

    The trace of J J^T is that of J^T J, so that the rule reads tr diag(k^4) = lam tr v v^T. A linear model
    keeps its kernel, so the weight never changes.
    """
    poles, squares = _secular(K)
    return float(2 * poles.sum() / squares.sum())


def _secular(K: int) -> tuple[Array, Array]:
    """Poles k^4 and squares v_k^2 of the block of constant and cosines, k = 0..K: two arrays (K+1,)."""
    basis = Basis(K)
    return np.arange(basis.K + 1, dtype=float) ** 4, basis.boundary[basis.K :: -1] ** 2


def symmetric(A: ArrayLike) -> Array:
    """Return A as an array of floats; raise ValueError unless it is square, finite and symmetric to rounding."""
    A = np.asarray(A, dtype=float)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.size == 0:
        raise ValueError(f"A must be a square matrix, and its shape is {A.shape}")
    if not np.isfinite(A).all():
        raise ValueError("A must hold finite numbers, and it holds NaN or infinity")
    if not np.allclose(A, A.T, rtol=1e-10, atol=1e-12 * np.abs(A).max()):
        raise ValueError("A must be symmetric, as the Hessian of a loss is, and A and its transpose differ")
    return A


def diagonal_blocks(A: Array) -> list[Array]:
    """The diagonal blocks into which A decouples, possibly after a permutation: sines do not see the
    boundary.
    """
    _, label = connected_components(csr_array(A != 0), directed=False)
    order = np.argsort(label, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return [A[np.ix_(index, index)] for index in members]


def scaled_cholesky(A: Array) -> tuple[Array, Array]:
    """Scale s and lower triangular L with A = (s L)(s L)^T, where L L^T has a unit diagonal."""
    diagonal = np.diag(A)
    if (diagonal > 0).all():
        scale = np.sqrt(diagonal)
        unit = A / np.outer(scale, scale)
        # Scaled so, a matrix that is fine but spans many orders of magnitude is distinguished from a singular one.
        if eigvalsh(unit, driver="evd")[0] > len(A) * np.finfo(float).eps:
            return scale, cholesky(unit, lower=True)
    raise ValueError(
        "A is singular or indefinite, so it has no condition number and the loss no single minimum: "
        "give the boundary or initial condition a positive weight, or leave out features that depend on "
        "one another"
    )


def _largest(A: Array) -> float:
    # All of them and not a subset by index: LAPACK's search for one fails on a matrix close to the identity.
    return float(eigvalsh(A, driver="evd")[-1])


def extreme_values(A: Array) -> tuple[float, float]:
    """Smallest and largest eigenvalue of a positive definite matrix, both to high relative accuracy."""
    scale, factor = scaled_cholesky(A)
    inverse = solve_triangular(factor, np.diag(1 / scale), lower=True)
    return 1 / _largest(inverse.T @ inverse), _largest(A)


def _rate(rate: float | None, largest: float) -> float:
    if rate is None:
        return 1 / largest
    if not 0 < rate < 2 / largest:
        raise ValueError(
            f"rate must lie between 0 and 2 / mu_max = {2 / largest:.6g}, beyond which gradient descent "
            f"diverges, and it is {rate!r}"
        )
    return float(rate)
