"""What a run is asked, in texts and arrays: quantities by name, points by their coordinates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinnedu.checks import require, shown
from pinnedu.observations import precision
from pinnedu.problem import Problem


def points_of(problem: Problem, coordinates: Mapping[str, Any]) -> tuple[Tensor, tuple[int, ...]]:
    """Points (N, d) of coordinates by name, and the shape that these have together."""
    names = problem.domain.names
    if set(coordinates) != set(names):
        given = ", ".join(coordinates) or "none"
        raise ValueError(f"predict needs each coordinate by name, {', '.join(f'{name}=...' for name in names)}; given: {given}.")
    columns, eps = [], 0.0
    for name in names:
        value = coordinates[name]
        try:
            column = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
            good = column.dtype.kind in "iuf" and bool(np.isfinite(column).all())
        except (TypeError, ValueError):
            good = False
        require(good, name, "a number or an array of finite real numbers", value)
        columns.append(column.astype(np.float64))
        eps = max(eps, precision(column))
    try:
        together = np.broadcast_arrays(*columns)
    except ValueError:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in zip(names, columns, strict=True))
        raise ValueError(f"The coordinates have shapes that do not broadcast: {shapes}.") from None
    points = torch.from_numpy(np.stack([column.reshape(-1) for column in together], axis=1))
    slack = max(1e-9, problem.domain.rounding(eps))  # single precision on a face is as good as on the face
    if len(points) and (outside := int((~problem.domain.contains(points, slack)).sum())):
        raise ValueError(f"{outside} of {len(points)} points lie outside of {problem.domain!r}: the model was not trained there.")
    return points, together[0].shape


def quantity(what: str, problem: Problem) -> Callable[..., Any]:
    """A function for the text ``field.derivative``, in the language of equations."""
    name, *path = what.split(".")
    if name not in problem.quantities:
        raise ValueError(f"There is no field {shown(name)}: predict knows {', '.join(problem.quantities)}.")

    def evaluate(**arguments: Any) -> Any:
        value = arguments[name]
        for part in path:
            value = getattr(value, part)
        return value() if callable(value) else value

    keyword = inspect.Parameter.KEYWORD_ONLY
    evaluate.__signature__ = inspect.Signature([inspect.Parameter(name, keyword)])  # type: ignore[attr-defined]
    return evaluate
