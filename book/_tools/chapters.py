"""The chapters of the book, in the order of its table of contents.

Run as a program it prints the notebooks, one a line, relative to the root of the project.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import yaml

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Every page the table of contents names, notebooks and texts alike."""
    names: list[str] = []

    def visit(node):
        if isinstance(node, dict):
            names.extend(node[key] for key in ("root", "file") if key in node)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                visit(child)

    visit(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    found = []
    for name in names:
        here = [p for p in (ROOT / f"{name}{suffix}" for suffix in (".ipynb", ".md")) if p.exists()]
        if not here:
            raise FileNotFoundError(f"_toc.yml names {name!r}, but neither {name}.ipynb nor {name}.md exists.")
        found.append(here[0])
    return found


def notebooks() -> list[Path]:
    """The pages that compute something."""
    return [page for page in pages() if page.suffix == ".ipynb"]


def start(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a program in the root of the project: its exit status, or one sentence on what was asked wrongly."""
    os.chdir(ROOT)
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted: run it again to go on.")


if __name__ == "__main__":
    for notebook in notebooks():
        print(notebook.relative_to(ROOT))
