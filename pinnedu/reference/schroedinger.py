r"""The focusing Schroedinger equation of the usual test, by splitting: dispersion and rotation each have a closed form.

.. math::

    i h_t + \tfrac12 h_{xx} + |h|^2 h = 0, \qquad h(x, 0) = 2\,\mathrm{sech}\, x, \qquad x \in [-5, 5], \text{ periodic}.

Dispersion alone multiplies the mode :math:`\cos k (x + 5)` by :math:`e^{-i k^2 t/2}`; the solution is even, so there
are no others. The rest alone leaves :math:`|h|` as it is and turns each value by the angle :math:`|h|^2 t`. Half a
step, a step, half a step (Strang 1968) have an error of order h^2 in even powers, so that a step of h and two of h/2
combine to one of order four (Richardson).

**The kink.** On the whole line this start is a bound pair of solitons with a closed form (Satsuma & Yajima 1974),
:func:`two_solitons`. On [-5, 5] it is another problem: the slope of 2 sech x is not 0 at the ends, so that the
periodic start has a kink there, whose waves run through the solution. The two differ by 7e-3, more than many methods'
error. The modes of the kink fall as 1/k^2 and are not damped: 2048 of them leave an error of 4e-7, and the
steps one of 8e-7.
"""

from functools import lru_cache
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

from pinnedu import checks
from pinnedu.reference.marching import fill, fourth_order, state_at

END = pi / 2
"""The solution is known up to this time."""

Values = NDArray[np.complex128]


def initial(x: ArrayLike) -> NDArray[np.float64]:
    """The initial value, 2 sech x."""
    return np.asarray(2 / np.cosh(np.asarray(x, dtype=np.float64)))


def two_solitons(x: ArrayLike, t: ArrayLike) -> Values:
    """The solution on the whole line (Satsuma & Yajima 1974): the same start, other ends.

    Parameters
    ----------
    x, t : array_like
        Points, broadcast against each other.

    Returns
    -------
    ndarray, complex
        h(x, t), of the broadcast shape of `x` and `t`.
    """
    x, t = checks.together(x=checks.numbers(x, "x"), t=checks.numbers(t, "t"))
    above = 4 * np.exp(0.5j * t) * (np.cosh(3 * x) + 3 * np.exp(4j * t) * np.cosh(x))
    return np.asarray(above / (np.cosh(4 * x) + 4 * np.cosh(2 * x) + 3 * np.cos(4 * t)))


def exact(x: ArrayLike, t: ArrayLike, *, modes: int = 2048, steps: int = 1000) -> Values:
    """Evaluate the periodic solution at any points.

    Parameters
    ----------
    x, t : array_like
        Points with x in [-5, 5] and t in [0, pi/2], broadcast against each other.
    modes : int
        Cosines, without the constant.
    steps : int
        Steps from t = 0 to t = pi/2.

    Returns
    -------
    ndarray, complex
        The values h(x, t), of the broadcast shape of `x` and `t`; the initial value itself at t = 0.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the shapes of `x` and `t` do not broadcast.

    Notes
    -----
    The solution is kept from one call to the next. Each time that is asked for takes one step more.
    """
    x, t = checks.together(x=checks.numbers(x, "x", -5.0, 5.0), t=checks.numbers(t, "t", 0.0, END))
    states = _states(checks.whole(modes, "modes", 16, 2**16), checks.whole(steps, "steps", 1, 100_000))
    return fill(initial(x).astype(complex), x, t, lambda time, own: _series(_at(time, states), own))


@lru_cache(maxsize=3)
def _states(modes: int, steps: int) -> Values:
    """The solution on the grid -5 + 5 j / modes, j = 0, ..., modes, at equidistant times, shape (steps + 1, modes + 1)."""
    states = np.empty((steps + 1, modes + 1), dtype=complex)
    states[0] = initial(-5 + 5 * np.arange(modes + 1) / modes)
    turns = _turns(modes, END / steps)
    for n in range(steps):
        states[n + 1] = fourth_order(_strang, states[n], END / steps, turns)
    return states


def _at(time: float, states: Values) -> Values:
    """The solution on the grid at any time."""
    return state_at(time, states, END, lambda h, dt: fourth_order(_strang, h, dt, _turns(states.shape[1] - 1, dt)))


def _turns(modes: int, h: float) -> tuple[Values, Values]:
    """By what dispersion multiplies each mode in h/2 and in h/4."""
    quarter = np.exp(-0.125j * h * (pi / 5 * np.arange(modes + 1)) ** 2)
    return quarter**2, quarter


def _strang(values: Values, h: float, turn: Values) -> Values:
    """Dispersion for h/2, rotation for h, dispersion for h/2."""
    values = _disperse(values, turn)
    return _disperse(values * np.exp(1j * h * (values.real**2 + values.imag**2)), turn)


def _disperse(values: Values, turn: Values) -> Values:
    """Multiply the modes: the cosine transform is its own inverse, up to a factor."""
    return np.asarray(dct(turn * dct(values, type=1), type=1) / (2 * (len(values) - 1)))


def _series(values: Values, x: NDArray[np.float64]) -> Values:
    """The cosine series through the values on the grid, at each x."""
    modes = dct(values, type=1) / (len(values) - 1)
    modes[[0, -1]] /= 2
    found = np.empty(x.shape, dtype=complex)
    for part in np.array_split(np.arange(x.size), x.size * len(modes) // 2**18 + 1):
        found[part] = np.cos(np.outer(x[part] + 5, pi / 5 * np.arange(len(modes)))) @ modes
    return found


__all__ = ["END", "exact", "initial", "two_solitons"]
