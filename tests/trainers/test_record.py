"""The record of a run, the points it trains on and is judged on, and the weights of its terms."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
import torch

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    On,
    Points,
    Problem,
    fit,
    problems,
    relative_error,
)

FEW = Points(interior=30, conditions=5)


def small(problem, **options):
    return MLP(problem, hidden=(6,), **options)


# --- the record


def test_history_has_its_columns_in_order_one_entry_a_step():
    heat = problems.heat()
    run = fit(small(heat), heat, optimizer=Adam(1e-2), steps=40, points=FEW, seed=0, error_every=15)
    history = run.history
    assert list(history) == ["step", "heat", "initial", "left", "right", "loss", "fresh", "error", "seconds"]
    assert {len(column) for column in history.values()} == {40}
    assert history["step"].tolist() == list(range(1, 41))
    assert (np.flatnonzero(np.isfinite(history["error"])) + 1).tolist() == [15, 30]
    assert (np.flatnonzero(np.isfinite(history["fresh"])) + 1).tolist() == list(range(2, 41, 2))
    assert (np.diff(history["seconds"]) > 0).all()
    assert history["seconds"][-1] == run.seconds
    assert run.loss == history["loss"][-1]
    assert not any(np.isnan(history[name]).any() for name in (*heat.terms, "loss"))


def test_terms_are_half_mean_squares_and_the_loss_their_weighted_sum(decay):
    model, points = small(decay), Points(20, 1, method="grid")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = fit(model, decay, optimizer=LBFGS(), steps=5, points=points, weights={"start": 7.0})
    history = run.history
    assert history["loss"] == pytest.approx(history["decay"] + 7 * history["start"], rel=1e-12)
    model.load_state_dict(before)
    residuals = decay.residuals(model, decay.sample(points), "autograd")
    for name, residual in residuals.items():  # the first row is of the weights that training started from
        assert history[name][0] == pytest.approx(0.5 * residual.square().mean().item(), rel=1e-10)


def test_the_error_is_measured_after_the_step(decay):
    run = fit(small(decay), decay, optimizer=Adam(1e-2), steps=6, points=FEW, error_every=3)
    assert run.history["error"][-1] == run.error == relative_error(run.model, decay)


def test_a_problem_without_a_solution_has_no_error():
    problem = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t + u}, {"start": On(t=0, equation=lambda u: u - 1)})
    run = fit(small(problem), problem, optimizer=Adam(), steps=2, points=FEW)
    assert run.error is None
    assert np.isnan(run.history["error"]).all()
    assert "error=unknown" in repr(run)


def test_a_run_shows_itself_in_one_line(scripted):
    problem = Problem(Box(t=(0, 1)), {"decay": lambda u, k: u.t + k * u}, unknowns={"k": 2.0})
    run = fit(small(problem), problem, optimizer=scripted(), steps=2, points=FEW)
    assert repr(run) == f"Fit(error=unknown, loss={run.loss:.2e}, steps=2, k=2, all 2 steps done)"


@pytest.mark.parametrize(("shown", "variable"), [(True, None), (False, None), (True, "0")])
def test_progress_is_shown_unless_turned_off(decay, capsys, monkeypatch, shown, variable):
    monkeypatch.delenv("PINNEDU_PROGRESS")
    if variable is not None:
        monkeypatch.setenv("PINNEDU_PROGRESS", variable)
    fit(small(decay), decay, optimizer=Adam(), steps=3, points=FEW, progress=shown)
    streams = capsys.readouterr()
    assert streams.out == ""
    assert bool(streams.err) == (shown and variable is None)


# --- points: drawn again, adaptive, fresh


def interiors(problem, **options):
    """The interior points of each step."""
    seen = []
    fit(
        small(problem),
        problem,
        seed=0,
        callbacks=[lambda state: seen.append(state.objective.sample["interior"])],
        **options,
    )
    return seen


@pytest.mark.parametrize(
    ("optimizer", "resample", "expected"),
    [
        (Adam(), None, [0, 1, 2, 3, 4, 5]),
        (LBFGS(), None, [0, 0, 0, 0, 0, 0]),
        (Adam(), 0, [0, 0, 0, 0, 0, 0]),
        (Adam(), 4, [0, 0, 0, 0, 1, 1]),
        (LBFGS(), 2, [0, 0, 1, 1, 2, 2]),
    ],
)
def test_points_are_drawn_again_every_so_many_steps(decay, optimizer, resample, expected):
    points = Points(10, 2, resample=resample)
    seen = interiors(decay, optimizer=optimizer, steps=6, points=points)
    first = {}
    labels = [first.setdefault(tuple(step[:, 0].tolist()), len(first)) for step in seen]
    assert labels == expected
    assert all(len(step) == 10 for step in seen)


def test_adaptive_points_gather_where_the_residual_is_large(decay, scripted):
    def concentrated(u, t):
        return torch.where(t > 0.9, 30.0, 0.01) * (u + 2)

    problem = Problem(Box(t=(0, 1)), {"one": lambda u, t: (concentrated(u, t), 0 * t), "two": lambda u: 0 * u})
    for share, low, high in ((0.0, 0.05, 0.16), (0.5, 0.2, 0.42), (1.0, 0.4, 0.7)):
        seen = interiors(problem, optimizer=scripted(resample=1), steps=2, points=Points(400, 1, adaptive=share))
        assert len(seen[1]) == 400
        assert problem.domain.contains(seen[1]).all()
        assert low < float((seen[1] > 0.9).double().mean()) < high


def test_adaptive_points_leave_a_broken_run_to_the_loss(decay, scripted):
    def break_in_step_3(model, step):
        if step == 3:
            model.layers[-1].bias += nan

    run = fit(
        small(decay),
        decay,
        optimizer=scripted(break_in_step_3, resample=1),
        steps=100,
        seed=0,
        points=Points(10, 2, adaptive=0.5),
    )
    assert "became nan at step 4" in run.stopped


def test_points_that_were_fitted_are_told_from_an_equation_that_was(decay):
    heat = problems.heat()
    over = fit(MLP(heat), heat, optimizer=LBFGS(), steps=200, points=Points(8, 4), seed=0)
    (warning,) = over.warnings
    assert warning.startswith("The loss on fresh points is ")
    assert "the points were fitted, not the equation. Use more points" in warning
    assert over.history["fresh"][-1] > 30 * over.loss

    healthy = fit(MLP(heat), heat, optimizer=LBFGS(), steps=60, points=Points(500, 50), seed=0)
    assert healthy.warnings == []
    assert healthy.history["fresh"][-1] == pytest.approx(healthy.loss, rel=0.5)


def test_fresh_points_are_not_the_training_points_from_the_first_look_on(decay, scripted):
    run = fit(small(decay), decay, optimizer=scripted(), steps=2, points=FEW, seed=0)
    loss, (first, second) = run.loss, run.history["fresh"]
    assert first == pytest.approx(loss, rel=0.5)
    assert len({loss, first, second}) == 3


def test_a_grid_is_judged_on_points_off_the_grid():
    heat = problems.heat()
    run = fit(MLP(heat), heat, optimizer=LBFGS(), steps=200, points=Points(9, 3, method="grid"), seed=0)
    assert len(run.warnings) == 1


def test_a_loss_of_zero_on_the_training_points_is_no_accident(scripted):
    problem = Problem(Box(t=(0, 1)), {"blind": lambda u, t: u * (t != 0.5)})
    run = fit(small(problem), problem, optimizer=scripted(), steps=1, points=Points(1, method="grid"))
    assert run.loss == 0
    assert "the training loss 0.0e+00: the points were fitted" in run.warnings[0]


# --- weights of the terms


def test_a_term_of_weight_zero_is_recorded_and_not_trained(decay):
    run = fit(small(decay), decay, optimizer=LBFGS(), steps=50, points=FEW, weights={"start": 0}, seed=0)
    assert run.history["decay"][-1] < 1e-5
    assert run.history["start"][-1] > 0.01
    assert np.array_equal(run.history["loss"], run.history["decay"])


def test_a_larger_weight_makes_a_term_smaller():
    problem = Problem(  # two conditions that contradict each other
        Box(t=(0, 1)), {}, {"a": On(t=0, equation=lambda u: u - 1), "b": On(t=0, equation=lambda u: u + 1)}
    )
    run = fit(small(problem), problem, optimizer=LBFGS(), steps=30, points=FEW, weights={"b": 3.0}, seed=0)
    # The least of 1/2 (u - 1)^2 + 3/2 (u + 1)^2 is at u = -1/2.
    assert run.history["a"][-1] == pytest.approx(0.5 * 1.5**2, rel=1e-6)
    assert run.history["b"][-1] == pytest.approx(0.5 * 0.5**2, rel=1e-6)
