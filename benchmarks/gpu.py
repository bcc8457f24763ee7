"""Everything that needs a GPU, as one command for a machine that is available for minutes.

    make gpu                        # all parts, under eight minutes
    make gpu ONLY="steps large"     # some of them
    make gpu DEVICE=cpu             # a dry run of a minute on any machine

Nothing is installed. Every part is a process of its own with a limit of its own, and writes what it measured as it goes:
a stop loses nothing, and a part that fails leaves the others alone. What they measure is in `gpu_parts.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NEEDED = ("torch", "numpy", "scipy", "tqdm", "pytest", "hypothesis", "matplotlib")
MARGIN = 4.0  # seconds before its limit at which a part should begin nothing new
LINES = 12  # of an error that are kept


@dataclass(frozen=True)
class Part:
    """What to run, as "module:function", and for how many seconds at most."""

    function: str
    seconds: float


PARTS = {
    "tests": Part("gpu_parts:tests", 75),
    "steps": Part("gpu_parts:steps", 75),
    "compiled": Part("gpu_parts:compiled", 70),
    "processor": Part("gpu_parts:processor", 35),
    "derivatives": Part("gpu_parts:derivatives", 20),
    "burgers": Part("gpu_parts:burgers", 50),
    "allen_cahn": Part("gpu_parts:allen_cahn", 50),
    "large": Part("gpu_parts:large", 95),
}


@dataclass
class Job:
    """What a part's function is given."""

    device: str
    small: bool
    limit: float
    write: Callable[[str, Any], None]

    def __post_init__(self) -> None:
        self.begin = time.monotonic()

    def left(self) -> float:
        """Seconds in which something new may begin."""
        return self.begin + self.limit - MARGIN - time.monotonic()

    def keep(self, name: str, value: Any) -> None:
        """Write a result at once; the same name again replaces it."""
        self.write(name, value)

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"    {text}", flush=True)


# What is written


def read(file: Path) -> dict[str, Any]:
    """What was measured so far: {"about": ..., "parts": {name: {"status", "seconds", "result", "error"}}}."""
    return json.loads(file.read_text()) if file.exists() else {"about": {}, "parts": {}}


def write(file: Path, record: Mapping[str, Any]) -> None:
    """Write the record, numbers to three digits; the file is the old one or the new one at any time."""
    text = json.dumps(_rounded(record), indent=1)
    # Innermost lists and dicts in one line: newlines in texts are escaped, so only the layout changes.
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\n\s*", " ", found[0]), text)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(text + "\n")
    new.replace(file)


def update(file: Path, name: str, **values: Any) -> None:
    """Change what is written about one part."""
    record = read(file)
    record["parts"].setdefault(name, {}).update(values)
    write(file, record)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.3g}") if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


# The runner


def run(parts: Mapping[str, Part], file: Path, device: str, small: bool = False) -> dict[str, str]:
    """Run the parts one after the other; returns how each ended: "done", "failed" or "timed out".

    Raises
    ------
    KeyboardInterrupt
        Once the part that runs is ended and that is written.
    """
    ended: dict[str, str] = {}
    for name, part in parts.items():
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = read(file)
        record["parts"][name] = {"status": "running", "date": now, "result": {}}
        write(file, record)
        print(f"{name}: at most {part.seconds:g} s", flush=True)
        begin = time.monotonic()
        try:
            status, error = _one(name, part, file, device, small)
        except KeyboardInterrupt:
            update(file, name, status="stopped", seconds=time.monotonic() - begin)
            raise
        seconds = time.monotonic() - begin
        update(file, name, status=status, seconds=seconds, **({"error": error} if error else {}))
        print(f"{name}: {status} after {seconds:.0f} s", *(f"    {line}" for line in error), sep="\n", flush=True)
        ended[name] = status
    return ended


