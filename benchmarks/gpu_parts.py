"""What `make gpu` measures, one function a part: each gets a `gpu.Job` and keeps every result as soon as it is there."""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import pi
from typing import TYPE_CHECKING, Any

import accuracy
import large as study
import numpy as np
import torch
from first.problems import TASKS, Task
from first.systems import pinnedu_
from first.watch import Watch
from torch import Tensor

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    GaussNewton,
    HardConstraint,
    PeriodicEmbedding,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
    problems,
)
from pinnedu.derivatives import evaluate
from pinnedu.device import out_of_memory
from pinnedu.reference import allen_cahn as reference

if TYPE_CHECKING:
    from gpu import Job

PATIENCE = 2.0  # seconds of repeating one measurement


# Tests


def tests(job: Job) -> None:
    """`tests/test_gpu.py`: what passed, what was skipped, and how the rest failed."""
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # what else is installed has no say
    import pytest

    passed: list[str] = []
    skipped: dict[str, str] = {}
    failed: dict[str, list[str]] = {}

    class Recorder:
        def pytest_runtest_logreport(self, report: Any) -> None:
            name = report.nodeid.split("::")[-1]
            if report.failed:
                failed[name] = str(report.longrepr).splitlines()[-8:]
            elif report.skipped:
                skipped[name] = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
            elif report.when == "call":
                passed.append(name)
            if report.when == "teardown":
                job.keep("passed", passed)
                job.keep("failed", failed)
                job.keep("skipped", len(skipped))

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                failed[report.nodeid] = str(report.longrepr).splitlines()[-8:]
                job.keep("failed", failed)

    # A library that warns on this machine is no failure here; what the tests say of warnings they check themselves.
    pytest.main(
        ["-q", "--tb=short", "-p", "no:cacheprovider", "-W", "default", "tests/test_gpu.py"], plugins=[Recorder()]
    )
    if failed or not (passed or job.small):
        raise RuntimeError(f"{len(failed)} tests failed, {len(passed)} passed: {', '.join(failed)}")


# Steps


def steps(job: Job) -> None:
    """Milliseconds of a step and its memory against points and weights, each optimizer, each precision."""
    sizes = (1_000, 10_000, 100_000)
    cases = [
        case | {"optimizer": name, "points": points, "weights": weights}
        for case in PRECISIONS
        for weights, points, name in itertools.product(sizes, sizes, STEPPERS)
        if name != "GaussNewton" or points * weights <= 1e9
    ]
    if job.small:
        cases = [case for case in cases if case["points"] == case["weights"] == 1_000 and not case["tf32"]]
    _measure(job, cases, job.device)


def compiled(job: Job) -> None:
    """The same with ``compile=True``, and how long compiling took."""
    double, single, tf32 = PRECISIONS
    cases = [
        double | {"optimizer": "Adam", "points": 10_000, "weights": 10_000},
        double | {"optimizer": "LBFGS", "points": 10_000, "weights": 10_000},
        double | {"optimizer": "Adam", "points": 1_000, "weights": 1_000},
        double | {"optimizer": "LBFGS", "points": 1_000, "weights": 1_000},
        double | {"optimizer": "Adam", "points": 100_000, "weights": 10_000},
        single | {"optimizer": "Adam", "points": 10_000, "weights": 10_000},
        tf32 | {"optimizer": "Adam", "points": 10_000, "weights": 10_000},
        double | {"optimizer": "Adam", "points": 10_000, "weights": 100_000},
    ]
    _measure(job, [case | {"compile": True} for case in (cases[2:3] if job.small else cases)], job.device)


def processor(job: Job) -> None:
    """Some of the same steps on the processor of this machine, all of its cores."""
    double, single, _ = PRECISIONS
    sizes = [(1_000, 1_000), (10_000, 1_000), (1_000, 10_000), (10_000, 10_000), (1_000, 100_000)]
    pairs = sizes[:1] if job.small else sizes
    cases = [
        double | {"optimizer": name, "points": points, "weights": weights}
        for points, weights in pairs
        for name in STEPPERS
        if name != "GaussNewton" or points * weights <= 1e7
    ]
    if not job.small:
        cases.append(single | {"optimizer": "Adam", "points": 10_000, "weights": 10_000})
    job.keep("threads", torch.get_num_threads())
    _measure(job, cases, "cpu")


