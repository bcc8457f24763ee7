r"""Classical solvers: what you would use instead of a PINN when the equation and its data are known.

Each is a spectral method (Trefethen, *Spectral Methods in MATLAB*, 2000): the solution is a polynomial or
a trigonometric polynomial given by its values on a grid, space derivatives are exact for it, and the
resulting ordinary differential equations in time go to `scipy.integrate.solve_ivp` (method of lines).
The error falls faster than any power of the number of grid points once the solution is resolved, until
the time integration takes over: its error is some ten to some hundred times `rtol`.

Values are returned on the grid of the asked coordinates: ``heat(x, t)[i, j]`` belongs to ``(x[i], t[j])``.
Timing is left to the caller.
"""

from collections.abc import Callable
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft
from scipy.integrate import solve_ivp
from scipy.interpolate import BarycentricInterpolator

from pinnedu import checks

from .burgers import NU

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_SMALLEST_TOLERANCE = 3e-14  # solve_ivp cannot hold less than about 100 roundings


def chebyshev(points: int, interval: tuple[float, float] = (-1.0, 1.0)) -> tuple[Array, Array]:
    r"""Chebyshev points and the matrix that differentiates the interpolating polynomial there.

    Parameters
    ----------
    points : int
        Number of points n >= 2, the two ends included.
    interval : (float, float)
        The ends of the interval.

    Returns
    -------
    nodes : ndarray, shape (n,)
        :math:`\cos(\pi j / (n-1))` mapped to the interval, in increasing order.
    matrix : ndarray, shape (n, n)
        ``matrix @ values`` is the derivative at the nodes, exact for polynomials of degree below n.

    Raises
    ------
    ValueError
        If `points` is no whole number from 2 to 4096, or `interval` is not (low, high).
    """
    n = checks.whole(points, "points", 2, 4096)
    low, high = checks.interval(interval, "interval")
    angle = pi * np.arange(n)[::-1] / (n - 1)
    # x_i - x_j as a product of sines: the plain difference of cosines loses digits at the clustered ends.
    total, gap = np.add.outer(angle, angle) / 2, np.subtract.outer(angle, angle) / 2
    difference = -2 * np.sin(total) * np.sin(gap)
    np.fill_diagonal(difference, 1.0)
    weights = _barycentric_weights(n)
    matrix = np.outer(1 / weights, weights) / difference
    # Constants have derivative zero: this choice of the diagonal keeps that exact in spite of rounding.
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    half = (high - low) / 2
    nodes = low + half * (1 + np.cos(angle))
    nodes[0], nodes[-1] = low, high
    return nodes, matrix / half


def heat(
    x: ArrayLike,
    t: ArrayLike,
    *,
    initial: Function = np.sin,
    diffusivity: float = 1.0,
    interval: tuple[float, float] = (0.0, pi),
    points: int = 20,
    rtol: float = 1e-10,
    atol: float = 1e-12,
) -> Array:
    """Solve u_t = D u_xx with u = 0 at both ends, by Chebyshev collocation in space.

    Parameters
    ----------
    x, t : array_like, one-dimensional
        Coordinates at which the solution is wanted, x in `interval` and t >= 0.
    initial : callable
        The initial value as a function of an array x; its values at the ends are taken as zero.
    diffusivity : float
        D > 0, in units of x squared per unit of t.
    interval : (float, float)
        The ends of the rod.
    points : int
        Number of Chebyshev points, the ends included.
    rtol, atol : float
        Relative and absolute tolerance of the time integration.

    Returns
    -------
    ndarray, shape (len(x), len(t))
        The values u(x[i], t[j]).

    Raises
    ------
    ValueError
        If an argument is out of its range.
    RuntimeError
        If the time integration fails.
    """
    low, high = checks.interval(interval, "interval")
    x = checks.axis(x, "x", low, high)
    t = checks.axis(t, "t", 0.0, np.inf)
    constant = checks.positive(diffusivity, "diffusivity")
    n = checks.whole(points, "points", 3, 1024)
    nodes, derivative = chebyshev(n, (low, high))
    # The end values are known, so the unknowns are those inside.
    operator = constant * (derivative @ derivative)[1:-1, 1:-1]
    states = _integrate(
        lambda time, u: operator @ u,
        _profile(initial, nodes)[1:-1],
        t,
        rtol,
        atol,
        method="LSODA",
        jac=lambda time, u: operator,
    )
    return _barycentric(x, nodes)[:, 1:-1] @ states


