"""The bar of a run: gone when the run is, and never red because time was up."""

from __future__ import annotations

import importlib

import pytest
import tqdm.auto
import tqdm.notebook

from pinnedu import progress


@pytest.fixture
def bar(monkeypatch):
    """A bar as a notebook shows it."""
    monkeypatch.setattr(tqdm.auto, "tqdm", tqdm.notebook.tqdm)
    importlib.reload(progress)
    yield progress.Bar(total=10, display=False)
    monkeypatch.undo()
    importlib.reload(progress)


def test_a_run_that_ends_early_closes_its_bar_neutrally(bar):
    bar.update(3)
    shown = bar.container.children[1]
    bar.close()
    assert shown.bar_style not in ("danger", "warning")
    assert bar.container.comm is None, "it is gone"


def test_the_bar_of_tqdm_itself_would_stay_and_be_red():
    bar = tqdm.notebook.tqdm(total=10, leave=False, display=False)
    bar.update(3)
    bar.close()
    assert bar.container.children[1].bar_style == "danger"
