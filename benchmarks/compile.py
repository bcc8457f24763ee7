"""How much faster compiled steps are: ``fit(..., compile=True)`` against the same run without.

    .venv/bin/python benchmarks/compile.py [--threads 1] [--device auto] [--json benchmarks/results/compile.json]

Seconds of an Adam step and of an L-BFGS step, with points drawn once: the median over a run, and how long the
compiler took (a second time it finds much of its work in a cache). Every case runs in a process of its own. The table
has the largest relative difference of the losses in the first 20 steps too: the steps are the same but for rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # pinnedu need not be installed

# Problem, hidden layers, points inside and on each condition, steps of each run.
CASES = {
    "heat, small": ("heat", (10, 20), 1000, 100, 300),
    "Burgers": ("burgers", (20,) * 8, 2000, 100, 100),
    "Burgers, many points": ("burgers", (20,) * 8, 10_000, 100, 30),
    "advection, wide": ("advection", (100, 100), 2000, 100, 60),
}
OPTIMIZERS = ("Adam", "LBFGS")


def measure(case: str, optimizer: str, device: str) -> dict[str, float | str]:
    """One case, without and with the compiler, in this process."""
    import numpy as np

    import pinnedu
    from pinnedu import MLP, Points, fit, problems

    name, hidden, interior, conditions, steps = CASES[case]
    problem = getattr(problems, name)()
    seconds, losses = {}, []
    for compiled in (False, True):
        start = time.perf_counter()
        run = fit(
            MLP(problem, hidden=hidden),
            problem,
            optimizer=getattr(pinnedu, optimizer)(),
            steps=steps,
            points=Points(interior, conditions, resample=0),
            device=device,
            seed=0,
            compile=compiled,
            progress=False,
        )
        whole = time.perf_counter() - start
        if compiled and any("compiled" in sentence for sentence in run.warnings):
            raise SystemExit(run.warnings[0])
        seconds[compiled] = float(np.median(np.diff(run.history["seconds"])[5:]))
        losses.append(run.history["loss"][:20])
    return {
        "case": case,
        "optimizer": optimizer,
        "device": str(next(run.model.parameters()).device),
        "eager_ms": 1e3 * seconds[False],
        "compiled_ms": 1e3 * seconds[True],
        "ratio": seconds[False] / seconds[True],
        "compiling_s": whole - run.seconds,
        "difference": float(np.max(np.abs(losses[1] / losses[0] - 1))),
    }


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "compile.json")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.device)))
        return
    rows = []
    print(f"{'case':22} {'optimizer':10} {'eager':>9} {'compiled':>9} {'ratio':>6} {'compiling':>10} {'difference':>11}")
    for case in CASES:
        for optimizer in OPTIMIZERS:
            command = [sys.executable, __file__, "--device", options.device, "--one", case, optimizer]
            threads = {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
            answer = subprocess.run(command, env=os.environ | threads, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(answer.stdout.splitlines()[-1])
            rows.append(row)
            print(
                f"{case:22} {optimizer:10} {row['eager_ms']:6.2f} ms {row['compiled_ms']:6.2f} ms {row['ratio']:6.2f} "
                f"{row['compiling_s']:8.0f} s {row['difference']:11.0e}",
                flush=True,
            )
    import torch

    about = {"torch": torch.__version__, "python": platform.python_version(), "threads": options.threads}
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
