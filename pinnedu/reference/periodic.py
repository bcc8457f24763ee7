r"""Evolution equations on a periodic interval, by exponential time differencing on a Fourier grid (ETDRK4).

.. math::

    u_t = L u - s\, u u_x, \qquad L \text{ linear with constant coefficients}.

L multiplies each mode :math:`e^{i k x}` by a number :math:`L(k)`, so that its part is solved exactly, however stiff.
Duhamel's formula for one step, :math:`u(h) = e^{hL} u(0) + \int_0^h e^{(h-\tau)L} N(u(\tau))\, d\tau`, leaves an
integral, in which :math:`N = -(s u^2 / 2)_x` is replaced as in the classical Runge-Kutta method of order four (Cox &
Matthews 2002). The weights are functions such as :math:`(e^z - 1)/z` with :math:`z = h L`, whose terms cancel near 0:
the mean over a circle around z is the same number without the loss of digits (Kassam & Trefethen 2005).

Two of the usual tests of PINNs are here: :data:`KORTEWEG_DE_VRIES` and :data:`KURAMOTO_SIVASHINSKY`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft, rfftfreq

from pinnedu import checks
from pinnedu.reference.marching import fill, state_at

Array = NDArray[np.float64]
Modes = NDArray[np.complex128]

_CIRCLE = np.exp(2j * pi * (np.arange(32) + 0.5) / 32)
_BLOCK = 2**18  # points handled at once, times modes


@dataclass(frozen=True, eq=False)
class Evolution:
    """The solution of u_t = L u - speed u u_x with u(x, 0) given, real, periodic in x.

    Parameters
    ----------
    interval : (low, high)
        One period.
    duration : float
        The solution is known for t from 0 to this.
    initial : callable
        The value at t = 0 as a function of an array x.
    linear : callable
        L(k) as a function of the wave numbers k, an array.
    speed : float
    points : int
        Points of the grid, even; half as many modes.
    steps : int
        Steps from t = 0 to the end.
    """

    interval: tuple[float, float]
    duration: float
    initial: Callable[[Any], Any]
    linear: Callable[[Any], Any]
    speed: float
    points: int
    steps: int

    @property
    def grid(self) -> Array:
        """The points of the grid, without the high end, shape (points,)."""
        low, high = self.interval
        return low + (high - low) * np.arange(self.points) / self.points

    @property
    def wave_numbers(self) -> Array:
        """The k of each mode exp(i k (x - low)), shape (points / 2 + 1,)."""
        low, high = self.interval
        return np.asarray(2 * pi / (high - low) * rfftfreq(self.points, 1 / self.points))

    @cached_property
    def states(self) -> Modes:
        """The modes at equidistant times, shape (steps + 1, points / 2 + 1); kept."""
        states = np.empty((self.steps + 1, self.points // 2 + 1), dtype=complex)
        states[0] = rfft(self.initial(self.grid), norm="forward")
        weights = self._weights(self.duration / self.steps)
        for n in range(self.steps):
            states[n + 1] = self._step(states[n], weights)
        return states

    def at(self, time: float) -> Modes:
        """The modes at any time."""
        return state_at(time, self.states, self.duration, lambda modes, h: self._step(modes, self._weights(h)))

    def __call__(self, x: ArrayLike, t: ArrayLike) -> Array:
        """Evaluate the solution at any points, by its Fourier series.

        Parameters
        ----------
        x, t : array_like
            Points with x in the interval and t from 0 to the duration, broadcast against each other.

        Returns
        -------
        ndarray
            The values u(x, t), of the broadcast shape of `x` and `t`; the initial value itself at t = 0.

        Raises
        ------
        ValueError
            If a point is out of its range, or the shapes do not broadcast.

        Notes
        -----
        Each time that is asked for takes one step more: many points at few times cost less than as many scattered ones.
        """
        x, t = checks.together(x=checks.numbers(x, "x", *self.interval), t=checks.numbers(t, "t", 0.0, self.duration))
        values = np.array(self.initial(x), dtype=np.float64)
        return fill(values, x, t, lambda time, own: self._series(self.at(time), own))

    def _series(self, modes: Modes, x: Array) -> Array:
        """The Fourier series at each x: every mode but the first and the last stands for a pair."""
        pairs = np.full(len(modes), 2.0)
        pairs[[0, -1]] = 1.0
        blocks = np.array_split(x - self.interval[0], len(x) * len(modes) // _BLOCK + 1)
        return np.concatenate([(np.exp(1j * np.outer(one, self.wave_numbers)) @ (pairs * modes)).real for one in blocks])

    def _weights(self, h: float) -> tuple[Modes, ...]:
        """What a step of h multiplies the modes by, exp(hL/2), and the weights of the values of N."""
        symbol = h * np.asarray(self.linear(self.wave_numbers), dtype=complex)
        z = symbol[:, None] + _CIRCLE
        e = np.exp(z)
        half = (np.exp(z / 2) - 1) / z
        first = (-4 - z + e * (4 - 3 * z + z**2)) / z**3
        middle = 2 * (2 + z + e * (z - 2)) / z**3
        last = (-4 - 3 * z - z**2 + e * (4 - z)) / z**3
        return (np.exp(symbol / 2), *(h * weight.mean(axis=1) for weight in (half, first, middle, last)))

    def _step(self, modes: Modes, weights: tuple[Modes, ...]) -> Modes:
        """One step of order four."""
        decay, half, first, middle, last = weights
        start = self._rate(modes)
        a = decay * modes + half * start
        at_a = self._rate(a)
        at_b = self._rate(decay * modes + half * at_a)
        at_c = self._rate(decay * a + half * (2 * at_b - start))
        return np.asarray(decay * decay * modes + first * start + middle * (at_a + at_b) + last * at_c)

    @cached_property
    def _slope(self) -> Modes:
        slope = -0.5j * self.speed * self.wave_numbers
        slope[-1] = 0.0  # the derivative of the sawtooth mode vanishes on the grid
        return np.asarray(slope)

    def _rate(self, modes: Modes) -> Modes:
        """The modes of -(speed u^2 / 2)_x."""
        u = irfft(modes, self.points, norm="forward")
        return np.asarray(self._slope * rfft(u * u, norm="forward"))


KORTEWEG_DE_VRIES = Evolution(
    interval=(-1.0, 1.0),
    duration=1.0,
    initial=lambda x: np.cos(pi * x),
    linear=lambda k: 0.022**2 * 1j * k**3,
    speed=1.0,
    points=256,
    steps=8000,
)
"""u_t + u u_x + 0.022^2 u_xxx = 0, u = cos(pi x) at first (Zabusky & Kruskal 1965), to 1e-9: it breaks into solitons."""

KURAMOTO_SIVASHINSKY = Evolution(
    interval=(0.0, 2 * pi),
    duration=1.0,
    initial=lambda x: np.cos(x) * (1 + np.sin(x)),
    linear=lambda k: 100 / 16**2 * k**2 - 100 / 16**4 * k**4,
    speed=100 / 16,
    points=256,
    steps=16000,
)
"""u_t + 100/16 u u_x + 100/16^2 u_xx + 100/16^4 u_xxxx = 0, u = cos x (1 + sin x) at first, to 1e-7: chaos."""

__all__ = ["KORTEWEG_DE_VRIES", "KURAMOTO_SIVASHINSKY", "Evolution"]
