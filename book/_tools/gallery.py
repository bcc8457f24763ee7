"""Run what is missing of the gallery, and print its table: each problem's median error beside the best published and the aim.

It goes on where it was stopped; what was run is stored after each run. Only problems that are asked for are run and shown.

Usage: ``python book/_tools/gallery.py [--look] [--seconds 300] [PROBLEM ...]``, all problems without a name. The look is one
short run of each, which is stored beside the long ones. Runs of another length than the study's are shown and not stored.
"""

import argparse
import statistics

from chapters import start
from studies import FOLDER, RUNS, current, key, load, processor, run, store, versions, workers

from pinnedu.problems import GALLERY
from pinnedu.studies import Study


def wanted(study: Study, problems: list[str], seconds: float | None, look: bool = False) -> list[dict]:
    """The runs of some problems, all without a name: one method after the other, and each problem once before any again.

    Where they are shorter or longer it is one seed.
    """
    there = [exhibit.name for exhibit in GALLERY]
    if unknown := sorted(set(problems) - set(there)):
        raise ValueError(f"The gallery has no {', '.join(unknown)}; it has: {', '.join(there)}.")
    runs = [one for one in study.runs if one["problem"] in (problems or there) and (one != study.cheap or seconds is None)]
    runs = [one for one in runs if (one["method"] == "first look") == look]
    if seconds is not None:
        runs = [one | {"seconds": seconds} for one in runs if one["seed"] == study.cheap["seed"]]
    order = list(dict.fromkeys(one["method"] for one in runs))
    return sorted(runs, key=lambda one: (order.index(one["method"]), one["seed"], there.index(one["problem"])))


def table(entries: list[dict]) -> str:
    """One line a problem and method: the median over the seeds."""
    right = f"{'error':>10s}{'estimate':>10s}{'published':>11s}{'aim':>9s}{'seconds':>9s}{'seeds':>7s}"
    lines = [f"{'problem':24s}{'method':12s}{right}"]
    for exhibit in GALLERY:
        own = [entry for entry in entries if entry["parameters"]["problem"] == exhibit.name]
        for method in sorted({entry["parameters"]["method"] for entry in own}):
            values = [entry["value"] for entry in own if entry["parameters"]["method"] == method]
            error = statistics.median(value["error"] for value in values)
            estimates = [value["estimate"] for value in values if value["estimate"] is not None]
            estimate = f"{statistics.median(estimates):.1e}" if estimates else "-"
            published = "-" if exhibit.published is None else f"{exhibit.published:.1e}"
            mean = statistics.mean(value["seconds"] for value in values)
            name = f"{exhibit.number:2d} {exhibit.name}"
            lines.append(
                f"{name:24s}{method:12s}{error:10.1e}{estimate:>10s}{published:>11s}{exhibit.aim:9.0e}{mean:9.0f}{len(values):7d}"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run, store and show."""
    parser = argparse.ArgumentParser(description="Run what is missing of the gallery.")
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--seconds", type=float, help="another length for a try: one seed, not stored")
    parser.add_argument("--look", action="store_true", help="the first look: one short run of each")
    given = parser.parse_args(arguments)
    study = load(FOLDER / "gallery.py")
    runs = wanted(study, given.problems, given.seconds, given.look)
    there = {} if given.seconds is not None else current(study)
    print(f"gallery: {len(runs)} runs, of which {sum(key(one) in there for one in runs)} are there", flush=True)
    failures = []
    wide = workers() or 1
    groups = [runs[first : first + wide] for first in range(0, len(runs), wide)]
    for own in [runs] if given.look else groups:  # short runs would be drowned by the start of their process
        before = len(there)
        there, failed = run(study, own, there, 1, wide, RUNS / f"gallery-{study.code}")
        failures += failed
        if given.seconds is None and len(there) > before:
            kinds = [*(study.stored["processor"].split("; ") if before else []), processor()]
            head = {"study": "gallery", "code": study.code, "processor": "; ".join(dict.fromkeys(kinds)), "versions": versions()}
            store(study.path.with_suffix(".json"), head, [there[key(one)] for one in study.runs if key(one) in there])
    for failure in failures:
        print(f"  failed: {failure}")
    print(table([there[key(one)] for one in runs if key(one) in there and one != study.cheap]))
    return int(bool(failures))


if __name__ == "__main__":
    start(main)