PRECISIONS = [
    {"dtype": "float64", "tf32": False},
    {"dtype": "float32", "tf32": False},
    {"dtype": "float32", "tf32": True},
]
STEPPERS = {"Adam": Adam, "LBFGS": LBFGS, "GaussNewton": GaussNewton}


def _measure(job: Job, cases: list[dict[str, Any]], device: str) -> None:
    """Every case, one after the other, while there is time."""
    rows: list[dict[str, Any]] = []
    longest = 0.0
    for i, case in enumerate(cases):
        if job.left() < longest:
            job.keep("not run for want of time", cases[i:])
            return
        begin = time.monotonic()
        rows.append(case | step(device, **case))
        longest = max(longest, time.monotonic() - begin)
        job.say(", ".join(f"{key} {value}" for key, value in rows[-1].items()))
        job.keep("rows", rows)


def step(
    device: str, *, optimizer: str, points: int, weights: int, dtype: str, tf32: bool, compile: bool = False
) -> dict[str, Any]:
    """One case on Burgers' equation: the median step of a run on fixed points, after two for warm-up."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    gc.collect()
    _wait(device)  # which starts CUDA: without it there is no memory to ask about
    if device == "cuda":
        torch.compiler.reset()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    at_rest = torch.cuda.memory_allocated() if device == "cuda" else 0
    problem, model = pinnedu_.burgers(hidden=(study.WIDTHS[weights],) * 3)
    moments: list[float] = []

    def note(state: Any) -> bool:
        _wait(device)
        moments.append(time.perf_counter())
        elapsed = moments[-1] - moments[0]
        return len(moments) > 22 or elapsed > (PATIENCE if len(moments) > 4 else 3 * PATIENCE)

    begin = time.perf_counter()
    try:
        run = fit(
            model,
            problem,
            optimizer=STEPPERS[optimizer](),
            steps=10_000,  # so many that fit does not look at fresh points in between
            points=Points(points, resample=0),
            device=device,
            dtype=getattr(torch, dtype),
            seed=0,
            compile=compile,
            progress=False,
            callbacks=[note],
        )
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            return {"stopped": f"{type(error).__name__}: {str(error)[:300]}"}
        return {"stopped": "out of memory"}
    durations = np.diff(moments)[min(2, max(0, len(moments) - 2)) :]
    found: dict[str, Any] = {} if run.stopped.startswith("a callback") else {"stopped": run.stopped}
    if len(durations):
        found["ms"] = 1e3 * statistics.median(durations)
    if device == "cuda":
        found["memory_mb"] = (torch.cuda.max_memory_allocated() - at_rest) / 1e6
    if compile:
        refused = [sentence for sentence in run.warnings if "compiled" in sentence]
        found |= {"refused": refused[0]} if refused else {"compiling_s": moments[0] - begin} if moments else {}
    return found


def _wait(device: str) -> None:
    """Until the GPU has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


# Derivatives


def derivatives(job: Job) -> None:
    """Forward: a derivative of order 1, 2 and 4 by Taylor mode and by nested autograd, beside a plain evaluation."""
    rows: list[dict[str, Any]] = []
    for weights, points in [(1_000, 1_000)] if job.small else [(10_000, 10_000), (10_000, 100_000), (100_000, 10_000)]:
        problem = problems.burgers()
        torch.manual_seed(0)
        model = MLP(problem, hidden=(study.WIDTHS[weights],) * 3).to(job.device)
        where = problem.domain.sample(points, generator=torch.Generator().manual_seed(0)).to(job.device)
        row: dict[str, Any] = {"weights": weights, "points": points}
        with torch.no_grad():
            row["value"] = _milliseconds(job.device, lambda model=model, where=where: model(where))
        for order, engine in itertools.product((1, 2, 4), ("taylor", "autograd")):
            if job.left() < 2:
                break
            request = [(0, (order, 0))]
            row[f"{engine} {order}"] = _milliseconds(
                job.device, lambda e=engine, m=model, w=where, r=request: evaluate(e, m, w, r)
            )
        rows.append(row)
        job.say(", ".join(f"{key} {value}" for key, value in row.items()))
        job.keep("ms", rows)


