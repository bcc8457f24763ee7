"""A solution known by its values on a grid, such as another solver writes them, evaluated between them by splines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import NdBSpline, make_interp_spline

from pinnedu import checks

Array = NDArray[np.float64]


class Table:
    """Values of fields on a grid as the ``exact`` solution of a problem.

    Parameters
    ----------
    axes : dict of name to array, shape (n_i,)
        The grid along each coordinate, increasing, in the order of the domain's coordinates.
    degree : int
        Of the spline along each axis, odd, below each n_i. Where the values are smooth the error falls with the spacing to the
        power of degree + 1; at kinks and jumps a spline of degree 1 does not overshoot.
    **values : array, shape (n_1, ..., n_d)
        One for each field, by its name.

    Raises
    ------
    ValueError
        If the shapes do not fit, or something is NaN or infinite.

    Examples
    --------
    >>> x, t = np.linspace(0, 1, 101), np.linspace(0, 1, 51)
    >>> table = Table({"x": x, "t": t}, u=np.exp(-t) * np.sin(x[:, None]))
    >>> problem = Problem(..., exact=table)
    """

    def __init__(self, axes: Mapping[str, ArrayLike], *, degree: int = 3, **values: ArrayLike) -> None:
        checks.named(axes, "axes", 'a dict of coordinate to numbers, such as {"x": x, "t": t}')
        self.degree = checks.whole(degree, "degree", 1, 7)
        checks.require(self.degree % 2 == 1, "degree", "odd", degree)
        checks.require(bool(axes) and bool(values), "A Table", "made of axes and of values of fields", values)
        self.axes = {name: checks.axis(along, f"The axis {name}") for name, along in axes.items()}
        for name, along in self.axes.items():
            if len(along) <= self.degree or not (np.diff(along) > 0).all():
                raise ValueError(f"The axis {name} must be increasing, with more than {self.degree} numbers.")
        shape = tuple(map(len, self.axes.values()))
        self.values = {name: checks.numbers(value, f"The values of {name}") for name, value in values.items()}
        for name, value in self.values.items():
            checks.require(value.shape == shape, f"The values of {name}", f"of shape {shape}, as the axes", value.shape)
        self._splines = {name: _spline(tuple(self.axes.values()), value, self.degree) for name, value in self.values.items()}

    def __repr__(self) -> str:
        grid = ", ".join(f"{name}: {len(along)}" for name, along in self.axes.items())
        return f"Table({', '.join(self.values)} on a grid of {grid})"

    def __call__(self, points: Any) -> dict[str, Array]:
        """The fields at points (N, d), tensors or arrays, each (N,).

        Raises
        ------
        ValueError
            If a point lies outside of the grid.
        """
        where = checks.numbers(points.detach().cpu() if hasattr(points, "detach") else points, "The points")
        if where.ndim != 2 or where.shape[1] != len(self.axes):
            raise ValueError(f"The points must have shape (N, {len(self.axes)}), not {where.shape}.")
        for column, (name, along) in zip(where.T, self.axes.items(), strict=True):
            slack = 1e-6 * (along[-1] - along[0])  # points may have been rounded to single precision
            checks.numbers(column, f"The points' {name}", along[0] - slack, along[-1] + slack)
            np.clip(column, along[0], along[-1], out=column)
        return {name: np.asarray(spline(where)) for name, spline in self._splines.items()}

    @property
    def accuracy(self) -> dict[str, float]:
        """How well every second line of the grid gives the others, relative L2 by field: more than the error of the table."""
        along = tuple(axis[::2] for axis in self.axes.values())
        if any(len(axis) <= self.degree for axis in along):
            raise ValueError(f"{self!r} is too small to leave out every second line.")
        inner = tuple(slice(2 * len(axis) - 1) for axis in along)
        lines = np.meshgrid(*(axis[part] for axis, part in zip(self.axes.values(), inner, strict=True)), indexing="ij")
        points = np.stack(lines, axis=-1)
        found = {}
        for name, value in self.values.items():
            coarse = _spline(along, value[(slice(None, None, 2),) * len(along)], self.degree)
            found[name] = float(np.linalg.norm(coarse(points) - value[inner]) / np.linalg.norm(value[inner]))
        return found


def _spline(axes: tuple[Array, ...], values: Array, degree: int) -> NdBSpline:
    """The interpolating spline, by one axis after the other."""
    knots = []
    for axis, along in enumerate(axes):
        one = make_interp_spline(along, values, k=degree, axis=axis)
        values = np.moveaxis(one.c, 0, axis)  # it puts that axis first
        knots.append(one.t)
    return NdBSpline(tuple(knots), values, degree)


__all__ = ["Table"]
