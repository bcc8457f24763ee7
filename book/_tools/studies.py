"""Run what is missing of the studies, and store the results beside them.

A run that is there is not run again, unless the code of the experiment changed since: that is said. An interrupted study goes
on where it stopped.

Usage: ``python book/_tools/studies.py [NAME ...]``, all studies without a name.
"""

import functools
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch
from chapters import ROOT, start

from pinnedu import sweep
from pinnedu.files import write_whole
from pinnedu.studies import Results, Study, key, load, trial

FOLDER = ROOT / "book" / "studies"
RUNS = FOLDER / ".runs"  # single results, until a study is whole


def names(asked: list[str] | None = None) -> list[str]:
    """The studies asked for, or all.

    Raises
    ------
    ValueError
        For a name that is none.
    """
    there = sorted(path.stem for path in FOLDER.glob("*.py"))
    if unknown := sorted(set(asked or []) - set(there)):
        raise ValueError(f"No study is called {', '.join(unknown)}; there are: {', '.join(there)}.")
    return asked or there


def processor() -> str:
    """The kind of processor, in words."""
    try:
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), flags=re.M)
    except OSError:
        model = None
    kind = " ".join(model[1].split()) if model else platform.processor() or platform.machine()
    return f"{kind}, {torch.backends.cpu.get_cpu_capability()}"


def workers() -> int | None:
    """How many runs at a time, from ``WORKERS``; as many as there are cores if it is not set."""
    given = os.environ.get("WORKERS", "")
    if given and not (given.isdigit() and int(given)):
        raise ValueError(f"WORKERS must be a whole number of at least 1, not {given!r}.")
    return int(given) if given else None


def versions() -> dict[str, str]:
    """What the results were made with."""
    packages = {name: version(name) for name in ("pinnedu", "torch", "numpy", "scipy")}
    return {"python": platform.python_version(), **packages}


def run(study: Study, wanted: list[dict], there: dict[str, dict], threads: int, count: int | None, folder: Path) -> tuple:
    """Run what is not there yet.

    Returns
    -------
    found : dict of key to entry
        Parameters, value and seconds of each run that is there now.
    failed : list of str
    """
    left = [parameters for parameters in wanted if key(parameters) not in there]
    found, failed = dict(there), []
    call = functools.partial(trial, str(study.path), threads)
    for one in sweep(call, left, workers=count, folder=folder) if left else []:
        if one.error:
            failed.append(f"{one.parameters}: {one.error}")
        else:
            found[key(one.parameters)] = {"parameters": one.parameters, "value": one.value, "seconds": round(one.seconds, 1)}
    return found, failed


def store(file: Path, head: dict, entries: list[dict]) -> None:
    """Write results, one run a line, so that a difference shows which."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2] + f',\n "results": [\n{lines}\n ]\n}}\n'
    write_whole(file, text.encode())


def current(study: Study) -> dict[str, dict]:
    """The stored results that belong to the code as it is; says so if there are others."""
    file = study.path.with_suffix(".json")
    if not file.exists():
        return {}
    if study.stored["code"] != study.code:
        print(f"{study.path.stem}: the code of the experiment changed since its results were stored: all runs are made anew.")
        return {}
    return {key(entry["parameters"]): entry for entry in study.stored["results"]}


def verdicts(study: Study, results: Results) -> dict[str, bool]:
    """Every claim by name: whether it is true of the results."""
    return {claim.name: bool(claim.holds(results)) for claim in study.claims}


def main(asked: list[str]) -> int:
    """Run the studies, and print what is true of them."""
    wrong = False
    for name in names(asked):
        study = load(FOLDER / f"{name}.py")
        if study.hours and not asked:
            print(f"{name}: takes hours, and is run by `make {name}`")
            continue
        there = current(study)
        wanted = study.runs
        print(f"{name}: {len(wanted)} runs, of which {sum(key(one) in there for one in wanted)} are there", flush=True)
        found, failed = run(study, wanted, there, 1, workers(), RUNS / f"{name}-{study.code}")
        entries = [found[key(one)] for one in wanted if key(one) in found]
        if len(found) > len(there):
            head = {"study": name, "code": study.code, "processor": processor(), "versions": versions()}
            store(study.path.with_suffix(".json"), head, entries)
        for failure in failed:
            print(f"  failed: {failure}")
        fresh = Results([(entry["parameters"], entry["value"]) for entry in entries])
        said = verdicts(study, fresh) if not failed else {}
        for claim in study.claims if said else ():
            print(f"  {'holds' if said[claim.name] else 'DOES NOT HOLD'}: {claim.sentence}")
        wrong |= bool(failed) or not all(said.values())
    return int(wrong)


if __name__ == "__main__":
    start(main)