def _milliseconds(device: str, run: Callable[[], object]) -> float | str:
    """Median of up to 20 runs after two."""
    times: list[float] = []
    begin = time.perf_counter()
    try:
        while len(times) < 22 and (len(times) < 5 or time.perf_counter() - begin < PATIENCE / 4):
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            times.append(time.perf_counter() - start)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return "out of memory"
    return 1e3 * statistics.median(times[2:])


# Seconds to an error


def burgers(job: Job) -> None:
    """Burgers' equation by the recipe of `accuracy.py`."""
    problem, model = accuracy.MODELS["burgers"]()
    _race(job, "curve", problem, model, accuracy.RECIPES["burgers"], TASKS["burgers"](), list(accuracy.AIMS["burgers"]))


def allen_cahn(job: Job) -> None:
    """The Allen-Cahn equation, start, kink and period built in."""
    task = allen_cahn_task()
    for left, rate in ((2, 10.0), (1, 0.0)):
        problem, model = allen_cahn_model(rate)
        goals = [1e-2, 1e-3, 1e-4, 1e-5]
        _race(job, f"start falls at rate {rate:g}", problem, model, ALLEN_CAHN, task, goals, job.left() / left)


def allen_cahn_task() -> Task:
    """Judged on a grid, as Burgers' equation is."""
    axes = np.meshgrid(np.linspace(-1, 1, 801), np.linspace(0, 1, 51), indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    return Task("Allen-Cahn", 600, 3000, 100, points, reference.exact(*points.T)[:, None])


def allen_cahn_model(rate: float) -> tuple[Problem, HardConstraint]:
    """Start and period built in, and the corner that the periodic start has at x = +-1, as diffusion rounds it.

    A smooth network could not take away the corner of the initial value: it would stay for ever, an error of 1e-3. Where
    it is, u is near -1, and what is added to -1 falls as exp(-10 t): with the rate 10 the corner is right at later times too,
    with the rate 0 the network has less to learn.
    """
    full = problems.allen_cahn()
    problem = Problem(domain=full.domain, equations=full.equations)
    network = MLP(problem, hidden=(24, 24, 24), embedding=PeriodicEmbedding(problem.domain, x=1))

    def corner(gap: Tensor, t: Tensor) -> Tensor:
        """How the heat equation rounds the profile 2 |gap|, less that profile."""
        width = torch.sqrt(4 * reference.DIFFUSION * t + 1e-14)
        s = gap / width
        return 2 * (width / pi**0.5 * torch.exp(-s * s) - gap * (1 - torch.erf(s)))

    def formula(u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return torch.exp(-rate * t) * (x * x * torch.cos(pi * x) + corner(1 - x, t) + corner(1 + x, t)) + t * u

    return problem, HardConstraint(network, problem, u=formula)


ALLEN_CAHN: list[accuracy.Stage] = [
    (GaussNewton(momentum=0.9), 100, Points(1000, **accuracy.ADAPTIVE)),
    (GaussNewton(momentum=0.9, damping=1e-6), 150, Points(3000, **accuracy.ADAPTIVE)),
    (GaussNewton(momentum=0.9, damping=1e-7), 5000, Points(6000, **accuracy.ADAPTIVE)),
]


def _race(
    job: Job,
    name: str,
    problem: Problem,
    model: torch.nn.Module,
    stages: list[accuracy.Stage],
    task: Task,
    goals: list[float],
    seconds: float | None = None,
) -> None:
    """Train for a time, or to the last goal; keeps seconds to each goal, and the curve, after every look."""
    most = 0.75 * job.left()  # the watch does not count the looks, which take a part of the time too
    limit = min(3.0, seconds or 3.0) if job.small else min(most, seconds or most)
    with _warm(job.device):
        watch = Watch(task, limit, clock=time.perf_counter)

        def note() -> None:
            curve = watch.curve[:: 1 + len(watch.curve) // 40]
            curve += [watch.curve[-1]] if curve[-1] != watch.curve[-1] else []
            reached = {
                f"{goal:.0e}": next((when for when, error in watch.curve if error <= goal), None) for goal in goals
            }
            best = min(error for _, error in watch.curve)
            when, errors = zip(*curve, strict=True)
            job.keep(name, {"best": best, "reached": reached, "seconds": when, "errors": errors})

        accuracy.train(model, problem, stages, watch, goals, 0, job.device, note)
        if watch.curve:
            note()
            best = min(error for _, error in watch.curve)
            job.say(f"{task.title}, {name}: {best:.1e} after {watch.curve[-1][0]:.0f} s")


@contextmanager
def _warm(device: str) -> Iterator[None]:
    """A few steps of each kind first, so that what a library sets up at its first call is not timed."""
    if device == "cuda":
        for optimizer in (Adam(1e-3), GaussNewton()):
            problem, model = pinnedu_.heat()
            fit(model, problem, optimizer=optimizer, steps=3, points=Points(100), device=device, seed=0, progress=False)
    _wait(device)
    yield
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


# Large networks


POINTS = {"SPRING": 1000}  # a GPU takes more than the study draws on one core
METHODS: dict[
    str, tuple[Callable[[], Any], Points, int]
] = {  # an optimizer, its points, and the most weights it can take
    "L-BFGS": (LBFGS, Points(4000, resample=100), 10**9),
    "self-scaled Broyden": (SelfScaledBroyden, Points(4000), 20_000),
    "Gauss-Newton": (lambda: GaussNewton(momentum=0.9), Points(2000, resample=1), 200_000),
    **{name: (partial(make, 1.0), Points(POINTS.get(name, 4000)), 10**9) for name, (make, _) in study.METHODS.items()},
}


def large(job: Job) -> None:
    """The figure of the chapter on large networks: Burgers' equation, each method at two sizes of network."""
    runs = [
        (name, weights)
        for weights in ((1_000, 10_000) if job.small else (10_000, 100_000))
        for name in METHODS
        if weights <= METHODS[name][2]
    ]
    for i, (name, weights) in enumerate(runs):
        label, seconds = f"{name}, {weights} weights", 1.0 if job.small else 0.75 * job.left() / (len(runs) - i) - 0.5
        if seconds < 0.5:
            job.keep(label, "not run for want of time")
            continue
        try:
            _one_of_many(job, label, name, weights, seconds)
        except (RuntimeError, MemoryError, ValueError) as error:  # the other methods go on
            reason = "out of memory" if out_of_memory(error) else f"{type(error).__name__}: {str(error)[:300]}"
            job.keep(label, reason)
            job.say(f"{label}: {reason}")


def _one_of_many(job: Job, label: str, name: str, weights: int, seconds: float) -> None:
    """Train as the study does, on this device; keeps the curve after every look."""
    make, points, _ = METHODS[name]
    problem, model = study.PROBLEMS["Burgers"](study.WIDTHS[weights])

    def note(times: list[float], errors: list[float]) -> None:
        curve = list(zip(times, errors, strict=True))
        reached = {f"{goal:.0e}": next((t for t, error in curve if error <= goal), None) for goal in (1e-1, 1e-2, 1e-3)}
        job.keep(label, {"best": min(errors), "reached": reached, "seconds": times, "errors": errors})

    with _warm(job.device):
        study.train(problem, model, make(), points, seconds, 0, job.device, note)


if __name__ == "__main__":
    sys.exit("This is run by gpu.py: make gpu")
