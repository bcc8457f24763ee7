"""What memory gains: sqrt(kappa) steps instead of kappa.

On 1/2 theta^T A theta - b^T theta a method whose step is a combination of gradients so far has the error p_n(A) (theta_0 -
theta*) with a polynomial p_n of degree n, p_n(0) = 1. Gradient descent takes (1 - eta mu)^n. Chebyshev's polynomial is the
smallest on [mu_min, mu_max] and falls as 2 ((sqrt kappa - 1) / (sqrt kappa + 1))^n. The heavy ball has its rate without its
constant, and conjugate gradients are at least as good without knowing the spectrum. They end after as many steps as A has
different eigenvalues. For Poisson's equation kappa ~ K^4 becomes K^2, and preconditioning still wins: it is a constant.

Sources: Hestenes & Stiefel (1952); Polyak (1964); Golub & Varga (1961) for Chebyshev; Nazareth (1979), and Nocedal & Wright
(2006), theorem 6.4, for BFGS and conjugate gradients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve

from pinnedu.checks import number, vector, whole
from pinnedu.theory.conditioning import Descent, diagonal_blocks, extreme_values, scaled_cholesky, symmetric

Array = NDArray[np.float64]


def heavy_ball(
    A: ArrayLike, b: ArrayLike, steps: int, *, start: ArrayLike | None = None, tolerance: float = 0.0
) -> Descent:
    """Gradient descent with the best constant momentum, Polyak's heavy ball.

    Proven in the book: thm-so-root.

    eta = 4 / (sqrt mu_max + sqrt mu_min)^2 and m = ((sqrt kappa - 1) / (sqrt kappa + 1))^2; the error falls by sqrt(m) a step.

    Parameters
    ----------
    A : (P, P) array, symmetric positive definite
    b : (P,) array
    steps : int
        At most so many.
    start : (P,) array, optional
        Zero by default.
    tolerance : float
        Stop when the error has fallen to this fraction of the first one; with 0, take every step.
    """
    matrix, (low, high) = symmetric(A), _ends(A)
    right = vector(b, "b", len(matrix))
    root = (np.sqrt(high) - np.sqrt(low)) / (np.sqrt(high) + np.sqrt(low))
    rate, momentum = 4 / (np.sqrt(high) + np.sqrt(low)) ** 2, root**2

    def iterates(theta: Array) -> Iterator[Array]:
        before = theta
        while True:
            theta, before = theta - rate * (matrix @ theta - right) + momentum * (theta - before), theta
            yield theta

    return _descend(matrix, right, steps, iterates, start, tolerance, rate)


def chebyshev(A: ArrayLike, b: ArrayLike, steps: int, *, start: ArrayLike | None = None, tolerance: float = 0.0) -> Descent:
    """Chebyshev's iteration: of all methods that know only mu_min and mu_max, the best at every number of steps.

    Parameters as of `heavy_ball`; what changes from step to step is the momentum. The error after n steps is at most
    1 / T_n((kappa + 1) / (kappa - 1)) of the first.
    """
    matrix, (low, high) = symmetric(A), _ends(A)
    right = vector(b, "b", len(matrix))
    middle, half = (high + low) / 2, (high - low) / 2

    def iterates(theta: Array) -> Iterator[Array]:
        step, rate = np.zeros_like(theta), 0.0
        for n in range(10**12):
            momentum = 0.0 if n == 0 else (half * rate / 2) ** 2 * (2 if n == 1 else 1)
            rate = 1 / (middle - momentum / rate) if n else 1 / middle
            step = momentum * step + (right - matrix @ theta) if n else right - matrix @ theta
            theta = theta + rate * step
            yield theta

    return _descend(matrix, right, steps, iterates, start, tolerance, 1 / middle)


def conjugate_gradients(
    A: ArrayLike, b: ArrayLike, steps: int, *, start: ArrayLike | None = None, tolerance: float = 0.0
) -> Descent:
    """Conjugate gradients: the smallest error, in the norm of A, that n gradients allow.

    Proven in the book: thm-so-root.

    Parameters as of `heavy_ball`. At most as many steps as A has different eigenvalues, but for rounding.
    """
    matrix = symmetric(A)
    right = vector(b, "b", len(matrix))

    def iterates(theta: Array) -> Iterator[Array]:
        r = right - matrix @ theta
        d = r
        while True:
            image = matrix @ d
            square = r @ r
            length = square / (d @ image) if square > 0 else 0.0
            theta, r = theta + length * d, r - length * image
            d = r + (r @ r / square if square > 0 else 0.0) * d
            yield theta

    return _descend(matrix, right, steps, iterates, start, tolerance, 0.0)


def lbfgs(
    A: ArrayLike,
    b: ArrayLike,
    steps: int,
    *,
    memory: int = 10,
    start: ArrayLike | None = None,
    tolerance: float = 0.0,
) -> Descent:
    """L-BFGS with an exact line search: on a quadratic loss, from the identity, the iterates of conjugate gradients.

    So a quasi-Newton method gains the root of kappa here. What it stores beyond the last step serves loss functions
    that are not quadratic, and rounding.

    Parameters
    ----------
    memory : int
        How many steps it remembers.
    A, b, steps, start, tolerance
        As of `heavy_ball`.
    """
    matrix, memory = symmetric(A), whole(memory, "memory")
    right = vector(b, "b", len(matrix))

    def iterates(theta: Array) -> Iterator[Array]:
        pairs: deque[tuple[Array, Array]] = deque(maxlen=memory)
        gradient = matrix @ theta - right
        while True:
            d, used = -gradient, []
            for s, y in reversed(pairs):
                used.append((s @ d) / (s @ y))
                d = d - used[-1] * y
            for (s, y), alpha in zip(pairs, reversed(used), strict=True):
                d = d + (alpha - (y @ d) / (s @ y)) * s
            image = matrix @ d
            curvature = d @ image
            s = (-(gradient @ d) / curvature if curvature > 0 else 0.0) * d
            y = matrix @ s
            theta, gradient = theta + s, gradient + y
            if s @ y > 0:
                pairs.append((s, y))
            yield theta

    return _descend(matrix, right, steps, iterates, start, tolerance, 0.0)


def _ends(A: ArrayLike) -> tuple[float, float]:
    """Smallest and largest eigenvalue."""
    extremes = [extreme_values(block) for block in diagonal_blocks(symmetric(A))]
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def _descend(
    A: Array,
    b: Array,
    steps: int,
    iterates: Callable[[Array], Iterator[Array]],
    start: ArrayLike | None,
    tolerance: float,
    rate: float,
) -> Descent:
    """Follow a method, and measure the distance to the solution."""
    steps, tolerance = whole(steps, "steps"), number(tolerance, "tolerance", 0)
    scale, factor = scaled_cholesky(A)
    target = cho_solve((factor, True), b / scale) / scale
    first = np.zeros(len(A)) if start is None else vector(start, "start", len(A))
    errors = [float(np.linalg.norm(first - target))]
    for theta in iterates(first):
        errors.append(float(np.linalg.norm(theta - target)))
        if len(errors) > steps or (tolerance and errors[-1] <= tolerance * errors[0]):
            break
    return Descent(theta, np.array(errors), rate)
