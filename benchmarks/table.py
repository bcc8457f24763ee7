"""Makes the tables and the figure of the comparison from what `run.py` stored: `comparison.json` and `tuning.json`.

.venv-bench/bin/python benchmarks/table.py --results benchmarks/mine

"""

from __future__ import annotations

import argparse
import ast
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from problems import CASES  # noqa: E402
from systems import ENTRIES  # noqa: E402

Run = dict[str, Any]
Rows = dict[str, dict[str, Any]]
CLOCKS = {"first": (), "declaration": ("to_first_from_declaration",), "start": ("to_first_from_start",)}
"""The three clocks, and what each is ahead of the curve."""
RANKED = [system for system in ENTRIES if system != "classical"]


def load(folder: Path) -> dict[tuple[str, str], list[Run]]:
    """The runs of each system on each problem, by seed."""
    runs = json.loads((folder / "comparison.json").read_text())["runs"]
    found: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        found.setdefault((run["system"], run["problem"]), []).append(run)
    return found


def failed(run: Run) -> bool:
    """An error raised, no memory left, or an error above 1 at the end."""
    return bool(run.get("failed")) or not run["curve"] or not run["curve"][-1][1] <= 1


def arrival(run: Run, goal: float, clock: str = "first") -> float:
    """Seconds until the error was first below the goal; infinite where it never was, or the run failed."""
    if failed(run):
        return math.inf
    ahead = sum(run[name] for name in CLOCKS[clock])
    return next((when + ahead for when, error in run["curve"] if error < goal), math.inf)


def best(run: Run) -> float:
    """The smallest error of a run; infinite where it failed."""
    return math.inf if failed(run) else min(error for _, error in run["curve"])


def last(run: Run) -> float:
    """The error at the end; infinite where the run failed."""
    return math.inf if failed(run) else run["curve"][-1][1]


def median(values: Sequence[float]) -> float:
    """The median, one of the values where their number is even: the worse one. A failure is the worst value."""
    return statistics.median_high(values)


def apart(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether a difference counts: the ranges do not overlap."""
    return max(one) < min(other) or max(other) < min(one)


def summary(runs: dict[tuple[str, str], list[Run]]) -> dict[str, Rows]:
    """By problem and system: medians and ranges over the seeds, or the sentence that says why there are none."""
    made: dict[str, Rows] = {}
    for problem, case in CASES.items():
        made[problem] = {}
        for system in ENTRIES:
            own = runs.get((system, problem), [])
            if own and (sentence := own[0].get("not_possible")):
                made[problem][system] = {"not_possible": sentence}
            elif own:
                row: dict[str, Any] = {"seeds": [run["seed"] for run in own], "failures": sum(map(failed, own))}
                for clock in CLOCKS:
                    row[f"seconds_from_{clock}"] = spread([arrival(run, case.goal, clock) for run in own])
                row |= {"best": spread([best(run) for run in own]), "end": spread([last(run) for run in own])}
                row["memory_mb"] = spread([run["memory_mb"] for run in own if "memory_mb" in run] or [math.inf])
                made[problem][system] = row | {"lines": lines_of_code(system, problem)}
    return made


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median and all values."""
    return {"median": median(values), "values": list(values)}


def places(made: dict[str, Rows], what: str) -> dict[str, dict[str, int]]:
    """By problem: the place of each system that can state it, 1 for the smallest median; the infinite have none."""
    found: dict[str, dict[str, int]] = {}
    for problem, rows in made.items():
        medians = {
            s: rows[s][what]["median"]
            for s in RANKED
            if s in rows and what in rows[s] and math.isfinite(rows[s][what]["median"])
        }
        found[problem] = {
            system: 1 + sum(other < value for other in medians.values()) for system, value in medians.items()
        }
    return found


def winners(made: dict[str, Rows], what: str) -> dict[str, tuple[str, list[str]]]:
    """By problem: the system with the smallest median, and those whose values are not apart from its own."""
    found = {}
    for problem, ranks in places(made, what).items():
        if ranks:
            first = min(ranks, key=lambda system: ranks[system])
            own = made[problem][first][what]["values"]
            found[problem] = (
                first,
                [s for s in ranks if s != first and not apart(own, made[problem][s][what]["values"])],
            )
    return found


def lines_of_code(system: str, problem: str) -> int:
    """Lines that state a problem and solve it, comments, documentation and blanks apart."""
    entry = ENTRIES[system]
    source = HERE / "systems" / f"{entry.module}.py"
    if entry.module == "pinnedu_":
        stated = (
            count(HERE / "problems.py", ["wake"])
            if problem == "wake"
            else count(
                HERE.parent / "pinnedu" / "problems" / f"{ {'poisson_5': 'poisson_cube'}.get(problem, problem) }.py",
                None,
            )
        )
        return stated + (1 if entry.method == "solve" else count(source, ["by_fit"]))
    return count(source, [problem]) + count(source, ["train"])


def count(file: Path, names: list[str] | None) -> int:
    """Lines of code of some functions of a file, or of all; without documentation, and each once."""
    text = file.read_text()
    nodes = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and (names is None or node.name in names)
    ]
    lines: set[int] = set()
    for node in nodes:
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines |= {line for part in body for line in range(part.lineno, (part.end_lineno or 0) + 1)}
    kept = text.splitlines()
    return len([line for line in lines if kept[line - 1].strip() and not kept[line - 1].strip().startswith("#")])


