"""Ready-made callbacks of ``fit``: each ends training for a reason."""

from __future__ import annotations

from collections.abc import Callable

from pinnedu.checks import as_number, require, whole
from pinnedu.trainers.record import State


def stop_below(loss: float) -> Callable[[State], str | None]:
    """Make a callback that ends training once the loss that a step started from is below a number."""
    require(as_number(loss) > 0, "loss", "a positive number", loss)

    def look(state: State) -> str | None:
        return f"the loss fell below {float(loss):g} at step {state.step}" if state.loss < float(loss) else None

    return look


def stop_early(patience: int) -> Callable[[State], str | None]:
    """Make a callback that ends training once the loss on fresh points has not improved for so many steps.

    The run looks at fresh points 20 times at most (see ``history["fresh"]``), so patience below that distance is rounded
    up to it. A run resumed from a checkpoint ends where it would have ended at once.
    """
    whole(patience, "patience")

    def look(state: State) -> str | None:
        best = min(state.fresh, key=lambda step: state.fresh[step], default=state.step)
        if state.step in state.fresh and state.step - best >= patience:
            return f"the loss on fresh points has not improved since step {best}"
        return None

    return look
