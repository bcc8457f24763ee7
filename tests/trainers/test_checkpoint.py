"""Nothing is lost: checkpoints are written whole, and a run that was killed goes on to the last bit."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from math import nan

import numpy as np
import pytest
import torch

import pinnedu.files
from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    Causal,
    GaussNewton,
    GaussNewtonCG,
    GradientBalance,
    GradientDescent,
    Muon,
    On,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
    problems,
)
from pinnedu.files import write_whole

FEW = Points(interior=40, conditions=6)
STEPS = 40
OPTIMIZERS = {
    "Adam": Adam(1e-2),
    "GaussNewton": GaussNewton(momentum=0.5, resample=3),
    "LBFGS": LBFGS(),
    "SelfScaledBroyden": SelfScaledBroyden(resample=7),
    "GradientDescent": GradientDescent(1e-2),
    "SPRING": SPRING(),
    "SPRING, fixed": SPRING(adaptive=False, resample=3),
    "GaussNewtonCG": GaussNewtonCG(iterations=10, rank=10, refresh=7),
    "KFAC": KFAC(),
    "SOAP": SOAP(1e-2),
    **({"Muon": Muon(1e-2)} if hasattr(torch.optim, "Muon") else {}),
    "SGD": lambda weights: torch.optim.SGD(weights, lr=1e-2, momentum=0.9),
}


def oscillator(speed=1.0):
    """u'' = -k u with k to be found: a problem with an unknown, so that those are kept too."""
    return Problem(
        problems.heat().domain,
        {"wave": lambda u, k: u.tt + k * speed * u},
        {"start": On(t=0, equation=lambda u, x: u - torch.sin(x)), "data": On(t=1, equation=lambda u, x: u)},
        unknowns={"k": 2.0},
    )


def start(name, steps=STEPS, problem=None, points=FEW, **options):
    problem = oscillator() if problem is None else problem
    model = MLP(problem, hidden=(6,))
    return fit(model, problem, optimizer=OPTIMIZERS[name], steps=steps, points=points, seed=3, **options)


def die_at(step):
    def die(state):
        if state.step == step:
            raise RuntimeError("killed")

    return die


def same(a, b):
    """Whether weights and record are the same to the last bit, seconds aside."""
    assert list(a.history) == list(b.history)
    for name in a.history:
        if name != "seconds":
            assert np.array_equal(a.history[name], b.history[name], equal_nan=True), name
    for one, other in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    return a.stopped == b.stopped


def optimizer_state(path):
    return torch.load(path, weights_only=True)["optimizer"]


def equal(a, b):
    """Whether two nested states are the same to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


