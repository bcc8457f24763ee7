"""Traces of high derivatives by random directions: a cost that does not grow with the dimension.

The Laplacian is the trace of the Hessian H. For a random direction v with mean v v^T = 1, the number
v^T H v has the trace as its mean, and it is the second derivative of the model along a line: a jet
in one variable, however many coordinates there are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from math import factorial, prod

import torch
from torch import Tensor, nn

from pinnedu.derivatives.jet import Jet, NoRule, Plan
from pinnedu.derivatives.requests import Engine, Laplacian, Request
from pinnedu.derivatives.taylor import taylor
from pinnedu.device import move

DISTRIBUTIONS = ("rademacher", "gaussian", "coordinates", "radial")


def hutchinson(
    probes: int, distribution: str = "rademacher", seed: int | None = None, *, unbiased: bool = False
) -> Engine:
    """Make an engine that estimates Laplacians from random directions; all else is by Taylor mode.

    Every point has its own directions, drawn again at every call. The estimate has no bias, and
    with H the Hessian at a point its variance is

    - "rademacher" (signs): 2 sum_{i != j} H_ij^2 / probes,
    - "gaussian": 2 sum_{ij} H_ij^2 / probes,
    - "coordinates" (random axes without replacement, scaled):
      d^2 (1 / probes - 1 / d) times the sample variance of the H_ii; none once probes = d,
    - "radial" (the direction of the point itself, exactly, and random ones at right angles to it): only
      the scatter of H between those is left. For models on a ball, such as (1 - |x|^2) times a network.

    So signs never lose against normal numbers, and are exact for a diagonal Hessian; axes win where
    all H_ii are alike. The mean of a *square* is not the square of the mean: a loss made of
    estimated residuals is too large by their variance, and training lowers that variance, too.
    With ``unbiased=True`` the gradient of the loss has no bias: half the square of a residual r has
    the gradient r grad r, and its two factors are estimated from independent directions.

    Parameters
    ----------
    probes : int
        Directions for each point; the error falls as probes^-1/2.
    distribution : {"rademacher", "gaussian", "coordinates", "radial"}
    seed : int, optional
        Seed of the directions; torch's global generator by default.
    unbiased : bool
        Where a gradient is recorded, take the value from as many directions again, which are not part
        of the graph. For residuals that are affine in the Laplacian.

    Raises
    ------
    ValueError
        If the distribution is unknown, or the number of probes does not fit it.
    TypeError
        When called, if the model uses an operation that jets have no rule for.

    References
    ----------
    Hutchinson (1989), A stochastic estimator of the trace of the influence matrix; for the variances
    Avron & Toledo (2011), Randomized algorithms for estimating the trace of an implicit symmetric
    positive semi-definite matrix. Coordinates: Shi, Hu, Lin & Kawaguchi (2024), Stochastic Taylor
    derivative estimator. Two independent draws: Hu, Shi, Karniadakis & Kawaguchi (2024), Hutchinson
    trace estimation for high-dimensional and high-order physics-informed neural networks.
    """
    _check(probes, distribution)
    return Hutchinson(probes, distribution, seed, unbiased)


@dataclass(frozen=True)
class Hutchinson:
    """The engine that :func:`hutchinson` makes. ``generator`` is its stream of random numbers: checkpoints keep it."""

    probes: int
    distribution: str
    seed: int | None
    unbiased: bool
    generator: torch.Generator | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stream = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        object.__setattr__(self, "generator", stream)

    def __call__(self, model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
        """Values (N,) of every request."""
        exact = [request for request in requests if not isinstance(request[1], Laplacian)]
        values = taylor(model, points, exact) if exact else {}
        for what in {what for _, what in requests if isinstance(what, Laplacian)}:
            draw = partial(
                laplacian_power,
                model, points, probes=self.probes, axes=what.axes, distribution=self.distribution,
                generator=self.generator,
            )  # fmt: skip
            estimates = draw()
            if self.unbiased and estimates.requires_grad:
                with torch.no_grad():
                    value = draw()
                estimates = estimates + (value - estimates.detach())  # this value, that gradient
            values |= {(output, what): estimates[:, output] for output, other in requests if other == what}
        return {request: values[request] for request in requests}


def laplacian_power(
    model: nn.Module,
    points: Tensor,
    power: int = 1,
    *,
    probes: int,
    axes: tuple[int, ...] | None = None,
    distribution: str = "gaussian",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Estimate a power of the Laplacian of every output: 1 is the Laplacian, 2 the biharmonic operator.

    For standard normal v the derivative of order 2p along v has the mean (2p - 1)!! times the p-th
    power of the Laplacian (Isserlis' theorem). One probe is one jet of 2p + 1 coefficients.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    points : Tensor, shape (N, d)
    power : int
        At least 1; above 1 the distribution must be "gaussian".
    probes : int
    axes : tuple of int, optional
        Positions of the coordinates to differentiate by; all by default.
    distribution : {"rademacher", "gaussian", "coordinates", "radial"}
    generator : torch.Generator, optional

    Returns
    -------
    Tensor, shape (N, m)
    """
    _check(probes, distribution)
    if power < 1 or (power > 1 and distribution != "gaussian"):
        raise ValueError(f"power={power} with {distribution!r} directions: a power above 1 needs 'gaussian' ones.")
    axes = tuple(range(points.shape[1])) if axes is None else axes
    if distribution == "coordinates" and probes > len(axes):
        raise ValueError(f"There are {len(axes)} coordinates: choose at most as many probes, not {probes}.")
    drawn = move(_draw((probes, len(points), len(axes)), distribution, generator), points.device, points.dtype)
    share = torch.full((probes, 1, 1), 1 / probes, dtype=points.dtype, device=points.device)
    if distribution == "radial":
        drawn, share = _radial(drawn, points[:, list(axes)]), torch.cat([share.new_ones(1, 1, 1), share])
    directions = points.new_zeros(len(drawn), *points.shape)
    directions[..., list(axes)] = drawn
    repeated = points.expand(directions.shape).flatten(end_dim=1)
    along = directional(model, repeated, directions.flatten(end_dim=1), 2 * power)
    return (share * along.unflatten(0, (-1, len(points)))).sum(dim=0) / prod(range(1, 2 * power, 2))


