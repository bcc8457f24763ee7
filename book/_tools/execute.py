"""Run chapters in place and store their outputs, so that running them again changes nothing.

Whatever differs from run to run without meaning anything is taken out: kernel versions, execution
times, random cell ids, metadata that editors leave behind. A real change of a result stays visible
as a difference. The time a chapter takes is written into it as a bucket ("under 30 seconds"), in the
notebook's metadata and in its "At a glance" box.

Usage: ``python book/_tools/execute.py [NAME ...]``, all chapters of ``_toc.yml`` without a name.
"""

import copy
import hashlib
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from chapters import ROOT, notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BUCKETS = {10: "under 10 seconds", 30: "under 30 seconds", 60: "under 1 minute", 120: "under 2 minutes",
           360: "under 6 minutes"}  # fmt: skip
RUNNING_TIME = re.compile(r"(\*\*Running time:?\*\*:?\s*)[^.\n]*")
CELL_METADATA = ("tags", "mystnb")  # what an author writes; the rest is an editor's


def bucket(seconds: float, before: str | None = None) -> str:
    """Name the running time, keeping the former name while it is still fair.

    A chapter near a limit would otherwise change its name at every run.
    """
    limits = list(BUCKETS)
    if seconds > limits[-1]:
        raise ValueError(f"The chapter took {seconds:.0f} s and the limit is {limits[-1]} s: shorten it.")
    for lower, limit in zip([0, *limits], limits, strict=False):
        if BUCKETS[limit] == before and lower < 1.2 * seconds and seconds <= limit:
            return before
    return BUCKETS[next((limit for limit in limits if 1.2 * seconds <= limit), limits[-1])]


def merge_streams(outputs: list) -> list:
    """Join neighboring pieces of printed text: where they were cut depends on timing."""
    merged: list = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("output_type") == "stream" and last.name == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def normalize(notebook, name: str) -> None:
    """Take out of a notebook what differs from run to run, or from editor to editor."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "pinnedu": dict(notebook.metadata.get("pinnedu", {})),
    })
    number = 0
    for position, cell in enumerate(notebook.cells):
        cell.id = f"{name}-{position:03d}".replace("_", "-")[-64:]
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in CELL_METADATA if cell.metadata.get(k)})
        cell.source = cell.source.rstrip()
        if cell.cell_type == "code":
            number += bool(cell.source)
            cell.execution_count = number if cell.source else None
            cell.outputs = merge_streams(cell.outputs)
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
                if "metadata" in output:  # glue keeps its names in "scrapbook"
                    output.metadata = nbformat.from_dict({k: v for k, v in output.metadata.items() if k == "scrapbook"})


def digest(notebook) -> str:
    """Name the code of a notebook: its stored outputs belong to this code and to no other."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def state_time(notebook, seconds: float) -> str:
    """Write the bucket of the running time into the metadata and the "At a glance" box."""
    about = notebook.metadata.setdefault("pinnedu", nbformat.from_dict({}))
    about["running_time"] = bucket(seconds, about.get("running_time"))
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "At a glance" in cell.source:
            cell.source = RUNNING_TIME.sub(rf"\g<1>{about['running_time']} on 2 CPU cores", cell.source)
    return about["running_time"]


def without_timing(notebook):
    """Copy a notebook without the outputs of the cells that print or draw seconds."""
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if "timing" in cell.metadata.get("tags", []):
            cell.outputs = []
    return bare


def execute(path: Path) -> tuple[float, bool]:
    """Run one notebook in place; return the seconds it took and whether it changed.

    The file is replaced in one move at the end: an interruption or an error leaves it as it was.
    """
    before = nbformat.read(path, as_version=4)
    notebook = copy.deepcopy(before)
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # else the kernel warns about TCP at each start
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    normalize(notebook, path.stem)
    state_time(notebook, seconds)
    notebook.metadata["pinnedu"]["code"] = digest(notebook)
    nbformat.validate(notebook)
    if without_timing(notebook) == without_timing(before):
        return seconds, False
    draft = path.with_suffix(".executing.ipynb")
    try:
        draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return seconds, True


def main(names: list[str]) -> int:
    """Run the named chapters, or all, and print a line for each."""
    chapters = {path.stem: path for path in notebooks()}
    unknown = [name for name in names if name not in chapters]
    if unknown:
        print(f"No chapter is called {', '.join(unknown)}; there are: {', '.join(chapters)}.", file=sys.stderr)
        return 2
    failed = []
    for name in names or chapters:
        try:
            seconds, changed = execute(chapters[name])
            print(f"{name:<32}{seconds:6.1f} s  {'stored' if changed else 'nothing new'}", flush=True)
        except (CellExecutionError, ValueError) as error:
            failed.append(name)
            print(f"{name:<32}failed, left as it was\n{error}", flush=True)
        except KeyboardInterrupt:
            print(f"{name:<32}interrupted, left as it was")
            return 130
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    os.environ.setdefault("PINNEDU_PROGRESS", "0")
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
