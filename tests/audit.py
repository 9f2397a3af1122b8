"""Check the releases in requirements.lock for known vulnerabilities: `python -m tests.audit`.

A vulnerability that a later release fixes is an error, unless pyproject.toml excuses it with a
reason. Without an answer of the public list in time, the check prints a message and succeeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"


def ask():
    """Return pip-audit's answer for the releases of the lock, or None without an answer in time."""
    options = ["--disable-pip", "--progress-spinner=off", "--timeout=5", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", f"--requirement={LOCK}", *options]
    try:
        process = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60)
        return json.loads(process.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None


def fixable(answer, excused):
    """Yield a line for each vulnerability that a later release fixes and that is not excused."""
    for one in answer["dependencies"]:
        for found in one.get("vulns", ()):
            if found["fix_versions"] and not {found["id"], *found["aliases"]} & set(excused):
                fixes = " or ".join(found["fix_versions"])
                yield f"{one['name']} {one['version']}: {found['id']} is fixed in {fixes}"


def main():
    answer = ask()
    audited = 0
    lines = []
    if answer is not None:
        audited = sum("skip_reason" not in one for one in answer["dependencies"])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        lines = [*fixable(answer, project["tool"]["audit"]["excused"])]
    print(*lines, f"{LOCK.name}: {audited} releases audited.", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
