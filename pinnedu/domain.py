"""Where an equation holds: a box with named coordinates or a ball, the points drawn in it and quadrature on it."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc
from torch import Tensor

from pinnedu.checks import as_number, is_whole, one_of, require, shown, whole
from pinnedu.device import check_dtype, move

RESERVED = {"d", "laplacian", "value", "interior"}
SAMPLERS = ("uniform", "latin", "sobol", "grid")
RULES = ("monte-carlo", "sobol", "midpoint", "trapezoid", "gauss-legendre")


class Box:
    """A product of intervals with named coordinates, such as ``Box(x=(0, pi), t=(0, 1))``.

    Parameters
    ----------
    **bounds : (low, high)
        One interval a coordinate, in the order in which points carry their columns.

    Raises
    ------
    ValueError
        If an interval is empty or not finite, or a name is not usable in ``u.<name>``.
    """

    def __init__(self, **bounds: tuple[float, float]) -> None:
        if not bounds:
            raise ValueError("Box needs at least one coordinate, for example Box(x=(0, 1)).")
        self.bounds: dict[str, tuple[float, float]] = {}
        for name, interval in bounds.items():
            if keyword.iskeyword(name) or name in RESERVED or name.startswith("_"):
                raise ValueError(f"The coordinate name {name!r} is reserved: choose another, such as 'x' or 's'.")
            given = interval if isinstance(interval, tuple | list) else ()
            pair = [as_number(value) for value in given if not isinstance(value, str)]
            require(len(given) == len(pair) == 2, f"The interval of {name}", "a pair of numbers (low, high)", interval)
            low, high = pair
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"The interval of {name} must be finite with low < high, not {shown(interval)}.")
            self.bounds[name] = low, high

    @property
    def names(self) -> tuple[str, ...]:
        """The coordinates, in the order of a point's columns."""
        return tuple(self.bounds)

    @property
    def dim(self) -> int:
        """The number of coordinates, d."""
        return len(self.bounds)

    @property
    def low(self) -> Tensor:
        """Lower corner, float64, shape (d,)."""
        return torch.tensor([low for low, _ in self.bounds.values()], dtype=torch.float64)

    @property
    def high(self) -> Tensor:
        """Upper corner, float64, shape (d,)."""
        return torch.tensor([high for _, high in self.bounds.values()], dtype=torch.float64)

    @property
    def volume(self) -> float:
        """Product of the lengths of the intervals."""
        return float((self.high - self.low).prod())

    def __repr__(self) -> str:
        return "Box(" + ", ".join(f"{n}=({a:g}, {b:g})" for n, (a, b) in self.bounds.items()) + ")"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and list(self.bounds.items()) == list(other.bounds.items())

    __hash__ = None  # type: ignore[assignment]

    def check_names(self, names: Mapping[str, object] | tuple[str, ...], what: str) -> None:
        """Raise ValueError if one of the names is not a coordinate."""
        for name in names:
            if name not in self.bounds:
                raise ValueError(f"{what} names {name!r}, but the coordinates are {', '.join(self.names)}.")

    def check_face(self, fixed: Mapping[str, float], what: str) -> dict[str, float]:
        """The coordinates that are fixed; raises ValueError if a name is not a coordinate, or its value is off the box."""
        if not isinstance(fixed, Mapping):
            raise ValueError(f"{what} fixes coordinates by a dict such as {{'x': 0}}, not by {shown(fixed)}.")
        self.check_names(fixed, what)
        face = {name: as_number(value) for name, value in fixed.items()}
        for name, value in face.items():
            low, high = self.bounds[name]
            slack = 1e-9 * (high - low)
            if not low - slack <= value <= high + slack:
                raise ValueError(f"{what} is off the domain: {name} = {shown(fixed[name])} is not in [{low:g}, {high:g}].")
        return face

    def check_points(self, points: Any, what: str = "The points") -> None:
        """Raise ValueError unless they are a tensor (N, d) of real numbers."""
        good = isinstance(points, Tensor) and points.ndim == 2 and points.shape[1] == self.dim and points.is_floating_point()
        got = f"one of shape {tuple(points.shape)} and {points.dtype}" if isinstance(points, Tensor) else shown(points)
        if not good:
            raise ValueError(
                f"{what} must be a tensor of floating numbers of shape (N, {self.dim}) with columns "
                f"{', '.join(self.names)}, not {got}."
            )

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in the closed box, up to ``slack`` times its lengths: bool, shape (N,)."""
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        low, high = self.low.to(points), self.high.to(points)
        margin = float(slack) * (high - low)
        return ((points >= low - margin) & (points <= high + margin)).all(dim=1)

    def sample(
        self,
        n: int,
        method: str = "uniform",
        *,
        fixed: Mapping[str, float] | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw points in the box, or on one of its faces.

        Points are drawn on the CPU in float64 and then moved, so that a seed means the same points on every device.

        Parameters
        ----------
        n : int
            Number of points. On a face with nothing left free there is one point, whatever ``n``.
        method : {"uniform", "latin", "sobol", "grid"}
            Independent and uniform; Latin hypercube; scrambled Sobol sequence; cell centers of the
            coarsest regular grid with at least ``n`` cells, of which the first ``n`` are kept.
        fixed : dict of name to value, optional
            Coordinates held fixed: the face to draw on.
        generator : torch.Generator, optional
            Source of randomness (CPU); torch's global one by default.

        Returns
        -------
        Tensor, shape (n, d)
        """
        _check_count(n)
        check_dtype(dtype)
        one_of(method, SAMPLERS, "The sampling method")
        require(generator is None or isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)
        face = self.check_face({} if fixed is None else fixed, "The face")
        return move(self._draw(n, method, face, generator), device, dtype)

    def _draw(self, n: int, method: str, fixed: Mapping[str, float], generator: torch.Generator | None) -> Tensor:
        """Points on a face, on the CPU in float64."""
        free = [i for i, name in enumerate(self.names) if name not in fixed]
        n = n if free else 1
        unit = torch.zeros(n, self.dim, dtype=torch.float64)
        if free:
            unit[:, free] = _unit_points(n, len(free), method, generator)
        points = self.low + unit * (self.high - self.low)
        for name, value in fixed.items():
            points[:, self.names.index(name)] = value
        return points

    def grid(self, shape: int | tuple[int, ...], *, fixed: Mapping[str, float] | None = None) -> Tensor:
        """Regular grid that contains the faces, the last coordinate running fastest.

        Parameters
        ----------
        shape : int or tuple of int
            Points along each free coordinate, at least 2.
        fixed : dict of name to value, optional
            Coordinates held fixed (they count one point).

        Returns
        -------
        Tensor, float64, shape (N, d)
        """
        fixed = self.check_face({} if fixed is None else fixed, "The face")
        free = [name for name in self.names if name not in fixed]
        counts = tuple(shape) if isinstance(shape, tuple | list) else (shape,) * len(free)
        if len(counts) != len(free) or not all(is_whole(count, 2) for count in counts):
            raise ValueError(
                f"The grid needs {len(free)} counts of at least 2 (for {', '.join(free)}), not {shown(shape)}."
            )
        count = dict(zip(free, counts, strict=True))
        axes = [
            torch.tensor([fixed[name]], dtype=torch.float64)
            if name in fixed
            else torch.linspace(*self.bounds[name], count[name], dtype=torch.float64)
            for name in self.names
        ]
        return torch.cartesian_prod(*axes).reshape(-1, self.dim)

    def quadrature(
        self,
        n: int,
        rule: str = "gauss-legendre",
        *,
        fixed: Mapping[str, float] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Nodes and weights whose weighted sum approximates the integral over the box, or over one of its faces.

        Parameters
        ----------
        n : int
            Nodes along each coordinate for "midpoint", "trapezoid" and "gauss-legendre";
            nodes in all for "monte-carlo" and "sobol".
        fixed : dict of name to value, optional
            Coordinates held fixed: the face to integrate over. A face that is a point has the weight 1.

        Returns
        -------
        points : Tensor, float64, shape (N, d)
        weights : Tensor, float64, shape (N,), whose sum is the volume of the box or the face
        """
        one_of(rule, RULES, "The quadrature rule")
        fixed = self.check_face({} if fixed is None else fixed, "The face")
        if rule in ("monte-carlo", "sobol"):
            method = "uniform" if rule == "monte-carlo" else "sobol"
            points = self.sample(n, method, fixed=fixed, generator=generator)
            volume = math.prod(high - low for name, (low, high) in self.bounds.items() if name not in fixed)
            return points, torch.full((len(points),), volume / len(points), dtype=torch.float64)
        if not is_whole(n, 2):
            raise ValueError(f"The rule {rule!r} needs at least 2 nodes a coordinate, not {shown(n)}.")
        nodes, weights = _rule_on_unit_interval(n, rule)
        axes, scaled = [], []
        for name, (low, high) in self.bounds.items():
            axes.append(nodes.new_tensor([fixed[name]]) if name in fixed else low + (high - low) * nodes)
            scaled.append(nodes.new_ones(1) if name in fixed else (high - low) * weights)
        points = torch.cartesian_prod(*axes).reshape(-1, self.dim)
        return points, torch.cartesian_prod(*scaled).reshape(-1, self.dim).prod(dim=1)


class Ball(Box):
    """The unit ball in any number of dimensions, with the coordinates ``x1``, ``x2``, ...

    It is for many dimensions, where a box is nearly all corners. Points are uniform in the ball. It has
    no faces and no grids: build boundary conditions into the model, by `HardConstraint`.

    Parameters
    ----------
    dim : int
        At least 2.
    """

    def __init__(self, dim: int) -> None:
        if not is_whole(dim, 2):
            raise ValueError(f"Ball needs a whole number of dimensions, at least 2, not {shown(dim)}.")
        super().__init__(**{f"x{i}": (-1, 1) for i in range(1, dim + 1)})

    @property
    def volume(self) -> float:
        """pi^(d/2) / Gamma(d/2 + 1): tiny in many dimensions."""
        return math.exp(self.dim / 2 * math.log(math.pi) - math.lgamma(self.dim / 2 + 1))

    def __repr__(self) -> str:
        return f"Ball({self.dim})"

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in the closed ball: bool, shape (N,)."""
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        return points.square().sum(dim=1) <= (1 + float(slack)) ** 2

    def check_face(self, fixed: Mapping[str, float], what: str) -> dict[str, float]:
        """Raise ValueError if anything is fixed: a ball has no faces."""
        for name in super().check_face(fixed, what):
            raise ValueError(f"{what} fixes {name}, but a ball has no faces: use HardConstraint.")
        return {}

    def _draw(self, n: int, method: str, fixed: Mapping[str, float], generator: torch.Generator | None) -> Tensor:
        """A normal vector has a uniform direction, and the share r^d of the volume lies within the radius r."""
        if method == "grid":
            raise ValueError("A ball has no regular grid: draw points as uniform, latin or sobol.")
        unit = _unit_points(n, self.dim + 1, method, generator).clamp(1e-16, 1 - 1e-16)
        normal = torch.special.ndtri(unit[:, 1:])
        return unit[:, :1] ** (1 / self.dim) * normal / torch.linalg.norm(normal, dim=1, keepdim=True)

    def grid(self, shape: int | tuple[int, ...], *, fixed: Mapping[str, float] | None = None) -> Tensor:
        """Raise ValueError: a ball has no grid."""
        raise ValueError("A ball has no regular grid: draw points with sample(n).")

    def quadrature(
        self,
        n: int,
        rule: str = "monte-carlo",
        *,
        fixed: Mapping[str, float] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Random nodes with equal weights, see :meth:`Box.quadrature`; "monte-carlo" or "sobol"."""
        if not isinstance(rule, str) or rule not in ("monte-carlo", "sobol"):
            raise ValueError(f"The rules on a ball are monte-carlo and sobol, not {shown(rule)}.")
        points = self.sample(n, "uniform" if rule == "monte-carlo" else rule, fixed=fixed, generator=generator)
        return points, torch.full((n,), self.volume / n, dtype=torch.float64)


@dataclass(frozen=True)
class Points:
    """How many collocation points to draw, where and how often.

    Parameters
    ----------
    interior : int
        Points inside the domain, shared by all equations.
    conditions : int or dict of name to int
        Points on each condition's set. Observations bring their own, all of them unless a dict
        gives a smaller number: then so many are chosen at each draw.
    method : {"uniform", "latin", "sobol", "grid"}
        See :meth:`Box.sample`.
    resample : int, optional
        Draw all points again every so many steps; 0 keeps the first draw. Each optimizer has its
        own default: every step for first-order methods, rarely or never for the others.
    adaptive : float
        Share of the interior points drawn where the residual is large, with probability
        proportional to its square plus its mean (RAD of Wu et al. 2023, k = 2, c = 1).
    """

    interior: int = 1000
    conditions: int | Mapping[str, int] = 100
    method: str = "uniform"
    resample: int | None = None
    adaptive: float = 0.0

    def __post_init__(self) -> None:
        counts = list(self.conditions.values()) if isinstance(self.conditions, Mapping) else [self.conditions]
        for count in (self.interior, *counts):
            _check_count(count)
        one_of(self.method, SAMPLERS, "The sampling method")
        if self.resample is not None:
            check_resample(self.resample)
        if not 0.0 <= as_number(self.adaptive) <= 1.0:
            raise ValueError(f"adaptive is a share of the points, between 0 and 1, not {shown(self.adaptive)}.")

    def count(self, condition: str) -> int:
        """Number of points for one condition."""
        if isinstance(self.conditions, Mapping):
            if condition not in self.conditions:
                raise ValueError(f"Points has no count for the condition {condition!r}: add it to conditions={{...}}.")
            return self.conditions[condition]
        return self.conditions


def check_resample(steps: object) -> None:
    """Raise ValueError unless it says how often points are drawn again."""
    require(is_whole(steps, 0), "resample", "0 (never) or a number of steps", steps)


def _check_count(n: object) -> None:
    whole(n, "The number of points")


def _unit_points(n: int, dim: int, method: str, generator: torch.Generator | None) -> Tensor:
    """Draw n points of the unit cube, shape (n, dim)."""
    if method == "uniform":
        return torch.rand(n, dim, dtype=torch.float64, generator=generator)
    if method == "grid":
        side = math.ceil(n ** (1 / dim) - 1e-9)
        centers = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        return torch.cartesian_prod(*[centers] * dim).reshape(-1, dim)[:n]
    seed = int(torch.randint(2**31, (1,), generator=generator))
    if method == "latin":
        return torch.from_numpy(qmc.LatinHypercube(dim, rng=seed).random(n))
    # A power of two keeps the balance of the sequence; scipy warns otherwise.
    power = math.ceil(math.log2(n)) if n > 1 else 0
    return torch.from_numpy(qmc.Sobol(dim, rng=seed).random_base2(power)[:n])


def _rule_on_unit_interval(n: int, rule: str) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a one-dimensional rule on [0, 1]."""
    if rule == "gauss-legendre":
        roots, shares = np.polynomial.legendre.leggauss(n)
        return torch.from_numpy((roots + 1) / 2), torch.from_numpy(shares / 2)
    if rule == "midpoint":
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n, torch.full((n,), 1 / n, dtype=torch.float64)
    weights = torch.full((n,), 1 / (n - 1), dtype=torch.float64)
    weights[[0, -1]] /= 2
    return torch.linspace(0, 1, n, dtype=torch.float64), weights
