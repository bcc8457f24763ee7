"""The clock of every run, and how much of its time a recipe has used: in seconds, and in steps where those are bounded."""

from __future__ import annotations

import time
from typing import Any

now = time.perf_counter
"""What the time is read from. A study may put ``time.process_time`` here, and a test a clock of its own."""


class Clock:
    """What is left of the time, and of the steps where those are bounded.

    Parameters
    ----------
    seconds : float
    steps : float, optional
        Of training; least squares with n waves count as n / 64.
    bar : progress bar, optional
    """

    def __init__(self, seconds: float, steps: float | None = None, bar: Any = None) -> None:
        self.begin, self.seconds, self.steps, self.done, self.bar = now(), seconds, steps, 0.0, bar

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return now() - self.begin

    @property
    def used(self) -> float:
        """The share of all that is used up."""
        return max(self.spent / self.seconds, self.done / self.steps if self.steps else 0.0)

    def count(self, steps: float) -> None:
        """Note what was done."""
        self.done += steps
        if self.bar is not None:
            self.bar.n = min(self.seconds, self.spent)
            self.bar.refresh()

    def take(self, part: Clock) -> None:
        """Note what was done in a part of this time."""
        self.done += part.done

    def part(self, share: float) -> Clock:
        """A clock for a share of what is left."""
        left = None if self.steps is None else share * max(1.0, self.steps - self.done)
        return Clock(max(1e-3, share * (self.seconds - self.spent)), left)
