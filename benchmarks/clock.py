"""The clock of a run: when to look at the error, what it was, and when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from problems import Array, Judge, Layers

FIRST, GROWTH = 0.05, 1.06  # looks: after so many seconds, and then after 6 % more each time
LATE = 0.01  # of its time, that the last step may end after it


class TimeIsUp(Exception):
    """Raised by a system's own callback to leave a loop that has no other way out."""


class Watch:
    """Counts seconds from the end of the first step, without those spent looking, and records the error at fixed times.

    Parameters
    ----------
    judge : Judge
    seconds : float
        Of training, from the end of the first step.
    begun : float
        When the process was started, by ``time.time()``.
    wall, processor : callable
        The two clocks.

    Attributes
    ----------
    curve : list of (seconds, error)
        At the end of the first step after each time of the schedule, which is the same for all.
    layers : list of (weights, biases) or None
        The network at the last look.
    stopped : str
        Why training ended before its time; empty where it did not.
    """

    def __init__(
        self,
        judge: Judge,
        seconds: float,
        begun: float,
        wall: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.process_time,
    ) -> None:
        self.judge, self.limit, self.begun, self.wall, self.processor = judge, seconds, begun, wall, processor
        self.curve: list[tuple[float, float]] = []
        self.layers: Layers | None = None
        self.steps, self.hidden, self.next, self.stopped = 0, 0.0, FIRST, ""
        self.made, self.after_start, self.imported = wall(), time.time() - begun, 0.0
        self.first: float | None = None
        self.at_first: Callable[[], object] = lambda: None
        self.processor_first = self.processor_hidden = 0.0

    def declare(self) -> None:
        """The libraries are imported, and the problem is about to be stated."""
        self.imported = self.wall() - self.made

    def seconds(self) -> float:
        """Since the end of the first step, without looking; 0 before."""
        return 0.0 if self.first is None else self.wall() - self.first - self.hidden

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.seconds() >= self.limit

    def step(self, layers: Callable[[], Layers]) -> bool:
        """To be called after each step; ``layers`` makes the network as it is now, if it is looked at. True: the time is up."""
        return self.stepped(lambda: self.network_error(layers()))

    def network_error(self, layers: Layers) -> float:
        """The error of a network, which is kept."""
        self.layers = layers
        return self.judge.network_error(layers)

    def stepped(self, error: Callable[[], float]) -> bool:
        """The same for a model that is no plain network, of which the error is known."""
        self.steps += 1
        if self.first is None:
            self.first, self.processor_first = self.wall(), self.processor()
            self.at_first()
            return False
        now = self.seconds()
        if now < min(self.next, self.limit):
            return False
        begin, begin_processor = self.wall(), self.processor()
        if now <= self.limit * (1 + LATE):  # a long step that ends later than that came too late
            self.record(now, error())
        self.hidden += self.wall() - begin
        self.processor_hidden += self.processor() - begin_processor
        return now >= self.limit

    def record(self, now: float, error: float) -> None:
        """Write down an error for the time that it is seen at, now, and set the next look."""
        self.curve.append((min(now, self.limit), error))
        self.next = max(GROWTH * now, now + FIRST)

    def hold(self, now: float, error: float) -> None:
        """Write down an error that has stood since the last look, at all times of looking until now."""
        while self.next < min(now, self.limit):
            self.record(self.next, error)

    def end(self, why: str, layers: Callable[[], Layers] | None = None) -> None:
        """Training ended by itself: note why, and look a last time."""
        self.stopped = why
        if layers is not None and not self.over:
            self.record(self.seconds(), self.network_error(layers()))

    def clocks(self) -> dict[str, float]:
        """Seconds that the two other clocks are ahead of this one, and those of the processor in training."""
        first = (self.first or self.wall()) - self.made
        return {"to_first_from_start": self.after_start + first, "to_first_from_declaration": first - self.imported}

    def busy(self) -> tuple[float, float]:
        """Seconds of training on the wall and on the processor, looks left out of both."""
        if self.first is None:
            return 0.0, 0.0
        return self.seconds(), self.processor() - self.processor_first - self.processor_hidden


def as_array(values: object) -> Array:
    """A copy in double precision, whatever library the values are of."""
    import numpy as np

    return np.array(values, dtype=np.float64)
