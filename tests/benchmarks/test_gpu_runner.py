"""The runner of `make gpu`: whatever happens to one part, the others go on and nothing that was measured is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"

FAKES = """
import subprocess, sys, time

def well(job):
    job.keep("device", job.device)
    job.keep("pi", 3.14159265)
    job.keep("curve", [1.0, float("inf")])

def raises(job):
    job.keep("before", 1)
    raise ValueError("this is [the reason]")

def hangs(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    job.keep("child", child.pid)
    time.sleep(60)

def leaves(job):
    job.keep("left", job.left())

def dies(job):
    import os
    job.keep("before", 2)
    os._exit(3)
"""


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu", HERE / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fakes(gpu, tmp_path, monkeypatch):
    (tmp_path / "fakes.py").write_text(FAKES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda **limits: {name: gpu.Part(f"fakes:{name}", seconds) for name, seconds in limits.items()}


def alive(pid):
    """A process that was killed and that nobody has asked about yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_each_part_ends_in_its_own_way_and_all_is_written(gpu, fakes, tmp_path):
    file = tmp_path / "results" / "gpu.json"
    ended = gpu.run(fakes(hangs=6, raises=30, dies=30, well=30, leaves=30), file, "cpu")
    assert ended == {"hangs": "timed out", "raises": "failed", "dies": "failed", "well": "done", "leaves": "done"}
    parts = json.loads(file.read_text())["parts"]
    assert {name: part["status"] for name, part in parts.items()} == ended
    assert parts["well"]["result"] == {"device": "cpu", "pi": 3.14, "curve": [1.0, None]}
    assert parts["raises"]["result"] == {"before": 1}
    assert parts["raises"]["error"][-1] == "ValueError: this is [the reason]"
    assert parts["dies"]["result"] == {"before": 2}
    assert parts["dies"]["error"] == ["exit code 3"]
    assert parts["hangs"]["error"][-1] == "It was ended at its limit of 6 s."
    assert 20 < parts["leaves"]["result"]["left"] <= 30 - gpu.MARGIN
    assert "error" not in parts["well"]
    if Path("/proc").exists():
        assert not alive(parts["hangs"]["result"]["child"])


def test_a_stop_in_the_middle_loses_nothing(gpu, fakes, tmp_path):
    file = tmp_path / "gpu.json"
    gpu.update(file, "earlier", status="done", result={"kept": 1})
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import gpu, pathlib\n"
        "gpu.run({name: gpu.Part(f'fakes:{name}', 60) for name in ('well', 'hangs')}, "
        f"pathlib.Path({str(file)!r}), 'cpu')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while "child" not in gpu.read(file)["parts"].get("hangs", {}).get("result", {}):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    parts = gpu.read(file)["parts"]
    assert parts["earlier"]["result"] == {"kept": 1}
    assert parts["well"]["status"] == "done"
    assert parts["hangs"]["status"] == "stopped"
    if Path("/proc").exists():
        assert not alive(parts["hangs"]["result"]["child"])


def test_even_a_kill_loses_only_the_part_that_ran(gpu, fakes, tmp_path):
    file = tmp_path / "gpu.json"
    gpu.run(fakes(well=30), file, "cpu")
    gpu.update(file, "next", status="running", result={"half": 1})  # all that a killed runner leaves
    assert gpu.run(fakes(leaves=30), file, "cpu") == {"leaves": "done"}
    parts = gpu.read(file)["parts"]
    assert [parts[name]["status"] for name in ("well", "next", "leaves")] == ["done", "running", "done"]


def test_the_file_is_whole_at_any_time_and_small(gpu, tmp_path):
    file = tmp_path / "gpu.json"
    record = {"about": {}, "parts": {"a": {"error": ["a [b]\n {c}"], "rows": [{"ms": 1.23456}, {"ms": float("nan")}]}}}
    gpu.write(file, record)
    assert gpu.read(file)["parts"]["a"] == {"error": ["a [b]\n {c}"], "rows": [{"ms": 1.23}, {"ms": None}]}
    assert os.listdir(tmp_path) == ["gpu.json"]


def test_all_parts_fit_into_eight_minutes(gpu):
    assert sum(part.seconds for part in gpu.PARTS.values()) < 480


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, HERE / "gpu.py", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_device_is_said_in_one_line(tmp_path):
    done = command("--results", str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stderr.startswith("No CUDA device can be used here (")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_said_in_one_line(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "NEEDED", ("numpy", "no_such_package"))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--results", str(tmp_path)])
    with pytest.raises(SystemExit, match="has no no_such_package; another Python"):
        gpu.main()
