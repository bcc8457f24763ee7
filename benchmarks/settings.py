"""What may be tuned, from which ranges, and the settings of a system."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

RANGES: dict[str, tuple[Any, ...]] = {
    "hidden": ((20, 20), (20, 20, 20), (32, 32, 32), (64, 64, 64)),
    "points": (500, 1000, 2000, 4000),
    "rate": (1e-2, 3e-3, 1e-3),
    "share": (0.05, 0.15, 0.25, 0.5),
    "weight": (1.0, 10.0, 100.0),
    "redraw": (0, 1, 10, 100),
    "damping": (1e-3, 1e-5, 1e-7, 1e-9),
    "memory": (10, 50, 100),
}
"""As the table of RULES.md has them, in its order."""
DRAWN = 14  # of half a minute on four problems: half an hour


@dataclass(frozen=True)
class Settings:
    """One setting; a system reads of it what it has.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    points : int
        Inside.
    conditions : int
        On each condition; a tenth of those inside where it is 0.
    rate, share : float
        Adam's, and its part of the time.
    weight : float
        Of every condition; equations have 1.
    redraw : int
        Points are drawn again every so many steps; never where it is 0.
    damping : float
        Or regularization of a natural gradient.
    memory : int
        Of L-BFGS.
    """

    hidden: tuple[int, ...] = (20, 20, 20)
    points: int = 2000
    conditions: int = 0
    rate: float = 1e-3
    share: float = 0.25
    weight: float = 1.0
    redraw: int = 0
    damping: float = 1e-5
    memory: int = 100

    @property
    def on_conditions(self) -> int:
        """Points on each condition."""
        return self.conditions or self.points // 10

    @staticmethod
    def read(kept: dict[str, Any]) -> Settings:
        """From what `asdict` and JSON made of one."""
        return Settings(**(kept | {"hidden": tuple(kept["hidden"])}))


def settings_of(documented: Settings, uses: tuple[str, ...]) -> list[Settings]:
    """The documented setting and drawn ones: the same draws for all, of which a system takes what it has."""
    generator, made = np.random.default_rng(0), [documented]
    for _ in range(DRAWN - 1):
        drawn = {name: values[int(generator.integers(len(values)))] for name, values in RANGES.items()}
        made.append(replace(documented, conditions=0, **{name: drawn[name] for name in uses}))
    return made


def kept(settings: Settings) -> dict[str, Any]:
    """As it is stored."""
    return asdict(settings)
