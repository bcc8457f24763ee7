"""Sweeps: many runs on one machine or on a cluster, none lost when a worker dies."""

from __future__ import annotations

import errno
import json
import linecache
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from math import inf, isnan, nan

import numpy as np
import pytest
import torch

from pinnedu import Trial, sweep, sweeps

GRID = {"beta": [1.0, 30.0], "seed": [0, 1, 2]}


def dying_once(marker):
    """A function whose process is killed the first time it runs with seed 1."""
    marker = str(marker)

    def run(beta, seed):
        import os
        import signal

        if seed == 1 and beta == 30.0 and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"value": beta * 10 + seed, "process": os.getpid()}

    return run


def read(path):
    with open(path) as file:
        return file.read()


# --- on this machine


def test_results_come_in_the_order_of_the_grid_and_a_killed_worker_costs_nothing(tmp_path):
    trials = sweep(dying_once(tmp_path / "died"), GRID, workers=2)
    assert (tmp_path / "died").exists()
    assert [(t.parameters["beta"], t.parameters["seed"]) for t in trials] == [(b, s) for b in (1.0, 30.0) for s in (0, 1, 2)]
    assert [t.value["value"] for t in trials] == [10, 11, 12, 300, 301, 302]
    processes = {t.value["process"] for t in trials}
    assert os.getpid() not in processes
    assert len(processes) <= 4  # two, and two in their place: one that dies takes the pool with it
    assert all(t.seconds >= 0 and not t.error for t in trials)


def test_failures_are_told_with_their_parameters_and_the_others_go_on(capfd):
    def run(x):
        import os
        import sys

        print("printed by a run")
        if x == 1:
            raise ArithmeticError("x is one\nand more")
        if x == 2:
            os.kill(os.getpid(), 9)
        if x == 3:
            return object()
        if x == 4:
            sys.exit(3)
        return x

    trials = sweep(run, [{"x": x} for x in range(6)], workers=2)
    assert [t.parameters for t in trials] == [{"x": x} for x in range(6)]
    assert [t.value for t in trials] == [0, None, None, None, None, 5]
    assert trials[1].error == "ArithmeticError: x is one"
    assert "in run\nArithmeticError" in trials[1].trace
    assert trials[2].error == "The process died 2 times in this run (killed, or out of memory)."
    assert trials[3].error.startswith("ValueError: The function returned a object: return numbers, texts, arrays")
    assert trials[4].error == "SystemExit: 3"
    assert repr(trials[1]) == "Trial(x=1: failed: ArithmeticError: x is one)"
    assert repr(trials[5]) == "Trial(x=5: 5)"
    printed = capfd.readouterr()
    assert "printed by a run" in printed.out + printed.err


def test_values_are_what_they_were_and_training_is_the_same_as_here():
    def run(seed):
        import torch

        from pinnedu import MLP, Adam, Points, fit, problems

        heat = problems.heat()
        done = fit(MLP(heat, hidden=(4,)), heat, optimizer=Adam(1e-2), steps=5, points=Points(20, 5), seed=seed)
        return {"loss": done.history["loss"], "error": np.float64(done.error), "weights": torch.ones(2), "nan": (nan, inf)}

    (there,) = sweep(run, {"seed": [3]}, workers=1)
    assert not there.error
    here = run(3)
    assert there.value["loss"] == here["loss"].tolist()
    assert there.value["error"] == float(here["error"])
    assert there.value["weights"] == [1, 1]
    assert isnan(there.value["nan"][0])
    assert there.value["nan"][1] == inf
    assert torch.is_tensor(here["weights"])


def test_a_script_without_a_main_guard_can_sweep(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pinnedu import sweep\n"
        "factor = 3\n"
        "def times(x):\n"
        "    return factor * x\n"
        "print([trial.value for trial in sweep(times, {'x': [1, 2]}, workers=1)])\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[3, 6]\n", "")


def test_an_interrupted_sweep_ends_its_workers_and_goes_on_from_its_folder(tmp_path):
    folder, log = tmp_path / "results", str(tmp_path / "log")

    def run(x):
        import os
        import time

        with open(log, "a") as file:
            file.write(f"{x} {os.getpid()}\n")
        time.sleep(0.0 if x < 2 else 60.0 if not os.path.exists(log + ".quick") else 0.0)
        return x * x

    def interrupt():
        while len(list(folder.glob("*.json"))) < 2 or len(read(log).splitlines()) < 3:  # two kept, the third runs
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        sweep(run, {"x": range(4)}, workers=1, folder=folder)
    pid = int(read(log).split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert len(list(folder.glob("*.json"))) == 2
    open(log + ".quick", "w").close()
    trials = sweep(run, {"x": range(5)}, workers=1, folder=folder)  # the grid may have grown
    assert [t.value for t in trials] == [0, 1, 4, 9, 16]
    assert [int(line.split()[0]) for line in read(log).splitlines()] == [0, 1, 2, 2, 3, 4]
    assert sweep(run, {"x": range(5)}, folder=folder) == trials  # nothing runs any more
    assert len(read(log).splitlines()) == 6


def test_failures_are_run_again_and_results_are_plain_json(tmp_path):
    flag = str(tmp_path / "repaired")

    def run(x):
        import os

        if x == 1 and not os.path.exists(flag):
            raise ValueError("not yet")
        return x

    first = sweep(run, {"x": [0, 1]}, workers=1, folder=tmp_path / "results")
    assert first[1].error == "ValueError: not yet"
    open(flag, "w").close()
    second = sweep(run, {"x": [0, 1]}, workers=1, folder=tmp_path / "results")
    assert [t.value for t in second] == [0, 1]
    kept = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("*.json")]
    assert sorted((k["parameters"]["x"], k["value"]) for k in kept) == [(0, 0), (1, 1)]


