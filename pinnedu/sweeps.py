"""Studies over many runs: one function on a grid of parameters, on the cores of one machine or on a cluster."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import itertools
import json
import os
import pickle
import tempfile
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
from joblib.externals import loky
from joblib.func_inspect import get_func_code
from tqdm.auto import tqdm

from pinnedu.checks import require, shown, whole
from pinnedu.files import write_whole

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes
    ----------
    parameters : dict
    value : number, text, or lists and dicts of them; None where the run failed
        What the function returned; arrays and tensors as lists.
    error : str
        The error of a run that failed, in one line; empty if all is well.
    trace : str
        Where the error came from.
    seconds : float
    """

    parameters: Parameters
    value: Any = None
    error: str = ""
    trace: str = ""
    seconds: float = 0.0

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"Trial({given}: {'failed: ' + self.error if self.error else repr(self.value)})"


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]] | Iterable[Parameters],
    *,
    client: Any = None,
    workers: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[Trial]:
    """Call a function for every combination of parameters, each in a process that is not this one.

    Parameters
    ----------
    function : callable
        Gets the parameters by name. Returns numbers, texts, arrays, or lists and dicts of them. It may be
        defined in a notebook; what it needs it imports or carries along.
    grid : dict of name to values, or a sequence of dicts
        All combinations of the values, the last name running fastest, or the given combinations.
    client : distributed.Client, optional
        A Dask cluster to run on; its machines need pinnedu. Without one, processes on this machine.
    workers : int, optional
        How many processes, each with one thread; by default as many as there are cores.
    folder : path, optional
        Every result is kept there as soon as it is there, in a file of its own. What is there already is
        not run again, so a study that was stopped goes on. Failures are run again, and so is everything once the source
        of the function changes, or a value fixed in it; what it calls in other modules is not looked at.
    progress : bool
        Show a progress bar (also off when the environment has PINNEDU_PROGRESS=0).

    Returns
    -------
    list of Trial
        In the order of the grid; a run that failed says why, and the others go on.

    Raises
    ------
    ValueError
        For arguments that do not fit together, before any run.
    """
    runs = _combinations(function, grid)
    if workers is not None:
        whole(workers, "workers")
    require(isinstance(progress, bool), "progress", "True or False", progress)
    require(folder is None or isinstance(folder, str | os.PathLike), "folder", "the name of a folder", folder)
    if client is not None and not callable(getattr(client, "submit", None)):
        raise ValueError(f"client must be a distributed.Client, not {type(client).__name__}.")
    if client is not None and workers is not None:
        raise ValueError("Give client or workers, not both: a cluster knows its own workers.")
    kept = _Folder(function, folder, runs)
    found = kept.read(runs)
    left = {i: parameters for i, parameters in enumerate(runs) if i not in found}
    if not left:
        return [found[i] for i in range(len(runs))]
    if client is None:
        count = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        results = _on_this_machine(function, left, min(count, len(left)))
    else:
        results = _on_cluster(function, left, client)
    quiet = not progress or os.environ.get("PINNEDU_PROGRESS") == "0"
    with contextlib.closing(results), tqdm(total=len(runs), initial=len(found), disable=quiet, leave=False) as bar:
        for i, text in results:
            found[i] = trial = Trial(left[i], **json.loads(text))
            if not trial.error:
                kept.write(trial)
            bar.update()
    return [found[i] for i in range(len(runs))]


