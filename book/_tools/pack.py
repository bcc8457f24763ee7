"""Pack the built book and everything needed to run its notebooks into one zip file.

Unpacked, ``index.html`` opens the book from the disk, without a server and without a network. Beside it lie the
notebooks and the package. The same book gives the same bytes.

Usage: ``python book/_tools/pack.py FILE``
"""

import sys
import zipfile
from pathlib import Path

from chapters import ROOT
from reader import BUILT

TOP = "pinnedu-book"
README = """\
Physics-informed neural networks: an offline copy of the book

index.html          opens the book; no server and no network needed
notebooks/          the chapters, with their outputs, for JupyterLab
pinnedu/            the package; each notebook brings it along, too

To run the notebooks: Python 3.11 or newer, then, with a network, once
    pip install . jupyterlab ipykernel mpmath
    jupyter lab notebooks
"""
START = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=html/book/index.html">\n'


def contents() -> dict[str, bytes]:
    """Every file of the archive by its name in it."""
    site = ROOT / "_build" / "html"
    if not (site / "index.html").exists():
        raise FileNotFoundError("There is no built book to pack: run `make build` first.")
    held = {"README.txt": README.encode(), "index.html": START.encode()}
    held |= {f"html/{file.relative_to(site).as_posix()}": file.read_bytes() for file in site.rglob("*") if file.is_file()}
    held |= {f"notebooks/{path.name}": path.read_bytes() for path in BUILT.glob("*.ipynb")}
    studies = [file for file in (ROOT / "book" / "studies").glob("*") if file.suffix in (".py", ".json")]
    held |= {f"notebooks/studies/{file.name}": file.read_bytes() for file in studies}  # chapters read them
    stored = (ROOT / "benchmarks" / "results").rglob("*.json")  # a chapter reads them
    held |= {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in stored}
    package = [file for file in (ROOT / "pinnedu").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    for file in [*package, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"))]:
        held[file.relative_to(ROOT).as_posix()] = file.read_bytes()
    return held


def pack(target: Path) -> int:
    """Write the archive; return its size in bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(contents().items()):
            entry = zipfile.ZipInfo(f"{TOP}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return target.stat().st_size


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{pack(Path(sys.argv[1])) / 1e6:.1f} MB")