def burgers(
    x: ArrayLike,
    t: ArrayLike,
    *,
    nu: float = NU,
    basis: str = "fourier",
    points: int = 512,
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> Array:
    """Solve u_t + u u_x = nu u_xx on [-1, 1] with u(x, 0) = -sin(pi x) and u(+-1, t) = 0.

    Parameters
    ----------
    x, t : array_like, one-dimensional
        Coordinates at which the solution is wanted, x in [-1, 1] and t >= 0.
    nu : float
        Viscosity > 0.
    basis : {"fourier", "chebyshev"}
        "fourier" takes equispaced points on [-1, 1): the solution is odd and periodic, so its end values
        stay zero. This is what you choose without knowing where the shock will be. "chebyshev" uses that
        u is odd, solves on [0, 1] alone, and so has its points clustered at x = 0, where the shock is:
        far fewer points are needed. The two share nothing but `solve_ivp`.
    points : int
        Number of grid points on [-1, 1) (even) or on [0, 1].
    rtol, atol : float
        Relative and absolute tolerance of the time integration.

    Returns
    -------
    ndarray, shape (len(x), len(t))
        The values u(x[i], t[j]).

    Raises
    ------
    ValueError
        If an argument is out of its range.
    RuntimeError
        If the time integration fails.
    """
    x = checks.axis(x, "x", -1.0, 1.0)
    t = checks.axis(t, "t", 0.0, np.inf)
    nu = checks.positive(nu, "nu")
    solvers = {"fourier": _burgers_fourier, "chebyshev": _burgers_chebyshev}
    if basis not in solvers:
        raise ValueError(f"basis must be one of {sorted(solvers)}, but is {basis!r}.")
    return solvers[basis](x, t, nu, points, rtol, atol)


def _burgers_fourier(x: Array, t: Array, nu: float, points: int, rtol: float, atol: float) -> Array:
    n = checks.whole(points, "points", 4, 2**16)
    if n % 2:
        raise ValueError(f"points must be even on a Fourier grid, but is {n}; take {n + 1}.")
    nodes = -1 + 2 * np.arange(n) / n
    wave_number = pi * np.arange(n // 2 + 1)
    diffusion, half_slope = -nu * wave_number**2, -0.5j * wave_number
    half_slope[-1] = 0.0  # the derivative of the sawtooth mode vanishes on the grid

    def rate(time: float, u: Array) -> Array:
        # Conservation form, u u_x = (u^2 / 2)_x: one inverse transform is enough.
        return irfft(diffusion * rfft(u) + half_slope * rfft(u * u), n)

    # Diffusion limits an explicit step to about 1 / (nu n^2), and yet the FFT makes steps so cheap that an
    # implicit method, with its dense n x n systems, is slower.
    states = _integrate(rate, -np.sin(pi * nodes), t, rtol, atol, method="DOP853")
    # The interpolant is a sum over the wave numbers; all but the first and last stand for a pair.
    coefficients = rfft(states, axis=0) / n
    coefficients[1:-1] *= 2
    waves = np.exp(1j * np.outer(x + 1, wave_number))
    return waves.real @ coefficients.real - waves.imag @ coefficients.imag


def _burgers_chebyshev(x: Array, t: Array, nu: float, points: int, rtol: float, atol: float) -> Array:
    n = checks.whole(points, "points", 3, 1024)
    nodes, derivative = chebyshev(n, (0.0, 1.0))
    slope = derivative[1:-1, 1:-1]
    diffusion = nu * (derivative @ derivative)[1:-1, 1:-1]
    states = _integrate(
        lambda time, u: diffusion @ u - u * (slope @ u),
        -np.sin(pi * nodes[1:-1]),
        t,
        rtol,
        atol,
        method="LSODA",
        jac=lambda time, u: diffusion - u[:, None] * slope - np.diag(slope @ u),
    )
    values = _barycentric(np.abs(x), nodes)[:, 1:-1] @ states
    return np.sign(x)[:, None] * values


def poisson(
    x: ArrayLike,
    source: Function,
    *,
    interval: tuple[float, float] = (-pi, pi),
    ends: tuple[float, float] = (0.0, 0.0),
    points: int = 40,
) -> Array:
    """Solve u_xx = source with given end values, by Chebyshev collocation.

    Parameters
    ----------
    x : array_like, one-dimensional
        Coordinates in `interval` at which the solution is wanted.
    source : callable
        The right-hand side as a function of an array x.
    interval : (float, float)
        The ends of the interval.
    ends : (float, float)
        The values of u at the two ends.
    points : int
        Number of Chebyshev points, the ends included.

    Returns
    -------
    ndarray, shape (len(x),)
        The values u(x).

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    low, high = checks.interval(interval, "interval")
    x = checks.axis(x, "x", low, high)
    left, right = (checks.number(end, "ends") for end in ends)
    n = checks.whole(points, "points", 3, 1024)
    nodes, derivative = chebyshev(n, (low, high))
    operator = (derivative @ derivative)[1:-1]
    values = np.empty(n)
    values[0], values[-1] = left, right
    known = operator[:, 0] * left + operator[:, -1] * right
    values[1:-1] = np.linalg.solve(operator[:, 1:-1], _profile(source, nodes)[1:-1] - known)
    return _barycentric(x, nodes) @ values


def _integrate(
    rate: Callable[[float, Array], Array],
    initial: Array,
    t: Array,
    rtol: float,
    atol: float,
    **options: object,
) -> Array:
    """Return the states at the times `t`, in the caller's order, one column each."""
    rtol = checks.number(rtol, "rtol", _SMALLEST_TOLERANCE, 1.0)
    atol = checks.number(atol, "atol", np.finfo(float).tiny, 1.0)
    times, place = np.unique(t, return_inverse=True)
    if times[-1] == 0.0:
        return np.repeat(initial[:, None], t.size, axis=1)
    solution = solve_ivp(rate, (0.0, times[-1]), initial, t_eval=times, rtol=rtol, atol=atol, **options)
    if not solution.success:
        raise RuntimeError(
            f"The time integration failed ({solution.message}); if the solution has layers that the grid does not "
            "resolve, take more points."
        )
    return solution.y[:, place]


def _profile(function: Function, nodes: Array) -> Array:
    """Return `function` at the nodes; a constant may be returned as one number."""
    values = checks.numbers(function(nodes), "the given function's values")
    if values.shape not in ((), nodes.shape):
        raise ValueError(
            f"The given function must return one value for each of the {nodes.size} points, "
            f"but its result has shape {values.shape}."
        )
    return np.broadcast_to(values, nodes.shape).astype(np.float64)


def _barycentric_weights(n: int) -> Array:
    """Return the barycentric weights of n Chebyshev points: 1/2, -1, 1, ..., up to a common factor."""
    weights = np.where(np.arange(n) % 2, -1.0, 1.0)
    weights[[0, -1]] /= 2
    return weights


def _barycentric(x: Array, nodes: Array) -> Array:
    """Return the matrix, shape (len(x), n), that takes values at Chebyshev points to values at `x`."""
    return BarycentricInterpolator(nodes, np.eye(nodes.size), wi=_barycentric_weights(nodes.size))(x)
