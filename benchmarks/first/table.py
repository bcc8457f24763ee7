"""Makes the table and the figure from `field.json`: as the book shows them today.

.venv-bench/bin/python benchmarks/first/table.py [--results benchmarks/results]
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
RESULTS = HERE / "results"
PROBLEMS = {
    "heat": ("Heat", 1e-3),
    "poisson": ("Poisson, k = 10", 1e-3),
    "burgers": ("Burgers", 1e-3),
    "advection": ("Advection, speed 30", 1e-3),
    "wake": ("Cylinder wake", 3e-2),
}
FILES = {
    "pinnedu": "pinnedu_",
    "DeepXDE": "deepxde_",
    "jinns, natural gradient": "jinns_",
    "jinns, self-scaled Broyden": "jinns_",
    "PINA": "pina_",
    "classical solver": "classical",
}
Run = dict[str, Any]


def load(folder: Path = RESULTS) -> dict[tuple[str, str, int], Run]:
    """All runs by system, problem and seed."""
    runs = json.loads((folder / "field.json").read_text())["runs"]
    parts = ((key.split(" | "), run) for key, run in runs.items())
    return {(system, problem, int(seed)): run for (system, problem, seed), run in parts}


def arrival(run: Run, goal: float) -> float:
    """Seconds until the error was first below the goal; infinite where it never was."""
    return next((when for when, error in run["curve"] if error < goal), float("inf"))


def best(run: Run) -> float:
    """The smallest error of a run."""
    return min(error for _, error in run["curve"])


def of(runs: dict[tuple[str, str, int], Run], system: str, problem: str) -> list[Run]:
    """The runs of a system on a problem, by seed."""
    return [runs[key] for key in sorted(runs) if key[:2] == (system, problem)]


def median(values: Sequence[float]) -> float:
    """The median, one of the values where their number is even: the worse one."""
    return statistics.median_high(values)


def lines_of_code(system: str, problem: str) -> int:
    """Lines that declare a problem in a system: of its function, without documentation."""
    source = (HERE / "first" / "systems" / f"{FILES[system]}.py").read_text()
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == problem
    )
    lines = {line for node in function.body[1:] for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return len([line for line in lines if source.splitlines()[line - 1].strip()])


def summary(runs: dict[tuple[str, str, int], Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """By problem and system: medians over the seeds."""
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for problem, (_, goal) in PROBLEMS.items():
        made[problem] = {}
        for system in FILES:
            if not (own := of(runs, system, problem)):
                continue
            arrivals, errors = [arrival(run, goal) for run in own], [best(run) for run in own]
            row = {"seeds": len(own), "goal": median(arrivals), "best": median(errors), "errors": errors,
                   "memory_mb": median([run["memory_mb"] for run in own]), "lines": lines_of_code(system, problem),
                   "stopped": [run["stopped"] for run in own]}  # fmt: skip
            if own[0]["found"]:
                row |= {name: median([run["found"][-1][name] for run in own]) for name in ("lambda_1", "lambda_2")}
            made[problem][system] = row
    return made


def seconds(value: float) -> str:
    """As the table prints it."""
    if value == float("inf"):
        return "—"
    return f"{1000 * value:.1g} ms" if value < 0.1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def markdown(runs: dict[tuple[str, str, int], Run]) -> str:
    """The table."""
    made = summary(runs)
    out = []
    for problem, (title, goal) in PROBLEMS.items():
        wake = problem == "wake"
        out.append(f"### {title}\n")
        out.append(f"| System | to {goal:g} | best error | {'λ₁ | λ₂ | ' if wake else ''}peak memory | lines |")
        out.append("| --- | ---: | ---: | " + ("---: | ---: | " if wake else "") + "---: | ---: |")
        for system, row in made[problem].items():
            found = f"{row['lambda_1']:.3f} | {row['lambda_2']:.5f} | " if wake else ""
            out.append(
                f"| {system} | {seconds(row['goal'])} | {row['best']:.1e} | {found}{row['memory_mb']:.0f} MB | {row['lines']} |"
            )
        out.append("")
    return "\n".join(out)


def figure(runs: dict[tuple[str, str, int], Run], file: Path) -> None:
    """Error against seconds, a panel a problem, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from pinnedu import plots

    plots.style()
    panels, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for ax, (problem, (title, goal)) in zip(axes.flat, PROBLEMS.items(), strict=False):
        for color, system in zip(plots.COLORS, FILES, strict=False):
            for i, run in enumerate(of(runs, system, problem)):
                times, errors = zip(*run["curve"], strict=True)
                style = "o" if system == "classical solver" else "-"
                ax.loglog(times, errors, style, color=color, markersize=4, linewidth=1.2, label=None if i else system)
        ax.axhline(goal, color="0.6", linestyle=":", linewidth=1)
        ax.set(title=title, xlabel="seconds", ylabel="relative $L^2$ error")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(handles, labels, loc="center", frameon=False)
    panels.savefig(file, dpi=150, metadata={"Software": None})
    plt.close(panels)


def main() -> None:
    """Write `table.json`, `field.md` and `field.png`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of field.json")
    folder = parser.parse_args().results
    sys.path.insert(0, str(HERE.parent))
    runs = load(folder)
    text = json.dumps(summary(runs), indent=1).replace("Infinity", "null")  # an error that was never reached
    (folder / "table.json").write_text(text + "\n")
    (folder / "field.md").write_text(markdown(runs))
    figure(runs, folder / "field.png")
    print(markdown(runs))


if __name__ == "__main__":
    main()
