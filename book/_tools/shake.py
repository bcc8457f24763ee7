"""Shake the studies: does what they claim hold with other seeds and with other rounding?

Runs of a study are repeated under several roundings: environments in which the same program adds up in another order. Then
result sets as large as the study's own are drawn from all runs that are there (a bootstrap): the seeds are drawn with
replacement, the same for all arms, and for each run one of its roundings. The share of these sets of which a claim is true is
how often it holds. Below 95 % it is no claim: the exit status is 1.

Usage: ``python book/_tools/shake.py [--seeds 10..14] [NAME ...]``; all studies without a name. With ``chapters`` as the
first name, the chapters that follow, or all, are run again under each rounding, and those that print something else are listed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable

import torch
from chapters import notebooks, start
from studies import FOLDER, RUNS, current, key, load, names, processor, run, store, verdicts, versions, workers

from pinnedu.studies import Results, Study

SHAKEN = FOLDER / "shaken"
LEAST = 0.95
DRAWS = 1000
SHORT = 32  # numbers in a list that is kept
PLAIN = "plain"  # as `make studies` runs
AVX512 = {"ATEN_CPU_CAPABILITY": "avx2"} if torch.backends.cpu.get_cpu_capability() == "AVX512" else {}
ROUNDINGS: dict[str, tuple[dict[str, str], int]] = {  # variables, and threads
    PLAIN: ({}, 1),
    "portable": ({"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}, 1),
    "two threads": ({"MKL_ENABLE_INSTRUCTIONS": "AVX2", "MKL_CBWR": "AVX2", **AVX512}, 2),
}


def environment(rounding: str) -> dict[str, str]:
    """The environment of a process that rounds so."""
    variables, threads = ROUNDINGS[rounding]
    cleared = {name for one, _ in ROUNDINGS.values() for name in one}
    kept = {name: value for name, value in os.environ.items() if name not in cleared}
    passive = {"OMP_WAIT_POLICY": "PASSIVE"}  # a thread that waits in a loop keeps the other from a busy core
    return kept | variables | passive | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def numbers(text: str) -> list[int]:
    """Seeds as they are written: ``10..14`` or ``3,5,8``."""
    try:
        low, dots, high = text.partition("..")
        found = list(range(int(low), int(high) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds: write 10..14 or 3,5,8")
    return found


# --- runs


def cell(parameters: dict) -> str:
    """One text for each arm of a study: its parameters without the seed."""
    return key({name: value for name, value in parameters.items() if name != "seed"})


def wanted(study: Study, seeds: list[int] | None) -> list[dict]:
    """The runs of a study, with other seeds if asked for."""
    if seeds is None or not any("seed" in parameters for parameters in study.runs):
        return study.runs
    arms = {cell(parameters): parameters for parameters in study.runs}
    return [parameters | {"seed": seed} for seed in seeds for parameters in arms.values()]


def kept(study: Study) -> dict[str, dict[str, dict]]:
    """What was run so far, by rounding and by parameters; the study's own results are among the plain ones."""
    found: dict[str, dict[str, dict]] = {rounding: {} for rounding in ROUNDINGS}
    found[PLAIN] |= {k: light(entry) for k, entry in current(study).items()}
    file = SHAKEN / f"{study.path.stem}.json"
    if file.exists():
        held = stored(study)
        for entry in held["results"] if held["code"] == study.code else ():
            found.setdefault(entry["rounding"], {})[key(entry["parameters"])] = entry
    return found


def stored(study: Study) -> dict:
    """The file of shaken runs as it is."""
    return json.loads((SHAKEN / f"{study.path.stem}.json").read_text(encoding="utf-8"))


def light(entry: dict) -> dict:
    """A run without its curves and fields: claims are about numbers, and short lists of them."""

    def short(value: object) -> bool:
        return isinstance(value, int | float) or (
            isinstance(value, list) and len(value) <= SHORT and all(isinstance(one, int | float) for one in value)
        )

    return entry | {"value": {name: value for name, value in entry["value"].items() if short(value)}}


