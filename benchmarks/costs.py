"""What things cost: the Laplacian against the dimension, a step against points and weights, starting a system.

    .venv-bench/bin/python benchmarks/costs.py

Everything is measured in a process of its own, on one core, in seconds of the processor; exponents are slopes of
straight lines through the last four points in logarithmic axes. Written to `results/costs.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from run import SYSTEMS, memory  # noqa: E402

DIMENSIONS = (1, 2, 4, 8, 16, 32, 64)
POINTS = (250, 500, 1000, 2000, 4000, 8000)
WIDTHS = (8, 12, 16, 24, 32, 48)
OPTIMIZERS = ("Adam", "SelfScaledBroyden", "GaussNewton")


def repeated(run: Callable[[], object], patience: float = 3.0) -> float:
    """Median seconds of up to 15 runs after one for warm-up."""
    run()
    times: list[float] = []
    begin = time.process_time()
    while len(times) < 15 and (len(times) < 2 or time.process_time() - begin < patience):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def laplacian(engine: str, dim: int) -> dict[str, float]:
    """Residual of Poisson's equation in so many dimensions at 500 points, with its gradient by the weights."""
    import torch

    from pinnedu import MLP, Box, Problem

    torch.set_num_threads(1)
    names = [f"x{i}" for i in range(dim)]
    problem = Problem(Box(**dict.fromkeys(names, (0, 1))), {"poisson": lambda u: u.laplacian(*names) - 1})
    model, points = MLP(problem, hidden=(50, 50)), problem.domain.sample(500)

    def run() -> None:
        model.zero_grad()
        problem.residuals(model, points, engine)["poisson"].square().mean().backward()

    at_rest = memory()
    run()
    return {"memory_mb": memory() - at_rest, "seconds": repeated(run)}


def step(optimizer: str, points: int, width: int) -> dict[str, float]:
    """A step on Burgers' equation with three hidden layers."""
    import numpy as np
    import torch

    import pinnedu
    from pinnedu import MLP, Points, fit
    from pinnedu.problems import burgers

    torch.set_num_threads(1)
    problem = burgers()
    model = MLP(problem, hidden=(width,) * 3)
    at_rest = memory()
    chosen = pinnedu.Adam(1e-3) if optimizer == "Adam" else getattr(pinnedu, optimizer)()
    run = fit(
        model, problem, optimizer=chosen, steps=12, seed=0, points=Points(points, 100, resample=0), progress=False
    )
    return {
        "seconds": float(np.median(np.diff(run.history["seconds"]))),
        "weights": sum(weight.numel() for weight in model.parameters()),
        "memory_mb": memory() - at_rest,
    }


def start(system: str) -> dict[str, float]:
    """Import, and the first answer on the heat equation: from an empty process to an error measured after one step."""
    from problems import TASKS
    from watch import Watch

    task, begin = TASKS["heat"](), time.process_time()
    module = __import__(SYSTEMS[system], fromlist=["train"])
    imported = time.process_time() - begin
    watch = Watch(task, 1e-9)
    module.train(
        "heat", watch, 0, *(["ssbroyden" if "Broyden" in system else "natural gradient"] if "jinns" in system else [])
    )
    return {"import": imported, "first": imported + watch.curve[0][0]}


def fresh(what: str, *arguments: object) -> dict[str, float]:
    """Measure in a fresh process with one thread."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "DDE_BACKEND": "pytorch",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, __file__, "--measure", what, *map(str, arguments)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of the last four points in logarithmic axes."""
    import numpy as np

    return float(np.polyfit(np.log(sizes[-4:]), np.log(costs[-4:]), 1)[0])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "costs.json", help="where to write")
    options = parser.parse_args()
    if options.measure:
        what, *arguments = options.measure
        numbers = [int(a) if a.isdigit() else a for a in arguments]
        print(json.dumps({"laplacian": laplacian, "step": step, "start": start}[what](*numbers)))
        return
    made: dict[str, Any] = {"laplacian": {}, "points": {}, "weights": {}, "start": {}}
    for engine in ("autograd", "taylor"):
        rows = [fresh("laplacian", engine, d) for d in DIMENSIONS]
        made["laplacian"][engine] = {
            "dimensions": DIMENSIONS, **{key: [round(row[key], 6) for row in rows] for key in rows[0]},
            "exponent": exponent(DIMENSIONS, [row["seconds"] for row in rows]),
        }  # fmt: skip
    for optimizer in OPTIMIZERS:
        for against, cases in (("points", [(n, 20) for n in POINTS]), ("weights", [(2000, width) for width in WIDTHS])):
            rows = [fresh("step", optimizer, *case) for case in cases]
            sizes = [n for n, _ in cases] if against == "points" else [int(row["weights"]) for row in rows]
            made[against][optimizer] = {
                "sizes": sizes, "seconds": [round(row["seconds"], 6) for row in rows],
                "memory_mb": [round(row["memory_mb"], 1) for row in rows],
                "exponent": exponent(sizes, [row["seconds"] for row in rows]),
            }  # fmt: skip
    for system in SYSTEMS:
        if system != "classical solver":
            made["start"][system] = {key: round(value, 2) for key, value in fresh("start", system).items()}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
