"""The scoreboard: what was claimed, what the chapters measured, and whether it holds.

`book/scoreboard.yml` says for each row which chapter shows it, by which glued numbers, and what must hold for
them. The numbers are read from the outputs stored in that chapter; none is written anywhere else. A row may name studies
instead of conditions, or besides: then the claims of that study that serve the row must hold of its stored results, and the
table says how often they hold when the study is shaken. A row whose chapter is not in the table of contents is missing.

Run as a program it prints the table.
"""

import ast
import json
import operator
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from chapters import ROOT, pages

from pinnedu.studies import load

TABLE = ROOT / "book" / "scoreboard.yml"
STUDIES = ROOT / "book" / "studies"
ROWS = [f"R{i}" for i in range(1, 47)]
TEXT = "application/papermill.record/text/plain"
CONDITION = re.compile(r"^([\w-]+) (<=|>=|<|>|between) (\S+)(?: and (\S+))?$")
COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Row:
    """One claim and what became of it."""

    name: str
    claim: str
    chapter: str
    measured: str  # in words, with the numbers; empty if missing
    time: str  # of the whole chapter
    holds: bool | None  # None if missing
    shaken: float | None = None  # how often the claims of its study hold under other seeds and rounding, the least often


@cache
def glued(path: Path) -> dict[str, float]:
    """Every number that a notebook's stored outputs hold by name."""
    found = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                value = ast.literal_eval("".join(output["data"][TEXT]))
                if isinstance(value, int | float):
                    found[name] = value
    return found


def running_time(path: Path) -> str:
    """What the chapter's box says about its time."""
    time = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("pinnedu", {}).get("running_time")
    return time or "not measured"


def judge(condition: str, numbers: dict[str, float]) -> bool:
    """Whether one condition holds: ``error <= 1e-4``, ``slope between 3.9 and 4.1``, ``ours < theirs``."""
    found = CONDITION.match(condition)
    if not found or (found[2] == "between") != (found[4] is not None):
        raise ValueError(f"{condition!r} is no condition: write 'name <= 1e-4' or 'name between 1 and 2'.")
    value = numbers[found[1]]
    low, high = (number(side, numbers) for side in (found[3], found[4] or found[3]))
    return low <= value <= high if found[2] == "between" else COMPARE[found[2]](value, low)


def number(text: str, numbers: dict[str, float]) -> float:
    """A number, written out or by name."""
    try:
        return float(text)
    except ValueError:
        return numbers[text]


def rows(table: Path = TABLE) -> list[Row]:
    """All rows, in order."""
    source = yaml.safe_load(table.read_text(encoding="utf-8"))
    if list(source) != ROWS:
        differs = sorted(set(source) ^ set(ROWS))
        raise ValueError(f"{table.name} must list {ROWS[0]} to {ROWS[-1]} in order; it differs at {differs}.")
    there = {path.stem: path for path in pages() if path.suffix == ".ipynb"}
    return [row(name, entry, there) for name, entry in source.items()]


def row(name: str, entry: dict, there: dict[str, Path]) -> Row:
    """One row, from its entry in the table and the notebooks there are."""
    chapter = entry["chapter"]
    if chapter not in there:
        return Row(name, entry["claim"], chapter, "", "", None)
    numbers = glued(there[chapter])
    if not entry.get("measured") or not (entry.get("holds") or entry.get("study")):
        raise ValueError(f"{name}: the chapter {chapter} is there now; say in {TABLE.name} what it measured, and when it holds.")
    try:
        measured = entry["measured"].format_map(numbers)
        holds = all(judge(condition, numbers) for condition in entry.get("holds", ()))
    except KeyError as missing:
        raise ValueError(f"{name}: the chapter {chapter} glues no number called {missing}.") from None
    verdicts = [claimed(name, study) for study in entry.get("study", "").split()]
    true, often = all(verdict for verdict, _ in verdicts), [share for _, share in verdicts]
    shaken = None if not often or None in often else min(share for share in often if share is not None)
    return Row(name, entry["claim"], chapter, measured, running_time(there[chapter]), holds and true, shaken)


def claimed(name: str, study_name: str) -> tuple[bool, float | None]:
    """Whether the claims of a study that serve a row hold of its results, and how often they do when it is shaken."""
    path = STUDIES / f"{study_name}.py"
    if not path.exists():
        raise ValueError(f"{name}: there is no study called {study_name}.")
    study = load(path)
    claims = [claim for claim in study.claims if claim.row == name]
    if not claims:
        raise ValueError(f"{name}: no claim of the study {study_name} serves this row.")
    shaken = STUDIES / "shaken" / f"{study_name}.json"
    held = json.loads(shaken.read_text(encoding="utf-8")) if shaken.exists() else {}
    often = [held["holds"].get(claim.name) if held.get("code") == study.code else None for claim in claims]
    return all(claim.holds(study.results) for claim in claims), None if None in often else min(often)


def markdown(found: list[Row]) -> str:
    """The table, as MyST."""
    said = {True: "**yes**", False: "**no**", None: "missing"}
    lines = ["| | Claim | We measured | Whole chapter | Holds |", "| :-- | :-- | :-- | :-- | :-- |"]
    for one in found:
        chapter = f"{{doc}}`{one.chapter}`: " if one.holds is not None else "its chapter is not there yet"
        often = "" if one.shaken is None else f", in {one.shaken:.0%}"
        lines.append(f"| {one.name} | {one.claim} | {chapter}{one.measured} | {one.time} | {said[one.holds]}{often} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(rows()))
