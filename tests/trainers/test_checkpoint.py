"""Nothing is lost: checkpoints are written whole, and a run that was killed goes on to the last bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from math import nan
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from resumed import FEW, OPTIMIZERS, STEPS, die_at, equal, optimizer_state, oscillator, same, start

from pinnedu import (
    MLP,
    Adam,
    Causal,
    GradientBalance,
    Points,
    Problem,
    fit,
    problems,
)
from pinnedu.trainers.checkpoint import Checkpoint

# --- killed and resumed

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from resumed import start
start({name!r}, checkpoint={path!r}, checkpoint_every=0, callbacks=[lambda state: print(state.step, flush=True)])
"""


def test_a_run_killed_by_sigkill_at_a_random_step_and_resumed_equals_one_never_killed(tmp_path):
    name = "GaussNewton"  # the killing does not depend on it: other optimizers go on below
    path, last = tmp_path / "run.pt", random.SystemRandom().randint(1, STEPS - 5)
    script = SCRIPT.format(folder=str(Path(__file__).parents[1]), name=name, path=str(path))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stdout:
            if int(line) == last:
                break
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    reached = len(torch.load(path, weights_only=True)["rows"])
    assert last - 1 <= reached < STEPS
    resumed = start(name, checkpoint=path)
    whole = start(name, checkpoint=tmp_path / "whole.pt")
    assert same(resumed, whole), f"killed after step {last}"
    assert equal(optimizer_state(path), optimizer_state(tmp_path / "whole.pt"))
    assert resumed.seconds > 0
    assert sorted(os.listdir(tmp_path)) == ["run.pt", "whole.pt"]


