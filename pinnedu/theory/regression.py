"""Regression by gradient descent, as its tangent kernel sees it: training and test errors from the spectrum.

A linearized model that starts at zero and descends on the loss 1/(2N) sum_n (u(x_n) - y_n)^2 obeys
u' = -K (u - y) / N at the training points, with the kernel K of them. Its solution is explicit in the
eigenvectors of K: the part of the values along the one with eigenvalue mu is learned as 1 - exp(-mu t / N).

Sources: Jacot, Gabriel & Hongler (2018); Lee et al. (2019); for pictures Tancik et al. (2020).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def gradient_flow(kernel: ArrayLike, values: ArrayLike, times: ArrayLike, at: ArrayLike | None = None) -> Array:
    """What the model says at some times of its training.

    Parameters
    ----------
    kernel : (N, N) array
        The kernel at pairs of training points, symmetric and positive semidefinite.
    values : (N,) array
        What is to be learned at the training points.
    times : (T,) array
        At least 0, infinity allowed: the number of steps of gradient descent times its small rate.
    at : (M, N) array, optional
        The kernel at pairs of another point and a training point: answers there; else at the training points.

    Returns
    -------
    (T, N) or (T, M) array

    Raises
    ------
    ValueError
        For shapes that do not fit, a kernel that is not symmetric, or a negative time.
    """
    K, y, t = np.asarray(kernel, dtype=float), np.asarray(values, dtype=float), np.atleast_1d(times).astype(float)
    rows = K if at is None else np.asarray(at, dtype=float)
    if K.ndim != 2 or K.shape != (len(K), len(K)) or y.shape != (len(K),) or rows.ndim != 2 or rows.shape[1] != len(K):
        raise ValueError(f"kernel (N, N), values (N,) and at (M, N) are needed, not {K.shape}, {y.shape}, {rows.shape}.")
    if not np.allclose(K, K.T, rtol=0, atol=1e-9 * np.abs(K).max()):
        raise ValueError("The kernel must be symmetric: give it at pairs of the same points.")
    if not (t >= 0).all():
        raise ValueError("The times of training must not be negative.")
    mu, Q = np.linalg.eigh(K)
    seen = mu > len(K) * 1e-15 * mu[-1]  # the rest is never learned
    mu, Q = mu[seen], Q[:, seen]
    learned = -np.expm1(-np.multiply.outer(t, mu) / len(K)) / mu
    return (learned * (Q.T @ y)) @ (rows @ Q).T
