"""Checkpoints: a run that was killed goes on where it was, to the last bit."""

from __future__ import annotations

import copy
import io
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pinnedu.checks import as_number, require, shown
from pinnedu.files import write_whole
from pinnedu.trainers.optimizers import Resumable
from pinnedu.trainers.weights import Windows

if TYPE_CHECKING:
    from pinnedu.trainers.loop import _Run

FORMAT = "pinnedu checkpoint 1"
SHARE = 0.05  # of the time at most is spent on writing

Content = dict[str, Any]
"""Tensors, numbers, texts, and lists and dicts of them: what ``torch.load(weights_only=True)`` reads."""


class Checkpoint:
    """The file that keeps one run.

    Parameters
    ----------
    path : path
        Written whole or not at all: a temporary file beside it takes its name over.
    every : float
        Seconds between two writings; 0 writes after every step. Longer where writing is slow.
    """

    def __init__(self, path: str | os.PathLike[str], every: float) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ValueError(f"checkpoint must be the name of a file such as 'run.pt', not {shown(path)}.")
        require(as_number(every) >= 0, "checkpoint_every", "a number of seconds, 0 or more", every)
        self.path, self.every = Path(path), float(every)
        self.next = time.monotonic() + self.every
        self.kept: int | None = None  # the step in the file
        self.trouble = ""

    def open(self, run: _Run) -> None:
        """Let a run go on from the file, or begin one for it.

        Raises
        ------
        ValueError
            If the file is of another run or cannot be written, or the optimizer cannot be resumed.
        """
        if not isinstance(run.take_step, Resumable):
            raise ValueError(
                f"The optimizer {name_of(run.optimizer)} cannot be kept in a checkpoint: its steps need the methods "
                "state() and restore(state, objective)."
            )
        raw = run.team.agree(self.read())
        if raw is not None:
            self.resume(run, self.parse(raw, identity(run)))
        elif trouble := self.write(content(run), run.team.rank):
            raise ValueError(trouble[:-1] + ": name a file in a folder that exists and can be written to.")
        run.checkpoint = self

    def save(self, run: _Run) -> None:
        """Write the run as it is; a full disk is told of once and does not end training."""
        trouble = self.write(content(run), run.team.rank)
        if trouble and not self.trouble:
            warnings.warn(trouble, stacklevel=5)
            run.warnings.append(trouble)
        self.trouble = self.trouble or trouble

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() >= self.next

    def read(self) -> bytes | None:
        """The file as it is; None if there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(f"The checkpoint '{self.path}' cannot be read ({error.strerror}): name another file.") from None

    def parse(self, raw: bytes, wanted: Mapping[str, str]) -> Content:
        """What the file holds, if it is of this run.

        Nothing is unpickled but tensors, numbers and texts, so a file from elsewhere cannot run code.

        Raises
        ------
        ValueError
            If it is no checkpoint, or of another run.
        """
        try:
            found = torch.load(io.BytesIO(raw), weights_only=True, map_location="cpu")
            if found["format"] != FORMAT:
                raise ValueError(found["format"])
            whose = found["identity"]
        except Exception:  # torch has an error of its own for each way of being broken
            raise ValueError(
                f"'{self.path}' is no checkpoint of this version of pinnedu, or damaged: name another file, or remove it."
            ) from None
        for what, value in wanted.items():
            if whose.get(what) != value:
                raise self.refusal(f"{what}: {whose.get(what)} there, {value} here")
        return found

    def refusal(self, difference: str) -> ValueError:
        """The error for a file that belongs to another run."""
        return ValueError(
            f"The checkpoint '{self.path}' is of another run ({difference}): name another file, or remove it."
        )

    def write(self, what: Content, rank: int = 0) -> str:
        """Write, and say in one sentence what went wrong; empty if all is well. Of many processes the first writes."""
        if rank > 0:
            return ""
        start = time.monotonic()
        buffer = io.BytesIO()  # torch's own writer hides what the disk says
        torch.save({"format": FORMAT, **what}, buffer)
        try:
            write_whole(self.path, buffer.getvalue())
        except OSError as error:
            last = "there is none yet" if self.kept is None else f"that of step {self.kept} is kept"
            trouble = f"The checkpoint '{self.path}' could not be written ({error.strerror or error}); {last}."
        else:
            self.kept, trouble = len(what["rows"]), ""
        end = time.monotonic()
        self.next = end + (max(self.every, (end - start) * (1 / SHARE - 1)) if self.every else 0.0)
        return trouble

    def resume(self, run: _Run, found: Content) -> None:
        """Put everything back to where the file was written.

        Raises
        ------
        ValueError
            If the file has more steps than are asked for, or the equations are other ones.
        """
        if len(found["rows"]) > run.steps:
            raise self.refusal(f"it has done {len(found['rows'])} steps and {run.steps} are asked for")
        before = copy.deepcopy(run.model.state_dict())
        run.model.load_state_dict(found["model"])
        residuals, slack = probe(run), torch.finfo(run.dtype).eps ** 0.5
        scale = float(residuals.abs().max())
        if not torch.allclose(residuals, found["probe"], rtol=slack, atol=slack * scale, equal_nan=True):
            run.model.load_state_dict(before)
            raise self.refusal("its equations have other residuals")
        run.objective.sample = {
            name: points.to(device=run.device, dtype=run.dtype) for name, points in found["sample"].items()
        }
        run.objective.loss_weights.update(found["weights"])
        run.objective.point_weights = {
            name: Windows(**{**window, "values": window["values"].to(run.device)}) for name, window in found["shares"].items()
        }
        assert isinstance(run.take_step, Resumable)
        run.take_step.restore(found["optimizer"], run.objective)
        run.training.set_state(found["random"][0])
        run.judge.random.set_state(found["random"][1])
        torch.set_rng_state(found["random"][2])
        run.rows = list(found["rows"].to(run.device))
        run.weights = found["used"]
        run.found = list(found["found"].to(run.device))[: len(run.rows)]
        run.judge.fresh, run.errors, run.times, run.looked = found["record"]
        run.judge.kept, run.judge.best = found["kept"], found["best"]
        self.kept = len(run.rows)


def content(run: _Run) -> Content:
    """All that the next steps of a run depend on, and the record of the last ones."""
    assert isinstance(run.take_step, Resumable)
    problem = run.problem
    return {
        "identity": identity(run),
        "probe": probe(run),
        "model": run.model.state_dict(),
        "optimizer": run.take_step.state(),
        "random": [run.training.get_state(), run.judge.random.get_state(), torch.get_rng_state()],
        "sample": run.objective.whole,
        "weights": run.objective.loss_weights,
        "shares": {name: vars(window) for name, window in run.objective.point_weights.items()},
        "used": run.weights,
        "rows": torch.stack(run.rows) if run.rows else torch.zeros(0, len(problem.terms)),
        "found": torch.stack(run.found) if run.found else torch.zeros(0, len(problem.unknowns)),
        "record": [run.judge.fresh, run.errors, run.times, run.looked],
        "kept": run.judge.kept,
        "best": run.judge.best,
    }


def identity(run: _Run) -> dict[str, str]:
    """What must be the same for a run to be this run."""
    problem, values = run.problem, run.model.state_dict()
    return {
        "terms": ", ".join(problem.terms),
        "domain": repr(problem.domain),
        "fields": ", ".join(problem.fields),
        "unknowns": ", ".join(problem.unknowns),
        "shapes of the weights": ", ".join(f"{name} {tuple(value.shape)}" for name, value in values.items()),
        "optimizer": name_of(run.optimizer),
        "points": name_of(run.points),
        "weights of the terms": name_of(run.term_weights),
        "derivatives": name_of(run.objective.derivatives),
        "dtype": str(run.dtype),
        "compile": str(run.compile),
        "seed": str(run.seed),
    }


def probe(run: _Run) -> Tensor:
    """All residuals on a few points: equations that changed under the same names show here."""
    with torch.no_grad():
        found = run.problem.residuals(run.model, run.few_points())
    return torch.cat(list(found.values())).cpu().double()


def name_of(thing: object) -> str:
    """How an object shows itself, without addresses in memory, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))
