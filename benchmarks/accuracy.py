"""Seconds to a given error on the heat and Burgers' equation, beside the aims that were set for them.

    .venv/bin/python benchmarks/accuracy.py [--problems heat burgers] [--seeds 0 1 2] [--json benchmarks/results/accuracy.json]

One core, seconds of the processor, measuring the error excluded. Start and ends are built into the network. A
recipe is a list of stages: few points while the answer is far away and a step should be cheap, more when their
draws are what limits the error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402
from first.problems import TASKS, Predict  # noqa: E402
from first.systems import pinnedu_  # noqa: E402
from first.watch import Watch  # noqa: E402
from torch import nn  # noqa: E402

from pinnedu import GaussNewton, Points, Problem, fit  # noqa: E402

Stage = tuple[Any, int, Points]
"""Optimizer, steps, points."""

AIMS = {
    "heat": {1e-4: 2.0, 1e-6: 10.0, 1e-8: 60.0},
    "burgers": {1e-3: 10.0, 1e-4: 40.0, 1e-5: 200.0},
}
ADAPTIVE = {"method": "sobol", "resample": 2, "adaptive": 0.8}
RECIPES = {
    "heat": [(GaussNewton(), 1000, Points(500, method="sobol", resample=0))],
    "burgers": [
        (GaussNewton(momentum=0.9), 80, Points(1000, **ADAPTIVE)),
        (GaussNewton(momentum=0.9, damping=1e-6), 100, Points(3000, **ADAPTIVE)),
        (GaussNewton(momentum=0.9, damping=1e-7), 2000, Points(6000, **ADAPTIVE)),
    ],
}
MODELS = {"heat": pinnedu_.heat, "burgers": lambda: pinnedu_.burgers(hidden=(16, 16, 16))}


def arrivals(name: str, seed: int) -> dict[float, float]:
    """Seconds until each error is reached; those that were not in the time of the last aim are missing."""
    problem, model = MODELS[name]()
    watch = Watch(TASKS[name](), max(AIMS[name].values()))
    return train(model, problem, RECIPES[name], watch, AIMS[name], seed)


def train(
    model: nn.Module,
    problem: Problem,
    stages: Sequence[Stage],
    watch: Watch,
    goals: Collection[float],
    seed: int,
    device: str = "cpu",
    note: Callable[[], object] = lambda: None,
) -> dict[float, float]:
    """Train until all goals are reached, or time is up: seconds to each; ``note`` is called after each look."""
    found: dict[float, float] = {}

    def predict(points) -> Predict:
        with torch.no_grad():
            return model(torch.as_tensor(points).to(next(model.parameters()))).cpu().numpy()

    def look(state) -> bool:
        if watch.due():
            if device == "cuda":
                torch.cuda.synchronize()
            watch.look(predict)
            seconds, error = watch.curve[-1]
            found.update({goal: seconds for goal in goals if error <= goal and goal not in found})
            note()
        return (len(goals) > 0 and len(found) == len(goals)) or watch.seconds() >= watch.limit

    for stage, (optimizer, steps, points) in enumerate(stages):
        fit(
            model, problem, optimizer=optimizer, steps=steps, points=points, seed=seed + 1000 * stage,
            device=device, progress=False, callbacks=[look],
        )  # fmt: skip
    return found


def main() -> None:
    """Print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=list(AIMS), choices=list(AIMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, default=HERE / "results" / "accuracy.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, dict[str, dict[str, object]]] = {}
    for name in options.problems:
        runs = [arrivals(name, seed) for seed in options.seeds]
        table[name] = {}
        for goal, aim in AIMS[name].items():
            seconds = [run.get(goal, float("inf")) for run in runs]
            median = statistics.median(seconds)
            each = ", ".join(f"{s:.1f}" for s in seconds)
            print(f"{name:8} to {goal:.0e}: {median:6.1f} s   aim {aim:3.0f} s   (seeds: {each})", flush=True)
            table[name][f"{goal:.0e}"] = {"seconds": [round(s, 2) if s < float("inf") else None for s in seconds], "aim": aim}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
