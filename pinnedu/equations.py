"""Functions of a problem, such as equations: what they ask for is found by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from pinnedu.checks import real_array, reason, shown
from pinnedu.device import out_of_memory
from pinnedu.field import Expression, MissingDerivative

Equation = Callable[..., Any]
Arguments = dict[str, Any]


def by_name(points: Tensor, coordinates: Sequence[str]) -> Arguments:
    """What a function may ask for: each coordinate, (N,), and ``points``, all of them at once, (N, d)."""
    together = {"points": points[:, : len(coordinates)]}
    return together | {name: points[:, i] for i, name in enumerate(coordinates)}


_parameters: WeakKeyDictionary[Callable[..., Any], list[str]] = WeakKeyDictionary()
"""What was found once: an equation is called at every step."""


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names that a function must be given; parameters with a default are its own affair."""
    if not callable(function):
        raise ValueError(f"A function such as lambda u: u.t - u.xx is needed, not {shown(function)}.")
    try:
        return _parameters[function]
    except (KeyError, TypeError):  # not seen yet, or nothing that a dict can keep
        pass
    empty = inspect.Parameter.empty
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of C have none
        raise ValueError(f"{shown(function)} does not show its parameters: wrap it in a lambda that names them.") from None
    names = [name for name, parameter in signature.parameters.items() if parameter.default is empty]
    with suppress(TypeError):
        _parameters[function] = names
    return names


def as_tensor(data: Any, what: str) -> Tensor:
    """Real numbers in any form as a new tensor in double precision, on the CPU unless they are a tensor elsewhere.

    Raises
    ------
    ValueError
        If something in it is no real number, or is masked.
    """
    if isinstance(data, Tensor):
        if data.is_complex() or data.dtype == torch.bool:
            raise ValueError(f"{what} must be an array of real numbers, not a tensor of {data.dtype}.")
        return (data if data.layout == torch.strided else data.to_dense()).to(torch.float64)
    if np.ma.is_masked(data):
        raise ValueError(f"{what} must be an array of real numbers, but some of them are masked: fill them or leave them out.")
    return torch.from_numpy(real_array(data, what))


def run(name: str, function: Equation, arguments: Mapping[str, Any]) -> Any:
    """Call a function of the problem with what its parameters name; ValueError, in one sentence, where it fails."""
    try:
        return function(**{parameter: arguments[parameter] for parameter in parameters(function)})
    except MissingDerivative:
        raise  # to be computed first
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if out_of_memory(error) or (isinstance(error, ValueError) and str(error).endswith(".")):
            raise  # a sentence of its own
        raise ValueError(f"{name!r} fails when it is called ({type(error).__name__}: {reason(error)}).") from error


def call(name: str, equation: Equation, arguments: Arguments) -> list[Tensor]:
    """Call an equation with what its parameters name; its residuals as a list of tensors (N,).

    Several residuals come as a tuple or a list. A complex one counts as two, its real and its imaginary part, so
    that the sum of their squares is |r|^2.
    """
    result = run(name, equation, arguments)
    blocks = []
    like = next(iter(arguments.values()))  # all coordinates
    for block in result if isinstance(result, tuple | list) else (result,):
        value = block.value if isinstance(block, Expression) else block
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc":  # of coordinates alone, by NumPy
            value = torch.as_tensor(value, device=like.device)
        if not isinstance(value, Tensor) or value.shape != (len(like),):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name!r} must return one number a point, shape ({len(like)},), or a tuple of such, not {got}.")
        if not value.is_floating_point() and not value.is_complex():
            raise ValueError(f"{name!r} must return floating numbers, not {value.dtype}.")
        blocks += [value.real, value.imag] if value.is_complex() else [value]
    if not blocks:
        raise ValueError(f"{name!r} must return one number a point, or a tuple of such, not an empty one.")
    return blocks
