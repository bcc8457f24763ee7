"""Points: how many are drawn, by which method, and the nodes of rules on an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import qmc
from torch import Tensor

from pinnedu.checks import as_number, is_whole, one_of, require, shown, whole

SAMPLERS = ("uniform", "latin", "sobol", "grid")
RULES = ("monte-carlo", "sobol", "midpoint", "trapezoid", "gauss-legendre")
MOST_NODES = 10**7
"""A rule of products with more nodes than this is refused."""


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
            check_count(count)
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


def check_count(n: object) -> None:
    """Raise ValueError unless it is a number of points."""
    if getattr(n, "ndim", 0):
        raise ValueError(
            "The number of points must be a whole number: points of your own are a condition, At(points, equation=...), which "
            "takes the equations of the interior as well."
        )
    whole(n, "The number of points")


def check_sampling(n: object, method: object, generator: object) -> None:
    """Raise ValueError unless points can be drawn so."""
    check_count(n)
    one_of(method, SAMPLERS, "The sampling method")
    require(generator is None or isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)


def unit_points(n: int, dim: int, method: str, generator: torch.Generator | None) -> Tensor:
    """Draw n points of the unit cube, shape (n, dim), n >= 1."""
    if method == "uniform":
        return torch.rand(n, dim, dtype=torch.float64, generator=generator)
    if method == "grid":
        return cell_centers(n, dim)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    if method == "latin":
        return torch.from_numpy(qmc.LatinHypercube(dim, rng=seed).random(n))
    # A power of two keeps the balance of the sequence; scipy warns otherwise.
    power = math.ceil(math.log2(n)) if n > 1 else 0
    return torch.from_numpy(qmc.Sobol(dim, rng=seed).random_base2(power)[:n])


def cell_centers(n: int, dim: int) -> Tensor:
    """n centers of cells of the coarsest regular grid of the unit cube that has so many, shape (n, dim).

    Where the grid has more cells than that, those left out are spread over it evenly, by an additive sequence with
    the powers of the generalized golden ratio (Roberts 2018): no region is left without points.
    """
    side = math.ceil(n ** (1 / dim) - 1e-9)
    if dim * math.log(side) > math.log(MOST_NODES):
        raise ValueError(f"A grid in {dim} dimensions has too many cells: draw points as uniform, latin or sobol.")
    centers = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    cells = torch.cartesian_prod(*[centers] * dim).reshape(-1, dim)
    if len(cells) == n:
        return cells
    golden = brentq(lambda g: g ** (dim + 1) - g - 1, 1, 2)
    powers = golden ** -torch.arange(1.0, dim + 1, dtype=torch.float64)
    order = ((side * cells - 0.5) @ powers).frac().argsort(stable=True)
    return cells[order[:n].sort().values]


def rule_on_unit_interval(n: int, rule: str) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a one-dimensional rule on [0, 1]."""
    if rule == "gauss-legendre":
        roots, shares = np.polynomial.legendre.leggauss(n)
        return torch.from_numpy((roots + 1) / 2), torch.from_numpy(shares / 2)
    if rule == "midpoint":
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n, torch.full((n,), 1 / n, dtype=torch.float64)
    weights = torch.full((n,), 1 / (n - 1), dtype=torch.float64)
    weights[[0, -1]] /= 2
    return torch.linspace(0, 1, n, dtype=torch.float64), weights


def check_nodes(n: object, rule: str, dim: int) -> None:
    """Raise ValueError unless a rule of products can have so many nodes along each coordinate."""
    if not is_whole(n, 2):
        raise ValueError(f"The rule {rule!r} needs at least 2 nodes a coordinate, not {shown(n)}.")
    if dim * math.log(int(n)) > math.log(MOST_NODES):  # type: ignore[call-overload]
        raise ValueError(
            f"The rule {rule!r} with {n} nodes along each of {dim} coordinates has too many nodes: take fewer, or the "
            "rule 'sobol', whose n counts them all."
        )


def nodes_each(total: int, dim: int) -> int:
    """How many nodes along each coordinate make about a total, at least 2."""
    return max(2, round(total ** (1 / max(dim, 1))))
