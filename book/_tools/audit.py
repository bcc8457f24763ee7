"""Ask PyPI for known vulnerabilities of what requirements.lock installs: `make lint` does.

Without a network, or where the index does not say, it reports that in one sentence and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKED = "https://pypi.org/pypi/pip-audit/2.10.1/json"  # what pip-audit asks for each project


def main() -> int:
    """Print what is known; 1 if anything is."""
    try:
        with urllib.request.urlopen(ASKED, timeout=10):
            pass
    except OSError as error:
        print(f"Audit skipped: the index does not report vulnerabilities here ({error}).")
        return 0
    audit = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json"]
    answer = subprocess.run(
        [*audit, "--progress-spinner", "off", "-r", "requirements.lock"], cwd=ROOT, capture_output=True, text=True
    )
    try:
        projects = json.loads(answer.stdout)["dependencies"]
    except ValueError:
        print(answer.stderr.strip()[-1000:])
        return 1
    known = [(project, flaw) for project in projects for flaw in project.get("vulns", [])]
    for project, flaw in known:
        better = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{project['name']} {project['version']}: {flaw['id']}, repaired in {better}.")
    unknown = sum("skip_reason" in project for project in projects)
    print(f"Audit: {len(projects) - unknown} projects asked about, {len(known)} vulnerabilities known, {unknown} not indexed.")
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(main())
