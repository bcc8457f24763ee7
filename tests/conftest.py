"""Shared by all tests: one thread (speed, the same rounding everywhere), no windows, models with known values."""

from __future__ import annotations

import signal

import hypothesis
import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from pinnedu import Box, On, Problem

mpl.use("Agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for this process and its children
torch.set_num_threads(1)
hypothesis.settings.register_profile(
    "pinnedu", deadline=None, derandomize=True, database=None, max_examples=40, print_blob=False
)
hypothesis.settings.load_profile("pinnedu")


@pytest.fixture(autouse=True)
def _each_test_alone(monkeypatch):
    """Every test runs on the CPU from the same random numbers, shows no progress and leaves no figure open."""
    monkeypatch.setenv("PINNEDU_PROGRESS", "0")
    for accelerator in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(accelerator, "is_available", lambda: False)
    torch.manual_seed(0)
    yield
    plt.close("all")


class ClosedForm(nn.Module):
    """A model that is a formula of the coordinates, times a weight that is 1: all of its derivatives are known."""

    def __init__(self, *formulas):
        super().__init__()
        self.formulas = formulas
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, points):
        columns = points.unbind(dim=1)
        return self.weight * torch.stack([formula(*columns) for formula in self.formulas], dim=1)


@pytest.fixture(scope="session")
def closed_form():
    """The class of models that are a formula: ``closed_form(lambda x, t: x * t)``, one formula a field."""
    return ClosedForm


@pytest.fixture
def decay():
    """u' = -u, u(0) = 1: the smallest problem with an equation, a condition and an exact solution."""
    return Problem(
        domain=Box(t=(0, 1)),
        equations={"decay": lambda u: u.t + u},
        conditions={"start": On(t=0, equation=lambda u: u - 1)},
        exact=lambda t: torch.exp(-t),
    )
