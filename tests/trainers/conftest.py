"""Shared by the tests of training."""

from __future__ import annotations

import pytest
import torch


class Scripted:
    """An optimizer that calls what it is given with the model and the number of the step."""

    def __init__(self, act=lambda model, step: None, resample=0):
        self.act, self.resample, self.steps = act, resample, 0

    def start(self, model):
        def step(objective):
            self.steps += 1
            with torch.no_grad():
                terms = objective.terms()
                self.act(model, self.steps)
            return terms

        return step


@pytest.fixture(scope="session")
def scripted():
    """The class of optimizers that do what they are told: ``scripted(act)``, ``act(model, step)``."""
    return Scripted