def directional(model: nn.Module, points: Tensor, directions: Tensor, order: int) -> Tensor:
    """Derivative of s -> model(points + s directions) at s = 0, shape (N, m), by a jet in the one variable s.

    Raises
    ------
    TypeError
        If the model uses an operation that jets have no rule for.
    """
    plan = Plan.of(frozenset([(order,)]), 1)
    line = Jet([points, directions, *[None] * (order - 1)], plan)
    try:
        outputs = model(line)
        if not isinstance(outputs, Jet):
            raise NoRule("something that hides the inputs from torch functions")
    except NoRule as missing:
        raise TypeError(
            f"Taylor mode has no rule for {str(missing)!r}, and directional derivatives need it: use 'autograd'."
        ) from None
    top = outputs.coefficients[order]
    return torch.zeros_like(outputs.value) if top is None else factorial(order) * top.expand(outputs.shape)


def _check(probes: int, distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution={distribution!r} is unknown: choose one of {', '.join(DISTRIBUTIONS)}.")
    if not isinstance(probes, int) or probes < 1:
        raise ValueError(f"probes must be a positive integer, not {probes!r}.")


def _draw(shape: tuple[int, int, int], distribution: str, generator: torch.Generator | None) -> Tensor:
    """Directions (probes, N, d) with mean v v^T = 1, in double precision on the CPU, so that a seed means one thing."""
    probes, count, dim = shape
    if distribution in ("gaussian", "radial"):
        return torch.randn(shape, dtype=torch.float64, generator=generator)
    if distribution == "rademacher":
        return torch.randint(0, 2, shape, generator=generator).double() * 2 - 1
    axes = torch.rand(count, dim, generator=generator).argsort(dim=1)[:, :probes]  # distinct for each point
    return torch.nn.functional.one_hot(axes.T, dim).double() * dim**0.5


def _radial(normal: Tensor, points: Tensor) -> Tensor:
    """The direction e of each point, and random ones w of length sqrt(d - 1) at right angles: mean w w^T = 1 - e e^T."""
    e = points / torch.linalg.norm(points, dim=1, keepdim=True).clamp_min(torch.finfo(points.dtype).tiny)
    w = normal - (normal * e).sum(dim=2, keepdim=True) * e
    w = w * (points.shape[1] - 1) ** 0.5 / torch.linalg.norm(w, dim=2, keepdim=True)
    return torch.cat([e[None], w])
