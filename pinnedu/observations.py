"""Conditions on points of one's own: equations with data, and measured values."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinnedu.conditions import Condition, Scope
from pinnedu.domain import SINGLE, Domain
from pinnedu.equations import Arguments, Equation, as_tensor, call
from pinnedu.sampling import Points


class At(Condition):
    """An equation on points of one's own.

    Parameters
    ----------
    points : array, Tensor or table, shape (N, d)
        In the order of the domain's coordinates.
    equation : callable
        Gets fields, coordinates, unknowns and the columns by name; returns what shall vanish, shape (N,), or a
        tuple or list of such.
    **columns : array, Tensor or column of a table, shape (N,)
        Numbers that belong to the points, under names of their own, such as a measured flux. Rows in
        which a number or the point is masked are left out, with a warning that counts them.

    Attributes
    ----------
    where : Tensor, float64, shape (N, d)
    values : dict of name to Tensor, float64, shape (N,)
    left_out : int
        How many masked rows were left out.

    Examples
    --------
    >>> points, flux = torch.rand(20, 2), torch.ones(20)
    >>> measured = At(points, equation=lambda u, k, flux: -k * u.x - flux, flux=flux)
    """

    def __init__(self, points: Any, *, equation: Equation, **columns: Any) -> None:
        self.equation = equation
        self._read(points, columns)

    def _read(self, points: Any, columns: Mapping[str, Any]) -> None:
        kind = type(self).__name__
        hidden = [np.ma.getmaskarray(item) for item in (points, *columns.values()) if np.ma.is_masked(item)]
        if any(len(mask) != len(hidden[0]) for mask in hidden):
            raise ValueError(f"{kind} needs points and values of one length, but their masks have different ones.")
        rows = [mask.reshape(len(mask), -1).any(axis=1) for mask in hidden]
        visible = ~np.logical_or.reduce(rows) if rows else None
        self.left_out = 0 if visible is None else int((~visible).sum())
        if visible is not None:
            columns = {"points": points, **columns}
            columns = {name: _rows(item, visible, f"The {name} of {kind}") for name, item in columns.items()}
            points = columns.pop("points")
            warnings.warn(f"{kind} leaves out {self.left_out} of {len(visible)} rows, which are masked.", stacklevel=3)
        self.precision = precision(points)
        self.where = as_tensor(points, f"The points of {kind}").detach().cpu()
        self.values = {name: as_tensor(value, f"The values of {name}").detach().cpu() for name, value in columns.items()}

    def __repr__(self) -> str:
        masked = f", {self.left_out} masked rows left out" if self.left_out else ""
        return f"{type(self).__name__}({', '.join([f'{len(self.where)} points', *self.values])}{masked})"

    def columns(self, domain: Domain) -> tuple[str, ...]:
        return tuple(self.values)

    def check(self, name: str, scope: Scope) -> None:
        domain = scope.domain
        if self.where.ndim != 2 or self.where.shape[1] != domain.dim or not len(self.where):
            raise ValueError(
                f"The data {name!r} needs points of shape (N, {domain.dim}) with columns "
                f"{', '.join(domain.names)}, not {tuple(self.where.shape)}."
            )
        _check_finite(self.where, f"The data {name!r} has points that are")
        # Data are often rounded to single precision, here or by whoever wrote them.
        outside = ~domain.contains(self.where, max(1e-9, domain.rounding(self.precision)))
        if outside.any():
            row = int(outside.nonzero()[0])
            place = ", ".join(f"{key} = {c:.9g}" for key, c in zip(domain.names, self.where[row].tolist(), strict=True))
            far = float(domain.excess(self.where[row : row + 1]))
            by = f", {far:.2g} outside" if far > 0 else ", within the bounds of the domain but not in it"
            raise ValueError(
                f"The data {name!r} has {int(outside.sum())} points outside the domain {domain}; the first is row {row} "
                f"({place}){by}: remove them or enlarge the domain."
            )
        self._check_columns(name, scope)
        for output, value in self.values.items():
            if value.shape != (len(self.where),):
                raise ValueError(
                    f"The data {name!r} needs values of {output} of shape ({len(self.where)},), "
                    f"not {tuple(value.shape)}."
                )
            _check_finite(value, f"The data {name!r} has values of {output} that are")

    def _check_columns(self, name: str, scope: Scope) -> None:
        """Raise ValueError unless the columns have names of their own and the equation asks for nothing else."""
        for column in self.values:
            if column in scope.names:
                raise ValueError(f"The data {name!r} has a column {column!r}, which is the name of something else: rename it.")
        scope.check(name, self.equation, tuple(self.values))

    def points(self, name: str, domain: Domain, points: Points, generator: torch.Generator | None) -> Tensor:
        rows = torch.cat([self.where, *(value[:, None] for value in self.values.values())], dim=1)
        count = points.conditions.get(name, len(rows)) if isinstance(points.conditions, Mapping) else len(rows)
        return rows if count >= len(rows) else rows[torch.randperm(len(rows), generator=generator)[:count]]

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        return call(name, self.equation, arguments | dict(zip(self.values, data.unbind(dim=1), strict=True)))

    def quadrature(self, name: str, domain: Domain, n: int) -> tuple[Tensor, Tensor]:
        raise ValueError(f"The condition {name!r} is data at points: it has no integral over a set.")

    def restrict(self, domain: Domain) -> At | None:
        """The rows whose points lie in a smaller domain; None if there are none."""
        inside = domain.contains(self.where, max(1e-9, domain.rounding(self.precision)))
        if not inside.any():
            return None
        part = copy.copy(self)
        part.where, part.values = self.where[inside], {name: value[inside] for name, value in self.values.items()}
        return part


class Observed(At):
    """Data: measured values of some fields at some points, ``At(points, equation=lambda u, u_0: u - u_0, ...)`` in short.

    Parameters
    ----------
    points : array, Tensor or table, shape (N, d)
        In the order of the domain's coordinates.
    **values : array, Tensor or column of a table, shape (N,)
        Measurements by name of a field or of a derived quantity. Masked rows are left out, see :class:`At`.
    """

    def __init__(self, points: Any, /, **values: Any) -> None:
        if not values:
            raise ValueError("Observed needs the values of a field, such as Observed(points, u=values).")
        if any(callable(value) for value in values.values()):
            raise ValueError("Observed takes values of fields; an equation on points of your own is At(points, equation=...).")
        self.equation = None
        self._read(points, values)

    def _check_columns(self, name: str, scope: Scope) -> None:
        for output in self.values:
            if output not in scope.quantities:
                raise ValueError(
                    f"The data {name!r} gives {output!r}, but the fields are {', '.join(scope.quantities)}."
                )

    def blocks(self, name: str, arguments: Arguments, data: Tensor, scope: Scope) -> list[Tensor]:
        measured = zip(self.values, data.unbind(dim=1), strict=True)
        return [arguments[output].value - value for output, value in measured]


def _rows(item: Any, visible: np.ndarray[Any, Any], what: str) -> Any:
    """The rows that are not masked."""
    array = np.ma.getdata(item) if isinstance(item, np.ma.MaskedArray) else item
    array = array if isinstance(array, Tensor) else np.asarray(array)
    if array.ndim == 0 or len(array) != len(visible):
        raise ValueError(f"{what} must have {len(visible)} rows, as many as the mask, not shape {tuple(array.shape)}.")
    return array[torch.from_numpy(visible).to(array.device)] if isinstance(array, Tensor) else array[visible]


def precision(points: Any) -> float:
    """The relative rounding of the numbers as they were given, at least that of single precision."""
    dtype = getattr(points, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return max(SINGLE, torch.finfo(dtype).eps) if dtype.is_floating_point else SINGLE
    return max(SINGLE, float(np.finfo(dtype).eps)) if getattr(dtype, "kind", "") == "f" else SINGLE


def _check_finite(values: Tensor, what: str) -> None:
    """Raise ValueError that names the first row with NaN or infinity, if there is one."""
    bad = ~torch.isfinite(values).reshape(len(values), -1).all(dim=1)
    if bad.any():
        raise ValueError(
            f"{what} NaN or infinite: remove those rows, {int(bad.sum())} of {len(values)}, the first of them row "
            f"{int(bad.nonzero()[0])}."
        )
