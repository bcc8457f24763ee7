"""The file of a checkpoint: of this run or refused, written whole, and no loss where it cannot be written."""

from __future__ import annotations

import errno
import os
import re
import warnings
from dataclasses import replace

import pytest
import torch
from resumed import FEW, OPTIMIZERS, oscillator, same, start

import pinnedu.files
from pinnedu import MLP, Box, Points, Problem, fit, problems
from pinnedu.files import write_whole

WAVE = oscillator()

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
        ({"problem": replace(WAVE, domain=Box(x=(0, 3), t=(0, 2)))}, r"domain: .* there, Box\(x=\(0, 3\), t=\(0, 2\)\) here"),
        ({"problem": replace(WAVE, fields=("u", "v"))}, "fields: u there, u, v here"),
        ({"problem": replace(WAVE, unknowns={"k": 2.0, "q": 1.0})}, "unknowns: k there, k, q here"),
        ({"scale": False}, "scale: True there, False here"),
        ({"derivatives": "autograd"}, "derivatives: 'taylor' there, 'autograd' here"),
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


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path):
    start("Adam", steps=3, checkpoint=tmp_path / "run.pt")
    problem = oscillator(1.01)
    model = MLP(problem, (6,), seed=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="its equations have other residuals"):
        fit(model, problem, optimizer=OPTIMIZERS["Adam"], steps=3, points=FEW, seed=3, checkpoint=tmp_path / "run.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_residuals_may_differ_by_rounding_and_no_more(size, tmp_path):
    """As they do on another processor: by 1e-9 of the largest, and not by 1e-6."""
    path, problem = tmp_path / "run.pt", Problem(Box(x=(0, 1)), {"size": lambda u: size * (u.x + u - 1)})
    start("Adam", steps=1, problem=problem, checkpoint=path)
    kept = torch.load(path, weights_only=True)
    probe, largest = kept["probe"], kept["probe"].abs().max()
    torch.save({**kept, "probe": probe + 1e-9 * largest}, path)
    assert len(start("Adam", steps=1, problem=problem, checkpoint=path).history["step"]) == 1
    torch.save({**kept, "probe": probe + 1e-6 * largest}, path)
    with pytest.raises(ValueError, match="its equations have other residuals"):
        start("Adam", steps=1, problem=problem, checkpoint=path)


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
