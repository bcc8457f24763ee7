"""Runs every system on every problem, one at a time, each in a fresh process, seed after seed.

    .venv-bench/bin/python benchmarks/first/run.py [--systems ...] [--problems ...] [--seeds 0 1 2]

What is in `field.json` already is not run again; `--again` does. The order is seed, problem, system, so
that a table of all systems exists early and a machine that slows down slows all of them down.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]
RESULTS = HERE / "results"
SYSTEMS = {
    "pinnedu": "first.systems.pinnedu_",
    "DeepXDE": "first.systems.deepxde_",
    "jinns, natural gradient": "first.systems.jinns_",
    "jinns, self-scaled Broyden": "first.systems.jinns_",
    "PINA": "first.systems.pina_",
    "classical solver": "first.systems.classical",
}
PROBLEMS = ("heat", "poisson", "burgers", "advection", "wake")


def memory() -> float:
    """Highest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def one(system: str, problem: str, seed: int, seconds: float | None, share: float) -> dict[str, object]:
    """One run, in this process."""
    if hasattr(os, "sched_setaffinity"):  # one core for each system, whatever its threads
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from first.problems import TASKS
    from first.watch import Watch

    task = TASKS[problem]()
    task = replace(task, interior=round(share * task.interior), boundary=math.ceil(share * task.boundary))
    begin = time.process_time()
    module = importlib.import_module(SYSTEMS[system])
    imported, at_rest = time.process_time() - begin, memory()
    begin = time.time()
    watch = Watch(task, seconds)
    if "jinns" in system:
        module.train(problem, watch, seed, "ssbroyden" if "Broyden" in system else "natural gradient")
    else:
        module.train(problem, watch, seed)
    return {
        "curve": [[float(f"{when:.4g}"), float(f"{error:.4g}")] for when, error in watch.curve],
        "found": [{name: float(f"{value:.5g}") for name, value in found.items()} for found in watch.found],
        "stopped": watch.stopped,
        "import_seconds": round(imported, 2),
        "first_seconds": round(imported + watch.curve[0][0], 2),
        "clock_seconds": round(time.time() - begin, 1),
        "memory_mb": round(memory()),
        "memory_at_rest_mb": round(at_rest),
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, help="another time limit than the problem's own")
    parser.add_argument("--share", type=float, default=1.0, help="of the collocation points, in (0, 1]; kept apart")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of field.json")
    parser.add_argument("--again", action="store_true", help="run what is there already")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        system, problem, seed = options.one
        print(json.dumps(one(system, problem, int(seed), options.seconds, options.share)))
        return
    folder = options.results if options.share == 1 else options.results / f"share-{options.share:g}"
    file = folder / "field.json"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "DDE_BACKEND": "pytorch",
        "JAX_PLATFORMS": "cpu",
    }
    for seed in options.seeds:
        for problem in options.problems:
            for system in options.systems:
                key = f"{system} | {problem} | {seed}"
                runs = read(file)
                if (key in runs and not options.again) or (system == "classical solver" and seed > 0):
                    continue
                command = [sys.executable, __file__, "--one", system, problem, str(seed), "--share", str(options.share)]
                command += ["--seconds", str(options.seconds)] if options.seconds else []
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode:
                    print(f"{key}: failed\n{done.stderr[-3000:]}", flush=True)
                    continue
                result = json.loads(done.stdout.splitlines()[-1])
                runs = read(file)
                runs[key] = result
                write(file, runs)
                errors = [error for _, error in result["curve"]]
                print(
                    f"{key}: best {min(errors):.1e}, last {errors[-1]:.1e} at {result['curve'][-1][0]:.0f} s, "
                    f"{result['stopped']}, {result['found'][-1:]}", flush=True,
                )  # fmt: skip


def read(file: Path) -> dict[str, object]:
    """All runs so far."""
    found: dict[str, object] = json.loads(file.read_text())["runs"] if file.exists() else {}
    return found


def write(file: Path, runs: dict[str, object]) -> None:
    """Write all runs, one a line, so that a new run is one new line of the file."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(run)}" for key, run in runs.items())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"runs": {\n' + lines + "\n}}\n")


if __name__ == "__main__":
    main()
