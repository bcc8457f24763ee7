"""Runs the comparison by the rules of RULES.md: first the tuning, then every system on every problem, five seeds each.

    .venv-bench/bin/python benchmarks/run.py --results benchmarks/mine [--quick] [--systems ...] [--problems ...] [--seeds ...]

A run is a process of its own on one core with one thread, and a file of its own: what is there already is not run again. Every
core of the machine has one run at a time. A run that needs the processor for much less than the time that passed was disturbed,
and is made again.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import math
import os
import platform
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from problems import ALL, CASES, TUNING  # noqa: E402
from settings import DRAWN, Settings, kept, settings_of  # noqa: E402
from systems import ENTRIES, Entry  # noqa: E402

Record = dict[str, Any]
SECONDS, SEEDS = 30.0, (0, 1, 2, 3, 4)
APART = 0.1  # seconds of the processor may differ by this share from those that passed
SHORT = 1.0  # seconds of training of which no share is measured
ATTEMPTS = 3
LONGEST = 30.0  # seconds that looks and a last step may take together beyond its time
GRACE = 240.0  # a run that is not back so long after its time is ended
QUICK: Record = {
    "seconds": 3.0,
    "problems": ("heat", "burgers", "kovasznay"),
    "seeds": (0,),
    "settings": (0,),
    "tuning": ("tune_heat",),
    "grace": 180.0,
}
LIBRARIES = ("torch", "jax", "numpy", "scipy", "deepxde", "jinns", "pina-mathlab", "scimba")
STOPPED = (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM)  # by a person: no result
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "DDE_BACKEND": "pytorch",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "PINNEDU_PROGRESS": "0",
}


@dataclass(frozen=True)
class Job:
    """One run: a system on a problem with a seed; or, while tuning, with one of its settings and seed 0."""

    system: str
    problem: str
    seed: int
    setting: int | None = None

    @property
    def file(self) -> Path:
        """Where its result is kept, in the folder of results."""
        last = f"{self.problem}-{self.seed if self.setting is None else self.setting}.json"
        return (
            Path("runs" if self.setting is None else "tuning") / self.system.replace(", ", "-").replace(" ", "_") / last
        )

    def __str__(self) -> str:
        what = f"seed {self.seed}" if self.setting is None else f"setting {self.setting + 1}"
        return f"{self.system} | {self.problem} | {what}"


def jobs_of_tuning(systems: Sequence[str], problems: Sequence[str], settings: Sequence[int]) -> list[Job]:
    """Every setting of every system that has any, on problems that are not scored."""
    tuned = [system for system in systems if ENTRIES[system].uses]
    return [Job(system, problem, 0, setting) for setting in settings for problem in problems for system in tuned]


def jobs_of_runs(systems: Sequence[str], problems: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """Seed after seed, so that a table of all systems exists early and a slower hour slows all of them."""
    jobs = [Job(system, problem, seed) for seed in seeds for problem in problems for system in systems]
    return [
        job
        for job in jobs
        if (not (only := ENTRIES[job.system].only) or job.problem in only)
        and not (job.system == "classical" and job.seed)
    ]


def score(records: Sequence[Record]) -> float:
    """Of one setting: the sum over the problems of log10 of the loss on fresh points; infinite where a run failed."""
    losses = [record.get("loss", math.inf) for record in records]
    return sum(
        math.log10(max(loss, 1e-300)) if loss is not None and math.isfinite(loss) else math.inf for loss in losses
    )


def choose(folder: Path, system: str, problems: Sequence[str], settings: Sequence[int]) -> tuple[int, list[float]]:
    """The setting with the smallest score over the problems that the system can state, the first of equals, and all scores."""
    stated = [problem for problem in problems if problem not in ENTRIES[system].impossible]
    scores = [score([read(folder / Job(system, problem, 0, k).file) or {} for problem in stated]) for k in settings]
    return settings[min(range(len(scores)), key=lambda k: scores[k])], scores


def there(folder: Path, job: Job, settings: Settings, seconds: float) -> bool:
    """Whether a result is stored that was made with these settings, in this time, and with the same sentence if with one."""
    record = read(folder / job.file)
    if record is None:
        return False
    wanted = {"settings": json.loads(json.dumps(kept(settings))), "seconds": seconds}
    same = all(record.get(name, value) == value for name, value in wanted.items())
    return same and record.get("not_possible") == ENTRIES[job.system].impossible.get(job.problem)


def settings_for(job: Job, chosen: dict[str, Settings] | None) -> Settings:
    """Those of its number while tuning, and else those that were chosen; documented where there is nothing to choose."""
    entry = ENTRIES[job.system]
    if job.setting is not None:
        return settings_of(entry.documented, entry.uses)[job.setting]
    return (chosen or {})[job.system] if entry.uses and job.problem not in entry.impossible else entry.documented


def read(file: Path) -> Record | None:
    """A stored result, or None."""
    found: Record | None = json.loads(file.read_text()) if file.exists() else None
    return found


def write(file: Path, record: Any) -> None:
    """Whole or not at all: a stop leaves no half of a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", delete=False) as part:
        part.write(json.dumps(record) + "\n")
    os.chmod(part.name, 0o644)
    Path(part.name).replace(file)


