"""Corners: where two conditions meet and ask one field for two values, so that no smooth solution can have both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor, nn

from pinnedu.conditions import On
from pinnedu.domain import Part, Union
from pinnedu.problem import Problem

TOLERANCE = 1e-6


def conflicts(problem: Problem) -> list[str]:
    """What is wrong at corners, a sentence for each pair of conditions that ask for two values there.

    A condition asks for a value at a point if its residual is a multiple of one field, plus a number. Conditions on
    slopes, of several fields or with unknowns ask for none.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    list of str
    """
    said = []
    bound = {name: condition for name, condition in problem.conditions.items() if type(condition) is On}
    for (one, first), (two, second) in combinations(bound.items(), 2):
        points = meeting(first.set(problem.domain), second.set(problem.domain))
        if not len(points):
            continue
        for field in problem.fields:
            try:
                a, b = demanded(problem, one, field, points), demanded(problem, two, field, points)
            except ValueError:  # an equation that constants do not suit
                continue
            gap = (a - b).abs().nan_to_num(nan=0.0)
            worst = int(gap.argmax())
            large = gap[worst] > TOLERANCE * max(1.0, float(a[worst].abs()), float(b[worst].abs()))
            if large and not any(sloped(problem, name, points[worst : worst + 1]) for name in (one, two)):
                place = ", ".join(f"{c} = {x:.4g}" for c, x in zip(problem.domain.names, points[worst].tolist(), strict=True))
                said.append(
                    f"The conditions {one!r} and {two!r} ask for {field} = {float(a[worst]):.4g} and {float(b[worst]):.4g} "
                    f"where they meet ({place}): the solution jumps there, and no network follows it. Let one run into "
                    "the other, or expect an error near that corner."
                )
    return said


def meeting(one: Part, two: Part) -> Tensor:
    """Some points that two parts have in common, (N, d); N is 0 where there are none, or the parts cannot say."""
    found = []
    for a in _pieces(one):
        for b in _pieces(two):
            common = getattr(a, "meeting", lambda other: None)(b)
            if common is not None and len(common):
                found.append(common)
    return torch.cat(found) if found else torch.zeros(0, 0, dtype=torch.float64)


def _pieces(part: Part) -> Iterator[Part]:
    for piece in part.pieces if isinstance(part, Union) else (part,):
        if isinstance(piece, Union):
            yield from _pieces(piece)
        else:
            yield piece


def demanded(problem: Problem, condition: str, field: str, points: Tensor) -> Tensor:
    """Which value of a field a condition asks for at each point, (N,); NaN where for none, or for more fields."""
    data = _rows(problem, condition, points)
    value = torch.full((len(points),), torch.nan, dtype=torch.float64)
    outputs = torch.eye(len(problem.fields), dtype=torch.float64)
    own = problem.fields.index(field)
    zero = _residuals(problem, condition, torch.zeros_like(outputs[own]), data)
    unit, double = (_residuals(problem, condition, k * outputs[own], data) for k in (1, 2))
    for rest, once, twice in zip(zero, unit, double, strict=True):
        slope = once - rest
        good = (slope.abs() > 1e-12) & ((twice - rest - 2 * slope).abs() <= 1e-9 * slope.abs()) & torch.isfinite(rest)
        value = torch.where(good & value.isnan(), 0.0 - rest / slope, value)
    for k, output in enumerate(outputs):
        if k != own:
            others = _residuals(problem, condition, output, data)
            value[_changed(others, zero)] = torch.nan
    return value


def sloped(problem: Problem, condition: str, point: Tensor) -> bool:
    """Whether a condition asks for a slope at a point (1, d): then two fields of one value there are not the same to it."""
    data, zero = _rows(problem, condition, point), torch.zeros(len(problem.fields), dtype=torch.float64)
    flat, tilted = (_residuals(problem, condition, zero, data, tilt) for tilt in (0.0, 1.0))
    return bool(_changed(tilted, flat).any())


def _rows(problem: Problem, condition: str, points: Tensor) -> Tensor:
    """Points with the columns of a condition: its normals differ from side to side, and who uses them asks for no value."""
    columns = len(problem.conditions[condition].columns(problem.domain))
    return torch.cat([points, torch.full((len(points), columns), torch.nan, dtype=torch.float64)], dim=1)


def _changed(blocks: list[Tensor], before: list[Tensor]) -> Tensor:
    """Whether any of the residuals that ask for the field at all is another one."""
    return torch.stack([(a - b).abs() > 1e-9 for a, b in zip(blocks, before, strict=True)]).any(dim=0)


def _residuals(problem: Problem, condition: str, values: Tensor, data: Tensor, tilt: float = 0.0) -> list[Tensor]:
    """What a condition leaves of constant fields, or of such with a slope that are the same at the one point."""
    dim = problem.domain.dim
    model = nn.Linear(dim, len(values), dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(tilt * torch.linspace(1, 2, model.weight.numel(), dtype=torch.float64).reshape(model.weight.shape))
        model.bias.copy_(values - model.weight @ data[0, :dim] if tilt else values)
        return problem.blocks(model, {condition: data}, "autograd")[condition]