def test_a_folder_of_another_function_or_a_damaged_result(tmp_path):
    def square(x):
        return x * x

    def cube(x):
        return x**3

    sweep(square, {"x": [2]}, workers=1, folder=tmp_path)
    (file,) = tmp_path.glob("*.json")
    assert [trial.value for trial in sweep(cube, {"x": [2]}, workers=1, folder=tmp_path)] == [8]
    assert len(list(tmp_path.glob("*.json"))) == 2
    file.write_text("{")
    with pytest.raises(ValueError, match=r"is no result of a sweep, or damaged: remove it\."):
        sweep(square, {"x": [2]}, folder=tmp_path)


def test_results_of_other_code_are_not_taken(tmp_path):
    def run(source, **names):
        path = tmp_path / "study.py"
        path.write_text(source)
        linecache.checkcache(str(path))
        exec(compile(source, str(path), "exec"), names)
        return [trial.value for trial in sweep(names["run"], {"x": [3]}, workers=1, folder=tmp_path / "results")]

    assert run("def run(x):\n    return 2 * x\n") == [6]
    assert run("def run(x):\n    return 5 * x\n") == [15]
    assert run("def run(x):\n    return 2 * x\n") == [6]
    assert len(list((tmp_path / "results").glob("*.json"))) == 2  # the first result was still there


def test_a_value_fixed_in_the_function_is_part_of_it():
    def times(factor, by=lambda x: x):
        def run(x, power=1):
            return factor * by(x) ** power

        return run

    codes = {sweeps.code_of(f) for f in (times(2), times(3), times(2, lambda x: -x), partial(times(2), power=2))}
    assert len(codes) == 4
    assert sweeps.code_of(times(2)) == sweeps.code_of(times(2))


def test_a_full_disk_is_told_of_once_and_no_result_is_lost(tmp_path, monkeypatch):
    real, written = sweeps.write_whole, []

    def write(path, content):
        written.append(path)
        if len(written) > 1:  # one result
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "write_whole", write)
        sentence = rf"^Results cannot be kept in '{tmp_path}' \(No space left on device\): those there stay, and all are"
        with pytest.warns(UserWarning, match=sentence) as caught:
            trials = sweep(lambda x: 2 * x, {"x": [1, 2, 3, 4]}, workers=1, folder=tmp_path)
    assert len(caught) == 1
    assert [trial.value for trial in trials] == [2, 4, 6, 8]
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_progress(capsys, monkeypatch):
    monkeypatch.delenv("PINNEDU_PROGRESS")
    sweep(lambda x: x, {"x": [1]}, workers=1)
    assert "0/1" in capsys.readouterr().err
    sweep(lambda x: x, {"x": [1]}, workers=1, progress=False)
    assert capsys.readouterr().err == ""


# --- on a cluster


@pytest.mark.filterwarnings("default")
def test_a_cluster_of_two_workers_one_killed_in_mid_run(tmp_path):
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "results"

    inner = dying_once(tmp_path / "died")

    def failing(beta, seed):
        import time

        time.sleep(0.1)
        if (beta, seed) == (1.0, 2):
            raise ArithmeticError("no such run")
        return inner(beta, seed)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        trials = sweep(failing, GRID, client=client, folder=folder)
        again = sweep(failing, GRID, client=client, folder=folder)
    assert (tmp_path / "died").exists()
    assert [(t.parameters["beta"], t.parameters["seed"]) for t in trials] == [(b, s) for b in (1.0, 30.0) for s in (0, 1, 2)]
    assert [t.value and t.value["value"] for t in trials] == [10, 11, None, 300, 301, 302]
    assert trials[2].error == "ArithmeticError: no such run"
    assert len({t.value["process"] for t in trials if t.value}) >= 2
    done = [t for t in trials if not t.error]
    assert [t for t in again if not t.error] == done  # kept, with the processes that ran them
    assert len(list(folder.glob("*.json"))) == 5


# --- bad input


def holding(thing):
    return lambda x: (x, thing)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 3}, "sweep needs a function first, not 3"),
        ({"grid": {"x": 3}}, r"grid must give a list of values for 'x', such as \[3\], not 3"),
        ({"grid": {"x": "abc"}}, "grid must give a list of values for 'x'"),
        ({"grid": {"x": []}}, "grid has no combination of parameters: every name needs at least one value"),
        ({"grid": []}, "grid has no combination"),
        ({"grid": 7}, "grid must be a dict of name to values or a sequence of dicts, not 7"),
        ({"grid": [3]}, "Every combination of a grid must be a dict of name to value, not 3"),
        ({"grid": {"y": [1]}}, "The function does not take the parameters y: missing a required argument: 'x'"),
        ({"grid": {"x": [1], "z": [1]}}, "The function does not take the parameters x, z: got an unexpected keyword"),
        ({"workers": 0}, "workers must be a whole number of at least 1, not 0"),
        ({"workers": True}, "workers must be a whole number of at least 1, not True"),
        ({"client": "tcp://here"}, r"client must be a distributed\.Client, not str"),
        ({"folder": "/proc/here"}, r"The folder '/proc/here' cannot be written to \(.*\): name another one"),
        ({"grid": {"x": [{1, 2}]}, "folder": "results"}, r"Results are kept by parameters that are numbers and texts"),
        ({"function": holding(threading.Lock())}, "The function cannot be sent to another process"),
    ],
)
def test_bad_input_is_told_before_any_run(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as raised:
        sweep(**{"function": lambda x: x, "grid": {"x": [1]}, **arguments})
    assert "\n" not in str(raised.value)


def test_one_run_by_itself():
    assert json.loads(sweeps.evaluate(lambda x: np.arange(x), {"x": 3}))["value"] == [0, 1, 2]
    assert Trial({"x": 1}).value is None
