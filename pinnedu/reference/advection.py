"""The exact solution of the periodic advection equation: the initial profile, moved along."""

from collections.abc import Callable
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _inputs


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
    speed = _inputs.number("beta", beta, -np.inf, np.inf)
    length = _inputs.number("period", period, np.finfo(float).tiny, np.inf)
    x, t = _inputs.together(x=_inputs.numbers("x", x), t=_inputs.numbers("t", t))
    foot = x - speed * t
    return np.asarray(initial(np.mod(foot, length)), dtype=np.float64)
