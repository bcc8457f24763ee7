"""Growth laws as two-sided theorems: condition numbers between two formulas that grow alike.

A lower bound needs one function that the loss punishes and one that it hardly notices (Rayleigh quotients). An upper bound
needs more: for Poisson the preconditioned matrix, which is the identity but for a block of two by two, for advection the
secular equation of a diagonal matrix plus one of rank one (Golub 1973).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from pinnedu.checks import positive, whole


def poisson_bounds(K: int, lam: float) -> tuple[float, float]:
    """Two numbers between which kappa of `fourier.poisson(K, lam)` lies; for a fixed lam both grow as K^4.

    Proven in the book: thm-gd-fourth.

    Below: v_K^2 = 1/pi, so mu_max >= K^4 + lam/pi. The sine of frequency 1 and the constant give mu_min <= min(1, lam/(2 pi)).
    Above: mu_max <= K^4 + lam |v|^2, where |v|^2 = (2K+1)/(2 pi). With gamma = 1, A^-1 = P A~^-1 P and |P| = 1, so mu_min is
    at least that of A~ = P A P. This is the identity but for the block `two_by_two`, whose determinant is lam/(2 pi) and whose
    trace is at most 1 + lam/(2 pi) + lam pi^3/90, as sum k^-4 = pi^4/90; mu_min >= determinant / trace.

    Parameters
    ----------
    K : int
    lam : float
        Positive.

    Returns
    -------
    lower, upper : float
    """
    K, lam = whole(K, "K"), positive(lam, "lam")
    lower = (K**4 + lam / np.pi) / min(1.0, lam / (2 * np.pi))
    largest = K**4 + lam * (2 * K + 1) / (2 * np.pi)
    trace = 1 + lam / (2 * np.pi) + lam * np.pi**3 / 90
    return float(lower), float(largest * trace * 2 * np.pi / lam)


def two_by_two(K: int, lam: float, gamma: float = 1.0) -> np.ndarray:
    """The block in which the preconditioned matrix of Poisson's equation is not the identity, shape (2, 2).

    Proven in the book: thm-pl-two.

    A~ = diag(0, 1, ..., 1) + lam w w^T with w = P v. It acts on the constant and on the rest of w, made a unit vector: on
    what is orthogonal to both it is the identity. Off the constant w has the square norm sum_{k <= K} k^-4 / pi.

    Parameters
    ----------
    K : int
    lam, gamma : float
        Positive.
    """
    k = np.arange(1, whole(K, "K") + 1)
    w = np.array([positive(gamma, "gamma") / np.sqrt(2 * np.pi), np.sqrt((1 / k**4.0).sum() / np.pi)])
    return np.diag([0.0, 1.0]) + positive(lam, "lam") * np.outer(w, w)


def advection_gap(lam: float) -> float:
    """The number s in (0, 1/2) with s tan(pi s) = lam / 2: no eigenvalue of advection is below s^2, see `advection_bounds`."""
    weight = positive(lam, "lam")

    def balance(s: float) -> float:
        return float(s * np.sin(np.pi * s) - weight / 2 * np.cos(np.pi * s))

    return float(brentq(balance, 0.0, 0.5, xtol=1e-15))


def advection_bounds(K: int, beta: int, lam: float = 1.0) -> tuple[float, float]:
    """Two numbers between which kappa of `fourier.advection(K, beta, 2 pi, lam=lam)` lies; both grow as beta^2.

    Proven in the book: thm-speed-bound, thm-speed-law.

    For T = 2 pi and a whole speed, where J = beta. Below: the theorem "Speed costs its square", from the wave that runs the
    wrong way and from the neighbor of the solution. Above: mu_max <= (beta K + J)^2 + lam (2J+1)/T. The eigenvalues of the
    waves of one m and kind solve sum_n 1 / (mu - (n + beta m)^2) = T / lam. Over all n the sum is pi cot(pi s) / s at mu = s^2,
    so its least root is s tan(pi s) = lam / 2. The matrix has fewer terms. Those that are missing are negative below their
    poles, so its sum is larger and its root comes later: mu_min >= s^2. Where no pole is 0 (m >= 2), or the sines of m = 0 do
    not see the condition, every eigenvalue is at least 1.

    Parameters
    ----------
    K : int
        Highest frequency in space.
    beta : int
        Speed, a whole number.
    lam : float

    Returns
    -------
    lower, upper : float
    """
    K, beta, lam = whole(K, "K"), whole(beta, "The speed beta"), positive(lam, "lam")
    T = 2 * np.pi
    lower = (4 * beta**2 + lam / T) / min(lam / T, 2 * np.pi**2 / T**2)
    largest = (beta * (K + 1)) ** 2 + lam * (2 * beta + 1) / T
    return float(lower), float(largest / advection_gap(lam) ** 2)
