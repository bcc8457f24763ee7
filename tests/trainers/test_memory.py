"""Memory is compared with what there is before the work starts."""

from __future__ import annotations

import pytest
import torch

from pinnedu import KFAC, MLP, SPRING, GaussNewton, GaussNewtonCG, fit, problems
from pinnedu.trainers import memory


def test_this_machine_says_what_is_free():
    free = memory.available(torch.device("cpu"))
    assert free is None or 10**6 < free < 10**15
    memory.require_memory("Nothing", 1000, torch.device("cpu"))
    memory.require_memory("What no device can say", 10**20, torch.device("meta"))


@pytest.mark.parametrize("optimizer", [SPRING(), SPRING(adaptive=False), GaussNewtonCG(), KFAC()], ids=lambda o: type(o).__name__)
def test_too_little_memory_is_one_sentence_and_no_step(optimizer, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 10**6)
    heat = problems.heat()
    model = MLP(heat, hidden=(40, 40))
    before = [weight.clone() for weight in model.parameters()]
    name = type(optimizer).__name__
    needs = rf"{name} with 1300 residuals and 1801 weights needs some \d+\.\d GB of memory, and 0.0 GB are free on cpu"
    with pytest.raises(ValueError, match=needs):
        fit(model, heat, optimizer=optimizer, steps=1)
    assert all(torch.equal(weight, old) for weight, old in zip(model.parameters(), before, strict=True))


def test_gauss_newton_names_who_needs_less(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 10**6)
    heat = problems.heat()
    with pytest.raises(ValueError, match=r"GaussNewton with 1300 residuals and 1801 weights .*: use fewer points, or SPRING or"):
        fit(MLP(heat, hidden=(40, 40)), heat, optimizer=GaussNewton(), steps=1)
