"""What `pip wheel .` packs: the package with all that it reads."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_that_is_no_code_is_packed():
    packed = PROJECT["tool"]["setuptools"]["package-data"]["pinnedu"]
    home = ROOT / "pinnedu"
    files = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    others = [file for file in files if not file.endswith(".py")]
    assert "data/cylinder_wake.npz" in others
    assert not [file for file in others if not any(fnmatch.fnmatch(file, pattern) for pattern in packed)]


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in (ROOT / "pinnedu").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
