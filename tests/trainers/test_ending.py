"""What ends a run, and what a run that ended early or broke down returns."""

from __future__ import annotations

import os
import signal
import sys
from math import inf, nan

import numpy as np
import pytest
import torch

from pinnedu import (
    MLP,
    Adam,
    Box,
    GaussNewton,
    GradientDescent,
    On,
    Points,
    Problem,
    fit,
    problems,
)
from pinnedu.trainers import Objective, State, clock

FEW = Points(interior=30, conditions=5)


def small(problem, **options):
    return MLP(problem, hidden=(6,), **options)


# --- what ends a run


def test_all_steps_done(decay):
    run = fit(small(decay), decay, optimizer=Adam(), steps=3, points=FEW)
    assert run.stopped == "all 3 steps done"
    assert run.warnings == []


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves on by one second each time it is read, so that a step takes one second."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(clock, "now", lambda: float(next(seconds)))


@pytest.mark.usefixtures("ticking")
def test_seconds_bound_a_run(decay):
    run = fit(small(decay), decay, optimizer=Adam(), steps=10**6, seconds=7.5, points=FEW)
    assert run.stopped == "the time limit of 7.5 s was reached at step 8"
    assert run.seconds == 8
    assert run.history["seconds"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert np.isfinite(run.history["fresh"][-1])  # also the last step of a run that ended early was looked at


@pytest.mark.usefixtures("ticking")
def test_seconds_that_suffice_are_not_named(decay):
    run = fit(small(decay), decay, optimizer=Adam(), steps=5, seconds=5.0, points=FEW)
    assert run.stopped == "all 5 steps done"


@pytest.mark.usefixtures("ticking")
def test_seconds_of_training_leave_out_callbacks_and_errors(decay):
    run = fit(
        small(decay),
        decay,
        optimizer=Adam(),
        steps=4,
        points=FEW,
        error_every=1,
        callbacks=[lambda state: [clock.now() for _ in range(50)] == []],
    )
    assert run.history["seconds"].tolist() == [1, 2, 3, 4]


def test_a_callback_ends_a_run_and_may_say_why(decay):
    def run(*callbacks):
        return fit(small(decay), decay, optimizer=Adam(), steps=50, points=FEW, callbacks=callbacks)

    ended = run(lambda state: None, lambda state: state.step == 7)
    assert (len(ended.history["step"]), ended.stopped) == (7, "a callback ended training at step 7")
    ended = run(lambda state: "the moon is full" if state.step == 3 else "")
    assert (len(ended.history["step"]), ended.stopped) == (3, "the moon is full")
    assert np.isfinite(ended.history["fresh"][-1])


def test_a_callback_sees_each_step(decay):
    states, model = [], small(decay)
    run = fit(model, decay, optimizer=Adam(), steps=4, points=FEW, callbacks=[states.append])
    assert all(isinstance(state, State) for state in states)
    assert [state.step for state in states] == [1, 2, 3, 4]
    assert [state.seconds for state in states] == run.history["seconds"].tolist()
    assert all(state.model is model and state.problem is decay for state in states)
    assert set(states[0].objective.sample) == {"interior", "start"}


def test_a_callback_that_evaluates_the_loss_does_not_change_the_record(decay):
    def run(*callbacks):
        return fit(small(decay), decay, optimizer=Adam(1e-2), steps=10, points=FEW, seed=0, callbacks=callbacks)

    quiet, asking = run(), run(lambda state: bool(state.objective.loss() < 0))
    assert np.array_equal(quiet.history["loss"], asking.history["loss"])
    assert quiet.error == asking.error


def test_an_interrupted_run_returns_what_was_reached(decay):
    def interrupt(state):
        if state.step == 30:
            raise KeyboardInterrupt

    run = fit(small(decay), decay, optimizer=Adam(1e-2), steps=100, points=FEW, seed=0, callbacks=[interrupt])
    whole = fit(small(decay), decay, optimizer=Adam(1e-2), steps=30, points=FEW, seed=0)
    assert run.stopped == "interrupted at step 30"
    assert np.array_equal(run.history["loss"], whole.history["loss"])
    assert run.error == whole.error
    assert np.isfinite(run.history["fresh"][-1])


def test_a_run_interrupted_in_its_first_step_still_returns(decay, scripted):
    def act(model, step):
        raise KeyboardInterrupt

    run = fit(small(decay), decay, optimizer=scripted(act), steps=100, points=FEW, seed=0)
    assert run.stopped == "interrupted at step 0"
    assert all(len(column) == 0 for column in run.history.values())
    assert (run.seconds, run.warnings) == (0, [])
    assert run.error > 0
    assert np.isnan(run.loss)
    assert "interrupted at step 0" in repr(run)


def test_a_second_ctrl_c_does_not_wait_and_half_moved_weights_are_not_returned(decay, scripted):
    def act(model, step):
        model.layers[-1].bias += 1.0
        if step == 9:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    run = fit(small(decay), decay, optimizer=scripted(act), steps=40, points=FEW, seed=0)
    assert run.stopped == "interrupted at step 8 in mid-step; the weights of step 8 are restored"
    assert run.model.layers[-1].bias.item() == 8
    assert {len(column) for column in run.history.values()} == {8}


def test_an_interrupted_run_returns_the_best_weights_so_far(decay, scripted):
    def act(model, step):  # good until step 10, then worse and worse
        model.layers[-1].bias.copy_(torch.tensor([0.0 if step == 10 else 5.0 + step]))

    def interrupt(state):
        if state.step == 25:
            raise KeyboardInterrupt

    run = fit(small(decay), decay, optimizer=scripted(act), steps=40, points=FEW, seed=0, callbacks=[interrupt])
    assert run.stopped == "interrupted at step 25; the weights of step 10 are the best"
    assert run.model.layers[-1].bias.item() == 0
    with torch.no_grad():
        loss = float(Objective(run.model, decay, decay.sample(FEW)).loss())
    assert loss < 0.1 * run.loss


# --- a loss that is no number


def counting(breaks_at):
    """Adds 1 to the last bias in each step, and breaks it in one: the weights show of which step they are."""

    def act(model, step):
        model.layers[-1].bias += nan if step == breaks_at else 1.0

    return act


def test_nan_restores_the_last_good_weights_and_names_term_and_step(decay, scripted):
    run = fit(small(decay), decay, optimizer=scripted(counting(7)), steps=40, points=FEW, seed=0)
    # Looked at every 2 steps: after step 6 all was well; step 7 broke the weights, step 8 started from them.
    assert run.stopped == "the term 'decay' of the loss became nan at step 8; the weights of step 6 are restored"
    assert run.warnings == [run.stopped + ": try a smaller rate."]
    assert run.model.layers[-1].bias.item() == 6
    assert np.isfinite(run.error)
    assert len(run.history["loss"]) == 8
    assert np.isnan(run.history["loss"][-1])


def test_weights_broken_by_the_last_step_are_noticed(decay, scripted):
    run = fit(small(decay), decay, optimizer=scripted(counting(40)), steps=40, points=FEW, seed=0)
    assert run.stopped == "the weights became infinite or NaN at step 40; the weights of step 38 are restored"
    assert run.model.layers[-1].bias.item() == 38


@pytest.mark.parametrize("how", ["callback", "interrupt"])
def test_nan_is_noticed_in_a_run_that_ends_early(decay, how, scripted):
    def end(state):
        if state.step == 9:
            if how == "interrupt":
                raise KeyboardInterrupt
            return True
        return False

    run = fit(small(decay), decay, optimizer=scripted(counting(5)), steps=1000, points=FEW, seed=0, callbacks=[end])
    assert run.stopped == "the term 'decay' of the loss became nan at step 6; the weights of step 0 are restored"
    assert run.model.layers[-1].bias.item() == 0
    assert np.isfinite(run.error)


@pytest.mark.parametrize(
    ("step", "where", "restored"),
    [(7, "at step 8", 6), (10, "on fresh points at step 10", 8)],  # looked at every 2 steps
)
def test_the_term_that_broke_is_named_and_infinity_counts(step, where, restored, scripted):
    broken = []
    problem = Problem(
        Box(t=(0, 1)),
        {"decay": lambda u: u.t + u},
        {
            "start": On(t=0, equation=lambda u: u - 1),
            "end": On(t=1, equation=lambda u: u * (inf if broken else 1.0)),
        },
    )
    optimizer = scripted(lambda model, now: broken.append(now) if now == step else None)
    run = fit(small(problem), problem, optimizer=optimizer, steps=40, points=FEW, seed=0)
    assert run.stopped == f"the term 'end' of the loss became inf {where}; the weights of step {restored} are restored"


def test_a_rate_far_too_large_ends_with_finite_weights():
    heat = problems.heat()
    run = fit(MLP(heat), heat, optimizer=GradientDescent(1e6), steps=200, points=FEW, seed=0)
    assert "restored" in run.stopped
    assert np.isfinite(run.error)
    assert len(run.history["step"]) < 200
    with torch.no_grad():
        assert np.isfinite(float(Objective(run.model, heat, heat.sample(FEW)).loss()))


def test_a_loss_that_is_no_number_from_the_start_is_named_by_gauss_newton_too(decay):
    problem = Problem(decay.domain, {"decay": lambda u: u.t + nan})
    run = fit(small(problem), problem, optimizer=GaussNewton(resample=0), steps=5, points=FEW)
    first = "the term 'decay' of the loss became nan at the first weights, before any step"
    assert run.stopped == f"{first}; the weights of step 0 are restored"
    assert "Give these a scale or a bound, such as HardConstraint" in run.warnings[0]


# --- lack of memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_the_end_of_memory_gives_one_sentence_and_the_last_good_weights(decay, scripted, error):
    def act(model, step):
        model.layers[-1].bias += 1.0
        if step == 7:
            raise error

    run = fit(small(decay), decay, optimizer=scripted(act), steps=40, points=FEW, seed=0)
    assert run.stopped == "memory ran out at step 7; the weights of step 6 are restored"
    assert run.warnings == [run.stopped + ": use fewer points or a smaller model."]
    assert run.model.layers[-1].bias.item() == 6
    assert len(run.history["loss"]) == 6


def test_memory_that_really_runs_out(decay):
    problem = Problem(decay.domain, {"decay": lambda u: u.t + u + huge()})
    grow = []

    def huge():
        return torch.zeros(2**50 if grow else 1, dtype=torch.float64)[0]

    run = fit(small(problem), problem, optimizer=Adam(), steps=5, points=FEW, callbacks=[grow.append])
    assert run.stopped == "memory ran out at step 2; the weights of step 1 are restored"


def test_memory_that_runs_out_after_training_does_not_cost_the_run(decay, monkeypatch):
    def huge(model, problem):
        return torch.zeros(2**50)

    monkeypatch.setattr(sys.modules["pinnedu.trainers.loop"], "relative_error", huge)
    run = fit(small(decay), decay, optimizer=Adam(), steps=5, points=FEW)
    assert run.stopped == "all 5 steps done"
    assert run.error is None
    assert len(run.history["loss"]) == 5
    assert run.warnings == [
        "Memory ran out when the trained model was judged: its error or its loss on fresh points is not known."
    ]
    big = Problem(decay.domain, {"decay": lambda u: u.t + torch.zeros(2**50 if len(u.value) == 31 else 1).sum()})
    run = fit(small(big), big, optimizer=Adam(), steps=5, points=Points(31), callbacks=[lambda state: state.step == 4])
    assert run.stopped.startswith("memory ran out")


def test_other_errors_are_not_hidden(decay, scripted):
    def act(model, step):
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        fit(small(decay), decay, optimizer=scripted(act), steps=40, points=FEW)


@pytest.mark.parametrize("optimizer", [GaussNewton(), Adam(1e-9)], ids=["GaussNewton", "Adam"])
def test_an_equation_that_is_not_finite_before_any_step_is_not_a_matter_of_the_rate(optimizer):
    problem = Problem(
        Box(t=(0, 1)),
        {"Arrhenius": lambda u: u.t - 7.2e10 * torch.exp(-8750.0 / u)},
        {"start": On(t=0, equation=lambda u: u - 350)},
    )
    model = small(problem)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = fit(model, problem, optimizer=optimizer, steps=20, points=FEW, scale=False)
    assert run.stopped.startswith("the term 'Arrhenius' of the loss became inf at the first weights, before any step")
    assert "smaller rate" not in run.warnings[0]
    assert len(run.history["step"]) <= 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
