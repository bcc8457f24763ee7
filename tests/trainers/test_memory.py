"""Memory is compared with what there is before the work starts."""

from __future__ import annotations

import pytest
import torch

from pinnedu import KFAC, MLP, SPRING, Box, GaussNewton, GaussNewtonCG, Points, Problem, fit, problems
from pinnedu.trainers import Objective, memory
from pinnedu.trainers.spring import FactoredTangent


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


def system(width=16):
    """Two equations for two fields: twice as many residuals as points."""
    box = Box(x=(0, 1))
    problem = Problem(box, {"first": lambda u, v: u.x - v, "second": lambda u, v: v.x + u}, fields=("u", "v"))
    model = MLP(problem, hidden=(width,))
    return Objective(model, problem, problem.sample(Points(40)))


def test_residuals_are_counted_and_not_points():
    assert system().count() == 80


@pytest.mark.parametrize("optimizer", [GaussNewton(), SPRING(), GaussNewtonCG(), KFAC()], ids=lambda o: type(o).__name__)
def test_the_memory_of_a_system_is_that_of_its_residuals(optimizer, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 10**3)
    objective = system(16)
    step = optimizer.start(objective.model)
    with pytest.raises(ValueError, match="with 80 residuals and 66 weights"):
        step(objective)


@pytest.mark.parametrize(("width", "smaller"), [(16, 66), (32, 80)])
def test_gauss_newton_asks_once_for_the_jacobian_the_matrix_and_its_factor(width, smaller, monkeypatch):
    asked = []
    monkeypatch.setattr("pinnedu.trainers.gauss_newton.require_memory", lambda what, needed, *rest: asked.append(needed))
    objective = system(width)
    step = GaussNewton().start(objective.model)
    for _ in range(2):
        step(objective)
    assert asked == [(80 * (4 * width + 2) + 2 * smaller**2) * 8]


@pytest.mark.parametrize(("width", "factored"), [(16, False), (32, True)])
def test_a_system_is_solved_where_it_is_smaller(width, factored):
    """80 residuals from 40 points, by 66 weights or 130."""
    objective = system(width)
    tangent = SPRING().start(objective.model).tangent(objective)
    assert isinstance(tangent, FactoredTangent) == factored
    assert tangent.dual == factored
    assert len(tangent.gram) == min(80, sum(weight.numel() for weight in objective.model.parameters()))
