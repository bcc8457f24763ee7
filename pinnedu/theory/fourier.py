"""Linear models in a Fourier basis, and the matrix A that governs their training.

A linear model is u(x) = sum_k theta_k phi_k(x). For a linear equation D u = f the loss is then a quadratic
function of theta; its gradient is A theta - b, and A is its Hessian. With an orthonormal basis whose members
D maps to multiples of one another, A can be written down: a diagonal matrix (the squared symbol of D) plus a
matrix of low rank (the boundary or initial condition).

Two problems, each with its loss stated once:

Poisson, u'' = f on (-pi, pi), u(-pi) = u(pi) = 0::

    L(theta) = 1/2 int (u'' - f)^2 dx + lam/4 [u(-pi)^2 + u(pi)^2]
    A = diag(k^4) + lam v v^T,  v = phi(pi)

(lam/4 and not lam/2: phi(-pi) = phi(pi), so that each of the two squares has the Hessian 2 v v^T.)

Advection, u_t + beta u_x = 0 on (0, 2 pi) x (0, T), periodic in x, u(x, 0) = sin x::

    L(theta) = 1/2 int int (u_t + beta u_x)^2 dx dt + lam/2 int (u(x, 0) - sin x)^2 dx

Only numpy is needed here. Source: De Ryck et al., ICLR 2024 (arXiv 2310.05801); derived afresh, and tested
against quadrature and against automatic differentiation of these very losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinnedu.checks import number, positive, vector, whole

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """The orthonormal Fourier basis of (-pi, pi) with frequencies up to `K`, in the order k = -K, ..., K.

    phi_0 = 1/sqrt(2 pi), phi_{-k} = cos(k x)/sqrt(pi) and phi_k = sin(k x)/sqrt(pi) for 1 <= k <= K.

    Parameters
    ----------
    K : int
        Highest frequency, at least 1.

    Raises
    ------
    ValueError
        If K < 1 or K is not a whole number.
    """

    K: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", whole(self.K, "K"))

    @property
    def size(self) -> int:
        """Number of basis functions, 2K + 1."""
        return 2 * self.K + 1

    @property
    def modes(self) -> NDArray[np.int64]:
        """The indices k = -K, ..., K, shape (2K+1,)."""
        return np.arange(-self.K, self.K + 1)

    def index(self, k: int) -> int:
        """Position of phi_k in a vector of coefficients."""
        if not -self.K <= k <= self.K:
            raise ValueError(f"the basis holds the modes -{self.K} to {self.K}, and k is {k}")
        return self.K + k

    def values(self, x: ArrayLike, derivative: int = 0) -> Array:
        """Every basis function, or its derivative of the given order, at every point: shape (N, 2K+1)."""
        k, x = np.abs(self.modes), np.atleast_1d(np.asarray(x, dtype=float))
        scale = np.where(k == 0, 1 / np.sqrt(2 * np.pi), 1 / np.sqrt(np.pi)) * k.astype(float) ** derivative
        # A derivative moves the phase by a quarter turn; a sine is a cosine three quarter turns ahead.
        turns = np.where(self.modes > 0, 3, 0) + derivative
        return scale * _cosine(np.outer(x, k), turns)

    @cached_property
    def boundary(self) -> Array:
        """The vector v = phi(pi) = phi(-pi): the sines vanish, the cosines alternate. Shape (2K+1,)."""
        k = self.modes
        v = np.where(k < 0, (-1.0) ** k, 0.0) / np.sqrt(np.pi)
        v[self.K] = 1 / np.sqrt(2 * np.pi)
        return v

    def evaluate(self, theta: ArrayLike, x: ArrayLike, derivative: int = 0) -> Array:
        """The model sum_k theta_k phi_k, or its derivative, at the points x: shape (N,)."""
        return self.values(x, derivative) @ vector(theta, "theta", self.size)

    def quadrature(self) -> tuple[Array, Array]:
        """Gauss-Legendre nodes and weights on (-pi, pi), enough to integrate products of two modes to
        rounding.
        """
        return gauss_legendre(-np.pi, np.pi, 4 * self.K + 32)


def poisson(K: int, lam: float) -> Array:
    """The matrix A(lam) = diag(k^4) + lam v v^T of the Poisson problem, modes -K..K: shape (2K+1, 2K+1).

    Proven in the book: thm-gd-gradient.

    Parameters
    ----------
    K : int
        Highest frequency of the basis, at least 1.
    lam : float
        Weight of the boundary condition, at least 0. With lam = 0 nothing sees the constant, and A is
        singular.

    Raises
    ------
    ValueError
        If K < 1 or lam < 0.
    """
    basis = Basis(K)
    return np.diag(basis.modes**4.0) + number(lam, "lam", 0) * np.outer(basis.boundary, basis.boundary)


def poisson_load(K: int, k: int = 1) -> Array:
    """The vector b of the problem u'' = -k^2 sin(k x), whose solution sin(k x) has theta_k = sqrt(pi): shape
    (2K+1,).

    b_j = int phi_j'' f dx, which is k^4 sqrt(pi) for j = k and zero elsewhere.
    """
    basis = Basis(K)
    if not 1 <= k <= basis.K:
        raise ValueError(f"the model holds sin(k x) for k from 1 to K = {basis.K}, and k is {k}")
    b = np.zeros(basis.size)
    b[basis.index(k)] = k**4 * np.sqrt(np.pi)
    return b


def preconditioner(K: int, gamma: float) -> Array:
    """The diagonal of P: 1/k^2, and gamma for the constant, modes -K..K: shape (2K+1,).

    Raises
    ------
    ValueError
        If K < 1 or gamma <= 0.
    """
    k = Basis(K).modes
    return np.where(k == 0, positive(gamma, "gamma"), 1 / np.maximum(np.abs(k), 1) ** 2)


def precondition(A: ArrayLike, gamma: float) -> Array:
    """The preconditioned matrix P A P of the model gamma theta_0 phi_0 + sum_{k != 0} theta_k phi_k / k^2.

    Proven in the book: thm-pl-main.

    Parameters
    ----------
    A : (2K+1, 2K+1) array
        A matrix over the modes -K..K, such as `poisson(K, lam)`.
    gamma : float
        Scale of the constant, positive.

    Raises
    ------
    ValueError
        If A is not a square matrix of odd size, or gamma <= 0.
    """
    A = np.asarray(A, dtype=float)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] % 2 == 0 or A.shape[0] < 3:
        raise ValueError(
            f"A must be a square matrix over the modes -K..K, of odd size 2K+1 and K >= 1, and its shape is {A.shape}"
        )
    p = preconditioner(A.shape[0] // 2, gamma)
    return p[:, None] * A * p


@dataclass(frozen=True)
class Waves:
    """The orthonormal Fourier basis of (0, 2 pi) x (0, T), written as travelling waves cos and sin(m x + w_n
    t).

    The frequencies in time are w_n = 2 pi n / T. Spatial frequencies run over m = 0..K and temporal ones over
    n = -J..J (for m = 0 only n >= 0: the others repeat). In this form the advection operator is as simple as
    u'' was: it maps cos(m x + w t) to -(w + beta m) sin(m x + w t).

    Parameters
    ----------
    K : int
        Highest frequency in space, at least 1.
    J : int
        Highest index of a frequency in time, at least 1.
    T : float
        Length of the time interval; the waves are periodic in it.
    """

    K: int
    J: int
    T: float = 2 * np.pi

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", whole(self.K, "K"))
        object.__setattr__(self, "J", whole(self.J, "J"))
        object.__setattr__(self, "T", positive(self.T, "T"))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """One row (m, n, s) a wave, s = 0 for a cosine and 1 for a sine: shape (P, 3), P = (2K+1)(2J+1)."""
        standing = [(0, n, s) for s in (0, 1) for n in range(s, self.J + 1)]
        moving = [(m, n, s) for m in range(1, self.K + 1) for s in (0, 1) for n in range(-self.J, self.J + 1)]
        return np.array(standing + moving)

    @property
    def size(self) -> int:
        """Number of waves, (2K+1)(2J+1)."""
        return len(self.labels)

    def index(self, m: int, n: int, s: int) -> int:
        """Position of one wave in a vector of coefficients."""
        found = np.flatnonzero((self.labels == (m, n, s)).all(axis=1))
        if len(found) == 0:
            raise ValueError(f"no wave (m, n, s) = ({m}, {n}, {s}) in a basis with K = {self.K} and J = {self.J}")
        return int(found[0])

    def symbol(self, beta: float) -> Array:
        """The factor w_n + beta m that u_t + beta u_x puts before each wave, in 1/time: shape (P,)."""
        return 2 * np.pi / self.T * self.labels[:, 1] + beta * self.labels[:, 0]

    @property
    def _scale(self) -> Array:
        constant = (self.labels[:, :2] == 0).all(axis=1)
        return np.where(constant, 1 / np.sqrt(2), 1.0) / np.sqrt(np.pi * self.T)

    def values(self, x: ArrayLike, t: ArrayLike) -> Array:
        """Every wave at the points (x, t), two arrays of shape (N,): shape (N, P)."""
        return self._scale * _cosine(self._phase(x, t), 3 * self.labels[:, 2])

    def residuals(self, x: ArrayLike, t: ArrayLike, beta: float) -> Array:
        """u_t + beta u_x of every wave at the points (x, t): shape (N, P)."""
        return self._scale * self.symbol(beta) * _cosine(self._phase(x, t), 3 * self.labels[:, 2] + 1)

    def matrix(self, beta: float, lam: float) -> Array:
        """The Hessian A = diag(symbol^2) + lam (trace at t = 0) of the advection loss: shape (P, P)."""
        m, n, s = self.labels.T
        # At t = 0 the waves of one m and s are one function of x. It is zero for the sines of m = 0,
        # and the standing cosines weigh sqrt(2) more than the constant.
        trace = np.where(m > 0, 1.0, np.where(s > 0, 0.0, np.where(n > 0, np.sqrt(2), 1.0))) / np.sqrt(self.T)
        same = (m[:, None] == m) & (s[:, None] == s)
        A = number(lam, "lam", 0) * same * np.outer(trace, trace)
        A[np.diag_indices_from(A)] += self.symbol(beta) ** 2
        return A

    def load(self, lam: float) -> Array:
        """The vector b = lam int phi(x, 0) sin x dx of the initial condition u(x, 0) = sin x: shape (P,)."""
        m, _, s = self.labels.T
        return np.where((m == 1) & (s == 1), number(lam, "lam", 0) * np.sqrt(np.pi / self.T), 0.0)

    def quadrature(self) -> tuple[Array, Array, Array]:
        """Product Gauss-Legendre points x, t and weights on (0, 2 pi) x (0, T), each of shape (N,)."""
        x, wx = gauss_legendre(0, 2 * np.pi, 4 * self.K + 32)
        t, wt = gauss_legendre(0, self.T, 4 * self.J + 32)
        return np.repeat(x, len(t)), np.tile(t, len(x)), np.outer(wx, wt).ravel()

    def _phase(self, x: ArrayLike, t: ArrayLike) -> Array:
        m, n, _ = self.labels.T
        x, t = (np.atleast_1d(np.asarray(a, dtype=float)) for a in (x, t))
        return np.outer(x, m) + np.outer(t, 2 * np.pi / self.T * n)


def advection(
    K: int,
    beta: float,
    T: float = 2 * np.pi,
    windows: int = 1,
    *,
    lam: float = 1.0,
    J: int | None = None,
) -> Array:
    """The matrix A of the advection problem for one of `windows` equal windows in time, each rescaled to (0,
    T).

    Proven in the book: thm-speed-matrix, thm-speed-windows.

    A window of length T / windows, stretched to the length T, is the same problem with the speed beta /
    windows: so is its matrix. With T = 2 pi and a whole number beta / windows the solution sin(x - beta t) is
    in the model.

    Parameters
    ----------
    K : int
        Highest frequency in space, at least 1.
    beta : float
        Speed of the wave, positive.
    T : float
        Length of the time interval, positive.
    windows : int
        Into how many equal windows the interval is cut, at least 1.
    lam : float
        Weight of the initial condition, at least 0.
    J : int, optional
        Highest index of a frequency in time. By default just enough to hold the solution: beta T / (2 pi
        windows), rounded up. A faster wave needs a richer model, and that is part of the law.

    Returns
    -------
    (P, P) array, P = (2K+1)(2J+1), in the order of `Waves(K, J, T).labels`.

    Raises
    ------
    ValueError
        If K < 1, beta <= 0, T <= 0, windows < 1, lam < 0 or J < 1.
    """
    speed = positive(beta, "beta") / whole(windows, "windows")
    return Waves(K, time_modes(speed, T) if J is None else J, T).matrix(speed, lam)


def time_modes(speed: float, T: float = 2 * np.pi) -> int:
    """The fewest frequencies in time with which `Waves` can hold sin(x - speed t) on (0, T)."""
    turns = positive(speed, "speed") * positive(T, "T") / (2 * np.pi)
    return max(1, int(np.ceil(turns - 1e-9)))  # a whole number of turns may be a rounding error above itself


def gram(features: Array, weights: Array) -> Array:
    """Inner products of the columns of `features` (N, P) under a quadrature with `weights` (N,): shape (P,
    P).
    """
    return features.T @ (weights[:, None] * features)


def gauss_legendre(low: float, high: float, points: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature on (low, high)."""
    nodes, weights = _leggauss(points)
    half = (high - low) / 2
    return low + half * (nodes + 1), half * weights


@lru_cache(maxsize=32)
def _leggauss(points: int) -> tuple[Array, Array]:
    """On (-1, 1). Kept, because numpy finds the eigenvalues of a matrix for it: 2000 nodes take seconds."""
    return np.polynomial.legendre.leggauss(points)


def _cosine(phase: Array, turns: NDArray[np.int64]) -> Array:
    """cos(phase + turns * pi/2), by columns, without rounding the quarter turns."""
    sign = np.where(turns % 4 < 2, 1.0, -1.0)
    return sign * np.where(turns % 2 == 1, -np.sin(phase), np.cos(phase))
