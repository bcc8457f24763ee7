"""A ball in any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.special import roots_gegenbauer, roots_jacobi
from torch import Tensor

from pinnedu.checks import as_number, is_whole, one_of, require, shown
from pinnedu.domain import Part, check_coordinate
from pinnedu.product import RULES, MappedShape
from pinnedu.sampling import check_nodes, check_sampling, unit_points


class Ball(MappedShape):
    """All points within a radius of a center. The one part of its boundary is the sphere, "boundary".

    Parameters
    ----------
    center : dict of coordinate to number, sequence of numbers, or int
        ``Ball({"x": 0.5, "y": 0}, 0.2)`` names the coordinates. Those of ``Ball((0.5, 0), 0.2)`` are x, y and z in two
        and three dimensions, and x1, x2, ... in more. A whole number d is the origin of d dimensions, with
        the coordinates x1, ..., xd.
    radius : float
        Positive, 1 by default.

    Raises
    ------
    ValueError
        If there are fewer than 2 dimensions, or a number cannot be used.
    """

    def __init__(self, center: Mapping[str, float] | Sequence[float] | int, radius: float = 1.0) -> None:
        if isinstance(center, Mapping):
            named = dict(center)
        elif np.ndim(center) == 1 and len(center) > 1:  # type: ignore[arg-type]
            given = list(center)  # type: ignore[arg-type]
            named = dict(zip("xyz" if len(given) <= 3 else _numbered(len(given)), given, strict=False))
        elif is_whole(center, 2):
            named = dict.fromkeys(_numbered(int(center)), 0.0)  # type: ignore[arg-type]
        else:
            wanted = "a whole number of dimensions, at least 2, or a center such as (0.5, 0) or {'x': 0.5, 'y': 0}"
            raise ValueError(f"Ball needs {wanted}, not {shown(center)}.")
        numbers = [as_number(value) for value in named.values()]
        require(all(map(math.isfinite, numbers)) and len(numbers) > 1, "The center", "of at least 2 finite numbers", center)
        self.radius = as_number(radius)
        require(0 < self.radius < math.inf, "The radius", "a positive number", radius)
        for name in named:
            check_coordinate(name)
        self.center = torch.tensor(numbers, dtype=torch.float64)
        self.bounds = {name: (c - self.radius, c + self.radius) for name, c in zip(named, numbers, strict=True)}

    @property
    def measure(self) -> float:
        """pi^(d/2) R^d / Gamma(d/2 + 1): tiny in many dimensions for R = 1."""
        return math.exp(self.dim * math.log(self.radius * math.sqrt(math.pi)) - math.lgamma(self.dim / 2 + 1))

    @property
    def parts(self) -> dict[str, Part]:
        """The sphere, as "boundary"."""
        return {"boundary": Sphere(self)}

    def __repr__(self) -> str:
        if self == Ball(self.dim):
            return f"Ball({self.dim})"
        center = ", ".join(f"{name!r}: {c:g}" for name, c in zip(self.names, self.center.tolist(), strict=True))
        return f"Ball({{{center}}}, {self.radius:g})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and list(self.bounds.items()) == list(other.bounds.items())

    __hash__ = None  # type: ignore[assignment]

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points lie in the closed ball: bool, shape (N,)."""
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        return (points - self.center.to(points)).square().sum(dim=1) <= ((1 + float(slack)) * self.radius) ** 2

    def excess(self, points: Tensor) -> Tensor:
        """How far each point lies outside, shape (N,)."""
        return (torch.linalg.norm(points - self.center.to(points), dim=1) - self.radius).clamp_min(0)

    def _grid(self, n: int, generator: torch.Generator | None) -> Tensor:
        raise ValueError("A ball has no regular grid: draw points as uniform, latin or sobol.")

    @property
    def cube(self) -> int:
        """One coordinate for the radius, d for the direction."""
        return self.dim + 1

    def unfold(self, unit: Tensor) -> Tensor:
        """Points of the unit cube (N, d + 1) as points of the ball."""
        unit = unit.clamp(1e-16, 1 - 1e-16)
        return self.center + self.radius * (unit[:, :1] ** (1 / self.dim) * _directions(unit[:, 1:]))

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Nodes and weights of a rule, see :meth:`pinnedu.Domain.quadrature`.

        "gauss-legendre" is the product of Gauss rules along the radius and the angles, exact for polynomials of
        degree 2n - 1; it has 2 n^d nodes. "monte-carlo" and "sobol" are random, with equal weights.
        """
        one_of(rule, RULES, "The quadrature rule on a ball")
        if rule != "gauss-legendre":
            points = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, torch.full((n,), self.measure / n, dtype=torch.float64)
        check_nodes(n, rule, self.dim)
        roots, shares = roots_jacobi(n, 0, self.dim - 1)  # the weight (1 + s)^(d-1) is that of the radius
        radii, shares = self.radius * (1 + roots) / 2, shares * (self.radius / 2) ** self.dim
        directions, weights = _sphere_rule(n, self.dim)
        points = (torch.from_numpy(radii)[:, None, None] * directions).flatten(end_dim=1)
        return self.center + points, (torch.from_numpy(shares)[:, None] * weights).flatten()


class Sphere:
    """The boundary of a ball, a :class:`pinnedu.domain.Part`."""

    normal = True

    def __init__(self, ball: Ball) -> None:
        self.ball, self.dim = ball, ball.dim - 1
        self.measure = ball.dim * ball.measure / ball.radius

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw points, uniform on the sphere, and the directions from its center, each (n, d)."""
        check_sampling(n, method, generator)
        ball = self.ball
        if method == "grid" and ball.dim == 2:
            angles = 2 * math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n
            normals = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
        else:
            if method == "grid":
                ball._grid(n, generator)
            normals = _directions(unit_points(n, ball.dim, method, generator))
        return ball.center + ball.radius * normals, normals

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes, normals and weights: a product of Gauss rules in the angles, or "monte-carlo" or "sobol"."""
        one_of(rule, RULES, "The quadrature rule on a sphere")
        ball = self.ball
        if rule != "gauss-legendre":
            points, normals = self.sample(n, "uniform" if rule == "monte-carlo" else rule, generator=generator)
            return points, normals, torch.full((n,), self.measure / n, dtype=torch.float64)
        check_nodes(n, rule, self.dim)
        normals, weights = _sphere_rule(n, ball.dim)
        return ball.center + ball.radius * normals, normals, ball.radius ** (ball.dim - 1) * weights


def _numbered(dim: int) -> list[str]:
    return [f"x{i}" for i in range(1, dim + 1)]


def _directions(unit: Tensor) -> Tensor:
    """Points of the unit cube as points of the unit sphere, both (n, d)."""
    normal = torch.special.ndtri(unit.clamp(1e-16, 1 - 1e-16))
    return normal / torch.linalg.norm(normal, dim=1, keepdim=True)


def _sphere_rule(n: int, dim: int) -> tuple[Tensor, Tensor]:
    """Nodes on the unit sphere of R^d and weights: 2n equal angles on a circle, then one Gauss rule a dimension.

    With z = cos(angle), a sphere consists of spheres of one dimension less and of radius (1 - z^2)^(1/2), which lie as
    dense as the weight (1 - z^2)^((d-3)/2), that of Gegenbauer's polynomials.
    """
    angles = math.pi * (np.arange(2 * n) + 0.5) / n
    nodes, weights = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(2 * n, math.pi / n)
    for d in range(3, dim + 1):
        z, shares = roots_gegenbauer(n, (d - 2) / 2)
        ring = np.sqrt(1 - z**2)[:, None, None] * nodes
        nodes = np.concatenate([ring, np.broadcast_to(z[:, None, None], (*ring.shape[:2], 1))], axis=2).reshape(-1, d)
        weights = (shares[:, None] * weights).reshape(-1)
    return torch.from_numpy(nodes), torch.from_numpy(weights)
