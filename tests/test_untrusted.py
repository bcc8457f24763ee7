"""Nothing that comes from elsewhere is run: data, checkpoints, results, labels of a player, packages."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

from pinnedu import MLP, Adam, Points, fit, problems, sweep
from pinnedu.widgets import explore

ROOT = Path(__file__).parents[1]
# A worker of a sweep loads what its own parent sends it, through a pipe that nobody else has.
PIPE = ("pinnedu/sweeps.py", "pickle.loads")


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def sources():
    """The code of the package, of the benchmarks and of the chapters, by place."""
    for path in [*ROOT.glob("pinnedu/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("book/_*/*.py")]:
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in ROOT.glob("book/*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        lines = "".join(cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) + "\n" for cell in cells)
        yield path.name, re.sub(r"^\s*[%!].*$", "", lines, flags=re.MULTILINE)


def dangers(code):
    """Calls that may run what they read."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        module, _, function = name.rpartition(".")
        options = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        unpickles = module in ("pickle", "cloudpickle", "dill", "joblib", "marshal") and function in ("load", "loads")
        pandas = function in ("read_pickle", "unsafe_load")
        arrays = module in ("np", "numpy") and function == "load" and options.get("allow_pickle", False) is not False
        tensors = module == "torch" and function == "load" and options.get("weights_only") is not True
        if unpickles or pandas or arrays or tensors or name in ("eval", "exec"):
            yield name


def test_nothing_that_is_read_may_run():
    found = {(place, name) for place, code in sources() for name in dangers(code)}
    assert found == {PIPE}


def test_the_reader_of_sources_sees_dangers():
    code = "np.load(f, allow_pickle=True); torch.load(f); pickle.load(f); eval(f); torch.load(f, weights_only=True); np.load(f)"
    assert list(dangers(code)) == ["np.load", "torch.load", "pickle.load", "eval"]


@pytest.mark.parametrize("kind", ["pickle", "torch", "numpy"])
def test_a_checkpoint_that_would_run_code_is_refused(kind, tmp_path):
    bomb, path, heat = Bomb(tmp_path / "exploded"), tmp_path / "run.pt", problems.heat()
    if kind == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif kind == "torch":
        torch.save({"format": bomb}, path)
    else:
        buffer = io.BytesIO()
        np.save(buffer, np.array([bomb], dtype=object), allow_pickle=True)
        path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="is no checkpoint of this version of pinnedu, or damaged"):
        fit(MLP(heat, (3,)), heat, optimizer=Adam(), steps=1, points=Points(3, 2), checkpoint=path)
    assert not (tmp_path / "exploded").exists()
    if kind == "pickle":  # what it would have done
        pickle.loads(path.read_bytes())
        assert (tmp_path / "exploded").exists()


def test_a_result_that_would_run_code_is_refused(tmp_path):
    size = lambda x: abs(x)  # sent as its code: a function of this module would import torch there
    sweep(size, {"x": [1]}, workers=1, folder=tmp_path)
    (result,) = tmp_path.glob("*.json")
    result.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(ValueError, match="is no result of a sweep, or damaged"):
        sweep(size, {"x": [1]}, workers=1, folder=tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_labels_of_a_player_are_text_on_the_page():
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'

    def draw(value):
        figure = plt.figure()
        figure.suptitle(evil)
        return figure

    page = explore(draw, {evil: 1, "b": 2}, label=evil, alt=lambda value: evil)._repr_html_()
    plain = explore(draw, {"a": 1, "b": 2}, label="a", alt=lambda value: "b")._repr_html_()
    assert tags(page) == tags(plain)
    assert "<img src=x" not in page


def tags(page):
    """What a browser makes of a page: its elements with the names of their attributes."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, [name for name, _ in attributes]))
    parser.feed(page)
    return found


# --- packages


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "_tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_has_the_versions_of_the_requirements_with_their_hashes():
    lock = tool("lock")
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wanted = lock.pinned((ROOT / "requirements.txt").read_text()) | lock.pinned((ROOT / "requirements-cuda.txt").read_text())
    assert lock.pinned(text) == wanted
    entries = re.split(r"(?m)^(?=[A-Za-z])", re.sub(r"(?m)^#.*\n", "", text))[1:]
    assert len(entries) == len(wanted)
    for entry in entries:
        first, *hashes = entry.rstrip("\n").split(" \\\n")
        assert hashes
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes), first
    assert all('; platform_system == "Linux"' in entry for entry in entries if entry.startswith("nvidia-"))


def test_pip_reads_the_lock():
    """It needs no index to see that every line is well formed and has its hash."""
    check = (
        "from pip._internal.req.constructors import install_req_from_parsed_requirement as make\n"
        "from pip._internal.req.req_file import parse_requirements as parse\n"
        "from pip._internal.network.session import PipSession\n"
        "found = [make(one) for one in parse('requirements.lock', PipSession())]\n"
        "assert all(one.is_pinned and one.has_hash_options for one in found)\n"
        "print(len(found))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(tool("lock").pinned((ROOT / "requirements.lock").read_text()))


def test_what_the_package_declares_is_pinned():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [*declared["dependencies"], *(one for extra in declared["optional-dependencies"].values() for one in extra)]
    pinned = {tool("lock").normal(name) for name in tool("lock").pinned((ROOT / "requirements.txt").read_text())}
    missing = {re.split(r"[<>=\[; ]", name)[0] for name in names}
    assert {tool("lock").normal(name) for name in missing} <= pinned


def test_what_is_installed_needs_nothing_that_is_not_pinned():
    lock, left = tool("lock"), [("pinnedu", extra) for extra in ("dev", "cluster", "book")]
    pinned, seen = {lock.normal(name) for name in lock.pinned((ROOT / "requirements.txt").read_text())}, set()
    while left:
        name, extra = left.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:  # an older environment: `make` brings what is new
            continue
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                if one.marker is None or "platform_system" not in str(one.marker):  # those are in requirements-cuda.txt
                    assert lock.normal(one.name) in pinned | {"pip"}, f"{name} needs {one.name}"
                left += [(lock.normal(one.name), part) for part in ("", *one.extras)]


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "torch", "2.13.0+cpu"),
        ("ruamel.yaml-0.18.6.tar.gz", "ruamel-yaml", "0.18.6"),
        ("typing_extensions-4.1-py3-none-any.whl", "typing-extensions", "4.1"),
        ("other-1.0.zip", "another", ""),
        ("index.html", "index", ""),
    ],
)
def test_versions_are_read_from_names_of_files(file, name, version):
    assert tool("lock").version_of(file, name) == version




def test_the_audit_without_an_index_passes_and_says_so(monkeypatch, capsys):
    audit = tool("audit")

    def refuse(address, timeout):
        raise OSError("no network")

    monkeypatch.setattr(audit.urllib.request, "urlopen", refuse)
    assert audit.main() == 0
    assert capsys.readouterr().out == "Audit skipped: the index does not report vulnerabilities here (no network).\n"


def test_the_audit_reports_vulnerabilities(monkeypatch, capsys):
    audit = tool("audit")
    flaw = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    answer = {"dependencies": [{"name": "a", "version": "1.0", "vulns": [flaw]}, {"name": "b", "skip_reason": "not there"}]}
    monkeypatch.setattr(audit.urllib.request, "urlopen", lambda address, timeout: io.BytesIO())
    monkeypatch.setattr(audit.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=json.dumps(answer), stderr=""))
    assert audit.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "a 1.0: PYSEC-1, repaired in 2.0.",
        "Audit: 1 projects asked about, 1 vulnerabilities known, 1 not indexed.",
    ]
