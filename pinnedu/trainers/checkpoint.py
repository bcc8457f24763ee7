"""Checkpoints: a run that was killed goes on where it was, to the last bit."""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pinnedu.checks import as_number, require, shown
from pinnedu.files import packed, unpacked, write_whole
from pinnedu.trainers.optimizers import Resumable
from pinnedu.trainers.sampling import undisturbed
from pinnedu.trainers.settings import Settings
from pinnedu.trainers.state import Content, TrainingState

FORMAT = "pinnedu checkpoint 2"
SHARE = 0.05  # of the time at most is spent on writing


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
        self.identity: dict[str, str] = {}

    def open(self, settings: Settings, state: TrainingState) -> None:
        """Let a run go on from the file, or begin one for it.

        Raises
        ------
        ValueError
            If the file is of another run or cannot be written, or the optimizer cannot be resumed.
        """
        if not isinstance(state.take_step, Resumable):
            raise ValueError(
                f"The optimizer {name_of(settings.optimizer)} cannot be kept in a checkpoint: its steps need the methods "
                "state() and restore(state, objective)."
            )
        self.identity = identity(settings, state)
        raw = state.objective.team.agree(self.read())
        if raw is not None:
            self.resume(self.parse(raw), state, settings.steps)
        elif trouble := self.save(state):
            raise ValueError(trouble[:-1] + ": name a file in a folder that exists and can be written to.")

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

    def parse(self, raw: bytes) -> Content:
        """What the file holds, if it is of this run.

        Raises
        ------
        ValueError
            If it is no checkpoint, or of another run.
        """
        try:
            found = unpacked(raw, FORMAT)
            whose: Mapping[str, str] = found["identity"]
        except (ValueError, KeyError):
            raise ValueError(
                f"'{self.path}' is no checkpoint of this version of pinnedu, or damaged: name another file, or remove it."
            ) from None
        for what, value in self.identity.items():
            if whose.get(what) != value:
                raise self.refusal(f"{what}: {whose.get(what)} there, {value} here")
        return found

    def refusal(self, difference: str) -> ValueError:
        """The error for a file that belongs to another run."""
        return ValueError(
            f"The checkpoint '{self.path}' is of another run ({difference}): name another file, or remove it."
        )

    def save(self, state: TrainingState) -> str:
        """Write the run as it is; what went wrong, in one sentence. Of many processes the first writes."""
        if state.objective.team.rank > 0:
            return ""
        content = {"identity": self.identity, "probe": probe(state), **state.content()}
        start = time.monotonic()
        raw = packed(content, FORMAT)
        try:
            write_whole(self.path, raw)
        except OSError as error:
            last = "there is none yet" if self.kept is None else f"that of step {self.kept} is kept"
            trouble = f"The checkpoint '{self.path}' could not be written ({error.strerror or error}); {last}."
        else:
            self.kept, trouble = len(state.record), ""
        end = time.monotonic()
        self.next = end + (max(self.every, (end - start) * (1 / SHARE - 1)) if self.every else 0.0)
        return trouble

    def resume(self, found: Content, state: TrainingState, steps: int | None) -> None:
        """Put everything back to where the file was written.

        Raises
        ------
        ValueError
            If the file has more steps than are asked for, or the equations are other ones.
        """
        if steps is not None and len(found["rows"]) > steps:
            raise self.refusal(f"it has done {len(found['rows'])} steps and {steps} are asked for")
        before = copy.deepcopy(state.trained.state_dict())
        state.trained.load_state_dict(found["model"])
        residuals, slack = probe(state), torch.finfo(state.sampler.dtype).eps ** 0.5
        scale = float(residuals.abs().max())
        if not torch.allclose(residuals, found["probe"], rtol=slack, atol=slack * scale, equal_nan=True):
            state.trained.load_state_dict(before)
            raise self.refusal("its equations have other residuals")
        state.restore(found)
        self.kept = len(state.record)


def identity(settings: Settings, state: TrainingState) -> dict[str, str]:
    """What must be the same for a run to be this run."""
    problem, values = state.objective.problem, state.trained.state_dict()
    return {
        "terms": ", ".join(problem.terms),
        "domain": repr(problem.domain),
        "fields": ", ".join(problem.fields),
        "unknowns": ", ".join(problem.unknowns),
        "scale": str(settings.scale),
        "shapes of the weights": ", ".join(f"{name} {tuple(value.shape)}" for name, value in values.items()),
        "optimizer": name_of(settings.optimizer),
        "options of the optimizer": getattr(state.take_step, "options_shown", ""),
        "points": name_of(settings.points),
        "weights of the terms": name_of(settings.given_weights),
        "derivatives": name_of(settings.derivatives),
        "dtype": str(settings.dtype),
        "compile": str(settings.compile),
        "seed": str(settings.seed),
    }


def probe(state: TrainingState) -> Tensor:
    """All residuals on a few points: equations that changed under the same names show here."""
    objective = state.objective
    with undisturbed(objective.derivatives), torch.no_grad():
        found = objective.problem.residuals(state.trained, state.sampler.few())
    return torch.cat(list(found.values())).cpu().double()


def name_of(thing: object) -> str:
    """How an object shows itself, without addresses in memory, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))
