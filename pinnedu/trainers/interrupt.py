"""What may end a run from outside: the keyboard."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """Inside, Ctrl-C waits for the end of the step, so that weights are never left half moved.

    A second Ctrl-C does not wait. Signals go to the main thread only, and a handler that somebody else
    has set stays: there an interruption comes at once, as before.
    """

    def __init__(self) -> None:
        self.asked = False
        self.mine = False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self.mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.mine:
            signal.signal(signal.SIGINT, self.note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the first signal, raise at the second."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