def disturbed(record: Record) -> bool:
    """Whether the processor was busy for much less, or more, than the time that passed while training."""
    wall, processor = record.get("wall_seconds", 0.0), record.get("processor_seconds", 0.0)
    return wall > SHORT and abs(processor / wall - 1) > APART


def memory() -> float:
    """Highest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def one(job: Job, settings: Settings, seconds: float, truth: Path, begun: float) -> Record:
    """One run, in this process."""
    from clock import TimeIsUp, Watch
    from problems import fresh_loss, judge_of

    entry = ENTRIES[job.system]
    watch = Watch(judge_of(job.problem, truth), seconds, begun)
    record: Record = {"failed": ""}
    signal.signal(signal.SIGALRM, out_of_time)
    watch.at_first = lambda: signal.setitimer(
        signal.ITIMER_REAL, seconds + LONGEST
    )  # a step may last longer than a run
    try:
        module = importlib.import_module(f"systems.{entry.module}")
        module.train(job.problem, watch, job.seed, settings, entry.method)
    except TimeIsUp:
        pass
    except Exception as error:  # a failure is a result: what was reached before it is kept
        record["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
        record["traceback"] = traceback.format_exc()[-3000:]
    signal.setitimer(signal.ITIMER_REAL, 0)
    wall, processor = watch.busy()
    curve = [[float(f"{when:.4g}"), float(f"{error:.4g}")] for when, error in watch.curve]
    record |= {
        "curve": [point for point in curve if math.isfinite(point[1])],
        "stopped": watch.stopped,
        "steps": watch.steps,
        "wall_seconds": round(wall, 3),
        "processor_seconds": round(processor, 3),
        "memory_mb": round(memory()),
        **{name: round(value, 3) for name, value in watch.clocks().items()},
    }
    if not record["failed"] and (not curve or not math.isfinite(curve[-1][1])):
        record["failed"] = "the network is not finite" if curve else "no step ended within the time"
    if job.setting is not None and watch.layers is not None and not record["failed"]:
        record["loss"] = finite(fresh_loss(job.problem, watch.layers))
    return record


def out_of_time(*_: object) -> None:
    """Leave a step that does not end."""
    from clock import TimeIsUp

    raise TimeIsUp


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def start(job: Job, settings: Settings, options: argparse.Namespace, core: int | None) -> Record:
    """One run in a process of its own on one core; a result in any case."""
    entry: Entry = ENTRIES[job.system]
    about = {
        "system": job.system,
        "problem": job.problem,
        "seed": job.seed,
        "setting": job.setting,
        "settings": kept(settings),
        "seconds": options.seconds,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if sentence := entry.impossible.get(job.problem):
        return about | {"not_possible": sentence}
    command = [
        sys.executable,
        str(HERE / "run.py"),
        "--one",
        json.dumps([job.system, job.problem, job.seed, job.setting]),
    ]
    command += [
        "--given",
        json.dumps(kept(settings)),
        "--seconds",
        str(options.seconds),
        "--results",
        str(options.results),
    ]
    command += [] if core is None else ["--core", str(core)]
    begun = time.time()
    try:
        done = subprocess.run(
            [*command, "--begun", repr(begun)],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
            timeout=options.seconds + options.grace,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return about | {"failed": f"not back {options.grace:.0f} s after its time", "curve": []}
    if done.returncode in STOPPED:
        raise InterruptedError
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]  # libraries print as well
    if done.returncode or not lines:
        reason = "killed: out of memory?" if done.returncode == -9 else f"exit code {done.returncode}"
        return about | {"failed": reason, "curve": [], "traceback": done.stderr[-3000:]}
    found: Record = json.loads(lines[-1])
    return about | found | {"process_seconds": round(time.time() - begun, 1)}


def carry_out(jobs: Sequence[Job], chosen: dict[str, Settings] | None, options: argparse.Namespace) -> None:
    """Run what is missing of the jobs, one at a time on each core."""
    missing = [
        job
        for job in jobs
        if options.again or not there(options.results, job, settings_for(job, chosen), options.seconds)
    ]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} runs are there", flush=True)
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in missing:
        waiting.put(job)
    done, begin, lock = [0], time.time(), threading.Lock()

    def work(core: int | None) -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            settings = settings_for(job, chosen)
            try:
                for attempt in range(ATTEMPTS):
                    record = start(job, settings, options, core) | {"attempt": attempt + 1}
                    if not disturbed(record) or options.quick:
                        break
            except InterruptedError:  # stopped from outside: what ran is no failure, and is not stored
                return
            with lock:
                done[0] += 1
                kept_back = disturbed(record) and not options.quick
                if not kept_back:
                    write(options.results / job.file, record)
                left = (time.time() - begin) / done[0] * (len(missing) - done[0]) / 60
                note = "DISTURBED, not kept" if kept_back else said(record)
                print(f"{done[0]}/{len(missing)}, {left:.0f} min left: {job}: {note}", flush=True)

    workers = [threading.Thread(target=work, args=(core,)) for core in options.cores]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def said(record: Record) -> str:
    """A result in one line."""
    if "not_possible" in record:
        return f"not possible: {record['not_possible']}"
    errors = [error for _, error in record["curve"]]
    text = f"best {min(errors):.1e}, end {errors[-1]:.1e}, {record['steps']} steps" if errors else "no error measured"
    text += f", loss {record['loss']:.1e}" if record.get("loss") is not None else ""
    return text + (f", FAILED: {record['failed']}" if record["failed"] else "")


def to_choose_from(options: argparse.Namespace) -> tuple[Sequence[str], Sequence[int]]:
    """The problems and settings that a choice is made by: all of them, but for a quick look."""
    return (options.tuning, options.settings) if options.quick else (list(TUNING), range(DRAWN))


def frozen(options: argparse.Namespace, system: str) -> Settings | None:
    """The choice that `tuning.json` holds, if it was made among the settings that the system has now."""
    entry, found = ENTRIES[system], (read(options.results / "tuning.json") or {}).get(system)
    if found is None or (options.again and options.only != "runs"):
        return None
    rows = [Settings.read(row["settings"]) for row in found["settings"]]
    all_settings = settings_of(entry.documented, entry.uses)
    same = rows == [all_settings[k] for k in to_choose_from(options)[1]] and found["uses"] == list(entry.uses)
    return rows[found["chosen"]] if same else None


def tuned(options: argparse.Namespace) -> dict[str, Settings]:
    """Give the settings chosen, and write into `tuning.json` those that are new.

    What is chosen is frozen: it stands in `tuning.json`, also in a clone that has no single files of the tuning. A choice is
    made only when all runs of a system's tuning are there: one that is missing is not a failure. Without a choice nothing
    is scored, for what a library documents is not what was chosen.
    """
    file, chosen, stored, incomplete = options.results / "tuning.json", dict[str, Settings](), dict[str, Record](), []
    problems, settings = to_choose_from(options)
    for system in (system for system in options.systems if ENTRIES[system].uses):
        if (choice := frozen(options, system)) is not None:
            chosen[system] = choice
            continue
        jobs = jobs_of_tuning([system], problems, settings)
        missing = [job for job in jobs if not there(options.results, job, settings_for(job, None), options.seconds)]
        if missing:
            incomplete.append(f"{system}: {len(missing)} of {len(jobs)} runs")
            continue
        best, scores = choose(options.results, system, problems, settings)
        chosen[system] = settings_of(ENTRIES[system].documented, ENTRIES[system].uses)[best]
        stored[system] = report(options.results, system, problems, settings, best, scores)
    if stored:
        write(file, (read(file) or {}) | stored)
    if incomplete and options.only != "tuning":
        raise SystemExit(f"No choice in {file}, and the tuning is not complete; missing are\n" + "\n".join(incomplete))
    return chosen


def report(
    folder: Path, system: str, problems: Sequence[str], settings: Sequence[int], best: int, scores: Sequence[float]
) -> Record:
    """All settings of a system, their scores and losses, and which one of them was chosen."""
    entry, rows = ENTRIES[system], []
    for k, found in zip(settings, scores, strict=True):
        runs = {problem: read(folder / Job(system, problem, 0, k).file) or {} for problem in problems}
        rows.append(
            {
                "settings": kept(settings_of(entry.documented, entry.uses)[k]),
                "score": finite(found),
                "losses": {problem: run.get("loss") for problem, run in runs.items()},
                "failed": {problem: run["failed"] for problem, run in runs.items() if run.get("failed")},
            }
        )
    return {"chosen": list(settings).index(best), "uses": entry.uses, "settings": rows}


def unpack(folder: Path) -> None:
    """Lay out the runs of `comparison.json` as single files, where these are missing: a clone has the one file only."""
    for record in (read(folder / "comparison.json") or {"runs": []})["runs"]:
        job = Job(record["system"], record["problem"], record["seed"])
        if job.system in ENTRIES and not (file := folder / job.file).exists():
            write(file, record)


def gather(folder: Path) -> None:
    """All runs in one file, `comparison.json`, one a line."""
    files = sorted((folder / "runs").rglob("*.json"))
    records = [record for file in files if (record := read(file))]
    machine = {"python": platform.python_version(), "processor": processor_name(), "cores": os.cpu_count()}
    machine |= {"versions": {name: version for name in LIBRARIES if (version := version_of(name))}}
    lines = ",\n".join("  " + json.dumps({k: v for k, v in record.items() if k != "traceback"}) for record in records)
    text = f'{{"machine": {json.dumps(machine)}, "runs": [\n{lines}\n]}}\n'
    (folder / "comparison.json").write_text(text)


def version_of(library: str) -> str:
    """The installed version, or nothing."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor_name() -> str:
    """In words, where the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def cost(systems: Sequence[str], seconds: float = SECONDS, start_up: float = 15.0, cores: int = 2) -> dict[str, float]:
    """Hours that the rules cost; a run takes some seconds more than its training, to start, compile and look."""
    possible = [
        job
        for job in jobs_of_runs(systems, list(CASES), SEEDS)
        if job.problem not in ENTRIES[job.system].impossible and job.system != "classical"
    ]
    tuning = [
        job
        for job in jobs_of_tuning(systems, list(TUNING), range(DRAWN))
        if job.problem not in ENTRIES[job.system].impossible
    ]
    hours = {
        name: len(jobs) * (seconds + start_up) / cores / 3600 for name, jobs in (("tuning", tuning), ("runs", possible))
    }
    return {"number of tuning runs": len(tuning), "number of runs": len(possible), **hours, "all": sum(hours.values())}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="*", default=list(ENTRIES), choices=list(ENTRIES), metavar="SYSTEM")
    parser.add_argument("--problems", nargs="*", choices=list(ALL), metavar="PROBLEM")
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--settings", nargs="*", type=int, help="which of them, from 0 on, while tuning")
    parser.add_argument("--tuning", nargs="*", choices=list(TUNING), metavar="PROBLEM")
    parser.add_argument("--seconds", type=float, help="of training in a run")
    parser.add_argument("--results", type=Path, default=HERE / "mine", help="folder of the results")
    parser.add_argument("--cores", nargs="*", type=int, help="which cores; all of them by default")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a look: three problems, one seed, 3 s a run, one setting; in results/quick",
    )
    parser.add_argument("--again", action="store_true", help="run what is there already")
    parser.add_argument("--only", choices=("tuning", "runs"), help="one of the two parts")
    parser.add_argument("--cost", action="store_true", help="say how many hours all of it takes")
    for hidden in ("--one", "--given"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    quick = options.quick
    options.seconds = options.seconds or (QUICK["seconds"] if quick else SECONDS)
    options.seeds = options.seeds if options.seeds is not None else list(QUICK["seeds"] if quick else SEEDS)
    options.settings = options.settings or list(QUICK["settings"] if quick else range(DRAWN))
    options.problems = options.problems or list(QUICK["problems"] if quick else CASES)
    options.tuning = options.tuning or list(QUICK["tuning"] if quick else TUNING)
    options.grace = QUICK["grace"] if quick else GRACE
    if quick and not options.one:
        options.results = options.results / "quick"
    if not options.cores:
        options.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    return options


def main() -> None:
    """Tune, run, gather."""
    options = arguments()
    if options.cost:
        print(json.dumps(cost(options.systems, options.seconds, cores=len(options.cores)), indent=1))
        return
    truth = options.results / "truth"
    if options.one:
        if options.core is not None:
            os.sched_setaffinity(0, {options.core})
        job = Job(*json.loads(options.one))
        print(
            "\n" + json.dumps(one(job, Settings.read(json.loads(options.given)), options.seconds, truth, options.begun))
        )
        return
    from problems import prepare_one

    for name in [*options.tuning, *options.problems]:
        prepare_one(name, truth)
    unpack(options.results)
    if options.only != "runs":
        systems = [system for system in options.systems if frozen(options, system) is None]
        carry_out(jobs_of_tuning(systems, options.tuning, options.settings), None, options)
    chosen = tuned(options)
    if options.only != "tuning":
        carry_out(jobs_of_runs(options.systems, options.problems, options.seeds), chosen, options)
        gather(options.results)


if __name__ == "__main__":
    main()
