"""Time and memory of derivatives against their order, and the price of the residual Jacobian.

    .venv/bin/python benchmarks/derivatives.py [--threads 1] [--json benchmarks/results/derivatives.json]

Network 2-50-50-50-1 (tanh), 2,000 points, float64. Each row is the value of d^k u / dx^k, the mean of its
square, and the gradient of that by the weights. Every engine and order runs in a process of its own, so that none inherits
another's heap: median of several runs after warm-up, and the peak memory above the process at rest.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # pinnedu need not be installed

ORDERS = range(1, 8)  # nested autograd takes 6 GB at order 7 and doubles
ENGINES = ("autograd", "taylor", "finite-differences")
POINTS = 2000
PATIENCE = 20.0  # seconds that one measurement may take before repetitions stop


def median_time(run: Callable[[], object], most: int = 25) -> tuple[float, int]:
    """Median seconds of up to ``most`` runs after two for warm-up, and how many there were."""
    begin = time.perf_counter()
    for _ in range(2):
        run()
        if time.perf_counter() - begin > PATIENCE / 4:
            break
    times: list[float] = []
    while len(times) < most and (not times or time.perf_counter() - begin < PATIENCE):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), len(times)


def peak_memory() -> float:
    """Highest resident memory of this process so far, in MB (Linux counts in kB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def measure_order(engine: str, order: int) -> dict[str, float]:
    """Seconds and peak MB of value and gradient of d^order u / dx^order, in this process."""
    import torch
    from torch import nn

    from pinnedu.derivatives import evaluate

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    widths = (2, 50, 50, 50, 1)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    points = torch.rand(POINTS, 2)

    def run(points: torch.Tensor = points) -> None:
        model.zero_grad()
        request = (0, (order, 0))
        evaluate(engine, model, points, [request])[request].square().mean().backward()

    run(points[:10])  # libraries loaded, threads started
    at_rest = peak_memory()
    start = time.perf_counter()
    run()
    seconds, runs = time.perf_counter() - start, 1
    memory = peak_memory() - at_rest
    if seconds < PATIENCE / 2:
        seconds, runs = median_time(run)
    return {"seconds": seconds, "runs": runs, "memory_mb": memory}


def measure_jacobian() -> dict[str, float]:
    """Seconds of the residual Jacobian of the heat equation, beside loss and gradient and torch.func."""
    import torch

    from pinnedu import MLP
    from pinnedu.jacobian import jacobian
    from pinnedu.problems import heat

    torch.manual_seed(0)
    problem = heat()
    model = MLP(problem, hidden=(50, 50, 50))
    points = problem.domain.sample(POINTS, "uniform")
    memory: dict[str, torch.Tensor] = {}
    proven: dict[str, Any] = {}

    def loss_and_gradient() -> None:
        model.zero_grad()
        problem.residuals(model, points)["heat"].square().mean().backward()

    by_layers, _ = median_time(lambda: jacobian(model, problem, points, method="layers", out=memory, proven=proven))
    gradient, _ = median_time(loss_and_gradient)
    gc.collect()
    by_func, _ = median_time(lambda: jacobian(model, problem, points, method="func"), most=5)
    return {"loss_and_gradient": gradient, "layers": by_layers, "func": by_func}


def in_fresh_process(threads: int, *what: str) -> dict[str, float]:
    """Measure in a process of its own with a fixed number of threads."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--measure", *what]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def measured(threads: int, *what: str) -> dict[str, float]:
    """Medians over three fresh processes; over one where a single run takes long."""
    rows = [in_fresh_process(threads, *what)]
    if rows[0].get("seconds", 0.0) < 1.0:
        rows += [in_fresh_process(threads, *what) for _ in range(2)]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def main() -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--orders", type=int, nargs="*", default=list(ORDERS))
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "derivatives.json")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what = options.measure
        print(json.dumps(measure_jacobian() if what[0] == "jacobian" else measure_order(what[0], int(what[1]))))
        return

    orders: dict[str, dict[str, dict[str, float]]] = {}
    print(f"value and gradient of d^k u / dx^k, 2-50-50-50-1, {POINTS} points, {options.threads} threads")
    print("  k   autograd        Taylor mode     finite diff.    autograd / Taylor")
    for k in options.orders:
        row = {engine: measured(options.threads, engine, str(k)) for engine in ENGINES}
        orders[str(k)] = row
        cells = [f"{1e3 * row[e]['seconds']:7.1f} ms {row[e]['memory_mb']:5.0f}" for e in ENGINES]
        slow, fast = row["autograd"], row["taylor"]
        ratio = f"{slow['seconds'] / fast['seconds']:6.1f} x time {slow['memory_mb'] / fast['memory_mb']:5.1f} x memory"
        print(f"  {k}  {'  '.join(cells)} MB  {ratio}", flush=True)
    costs = measured(options.threads, "jacobian")
    print(f"residual Jacobian, heat equation, hidden (50, 50, 50), {POINTS} interior points")
    for name, seconds in costs.items():
        print(f"  {name:18} {1e3 * seconds:8.1f} ms  = {seconds / costs['loss_and_gradient']:6.1f} x loss and gradient")
    print(f"  vmap(jacrev) / layers = {costs['func'] / costs['layers']:.1f}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {"python": platform.python_version(), "threads": options.threads, "points": POINTS}
    options.json.write_text(json.dumps({"about": about, "orders": orders, "jacobian": costs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
