"""What is said about arguments that cannot be used: what it is, what it must be, and what was given."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 2**31
"""No count is as large."""


def shown(thing: object) -> str:
    """How an object shows itself, in one line that is not long."""
    text = f"{thing.__name__} (the class)" if isinstance(thing, type) else " ".join(repr(thing).split())
    return text if len(text) <= 80 else text[:77] + "..."


def require(right: bool, what: str, wanted: str, given: object) -> None:
    """Raise ValueError unless something is right."""
    if not right:
        raise ValueError(f"{what} must be {wanted}, not {shown(given)}.")


def is_whole(thing: object, low: int = 1) -> bool:
    """Whether it is a whole number of at least ``low``; True and False are none."""
    return isinstance(thing, Integral) and not isinstance(thing, bool) and low <= int(thing) < MOST


def as_number(thing: Any) -> float:
    """A real number, also from an array or tensor without dimensions; NaN from anything else."""
    try:
        if (isinstance(thing, Real) and not isinstance(thing, bool)) or thing.ndim == 0:
            return float(thing)
    except Exception:  # whatever an object does when it is asked
        pass
    return float("nan")


def one_of(thing: object, names: Collection[str], what: str) -> None:
    """Raise ValueError unless it is one of some names."""
    if not (isinstance(thing, str) and thing in names):
        raise ValueError(f"{what} {shown(thing)} is unknown: choose one of {', '.join(names)}.")


def named(thing: object, what: str, wanted: str, *, some: bool = False) -> None:
    """Raise ValueError unless it is a dict whose keys are names; with ``some`` it must not be empty."""
    good = isinstance(thing, Mapping) and all(isinstance(name, str) for name in thing) and (len(thing) > 0 or not some)
    require(good, what, wanted, thing)


def reason(error: BaseException) -> str:
    """What an error says, in one line that is not long, without a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 160 else text[:157] + "...").rstrip(".")


# --- numbers and arrays; what is right is returned in one form


def whole(thing: Any, what: str, low: int = 1, high: int = MOST - 1) -> int:
    """A whole number from ``low`` to ``high``; True and False are none."""
    wanted = f"a whole number of at least {low}" if high >= MOST - 1 else f"a whole number from {low} to {high}"
    require(is_whole(thing, low) and int(thing) <= high, what, wanted, thing)
    return int(thing)


def number(thing: object, what: str, low: float = -math.inf, high: float = math.inf, wanted: str = "") -> float:
    """A finite real number from ``low`` to ``high``, also from an array without dimensions."""
    value = as_number(thing)
    within = f" from {low:g} to {high:g}" if high < math.inf else f" of at least {low:g}" if low > -math.inf else ""
    require(math.isfinite(value) and low <= value <= high, what, wanted or "a finite number" + within, thing)
    return value


def positive(thing: object, what: str) -> float:
    """A finite number above 0."""
    return number(thing, what, math.ulp(0.0), wanted="a positive number")


def flag(thing: object, what: str) -> None:
    """Raise ValueError unless it is True or False."""
    require(isinstance(thing, bool), what, "True or False", thing)


def real_array(data: Any, what: str) -> NDArray[np.float64]:
    """Real numbers in any form (NumPy, pandas, xarray, lists; any byte order and precision) as a new float64 array.

    Raises
    ------
    ValueError
        If something in it is no real number, which is named with its place.
    """
    try:
        array = np.asarray(data)
        if array.dtype.kind == "O":
            for place, item in np.ndenumerate(array):
                if isinstance(item, str | bytes | bool | np.bool_ | complex):
                    raise ValueError(f"{what} must be an array of real numbers, but at {_place(place)} it has {shown(item)}.")
        if array.dtype.kind in "iufO":
            return np.array(array, dtype=np.float64, order="C", copy=True)
    except ValueError as error:
        if str(error).startswith(what):
            raise
    except (TypeError, RuntimeError, OverflowError):
        pass
    raise ValueError(f"{what} must be an array of real numbers, not {_kind(data)}.") from None


def numbers(data: Any, what: str, low: float = -math.inf, high: float = math.inf) -> NDArray[np.float64]:
    """Finite real numbers from ``low`` to ``high``, as a float64 array."""
    array = real_array(data, what)
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, but at {_place(np.argwhere(~np.isfinite(array))[0])} it is NaN or infinite.")
    if array.size and not (low <= array.min() and array.max() <= high):
        raise ValueError(
            f"{what} must lie in [{low:g}, {high:g}], but goes from {array.min():g} to {array.max():g}."
        )
    return array


def axis(data: Any, what: str, low: float = -math.inf, high: float = math.inf) -> NDArray[np.float64]:
    """One-dimensional coordinates of a grid, not empty, from ``low`` to ``high``."""
    array = np.atleast_1d(numbers(data, what, low, high))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{what} must be a non-empty one-dimensional array, not one of shape {array.shape}.")
    return array


def vector(data: Any, what: str, size: int) -> NDArray[np.float64]:
    """A vector of so many numbers."""
    array = real_array(data, what)
    require(array.shape == (size,), what, f"of shape ({size},)", array.shape)
    return array


def together(**arrays: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Arrays broadcast against each other."""
    try:
        return tuple(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{' and '.join(arrays)} must have shapes that broadcast, not {shapes}.") from None


def interval(thing: Any, what: str) -> tuple[float, float]:
    """A pair of finite numbers (low, high) with low < high."""
    pair = [as_number(end) for end in thing] if isinstance(thing, tuple | list | np.ndarray) else []
    good = len(pair) == 2 and all(map(math.isfinite, pair)) and pair[0] < pair[1]
    require(good, what, "a pair of finite numbers (low, high) with low < high", thing)
    return pair[0], pair[1]


def _place(place: Sequence[Any]) -> str:
    """Where in an array, in words."""
    index = [int(i) for i in place]
    return f"row {index[0]}" if len(index) == 1 else f"row {index[0]}, column {index[1]}" if len(index) == 2 else f"{index}"


def _kind(data: Any) -> str:
    """What an array is made of, where that is what is wrong with it, or else itself."""
    dtype = getattr(data, "dtype", None)
    return shown(data) if dtype is None else f"{shown(data)} of {dtype}"
