"""Figures to push on: a slider over ready-made frames, and a panel that trains before your eyes.

Displayed, both are plain HTML that needs no kernel, so that they work on a page of the book, offline. Both have
a method ``live()`` for a notebook with a running kernel.
"""

from pinnedu.widgets.explorer import Explorer, Frame, explore
from pinnedu.widgets.training import TrainingPanel

__all__ = ["Explorer", "Frame", "TrainingPanel", "explore"]