def seconds(value: float) -> str:
    """As the table prints it."""
    if not math.isfinite(value):
        return "—"
    if value < 0.1:
        return f"{float(f'{1000 * value:.2g}'):g} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def error(value: float) -> str:
    """The same, of an error."""
    return f"{value:.1e}" if math.isfinite(value) else "failed"


def ranged(spread: dict[str, Any], show: Any, bold: bool = False) -> str:
    """Median, and the range of the seeds."""
    low, high = (show(limit) for limit in (min(spread["values"]), max(spread["values"])))
    text = show(spread["median"])
    text = f"**{text}**" if bold else text
    return text if low == high else f"{text} ({low} to {high})"


def markdown(made: dict[str, Rows]) -> str:
    """The tables, one a problem; the smallest median is bold, and those that are about the same are marked."""
    sooner, smaller, out = winners(made, "seconds_from_first"), winners(made, "best"), []
    for problem, case in CASES.items():
        if not made[problem]:
            continue
        out += [
            f"### {case.title}\n",
            f"Goal {case.goal:g}: {case.source}.\n",
            "| System | from first step | from declaration | from start | best error | at the end | failures | memory | lines |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for system, row in made[problem].items():
            if "not_possible" in row:
                out.append(f"| {system} | not possible: {row['not_possible']} | | | | | | | |")
                continue
            first, near = sooner.get(problem, ("", []))
            least, close = smaller.get(problem, ("", []))
            cells = [
                ranged(row["seconds_from_first"], seconds, system == first)
                + (", about the same" if system in near else ""),
                seconds(row["seconds_from_declaration"]["median"]),
                seconds(row["seconds_from_start"]["median"]),
                ranged(row["best"], error, system == least) + (", about the same" if system in close else ""),
                error(row["end"]["median"]),
                f"{row['failures']} of {len(row['seeds'])}",
                f"{row['memory_mb']['median']:.0f} MB" if math.isfinite(row["memory_mb"]["median"]) else "—",
                str(row["lines"]),
            ]
            out.append(f"| {system} | {' | '.join(cells)} |")
        out.append("")
    return "\n".join(out)


def markdown_of_tuning(tuning: dict[str, Any]) -> str:
    """The settings of each system, what each cost it on fresh points, and which one was frozen."""
    out = []
    for system, found in tuning.items():
        out += [
            f"### {system}\n",
            f"| Setting | {' | '.join(found['uses'])} | sum of log10 of the losses |",
            "| ---: | " + "---: | " * len(found["uses"]) + "---: |",
        ]
        for i, setting in enumerate(found["settings"]):
            cells = [str(setting["settings"][name]) for name in found["uses"]]
            score = "failed" if setting["score"] is None else f"{setting['score']:.2f}"
            out.append(f"| {i + 1} | {' | '.join(cells)} | {f'**{score}**' if i == found['chosen'] else score} |")
        out.append("")
    return "\n".join(out)


def check_aim(made: dict[str, Rows]) -> dict[str, int]:
    """What the rules expect of `solve`: on how many problems it is first, by the clock and by the best error."""
    return {
        what: sum(first == "pinnedu.solve" for first, _ in winners(made, what).values())
        for what in ("seconds_from_first", "best")
    }


def figure(runs: dict[tuple[str, str], list[Run]], file: Path) -> None:
    """Error against seconds from the first step, a panel a problem with the same limits for all systems, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colors = [f"C{i}" for i in range(10)] + ["0.2", "0.6"]
    panels, axes = plt.subplots(3, 4, figsize=(14, 9), layout="constrained")
    for ax, (problem, case) in zip(axes.flat, CASES.items(), strict=False):
        for color, system in zip(colors, ENTRIES, strict=True):
            for i, run in enumerate(runs.get((system, problem), [])):
                if run.get("curve"):
                    times, errors = zip(*run["curve"], strict=True)
                    ax.loglog(
                        times,
                        errors,
                        "o" if system == "classical" else "-",
                        color=color,
                        markersize=4,
                        linewidth=1,
                        label=None if i else system,
                    )
        ax.axhline(case.goal, color="0.6", linestyle=":", linewidth=1)
        ax.set(title=case.title, xlabel="seconds from the first step", ylabel="relative $L^2$ error", xlim=(1e-3, 70))
        ax.set_ylim(top=2)
    for ax in axes.flat[len(CASES) :]:
        ax.axis("off")
    handles = [plt.Line2D([], [], color=color, label=system) for color, system in zip(colors, ENTRIES, strict=True)]
    axes.flat[-1].legend(handles=handles, loc="center", frameon=False)
    panels.savefig(file, dpi=150, metadata={"Software": None})
    plt.close(panels)


def main() -> None:
    """Write `comparison_table.json`, `comparison.md`, `tuning.md` and `comparison.png`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "mine", help="folder of comparison.json")
    folder = parser.parse_args().results
    runs = load(folder)
    made = summary(runs)
    text = json.dumps(made, indent=1).replace("Infinity", "null")  # a goal that was never reached
    (folder / "comparison_table.json").write_text(text + "\n")
    (folder / "comparison.md").write_text(markdown(made))
    if (file := folder / "tuning.json").exists():
        (folder / "tuning.md").write_text(markdown_of_tuning(json.loads(file.read_text())))
    figure(runs, folder / "comparison.png")
    print(markdown(made))
    print(f"solve is first on so many problems: {check_aim(made)}")


if __name__ == "__main__":
    main()
