"""Studies: an experiment over many seeds, what is claimed of it, and the results stored beside it.

A study is a file ``studies/NAME.py`` that makes a :class:`Study` called ``study``. Its results are in ``studies/NAME.json``.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from pinnedu.checks import require, shown

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Runs of an experiment: for each its parameters, and what it returned.

    Attributes
    ----------
    runs : sequence of (parameters, values)
        Two dicts each.
    """

    runs: Sequence[tuple[Parameters, Parameters]]

    def where(self, **parameters: Any) -> Results:
        """The runs that have these parameters.

        Raises
        ------
        ValueError
            If there is none.
        """
        runs = [run for run in self.runs if all(run[0].get(name, self) == value for name, value in parameters.items())]
        if not runs:
            asked = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
            raise ValueError(f"No run has {asked}; there are {len(self.runs)} runs, such as {shown(self.runs[:1])}.")
        return Results(runs)

    def __getitem__(self, name: str) -> np.ndarray:
        """What the runs returned by this name, one row for each."""
        values = [run[1] for run in self.runs]
        if not all(name in value for value in values):
            there = sorted(set.intersection(*(set(value) for value in values)))
            raise ValueError(f"Not every run returned {name!r}; all returned {', '.join(there)}.")
        return np.array([value[name] for value in values])

    def __len__(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class Claim:
    """A sentence about the results that is true or false.

    Attributes
    ----------
    name : str
    sentence : str
    holds : callable
        Takes the :class:`Results` and says whether it is true of them. It uses the numbers of the runs, not their curves.
    row : str
        The row of the scoreboard for which it is a criterion, if it is one.
    """

    name: str
    sentence: str
    holds: Callable[[Results], Any]
    row: str = ""


@dataclass(frozen=True)
class Study:
    """One experiment as a function of its parameters and a seed, the runs that are wanted, and what is claimed of them.

    Attributes
    ----------
    run : callable
        The experiment. Returns a dict of numbers and curves. It belongs to the file of the study.
    grid : dict of name to values, or a sequence of dicts
        As for :func:`pinnedu.sweep`. If the runs have a seed, it is called ``seed``.
    claims : sequence of Claim
    cheap : dict
        A run of the grid that takes a few seconds: the tests run it again.
    agree : dict of str to float
        What the cheap run must return again on any machine, and to which relative accuracy. Training is chaotic:
        what comes out at its end seldom agrees, its first steps do.
    hours : bool
        Whether it takes so long that it is run and shaken only where it is asked for by name.
    """

    run: Callable[..., Parameters]
    grid: Mapping[str, Iterable[Any]] | Sequence[Parameters]
    claims: Sequence[Claim]
    cheap: Parameters
    agree: Mapping[str, float] = field(default_factory=dict)
    hours: bool = False

    @property
    def path(self) -> Path:
        """The file of the study."""
        return Path(inspect.getsourcefile(self.run) or "")

    @property
    def runs(self) -> list[Parameters]:
        """The parameters of every run that is wanted, in order."""
        if isinstance(self.grid, Mapping):
            return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        return [dict(parameters) for parameters in self.grid]

    @property
    def code(self) -> str:
        """A digest of the experiment's code: the function and what it uses of its file. Comments and claims do not count."""
        return _digest(self.path.read_text(encoding="utf-8"), self.run.__name__)

    @property
    def stored(self) -> Parameters:
        """The file of results as it is: the code they belong to, the processor, the versions, and the results."""
        file = self.path.with_suffix(".json")
        require(file.exists(), f"{file.name}, the results of the study,", "there: run `make studies`", None)
        return dict(json.loads(file.read_text(encoding="utf-8")))

    @functools.cached_property
    def results(self) -> Results:
        """The stored results, in the order of the grid.

        Raises
        ------
        ValueError
            If there are none.
        """
        found = {key(entry["parameters"]): entry["value"] for entry in self.stored["results"]}
        return Results([(parameters, found[key(parameters)]) for parameters in self.runs if key(parameters) in found])


def open_study(name: str) -> Study:
    """Open a study with its results.

    Parameters
    ----------
    name : str
        Of the file ``studies/NAME.py``, which is looked for here, in ``book`` and in the folders above.

    Raises
    ------
    ValueError
        If there is none.
    """
    here = Path.cwd()
    looked = [folder / "studies" for above in (here, *here.parents) for folder in (above, above / "book")]
    for folder in looked:
        if (folder / f"{name}.py").is_file():
            return load(folder / f"{name}.py")
    raise ValueError(f"There is no study {shown(name)}: put the folder `studies` beside the notebook.")


class _FromText(SourceFileLoader):
    """Reads a module from its text each time: kept bytecode takes a change within the same second for none."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile what the file says now."""
        return self.source_to_code(self.get_data(self.path), self.path)


def load(path: Path | str) -> Study:
    """Read the file of a study."""
    name = f"study_{Path(path).stem}"
    spec = spec_from_file_location(name, path, loader=_FromText(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    study = getattr(module, "study", None)
    require(isinstance(study, Study), f"`study` in {Path(path).name}", "a Study", study)
    assert isinstance(study, Study)
    return study


def trial(path: str, threads: int, /, **parameters: Any) -> Parameters:
    """Run a study once, wherever it is asked for: what :func:`pinnedu.sweep` calls."""
    import torch

    torch.set_num_threads(threads)
    return load(path).run(**parameters)


def key(parameters: Mapping[str, Any]) -> str:
    """One text for each set of parameters."""
    return json.dumps(parameters, sort_keys=True)


def _digest(source: str, name: str) -> str:
    """Name the code of a function of a file, together with everything at the top of the file that it uses."""
    defined: dict[str, list[ast.stmt]] = {}
    for node in ast.parse(source).body:
        for inner in ast.walk(node):  # a docstring is no code
            if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None:
                inner.body = inner.body[1:] or [ast.Pass()]
        for given in _names(node):
            defined.setdefault(given, []).append(node)
    used: dict[str, None] = {}
    left = [name]
    while left:
        one = left.pop()
        if one in used or one not in defined:
            continue
        used[one] = None
        for node in defined[one]:
            left += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    code = "\n".join(ast.unparse(node) for one in sorted(used) for node in defined[one])
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _names(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a file defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    loops = [inner.target for inner in ast.walk(node) if isinstance(inner, ast.comprehension)]  # their names end with them
    own = {id(name) for target in loops for name in ast.walk(target)}
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)]
    return [name.id for name in names if id(name) not in own]
