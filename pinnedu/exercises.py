"""Checking the answer to an exercise: not only that it is wrong, but what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# What goes wrong most often, as a factor between the answer and the truth.
FACTORS: dict[float, str] = {
    -1.0: "the sign is wrong",
    2.0: "it is twice too large: is a factor 1/2 missing?",
    0.5: "it is half of what it should be: is a factor 2 missing?",
    -2.0: "the sign is wrong, and it is twice too large",
    -0.5: "the sign is wrong, and it is half of what it should be",
    np.pi: "it is π times too large",
    1 / np.pi: "it is π times too small",
    2 * np.pi: "it is 2π times too large: is the length of the interval missing?",
    1 / (2 * np.pi): "it is 2π times too small: is the length of the interval missing?",
    100.0: "it is a hundred times too large: a percentage?",
}


@dataclass(frozen=True)
class Verdict:
    """What `check` found: whether the answer is right, and a sentence about it."""

    right: bool
    says: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.says


def check(
    answer: Any,
    expected: Any,
    *,
    tolerance: float = 1e-6,
    mistakes: Mapping[str, Any] | None = None,
) -> Verdict:
    """Compare an answer with what is expected, and say what is wrong with it.

    Parameters
    ----------
    answer : number, sequence, array or Tensor
        What you found.
    expected : the same
        What is right, of the same shape.
    tolerance : float
        Largest difference allowed, relative to the largest expected entry.
    mistakes : dict of sentence to value, optional
        Wrong answers that are easy to get, each with what to say about it.

    Returns
    -------
    Verdict
        Shown as its sentence; true if the answer is right.

    Examples
    --------
    >>> check(-2.0, 2.0)
    Not yet: the sign is wrong.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance!r}.")
    truth = _numbers(expected)
    if truth is None or not np.isfinite(truth).all():
        raise ValueError("expected must hold finite numbers.")
    problem = _what_is_wrong(answer, truth, tolerance, mistakes or {})
    return Verdict(False, f"Not yet: {problem}.") if problem else Verdict(True, "Right.")


def _what_is_wrong(answer: Any, truth: Array, tolerance: float, mistakes: Mapping[str, Any]) -> str:
    """A clause about the first thing that is wrong, the simplest first; empty if nothing is."""
    if answer is None or answer is ...:
        return "there is no answer yet; does your function return something?"
    if callable(answer):
        return "this is a function; call it, and check what it returns"
    found = _numbers(answer)
    if found is None:
        return f"numbers are expected, and this is {type(answer).__name__}"
    if found.shape != truth.shape:
        if found.size == truth.size:
            return f"the numbers may be right, but their shape is {found.shape} and should be {truth.shape}"
        return f"the shape is {found.shape} and should be {truth.shape}"
    if not np.isfinite(found).all():
        return f"{np.count_nonzero(~np.isfinite(found))} of {found.size} entries are NaN or infinite"
    scale = float(np.abs(truth).max(initial=0)) or 1.0

    def close(a: Array, b: Array) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= tolerance * scale)

    if close(found, truth):
        return ""
    for sentence, value in mistakes.items():
        wrong = _numbers(value)
        if wrong is not None and wrong.shape == found.shape and close(found, wrong):
            return sentence.rstrip(".")
    for factor, sentence in FACTORS.items():
        if np.abs(found - factor * truth).max() <= tolerance * abs(factor) * scale:
            return sentence
    if truth.ndim == 2 and truth.shape[0] == truth.shape[1] and close(found.T, truth):
        return "it is the transpose of the matrix that is asked for"
    if truth.ndim == 1 and truth.size > 1 and close(found[::-1], truth):
        return "the order is reversed"
    if truth.size > 1 and close(np.sort(found, axis=None), np.sort(truth, axis=None)):
        return "the numbers are right and their order is not"
    if truth.size > 1 and close(found - found.mean() + truth.mean(), truth):
        return f"it is off by a constant, {found.flat[0] - truth.flat[0]:.3g}"
    if truth.all() and found.all():
        ratio = found / truth
        if np.abs(ratio - ratio.flat[0]).max() <= tolerance * abs(ratio.flat[0]) and truth.size > 1:
            return f"it is {ratio.flat[0]:.3g} times what it should be, in every entry"
        if np.abs(found * truth - 1).max() <= tolerance:
            return "it is the reciprocal of what is asked for"
        if np.abs(found - truth**2).max() <= tolerance * scale**2:
            return "it is the square of what is asked for"
    if truth.size == 1:
        side = "smaller" if found < truth else "larger"
        return f"it is off by {abs(found.item() - truth.item()) / scale:.0%}, and {side} than it should be"
    bad = np.abs(found - truth) > tolerance * scale
    place = tuple(int(i) for i in np.unravel_index(np.abs(found - truth).argmax(), truth.shape))
    where = place[0] if len(place) == 1 else place
    return (
        f"{np.count_nonzero(bad)} of {truth.size} entries differ, most at index {where}: "
        f"{found[place]:.4g} instead of {truth[place]:.4g}"
    )


def _numbers(value: Any) -> Array | None:
    """The value as an array of numbers; None if it is nothing of the kind."""
    if hasattr(value, "detach"):  # a tensor, without importing torch for it
        value = value.detach().cpu().numpy()
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