def _one(name: str, part: Part, file: Path, device: str, small: bool) -> tuple[str, list[str]]:
    """Run one part in a process of its own; how it ended, and the last lines of its error."""
    what = [name, part.function, str(part.seconds), str(file), device, str(int(small))]
    # In a dry run one thread: on a machine where other work runs, several wait for each other.
    environment = os.environ | ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if small else {})
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__, "--part", *what], cwd=ROOT, env=environment, stderr=errors, start_new_session=True
        )
        try:
            status = "failed" if process.wait(part.seconds) else "done"
        except subprocess.TimeoutExpired:
            status = "timed out"
            errors.write(f"\nIt was ended at its limit of {part.seconds:g} s.\n")
        finally:
            if process.returncode is None:
                _kill(process)
        errors.seek(0)
        lines = [line.rstrip() for line in errors.read().splitlines() if line.strip()]
    return status, [] if status == "done" else lines[-LINES:] or [f"exit code {process.returncode}"]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, its group, and what it started in groups of their own (a compiler's workers)."""
    for pid in list(_descendants(process.pid)):
        _signal(os.kill, pid)
    _signal(os.killpg, process.pid)
    process.wait()


def _descendants(pid: int) -> Iterable[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended, or this is not Linux
        return
    for child in children:
        yield from _descendants(child)
        yield child


def _signal(send: Callable[[int, int], None], pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)


def _part(name: str, function: str, seconds: str, file: str, device: str, small: str) -> None:
    """The process of one part."""
    results: dict[str, Any] = {}

    def keep(key: str, value: Any) -> None:
        results[key] = value
        update(Path(file), name, result=results)

    module, attribute = function.split(":")
    sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "book" / "studies")]
    job = Job(device, small == "1", float(seconds), keep)
    try:
        getattr(importlib.import_module(module), attribute)(job)
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


# The machine


def about(device: str) -> dict[str, Any]:
    """The machine in words; SystemExit with one sentence where the device is not there."""
    import numpy
    import torch

    found = {
        "device": device,
        "processor": f"{os.cpu_count()} cores of {_processor()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    if device == "cpu":
        return found
    try:
        torch.zeros(1, device="cuda").item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SystemExit(f"No CUDA device can be used here ({reason}). A dry run: make gpu DEVICE=cpu") from None
    card = torch.cuda.get_device_properties(0)
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver: list[str] = []
    with contextlib.suppress(OSError):
        driver = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split()
    return found | {
        "card": card.name,
        "memory_gb": round(card.total_memory / 1e9),
        "driver": driver[0] if driver else "unknown",
        "cuda": torch.version.cuda,
    }


def _processor() -> str:
    """Its name; "unknown" where the system does not say."""
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def main() -> None:
    """Run what was asked for; the exit code is 1 if a part did not end well."""
    if sys.argv[1:2] == ["--part"]:
        return _part(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--results", type=Path, help="folder; benchmarks/results for a GPU, benchmarks/mine for a dry run")
    options = parser.parse_args()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise SystemExit(f"{sys.executable} has no {', '.join(missing)}; another Python: make gpu GPU_PYTHON=...")
    folder = options.results or HERE / ("results" if options.device == "cuda" else "mine")
    file, machine = folder.resolve() / "gpu.json", about(options.device)
    record = read(file)
    if record["about"] != machine:  # numbers of another machine do not stay beside this one's
        write(file, {"about": machine, "parts": {}})
    print(*(f"{name}: {value}" for name, value in machine.items()), sep=", ", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    slack = 3 if options.device == "cpu" else 1  # a dry run proves that all works, and other work may go on beside it
    chosen = {name: Part(part.function, slack * part.seconds) for name, part in PARTS.items() if name in options.only}
    try:
        ended = run(chosen, file, options.device, small=options.device == "cpu")
    except KeyboardInterrupt:
        raise SystemExit(f"Stopped; what was measured is in {file}.") from None
    bad = [name for name, status in ended.items() if status != "done"]
    print(f"Written to {file}." + (f" Not done: {', '.join(bad)}." if bad else ""), flush=True)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
