r"""The Allen-Cahn equation of the usual test, by splitting: diffusion and reaction each have a closed form.

.. math::

    u_t = D u_{xx} + 5 u - 5 u^3, \qquad u(x, 0) = x^2 \cos \pi x, \qquad x \in [-1, 1], \text{ periodic}.

Diffusion alone multiplies the mode :math:`\cos \pi k x` by :math:`e^{-D \pi^2 k^2 t}`. Reaction alone is an
ordinary differential equation at each point, solved by :math:`u \mapsto u / \sqrt{u^2 + (1 - u^2) e^{-10 t}}`.
Half a step of diffusion, a step of reaction, half a step of diffusion (Strang 1968) has an error of order h^2,
in even powers of h alone, so that a step of h and two of h/2 combine to one of order four (Richardson).
No step is too long to be stable, and the modes that die out at once do so exactly.

**The kink.** The initial value is continuous as a periodic function, but its slope jumps from -2 to 2 at x = +-1. Its modes
fall as :math:`4 / \pi^2 k^2` only, and are gone by :math:`t = 0.01` beyond k = 2000: a few hundred modes, as in the
data that are often used, keep an error of 1e-5.
"""

from functools import lru_cache
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft

from pinnedu import checks
from pinnedu.reference.marching import fill, fourth_order, state_at

DIFFUSION = 1e-4
"""The diffusivity of the usual test."""

Array = NDArray[np.float64]


def initial(x: ArrayLike) -> Array:
    """The initial value, x^2 cos(pi x)."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(x**2 * np.cos(pi * x))


def exact(
    x: ArrayLike, t: ArrayLike, diffusion: float = DIFFUSION, *, points: int = 16384, steps: int = 250
) -> NDArray[np.float64]:
    """Evaluate the solution at any points.

    Parameters
    ----------
    x, t : array_like
        Points with x in [-1, 1] and t in [0, 1], broadcast against each other.
    diffusion : float
        D, in [1e-5, 1].
    points : int
        Equispaced points of the grid, even; half as many modes.
    steps : int
        Steps from t = 0 to t = 1.

    Returns
    -------
    ndarray
        The values u(x, t), of the broadcast shape of `x` and `t`; the initial value itself at t = 0.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the shapes of `x` and `t` do not broadcast.

    Notes
    -----
    The solution on the grid is kept from one call to the next. Each time that is asked for takes one step more.
    """
    x, t = checks.together(x=checks.numbers(x, "x", -1.0, 1.0), t=checks.numbers(t, "t", 0.0, 1.0))
    diffusion = checks.number(diffusion, "diffusion", 1e-5, 1.0)
    n = checks.whole(points, "points", 16, 2**17)
    if n % 2:
        raise ValueError(f"points must be even, but is {n}; take {n + 1}.")
    states = _states(diffusion, n, checks.whole(steps, "steps", 1, 100_000))
    return fill(initial(x), x, t, lambda time, own: _evaluate(_at(time, states, diffusion), own))


@lru_cache(maxsize=2)
def _states(diffusion: float, points: int, steps: int) -> Array:
    """The solution on the grid -1 + 2 j / n at equidistant times, shape (steps + 1, n)."""
    states = np.empty((steps + 1, points))
    states[0] = initial(-1 + 2 * np.arange(points) / points)
    decays = _decays(diffusion, points, 1 / steps)
    for k in range(steps):
        states[k + 1] = fourth_order(_strang, states[k], 1 / steps, decays)
    return states


def _at(time: float, states: Array, diffusion: float) -> Array:
    """The solution on the grid at any time."""
    points = states.shape[1]
    return state_at(time, states, 1.0, lambda u, h: fourth_order(_strang, u, h, _decays(diffusion, points, h)))


def _decays(diffusion: float, points: int, h: float) -> tuple[Array, Array]:
    """What diffusion leaves of each mode in h/2 and in h/4."""
    quarter = np.exp(-diffusion * (pi * np.arange(points // 2 + 1)) ** 2 * h / 4)
    return quarter**2, quarter


def _strang(u: Array, h: float, decay: Array) -> Array:
    """Diffusion for h/2, reaction for h, diffusion for h/2."""
    n = len(u)
    v = irfft(decay * rfft(u), n)
    return np.asarray(irfft(decay * rfft(v / np.sqrt(v * v + (1 - v * v) * np.exp(-10 * h))), n))


def _evaluate(u: Array, x: Array) -> Array:
    """Between the grid's points: the polynomial through the eight around each x, of which layers have some fifty."""
    n = len(u)
    place = (x + 1) * n / 2
    left = np.floor(place).astype(int)
    nodes = np.arange(-3, 5)
    gap = (place - left)[:, None] - nodes
    found = np.zeros(x.shape)
    for node in nodes:
        others = nodes != node
        found += u[(left + node) % n] * (gap[:, others] / (node - nodes[others])).prod(axis=1)
    return found


__all__ = ["DIFFUSION", "exact", "initial"]
