"""Functions of a problem, such as equations: what they ask for is found by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pinnedu.checks import reason, shown
from pinnedu.device import out_of_memory
from pinnedu.field import Field, MissingDerivative

Equation = Callable[..., Any]
Arguments = dict[str, Any]


def by_name(points: Tensor, coordinates: Sequence[str]) -> Arguments:
    """What a function may ask for: each coordinate, (N,), and ``points``, all of them at once, (N, d)."""
    together = {"points": points[:, : len(coordinates)]}
    return together | {name: points[:, i] for i, name in enumerate(coordinates)}


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names that a function must be given; parameters with a default are its own affair."""
    if not callable(function):
        raise ValueError(f"A function such as lambda u: u.t - u.xx is needed, not {shown(function)}.")
    empty = inspect.Parameter.empty
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of C have none
        raise ValueError(f"{shown(function)} does not tell its parameters: wrap it in a lambda that names them.") from None
    return [name for name, parameter in signature.parameters.items() if parameter.default is empty]


def as_tensor(data: Any, what: str) -> Tensor:
    """Numbers as a tensor in double precision."""
    try:
        tensor = torch.as_tensor(data)
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError
        return tensor.to(torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{what} must be an array of real numbers, not {shown(data)}.") from None


def run(name: str, function: Equation, arguments: Mapping[str, Any]) -> Any:
    """Call a function of the problem with what its parameters name; ValueError, in one sentence, where it fails."""
    try:
        return function(**{parameter: arguments[parameter] for parameter in parameters(function)})
    except MissingDerivative:
        raise  # a derivative to be computed first
    except (RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"{name!r} fails when it is called ({type(error).__name__}: {reason(error)}).") from error


def call(name: str, equation: Equation, arguments: Arguments) -> list[Tensor]:
    """Call an equation with what its parameters name; its residuals as a list of tensors (N,)."""
    result = run(name, equation, arguments)
    blocks = []
    count = len(next(iter(arguments.values())))  # all coordinates
    for block in result if isinstance(result, tuple) else (result,):
        value = block.value if isinstance(block, Field) else block
        if not isinstance(value, Tensor) or value.shape != (count,):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name!r} must return one number a point, shape ({count},), not {got}.")
        if not value.is_floating_point() and not value.is_complex():
            raise ValueError(f"{name!r} must return floating numbers, not {value.dtype}.")
        blocks.append(value)
    return blocks
