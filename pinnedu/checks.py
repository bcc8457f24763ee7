"""What is said about arguments that cannot be used: what it is, what it must be, and what was given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

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


def whole(thing: object, what: str, low: int = 1) -> None:
    """Raise ValueError unless it is a whole number of at least ``low``."""
    require(is_whole(thing, low), what, f"a whole number of at least {low}", thing)


def one_of(thing: object, names: Collection[str], what: str) -> None:
    """Raise ValueError unless it is one of some names."""
    if not (isinstance(thing, str) and thing in names):
        raise ValueError(f"{what} {shown(thing)} is unknown: choose one of {', '.join(names)}.")


def named(thing: object, what: str, wanted: str) -> None:
    """Raise ValueError unless it is a dict whose keys are names."""
    require(isinstance(thing, Mapping) and all(isinstance(name, str) for name in thing), what, wanted, thing)


def reason(error: BaseException) -> str:
    """What an error says, in one line that is not long, without a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 160 else text[:157] + "...").rstrip(".")
