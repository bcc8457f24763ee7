"""The rooms of the package: imports run one way, and each module keeps its own secrets."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "pinnedu"
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

# From the bottom up: a room imports from rooms before it only.
ROOMS = ["domain", "embeddings", "field", "problem", "models", "trainers", "plots", "widgets"]

EXPECTED: set[tuple[str, str]] = set()


@cache
def trees():
    """The code of every module: read by the process that runs these tests, not by each that collects them."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(tree):
    """Names (module, name) that a module imports, wherever in it; a module by itself has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def neighbors(name):
    """The modules of the package that a module imports, those for type checkers included."""
    found = set()
    for module, item in imported(trees()[name]):
        whole = f"{module}.{item}"
        found |= {candidate for candidate in (whole, module) if candidate in MODULES and candidate != "pinnedu"}
        if whole in MODULES and module in found and module != "pinnedu":
            found.discard(module)  # `from pinnedu.x import y` of a module y is of y
    return found - {name}


@cache
def graph():
    return {name: neighbors(name) for name in MODULES if name != "pinnedu"}


def inside():
    """The graph without packages that only collect what their own modules have."""
    return {name: {other for other in others if not name.startswith(other + ".")} for name, others in graph().items()}


def test_no_two_files_import_each_other():
    found = inside()
    pairs = {tuple(sorted((a, b))) for a, others in found.items() for b in others if a in found[b]}
    assert not pairs, f"circles: {pairs}"


def test_there_is_no_circle_of_imports():
    try:
        TopologicalSorter(inside()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_are_in_order():
    def room(name):
        part = name.removeprefix("pinnedu.").split(".")[0]
        return ROOMS.index(part) if part in ROOMS else None

    for name, others in graph().items():
        for other in others:
            if room(name) is not None and room(other) is not None:
                assert room(other) <= room(name), f"{name} imports {other}"


def test_no_module_uses_the_private_name_of_another():
    for name, tree in trees().items():
        aliases = {
            (alias.asname or alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom | ast.Import)
            for alias in node.names
            if f"{getattr(node, 'module', None) or ''}.{alias.name}".strip(".") in MODULES
        }
        for module, item in imported(tree):
            if module.startswith("pinnedu"):
                secret = f"{name} imports {module}.{item}"
                assert not (item or "").startswith("_"), secret
                assert not any(part.startswith("_") for part in module.split(".")) or module.startswith(
                    name.rpartition(".")[0]
                ), f"{name} imports from {module}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                what = f"{name} uses {node.value.id}.{node.attr}"
                assert not private, what


def test_every_module_can_be_imported_first():
    """One interpreter that has torch already forgets the package before each module: a fresh one would cost seconds each.

    A module that its own package imports is there once the package is, in the same order: to import it is to import that.
    """
    script = (
        "import importlib, sys, torch\n"
        "loaded = {}\n"
        f"for name in {sorted(MODULES)!r}:\n"
        "    if name in loaded.get(name.rpartition('.')[0], ()):\n"
        "        continue\n"
        "    for known in [known for known in sys.modules if known.split('.')[0] == 'pinnedu']:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
        "    loaded[name] = {known for known in sys.modules if known.split('.')[0] == 'pinnedu'}\n"
        "print(len(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
