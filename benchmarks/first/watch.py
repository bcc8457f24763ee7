"""The clock of a run: seconds of training, compilation included, looking at the error excluded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from first.problems import Predict, Task

FIRST, GROWTH = 0.05, 1.06  # when to look: after so many seconds, and then ever less often
PATIENCE = 30.0  # seconds that every run gets before it may count as standing still


class Watch:
    """Records (seconds, error) while a system trains, and says when it should stop.

    Seconds are those of the processor, of all threads of the process together. Every process has one core, so on
    a machine that does nothing else they are the seconds on the clock. On a GPU the clock on the wall counts:
    ``clock=time.perf_counter``.

    Attributes
    ----------
    curve : list of (seconds, error)
    found : list of dict
        The unknown parameters of the equation, for each point of the curve.
    stopped : str
        Why training ended.
    """

    def __init__(
        self, task: Task, seconds: float | None = None, clock: Callable[[], float] = time.process_time
    ) -> None:
        self.task, self.limit, self.clock = task, seconds or task.seconds, clock
        self.curve: list[tuple[float, float]] = []
        self.found: list[dict[str, float]] = []
        self.stopped = ""
        self.next = FIRST
        self.restart()

    def restart(self) -> None:
        """Set the clock to zero."""
        self.hidden = self.paused = 0.0
        self.begin = self.clock()

    def seconds(self) -> float:
        """Seconds since the clock was made, without those spent looking."""
        return self.clock() - self.begin - self.hidden

    def due(self) -> bool:
        """Whether it is time to look: ask this in each step, it costs nothing."""
        return not self.stopped and self.seconds() >= self.next

    def look(self, predict: Predict, found: Mapping[str, float] | None = None) -> str:
        """Measure the error; returns why training should stop, or an empty text.

        Parameters
        ----------
        predict : callable, (N, d) -> (N, m), numpy arrays
        found : dict of name to float, optional
            The unknown parameters of the equation as they are now.
        """
        self.pause()
        return self.record(self.task.error(predict), found)

    def pause(self) -> None:
        """Stop the clock until the next `record`."""
        self.paused = self.clock()

    def record(self, error: float, found: Mapping[str, float] | None = None) -> str:
        """Write down an error measured since `pause`; the answer is that of `look`."""
        seconds = self.paused - self.begin - self.hidden
        self.curve.append((seconds, float(error)))
        if found:
            self.found.append({name: float(value) for name, value in found.items()})
        self.next = max(GROWTH * seconds, seconds + FIRST)
        if seconds >= self.limit:
            self.stopped = "time is up"
        elif seconds >= PATIENCE and self._stands_still(seconds):
            self.stopped = "stands still"
        self.hidden += self.clock() - self.paused
        return self.stopped

    def _stands_still(self, seconds: float) -> bool:
        """Whether the last half of the time has not brought the best error down by a tenth."""
        before = [error for when, error in self.curve if when <= seconds / 2]
        return bool(before) and min(error for _, error in self.curve) > 0.9 * min(before)
