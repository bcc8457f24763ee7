"""An L-shaped membrane: at its inner corner the slope of the solution is infinite."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor

from pinnedu.checks import one_of
from pinnedu.conditions import On
from pinnedu.problem import Problem
from pinnedu.reference import l_shape as reference


def l_shape(kind: str = "loaded") -> Problem:
    """u_xx + u_yy + f = 0 on (-1, 1)^2 without [0, 1]^2.

    "loaded": f = 1 and u = 0 on the boundary; the exact solution is computed, see `pinnedu.reference.l_shape`.
    "singular": f = 0 and u = r^(2/3) sin(2 theta / 3) about the inner corner, theta from the edge x = 0. Near that corner
    both behave as r^(2/3). Fields: u. Coordinates: x, y.

    Parameters
    ----------
    kind : {"loaded", "singular"}
    """
    import shapely  # where no region is used it need not be there

    from pinnedu.region import Region

    one_of(kind, ("loaded", "singular"), "The kind of L-shape")
    load = 1.0 if kind == "loaded" else 0.0
    known = reference.exact if kind == "loaded" else reference.singular

    def exact(x: Tensor, y: Tensor) -> Any:
        return known(x.detach().cpu().double().numpy(), y.detach().cpu().double().numpy())

    def rim(x: Tensor, y: Tensor) -> Tensor:
        """The value on the boundary."""
        if kind == "loaded":
            return torch.zeros_like(x)
        theta = torch.remainder(torch.atan2(y, x) - pi / 2 + 1e-12, 2 * pi) - 1e-12
        return (x**2 + y**2) ** (1 / 3) * torch.sin(2 * theta / 3)

    corners = [(corner.real, corner.imag) for corner in reference.CORNERS.tolist()]
    return Problem(
        domain=Region(shapely.Polygon(corners)),
        equations={"poisson": lambda u: u.laplacian() + load},
        conditions={"boundary": On("boundary", equation=lambda u, x, y: u - rim(x, y))},
        exact=exact,
    )
