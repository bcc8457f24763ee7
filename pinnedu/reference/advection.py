"""The exact solution of the periodic advection equation: the initial profile, moved along."""

from collections.abc import Callable
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinnedu import checks


def exact(
    x: ArrayLike,
    t: ArrayLike,
    beta: float,
    initial: Callable[[NDArray[np.float64]], NDArray[np.float64]] = np.sin,
    period: float = 2 * pi,
) -> NDArray[np.float64]:
    r"""Evaluate the solution of :math:`u_t + \beta u_x = 0` with periodic boundary conditions.

    The solution is constant along the lines :math:`x - \beta t = \text{const}`, hence
    :math:`u(x, t) = u_0(x - \beta t)` with :math:`u_0` continued periodically.

    Parameters
    ----------
    x, t : array_like
        Points, broadcast against each other.
    beta : float
        Speed of advection, in units of x per unit of t.
    initial : callable
        The initial profile :math:`u_0` on [0, period); takes and returns an array.
    period : float
        Length of the periodic interval.

    Returns
    -------
    ndarray
        The values u(x, t), of the broadcast shape of `x` and `t`.

    Raises
    ------
    ValueError
        If a point, `beta` or `period` is not finite, or `period` is not positive.
    """
    speed = checks.number(beta, "beta")
    length = checks.positive(period, "period")
    x, t = checks.together(x=checks.numbers(x, "x"), t=checks.numbers(t, "t"))
    foot = x - speed * t
    return np.asarray(initial(np.mod(foot, length)), dtype=np.float64)
