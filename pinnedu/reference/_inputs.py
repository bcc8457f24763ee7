"""Checks shared by the reference solutions: each failure is one sentence, before any work starts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as a float64 array, or say why they are no finite real numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        given = type(values).__name__
        raise TypeError(f"{name} must be real numbers, but got {given}; pass a numpy array or a list.") from error
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, but holds NaN or infinity; remove those entries.")
    return array


def within(name: str, values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """Return `values` as a float64 array that lies in [low, high], or raise a ValueError."""
    array = numbers(name, values)
    if array.size and (array.min() < low or array.max() > high):
        found = f"is {array:g}" if array.ndim == 0 else f"spans [{array.min():g}, {array.max():g}]"
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but {found}.")
    return array


def together(**arrays: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the arrays broadcast against each other, or raise a ValueError."""
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError as error:
        shapes = " and ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{' and '.join(arrays)} must have shapes that broadcast, but have {shapes}.") from error


def axis(name: str, values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """Return the one-dimensional, non-empty array of grid coordinates `values`, or raise a ValueError."""
    array = np.atleast_1d(within(name, values, low, high))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional array, but has shape {array.shape}.")
    return array


def number(name: str, value: float, low: float, high: float) -> float:
    """Return `value` as a float in [low, high], or raise a ValueError."""
    array = within(name, value, low, high)
    if array.ndim != 0:
        raise ValueError(f"{name} must be one number, but has shape {array.shape}.")
    return float(array)


def count(name: str, value: int, low: int, high: int) -> int:
    """Return the whole number `value` in [low, high], or raise a TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, but got {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low} and {high}, but is {value}.")
    return int(value)


def span(name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return the interval (low, high) with low < high, or raise a ValueError."""
    array = numbers(name, value)
    if array.shape != (2,) or not array[0] < array[1]:
        raise ValueError(f"{name} must be a pair (low, high) with low < high, but is {value!r}.")
    return float(array[0]), float(array[1])