@pytest.mark.parametrize("weights", [GradientBalance(every=3), [Causal(), {"start": 5.0}]], ids=["terms", "points"])
def test_weights_that_a_strategy_chose_are_resumed(weights, tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(RuntimeError, match="killed"):
        start("Adam", weights=weights, checkpoint=path, checkpoint_every=0, callbacks=[die_at(20)])
    assert same(start("Adam", weights=weights, checkpoint=path), start("Adam", weights=weights))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_last_bit(name, tmp_path):
    whole = start(name, steps=14, checkpoint=tmp_path / "whole.pt")
    for step in (1, 9):
        path = tmp_path / f"run{step}.pt"
        with pytest.raises(RuntimeError, match="killed"):
            start(name, steps=14, checkpoint=path, checkpoint_every=0, callbacks=[die_at(step + 1)])
        seen = []
        resumed = start(name, steps=14, checkpoint=path, callbacks=[lambda state, seen=seen: seen.append(state.step)])
        assert seen == list(range(step + 1, 15))
        assert same(resumed, whole)
        assert equal(optimizer_state(path), optimizer_state(tmp_path / "whole.pt"))


def test_checkpoints_do_not_change_training(tmp_path):
    assert same(start("Adam"), start("Adam", checkpoint=tmp_path / "run.pt", checkpoint_every=0))


def test_a_finished_run_is_returned_as_it_was_and_may_be_prolonged(tmp_path):
    path = tmp_path / "run.pt"
    first = start("Adam", steps=20, checkpoint=path)
    again = start("Adam", steps=20, checkpoint=path, callbacks=[die_at(20)])
    assert same(first, again)
    assert again.seconds == first.seconds
    longer = start("Adam", steps=40, checkpoint=path)
    plain = start("Adam", steps=40)
    assert np.array_equal(longer.history["loss"], plain.history["loss"])


def test_adaptive_points_and_torchs_own_random_numbers_are_kept(tmp_path):
    from pinnedu.derivatives import hutchinson

    problem = Problem(problems.heat().domain, {"poisson": lambda u: u.laplacian("x", "t") - 1})

    def run(**options):
        torch.manual_seed(5)
        return start(
            "Adam", 12, problem, Points(30, 5, adaptive=0.5), derivatives=hutchinson(1), checkpoint_every=0, **options
        )

    whole = run(checkpoint=tmp_path / "whole.pt")
    with pytest.raises(RuntimeError, match="killed"):
        run(checkpoint=tmp_path / "run.pt", callbacks=[die_at(8)])
    assert same(run(checkpoint=tmp_path / "run.pt"), whole)


def test_the_time_limit_counts_the_time_before(tmp_path):
    first = start("Adam", steps=10**6, seconds=0.2, checkpoint=tmp_path / "run.pt")
    again = start("Adam", steps=10**6, seconds=0.2, checkpoint=tmp_path / "run.pt")
    assert len(again.history["step"]) == len(first.history["step"])
    assert again.stopped == first.stopped
    longer = start("Adam", steps=10**6, seconds=0.3, checkpoint=tmp_path / "run.pt")
    assert len(longer.history["step"]) > len(first.history["step"])


@pytest.mark.parametrize(("cost", "apart"), [(0.5, 10), (0.001, 1), (0.0, 1)])
def test_writing_takes_a_small_share_of_the_time(cost, apart, tmp_path, monkeypatch):
    """A clock that counts steps: each takes a second, and to write takes what it costs."""
    clock, calls = [0.0], []

    def write(path, content):
        calls.append(clock[0])
        clock[0] += cost

    monkeypatch.setattr("pinnedu.trainers.checkpoint.write_whole", write)
    monkeypatch.setattr("pinnedu.trainers.checkpoint.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def second(state):
        clock[0] += 1

    start("Adam", steps=60, checkpoint=tmp_path / "run.pt", checkpoint_every=0.01, callbacks=[second])
    first, *between, _ = calls
    # The first and the last are always written; the others as soon as the share allows, at the end of a step.
    gaps = np.diff([first, *between])
    assert len(between) == 60 // apart
    assert (gaps >= cost / 0.05).all()
    assert (gaps < max(cost / 0.05, 0.01) + 1.5).all()


def test_it_is_time_to_write_at_the_very_moment(monkeypatch):
    """A clock that ticks rarely stands still between two steps."""
    clock = [5.0]
    monkeypatch.setattr("pinnedu.trainers.checkpoint.time", SimpleNamespace(monotonic=lambda: clock[0]))
    checkpoint = Checkpoint("run.pt", every=2)
    seen = []
    for clock[0] in (6.5, 7.0, 7.5):
        seen.append(checkpoint.due())
    assert seen == [False, True, True]


# --- a run that breaks down or is interrupted


def test_a_loss_that_is_no_number_keeps_the_last_good_file(tmp_path):
    path, broken = tmp_path / "run.pt", []
    problem = Problem(problems.heat().domain, {"wave": lambda u: u.tt * (nan if broken else 1.0)})
    run = start(
        "Adam", problem=problem, checkpoint=path, checkpoint_every=0,
        callbacks=[lambda state: broken.append(1) if state.step == 12 else None],
    )  # fmt: skip
    assert "the term 'wave' of the loss became nan" in run.stopped
    assert all(torch.isfinite(weight).all() for weight in run.model.parameters())
    kept = torch.load(path, weights_only=True)
    assert len(kept["rows"]) == 12
    assert torch.isfinite(kept["rows"]).all()


def test_ctrl_c_waits_for_the_end_of_the_step_and_the_run_can_be_resumed(tmp_path):
    path, heat = tmp_path / "run.pt", problems.heat()
    hits = []

    def interrupting(state):
        if state.step == 12:
            os.kill(os.getpid(), signal.SIGINT)
            hits.append(signal.getsignal(signal.SIGINT))

    run = start("LBFGS", problem=heat, checkpoint=path, callbacks=[interrupting])
    assert run.stopped == "interrupted at step 12"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole = start("LBFGS", problem=heat)
    assert np.array_equal(run.history["loss"], whole.history["loss"][:12])
    assert same(start("LBFGS", problem=heat, checkpoint=path), whole)


# --- random engines, and options that no repr shows


@pytest.mark.parametrize("seed", [0, None])
def test_random_derivatives_go_on_to_the_last_bit_also_when_steps_are_added(seed, tmp_path):
    from pinnedu.derivatives import hutchinson

    problem = Problem(problems.heat().domain, {"poisson": lambda u: u.laplacian("x", "t") - 1})

    def run(steps, **options):
        torch.manual_seed(5)
        return start("Adam", steps, problem, derivatives=hutchinson(2, seed=seed), checkpoint_every=0, **options)

    whole = run(24)
    path = tmp_path / "run.pt"
    with pytest.raises(RuntimeError, match="killed"):
        run(24, checkpoint=path, callbacks=[die_at(9)])
    assert same(run(24, checkpoint=path), whole)
    shorter = tmp_path / "shorter.pt"
    run(10, checkpoint=shorter)
    longer = run(24, checkpoint=shorter)
    assert np.array_equal(longer.history["loss"], whole.history["loss"])


def test_options_that_the_optimizer_or_the_engine_hides_are_compared(tmp_path):
    from pinnedu.derivatives import hutchinson

    heat = problems.heat()
    poisson = Problem(heat.domain, {"poisson": lambda u: u.laplacian("x", "t") - 1})

    def run(problem, rate, name, **options):
        fit(
            MLP(problem, (4,)), problem, optimizer=lambda weights: torch.optim.SGD(weights, lr=rate), steps=3,
            points=FEW, seed=0, checkpoint=tmp_path / name, **options,
        )  # fmt: skip

    run(heat, 1e-3, "rate")
    with pytest.raises(ValueError, match=r"options of the optimizer: lr 0\.001.* there, lr 0\.1"):
        run(heat, 1e-1, "rate")
    run(poisson, 1e-3, "probes", derivatives=hutchinson(2, seed=0))
    with pytest.raises(ValueError, match=r"derivatives: Hutchinson\(probes=2.*there, Hutchinson\(probes=3"):
        run(poisson, 1e-3, "probes", derivatives=hutchinson(3, seed=0))


def test_a_schedule_goes_on_where_it_was(tmp_path):
    from pinnedu.trainers import CosineDecay

    problem, path = oscillator(), tmp_path / "run.pt"

    def run(**options):
        return fit(
            MLP(problem, (4,)), problem, optimizer=Adam(1e-2, schedule=CosineDecay(20)), steps=20, points=FEW, seed=0,
            checkpoint_every=0, **options,
        )  # fmt: skip

    with pytest.raises(RuntimeError, match="killed"):
        run(checkpoint=path, callbacks=[die_at(9)])
    assert same(run(checkpoint=path), run())
