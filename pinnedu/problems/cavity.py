"""Flow in a closed square under a moving lid."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pinnedu.checks import one_of
from pinnedu.conditions import On
from pinnedu.domain import Box
from pinnedu.problem import Problem
from pinnedu.reference import cavity as reference

REYNOLDS = 100.0


def cavity(lid: str = "smooth") -> Problem:
    """(w . grad) w + grad p = Delta w / 100 and div w = 0 on (0, 1)^2, w = (u, v) = 0 on the walls, (g(x), 0) on the lid y = 1.

    g is 16 x^2 (1 - x)^2 or 4 x (1 - x). The pressure is 0 at x = y = 0. The exact velocity comes from Chebyshev collocation,
    see `pinnedu.reference.cavity`; the pressure is not judged, since it is singular at the corners of the lid.
    Fields: u, v (velocity), p (pressure). Coordinates: x, y.

    Parameters
    ----------
    lid : {"smooth", "parabolic"}

    References
    ----------
    Shih, Tan & Hwang (1989) for the smooth lid; Hao et al. (2023), PINNacle, for the parabolic one.
    """
    one_of(lid, reference.LIDS, "The lid")
    rows = {"smooth": lambda x: 16 * x**2 * (1 - x) ** 2, "parabolic": lambda x: 4 * x * (1 - x)}
    speed = rows[lid]

    def still(u: Any, v: Any) -> tuple[Any, Any]:
        return u, v

    def exact(x: Tensor, y: Tensor) -> dict[str, Any]:
        u, v = reference.exact(x.cpu().double().numpy(), y.cpu().double().numpy(), lid)
        return {"u": u, "v": v}

    return Problem(
        domain=Box(x=(0, 1), y=(0, 1)),
        fields=("u", "v", "p"),
        equations={
            "momentum_x": lambda u, v, p: u * u.x + v * u.y + p.x - u.laplacian() / REYNOLDS,
            "momentum_y": lambda u, v, p: u * v.x + v * v.y + p.y - v.laplacian() / REYNOLDS,
            "mass": lambda u, v: u.x + v.y,
        },
        conditions={
            "lid": On("y high", equation=lambda u, v, x: (u - speed(x), v)),
            "left": On("x low", equation=still),
            "right": On("x high", equation=still),
            "bottom": On("y low", equation=still),
            "pressure": On(x=0, y=0, equation=lambda p: p),
        },
        exact=exact,
    )