# --- killed and resumed

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_checkpoint import start
start({name!r}, checkpoint={path!r}, checkpoint_every=0, callbacks=[lambda state: print(state.step, flush=True)])
"""


@pytest.mark.parametrize("name", ["Adam", "GaussNewton"])
def test_a_run_killed_by_sigkill_at_a_random_step_and_resumed_equals_one_never_killed(name, tmp_path):
    path, last = tmp_path / "run.pt", random.SystemRandom().randint(1, STEPS - 5)
    script = SCRIPT.format(folder=os.path.dirname(__file__), name=name, path=str(path))
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
    whole = start(name, steps=20, checkpoint=tmp_path / "whole.pt")
    for step in (1, 7, 12):
        path = tmp_path / f"run{step}.pt"
        with pytest.raises(RuntimeError, match="killed"):
            start(name, steps=20, checkpoint=path, checkpoint_every=0, callbacks=[die_at(step + 1)])
        seen = []
        resumed = start(name, steps=20, checkpoint=path, callbacks=[lambda state, seen=seen: seen.append(state.step)])
        assert seen == list(range(step + 1, 21))
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


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    calls = []

    def slow(path, content):
        time.sleep(0.02)
        calls.append(path)

    monkeypatch.setattr("pinnedu.trainers.checkpoint.write_whole", slow)
    begin = time.monotonic()
    start("Adam", steps=10**6, seconds=0.6, checkpoint=tmp_path / "run.pt", checkpoint_every=0.001)
    # The first and the last are always written, the others not more often than the share allows.
    assert len(calls) - 2 <= (time.monotonic() - begin) / (0.02 / 0.05) + 1
    assert len(calls) >= 3


# --- files of another run, or of none


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 5}, "it has done 20 steps and 5 are asked for"),
        ({"problem": oscillator(1.01)}, "its equations have other residuals"),
        ({"points": Points(41, 6)}, r"points: Points\(interior=40.* there, Points\(interior=41.* here"),
        ({"weights": {"start": 2.0}}, "weights of the terms: None there, {'start': 2.0} here"),
        ({"dtype": torch.float32}, "dtype: torch.float64 there, torch.float32 here"),
        ({"problem": problems.heat()}, "terms: wave, start, data there, heat, initial, left, right here"),
        ({"name": "LBFGS"}, "optimizer: Adam"),
    ],
)
def test_another_run_is_refused_in_one_sentence(change, message, tmp_path):
    path = tmp_path / "run.pt"
    start("Adam", steps=20, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message) as raised:
        start(**{"name": "Adam", "steps": 20, "checkpoint": path, **change})
    assert re.fullmatch(
        rf"The checkpoint '{re.escape(str(path))}' is of another run \(.*\): name another file, or remove it\.",
        str(raised.value),
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("raw", [b"", b"not a checkpoint", None], ids=["empty", "text", "truncated"])
def test_a_file_that_is_no_checkpoint(raw, tmp_path):
    path = tmp_path / "run.pt"
    if raw is None:
        start("Adam", steps=1, checkpoint=path)
        raw = path.read_bytes()[:-200]
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"is no checkpoint of this version of pinnedu, or damaged: name another file"):
        start("Adam", checkpoint=path)


def test_a_file_cannot_run_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"format": "pinnedu checkpoint 1", "identity": Bomb()}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="is no checkpoint"):
        start("Adam", checkpoint=tmp_path / "run.pt")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": 3}, "checkpoint must be the name of a file such as 'run.pt', not 3"),
        ({"checkpoint": "run.pt", "checkpoint_every": -1}, "checkpoint_every must be a number of seconds, 0 or more, not -1"),
        ({"checkpoint": "/nowhere/run.pt"}, r"'/nowhere/run.pt' could not be written \(No such file or directory\)"),
        ({"checkpoint": "/proc/run.pt"}, r"'/proc/run.pt' could not be written \(.*\); there is none yet: name a file in a"),
        ({"checkpoint": "/"}, r"The checkpoint '/' cannot be read \(Is a directory\): name another file"),
        ({"checkpoint": __file__ + "/run.pt"}, r"cannot be read \(Not a directory\): name another file"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_any_training(options, message):
    steps = []
    with pytest.raises(ValueError, match=message) as raised:
        start("Adam", callbacks=[steps.append], **options)
    assert "\n" not in str(raised.value)
    assert steps == []


def test_an_optimizer_that_cannot_be_resumed_says_so(decay, scripted, tmp_path):
    with pytest.raises(ValueError, match=r"Scripted object> cannot be kept in a checkpoint: its steps need the methods"):
        fit(MLP(decay), decay, optimizer=scripted(), steps=2, checkpoint=tmp_path / "run.pt")


# --- a disk that is full


class FullDisk:
    """Lets some writings through, then has no space left: half of the content arrives."""

    def __init__(self, monkeypatch, good):
        self.left, self.real = good, open
        monkeypatch.setattr(pinnedu.files, "open", self.open, raising=False)

    def open(self, path, mode):
        file = self.real(path, mode)
        self.left -= 1
        if self.left < 0:
            real = file.write

            def write(content):
                real(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            file = _Wrapped(file, write)
        return file


class _Wrapped:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def test_a_full_disk_gives_one_sentence_and_the_last_good_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    FullDisk(monkeypatch, good=4)  # step 0 and three more
    with pytest.warns(UserWarning, match="No space left") as caught:
        run = start("Adam", checkpoint=path, checkpoint_every=0)
    sentence = f"The checkpoint '{path}' could not be written (No space left on device); that of step 3 is kept."
    assert [str(warning.message) for warning in caught] == [sentence]
    assert run.warnings == [sentence]
    assert run.stopped == "all 40 steps done"  # training does not need the disk
    assert len(torch.load(path, weights_only=True)["rows"]) == 3
    assert os.listdir(tmp_path) == ["run.pt"]
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = start("Adam", checkpoint=path)
    assert same(resumed, start("Adam"))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")
    for function in ("fsync", "replace"):

        def fail(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="No space left"):
                write_whole(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


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
