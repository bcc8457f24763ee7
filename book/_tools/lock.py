"""Write requirements.lock: the versions of requirements.txt and -cuda.txt, each with the hashes of its files on PyPI.

    .venv/bin/python book/_tools/lock.py [WHEEL ...]

`make book LOCKED=1` installs from it, and pip then refuses a file that is not one of these, to the last bit. The
index is read anew and the versions are those of requirements.txt. Wheels named on the command line may be installed
too: PyTorch's build for processors alone is not on PyPI, for one. So may files that the old lock allows beyond PyPI's.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
INDEX = "https://pypi.org/simple/"
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
ELSEWHERE = "# not on PyPI: "


def normal(name: str) -> str:
    """A project's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, str]:
    """Versions by name, of lines such as ``torch==2.13.0``, in their order."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", text, re.MULTILINE))


def version_of(file: str, name: str) -> str:
    """The version in the name of a wheel or an archive; empty if there is none."""
    stem = re.sub(r"\.(whl|tar\.gz|zip)$", "", file)
    parts = stem.split("-") if file.endswith(".whl") else stem.rsplit("-", 1)
    return parts[1] if len(parts) > 1 and normal(parts[0]) == normal(name) else ""


def on_the_index(name: str, version: str) -> list[str]:
    """Hashes of all files of a version."""
    with urllib.request.urlopen(urllib.request.Request(f"{INDEX}{normal(name)}/", headers=JSON), timeout=60) as answer:
        files = json.load(answer)["files"]
    found = {file["hashes"]["sha256"] for file in files if version_of(file["filename"], name) == version}
    if not found:
        raise SystemExit(f"{INDEX} has no file of {name} {version}.")
    return sorted(found)


def main() -> None:
    """Write the lock."""
    cuda = pinned((ROOT / "requirements-cuda.txt").read_text(encoding="utf-8"))
    versions = pinned((ROOT / "requirements.txt").read_text(encoding="utf-8")) | cuda
    old = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    elsewhere: dict[str, set[str]] = {}
    for name, version, digest in re.findall(rf"^{ELSEWHERE}(\S+)==(\S+) sha256:(\w+)$", old, re.MULTILINE):
        if versions.get(name) == version:
            elsewhere.setdefault(name, set()).add(digest)
    for path in map(Path, sys.argv[1:]):
        name = normal(path.name.split("-")[0])
        elsewhere.setdefault(name, set()).add(hashlib.sha256(path.read_bytes()).hexdigest())
    with ThreadPoolExecutor(4) as pool:
        hashes = dict(zip(versions, pool.map(on_the_index, versions, versions.values()), strict=True))
    lines = ["# The versions of requirements.txt and the hashes of their files. Made by book/_tools/lock.py: do not edit."]
    for name, version in versions.items():
        more = sorted(elsewhere.get(name, set()) - set(hashes[name]))
        lines += [f"{ELSEWHERE}{name}=={version} sha256:{one}" for one in more]
        where = ' ; platform_system == "Linux"' if name in cuda else ""
        lines.append(" \\\n".join([f"{name}=={version}{where}", *(f"    --hash=sha256:{one}" for one in [*hashes[name], *more])]))
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{LOCK.name}: {len(versions)} projects, {sum(map(len, hashes.values()))} files.")


if __name__ == "__main__":
    main()