def repeat(name: str, rounding: str, seeds: list[int] | None) -> int:
    """Run what is missing under the rounding of this process, and keep it."""
    study = load(FOLDER / f"{name}.py")
    there = kept(study)
    runs = wanted(study, seeds)
    left = sum(key(parameters) not in there[rounding] for parameters in runs)
    if not left:
        return 0
    print(f"{name}, {rounding}: {left} runs", flush=True)
    threads = ROUNDINGS[rounding][1]
    count = workers() or max(1, (os.cpu_count() or 1) // threads)
    folder = RUNS / f"{name}-{study.code}-{rounding.replace(' ', '-')}"
    there[rounding], failed = run(study, runs, there[rounding], threads, count, folder)
    keep(study, there)
    for failure in failed:
        print(f"  failed: {failure}")
    return int(bool(failed))


def keep(study: Study, there: dict[str, dict[str, dict]]) -> None:
    """Store all runs but the study's own, and how often each claim holds."""
    SHAKEN.mkdir(exist_ok=True)
    own = current(study)  # these have a file of their own
    entries = [
        {"rounding": rounding} | light(entry)
        for rounding, runs in there.items()
        for k, entry in runs.items()
        if rounding != PLAIN or k not in own
    ]
    head = {"study": study.path.stem, "code": study.code, "processor": processor(), "versions": versions()}
    store(SHAKEN / f"{study.path.stem}.json", head | {"holds": shares(study, pool(there))}, entries)


# --- draws

Pool = dict[str, dict[int | None, list[dict]]]
"""Arm, then seed, then what came out under each rounding."""


def pool(there: dict[str, dict[str, dict]], seeds: Iterable[int] | None = None) -> Pool:
    """All runs that draws are taken from, or those with some seeds."""
    only = None if seeds is None else {*seeds, None}
    found: Pool = {}
    for runs in there.values():
        for entry in runs.values():
            seed = entry["parameters"].get("seed")
            if only is None or seed in only:
                found.setdefault(cell(entry["parameters"]), {}).setdefault(seed, []).append(entry["value"])
    return found


def draw(study: Study, found: Pool, chance: random.Random) -> Results:
    """A result set as large as the study's own: seeds drawn anew, and a rounding for each run."""
    places: dict[int | None, float] = {}
    runs = []
    for parameters in study.runs:
        arm = found[cell(parameters)]
        there = sorted(arm, key=lambda seed: -1 if seed is None else seed)
        place = places.setdefault(parameters.get("seed"), chance.random())  # the same in every arm
        runs.append((parameters, chance.choice(arm[there[int(place * len(there))]])))
    return Results(runs)


def shares(study: Study, found: Pool, draws: int = DRAWS) -> dict[str, float]:
    """How often each claim holds, from 0 to 1."""
    if missing := [parameters for parameters in study.runs if cell(parameters) not in found]:
        raise ValueError(f"{study.path.stem} cannot be shaken: no run has {missing[0]}.")
    chance = random.Random(0)
    count = dict.fromkeys((claim.name for claim in study.claims), 0)
    for _ in range(draws):
        for claim, holds in verdicts(study, draw(study, found, chance)).items():
            count[claim] += holds
    return {claim: true / draws for claim, true in count.items()}


def report(study: Study, seeds: list[int] | None) -> bool:
    """Print how often each claim holds; return whether all hold."""
    there = kept(study)
    found = pool(there, seeds)
    total = sum(len(values) for arm in found.values() for values in arm.values())
    print(f"{study.path.stem}: {total} runs, {DRAWS} draws")
    held = shares(study, found)
    for claim in study.claims:
        share = held[claim.name]
        print(f"  holds in {share:6.1%}{'' if share >= LEAST else ', BELOW 95 %'}: {claim.sentence}")
    return all(share >= LEAST for share in held.values())


# --- chapters


def chapters(asked: list[str]) -> int:
    """Run chapters again under each rounding; list those that print something else."""
    there = {path.stem: path for path in notebooks()}
    if unknown := sorted(set(asked) - set(there)):
        raise ValueError(f"No chapter is called {', '.join(unknown)}; there are: {', '.join(there)}.")
    wrong = False
    for rounding in ROUNDINGS:
        for name in asked or there:
            command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--nbval", "--nbval-current-env", "-W", "default"]
            command += ["--nbval-sanitize-with", "tests/book/nbval.ini", "--tb=no", "-p", "no:cacheprovider"]
            quiet = environment(rounding) | {"PINNEDU_PROGRESS": "0", "JUPYTER_PLATFORM_DIRS": "1"}
            done = subprocess.run([*command, str(there[name])], env=quiet, capture_output=True, text=True, check=False)
            cells = [line.split("::")[-1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
            why = ", ".join(cells) or (done.stdout + done.stderr)[-300:]
            said = "the same" if done.returncode == 0 else f"DIFFERS: {why}"
            print(f"{rounding:12s} {name:24s} {said}", flush=True)
            wrong |= done.returncode != 0
    return int(wrong)


def main(arguments: list[str]) -> int:
    """Shake what is asked for."""
    parser = argparse.ArgumentParser(description="Repeat studies with other seeds and other rounding.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=numbers, help="10..14 or 3,5,8; else the study's own")
    parser.add_argument("--rounding", choices=ROUNDINGS, help=argparse.SUPPRESS)  # in the process of that rounding
    given = parser.parse_args(arguments)
    if given.names[:1] == ["chapters"]:
        return chapters(given.names[1:])
    if given.rounding:
        return max(repeat(name, given.rounding, given.seeds) for name in given.names)
    failed = False
    for name in names(given.names):
        # Of one that takes hours only the seeds are drawn anew: it ends by the clock, which shakes it more than rounding.
        for rounding in [PLAIN] if load(FOLDER / f"{name}.py").hours else ROUNDINGS:
            again = [sys.executable, __file__, name, "--rounding", rounding]
            again += ["--seeds", ",".join(map(str, given.seeds))] if given.seeds else []
            failed |= subprocess.run(again, env=environment(rounding), check=False).returncode != 0
        study = load(FOLDER / f"{name}.py")
        keep(study, kept(study))  # the claims may be others than when the runs were made
        failed |= not report(study, given.seeds)
    return int(failed)


if __name__ == "__main__":
    start(main)
