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

from first.run import SYSTEMS, memory  # noqa: E402

DIMENSIONS = (1, 2, 4, 8, 16, 32)
POINTS = (500, 1000, 2000, 4000)
WIDTHS = (8, 16, 24, 32)
OPTIMIZERS = ("Adam", "SelfScaledBroyden", "GaussNewton")


def repeated(run: Callable[[], object], patience: float = 1.0) -> float:
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
    chosen = pinnedu.Adam(1e-3) if optimizer == "Adam" else getattr(pinnedu, optimizer)()

    def train(width: int, points: int, steps: int) -> pinnedu.Fit:
        model = MLP(problem, hidden=(width,) * 3)
        few = Points(points, 100, resample=0)
        return fit(model, problem, optimizer=chosen, steps=steps, seed=0, points=few, progress=False)

    train(2, 10, 2)  # what is imported and set up at the first step is no part of its memory
    at_rest = memory()
    run = train(width, points, 25)
    return {
        "seconds": float(np.median(np.diff(run.history["seconds"]))),
        "weights": sum(weight.numel() for weight in run.model.parameters()),
        "memory_mb": memory() - at_rest,
    }


def start(system: str) -> dict[str, float]:
    """Import, and the first answer on the heat equation: from an empty process to an error measured after one step."""
    from first.problems import TASKS
    from first.watch import Watch

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
    file = options.json
    made: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)

    def keep(part: str, name: str, measured: Callable[[], object]) -> None:
        """Measure what is not there yet, and write it at once."""
        if name not in made.setdefault(part, {}):
            made[part][name] = measured()
            file.write_text(json.dumps(made, indent=1) + "\n")
            print(part, name, made[part][name], flush=True)

    for engine in ("autograd", "taylor"):
        keep(
            "laplacian",
            engine,
            lambda engine=engine: series("dimensions", DIMENSIONS, [("laplacian", engine, d) for d in DIMENSIONS]),
        )
    for optimizer in OPTIMIZERS:
        points = [("step", optimizer, n, 20) for n in POINTS]
        widths = [("step", optimizer, 2000, width) for width in WIDTHS]
        keep("points", optimizer, lambda cases=points: series("sizes", POINTS, cases))
        keep("weights", optimizer, lambda cases=widths: series("sizes", None, cases))
    for system in SYSTEMS:
        if system != "classical solver":
            keep(
                "start",
                system,
                lambda system=system: {key: round(value, 2) for key, value in fresh("start", system).items()},
            )


def series(name: str, sizes: Sequence[float] | None, cases: Sequence[tuple[object, ...]]) -> dict[str, Any]:
    """Measure all cases; sizes are numbers of weights unless given."""
    rows = [fresh(*case) for case in cases]
    against = [row["weights"] for row in rows] if sizes is None else list(sizes)
    found = {key: [round(row[key], 6) for row in rows] for key in ("seconds", "memory_mb")}
    return {name: against, **found, "exponent": exponent(against, found["seconds"])}


if __name__ == "__main__":
    main()