def _combinations(function: Any, grid: Any) -> list[Parameters]:
    """All runs, checked against what the function takes."""
    if not callable(function):
        raise ValueError(f"sweep needs a function first, not {shown(function)}.")
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not _is_list(values):
                given = shown(values)
                raise ValueError(f"grid must give a list of values for {shown(name)}, such as [{given}], not {given}.")
        runs = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    elif _is_list(grid) and not isinstance(grid, str):
        runs = list(grid)
    else:
        raise ValueError(f"grid must be a dict of name to values or a sequence of dicts, not {shown(grid)}.")
    if not runs:
        raise ValueError("grid has no combination of parameters: every name needs at least one value.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of C have none
        raise ValueError(f"{shown(function)} does not show its parameters: wrap it in a function that names them.") from None
    for parameters in runs:
        if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
            raise ValueError(f"Every combination of a grid must be a dict of name to value, not {shown(parameters)}.")
        try:
            signature.bind(**parameters)
        except TypeError as error:
            raise ValueError(f"The function does not take the parameters {', '.join(parameters) or '()'}: {error}.") from None
    return [dict(parameters) for parameters in runs]


def _is_list(thing: Any) -> bool:
    """Whether it can be gone through; an array without dimensions cannot, though it says so."""
    return isinstance(thing, Iterable) and getattr(thing, "ndim", 1) > 0


# --- one run, wherever it runs


def evaluate(function: Callable[..., Any], parameters: Parameters) -> str:
    """Run once; the outcome as JSON text, an error as a part of it.

    Text is all that comes back from a worker: nothing is unpickled where results are gathered.
    """
    start = time.perf_counter()
    try:
        outcome: Parameters = {"value": _plain(function(**parameters))}
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        outcome = {"error": what, "trace": traceback.format_exc()}
    return json.dumps({**outcome, "seconds": time.perf_counter() - start})


def _plain(value: Any) -> Any:
    """A value as JSON knows it: arrays, tensors and numbers of NumPy become lists and numbers."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(
        f"The function returned a {type(value).__name__}: return numbers, texts, arrays, or lists and dicts of them."
    )


# --- results on disk


class _Folder:
    """Results by the code of the function and its parameters, each in a file of JSON, which cannot run code when read."""

    def __init__(self, function: Any, folder: str | os.PathLike[str] | None, runs: list[Parameters]) -> None:
        self.path, self.full = None if folder is None else Path(folder), False
        if self.path is None:
            return
        self.code = code_of(function)
        for parameters in runs:
            self.file(parameters)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise ValueError(f"The folder '{folder}' cannot be written to ({error.strerror}): name another one.") from None

    def file(self, parameters: Parameters) -> Path:
        """Where a result is kept."""
        assert self.path is not None
        try:
            text = json.dumps(_plain(parameters), sort_keys=True)
        except ValueError:
            raise ValueError(
                f"Results are kept by parameters that are numbers and texts, not {shown(parameters)}: give such, or no folder."
            ) from None
        return self.path / (hashlib.sha256(f"{self.code} {text}".encode()).hexdigest()[:24] + ".json")

    def read(self, runs: list[Parameters]) -> dict[int, Trial]:
        """The results that are there, by their position in the grid."""
        found: dict[int, Trial] = {}
        for i, parameters in enumerate(runs) if self.path is not None else ():
            file = self.file(parameters)
            if file.exists():
                try:
                    text = json.loads(file.read_text(encoding="utf-8"))
                    found[i] = Trial(parameters, text["value"], seconds=text["seconds"])
                except (ValueError, KeyError, TypeError):
                    raise ValueError(f"'{file}' is no result of a sweep, or damaged: remove it.") from None
        return found

    def write(self, trial: Trial) -> None:
        """Keep a result; a full disk is reported once and does not end the study."""
        if self.path is None:
            return
        text = json.dumps({"parameters": _plain(trial.parameters), "value": trial.value, "seconds": trial.seconds})
        try:
            write_whole(self.file(trial.parameters), text.encode())
        except OSError as error:
            if not self.full:
                warnings.warn(
                    f"Results cannot be kept in '{self.path}' ({error.strerror}): those there stay, and all are returned.",
                    stacklevel=3,
                )
            self.full = True


def code_of(function: Any) -> str:
    """A digest of a function: its source, and what is fixed in it. What it calls elsewhere is not looked at."""
    if isinstance(function, functools.partial):
        return joblib.hash((code_of(function.func), [_digest(part) for part in (function.args, function.keywords)]))
    source, *_ = get_func_code(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        fixed = inspect.getclosurevars(function).nonlocals
    except (TypeError, ValueError):  # no function of Python, or a cell that is still empty
        fixed = {}
    defaults = getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)
    return str(joblib.hash((name, source, _digest(defaults), {key: _digest(value) for key, value in fixed.items()})))


def _digest(thing: Any) -> str:
    """A digest of a value; of what cannot be pickled nothing but its type."""
    if inspect.isfunction(thing):
        return code_of(thing)
    try:
        return str(joblib.hash(thing))
    except Exception:  # whatever an object's own pickling raises
        return type(thing).__qualname__


# --- processes on this machine


def _on_this_machine(function: Any, runs: dict[int, Parameters], count: int) -> Any:
    """Run in processes of their own, by loky; yields (place, JSON text) as they come.

    When a process dies loky gives up all that was running, and does not say which run did it. So each of these is run
    again alone, and fails if the process dies again.
    """
    packed = _pack(function)
    waiting, suspects, running = deque(runs), deque[int](), dict[Future[str], int]()
    pool = _pool(count)
    try:
        while waiting or suspects or running:
            alone = bool(suspects)
            queue = suspects if alone else waiting
            while queue and len(running) < (1 if alone else count):
                i = queue.popleft()
                running[pool.submit(_evaluate_packed, packed, runs[i])] = i
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenExecutor) for future in done):
                pool.shutdown(kill_workers=True)
                pool, (done, _) = _pool(count), wait(running)
            for future in done:
                i = running.pop(future)
                if not isinstance(future.exception(), BrokenExecutor):
                    yield i, future.result()
                elif alone:
                    yield i, json.dumps({"error": "The process died 2 times in this run (killed, or out of memory)."})
                else:
                    suspects.append(i)
    except BaseException:  # an interruption, or nobody wants the rest: what runs is not waited for
        pool.shutdown(kill_workers=True)
        raise
    pool.shutdown()  # in peace, each process puts its own things away


def _pool(count: int) -> Any:
    """Fresh processes of one thread each, not forks: a fork of a process in which torch has computed may hang."""
    own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PINNEDU_PROGRESS": "0"}
    return loky.ProcessPoolExecutor(max_workers=count, env=own)


def _pack(thing: Any) -> bytes:
    """Pickle for another process; functions of a notebook go whole, by cloudpickle."""
    try:
        return bytes(cloudpickle.dumps(thing))
    except Exception as error:  # whatever an object's own pickling raises
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"The function cannot be sent to another process ({reason}): define it in a module, without open files and locks."
        ) from None


def _evaluate_packed(packed: bytes, parameters: Parameters) -> str:
    """The life of a run in its process."""
    try:
        function = pickle.loads(packed)  # from the parent process alone
    except Exception as error:
        return json.dumps({"error": f"The function cannot be loaded in another process: {error!r}"})
    return evaluate(function, parameters)


# --- a cluster


def _on_cluster(function: Any, runs: dict[int, Parameters], client: Any) -> Any:
    """Run on a Dask cluster; yields (place, JSON text) as they come.

    Dask runs again elsewhere what a worker had in hand when it died.
    """
    from distributed import as_completed

    futures = {client.submit(evaluate, function, parameters, pure=False): i for i, parameters in runs.items()}
    try:
        for future, outcome in as_completed(list(futures), with_results=True, raise_errors=False):
            if future.status == "error":
                outcome = json.dumps({"error": f"The cluster gave the run up: {future.exception()!r}"})
            yield futures[future], outcome
    finally:
        client.cancel(list(futures))
