"""The bar that shows how far a run is."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm


class Bar(tqdm):
    """A bar that goes away when the run ends, whatever ended it.

    tqdm leaves a red bar in a notebook when a run is short of its total, as if it had failed. A time limit, a callback
    and a loss that is small enough are no failures, and a run that does fail says so in words.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(leave=False, **options)

    def close(self) -> None:
        self.total = self.n
        super().close()
