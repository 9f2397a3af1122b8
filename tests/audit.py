"""Check the releases in requirements.lock for known vulnerabilities: `python -m tests.audit`.

A vulnerability that a later release fixes is an error, unless pyproject.toml excuses it with a
reason. Without an answer of the public list in time, the check prints a message and succeeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import shorten

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
_SECONDS = 60


def read_excuses():
    """Return the vulnerabilities in `[tool.audit.excused]` of pyproject.toml, each with its
    reason."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["audit"]["excused"]


def ask():
    """Return the answer of pip-audit for the releases of the lock, or the reason why there is
    none."""
    options = ("--disable-pip", "--progress-spinner", "off", "--timeout", "5", "--format", "json")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), *options]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS} s"
    try:
        answer = json.loads(process.stdout)
    except ValueError:
        errors = process.stderr.strip().splitlines() or ["pip-audit printed nothing"]
        return shorten(errors[-1], 160)
    known = [one for one in answer["dependencies"] if "skip_reason" not in one]
    return answer if known else "the list of vulnerabilities is not available"


def fixable(answer, excused):
    """Return a line for each vulnerability that a later release fixes and that is not excused."""
    return [
        f"{one['name']} {one['version']}: {found['id']} is fixed in "
        f"{' or '.join(found['fix_versions'])}"
        for one in answer["dependencies"]
        for found in one.get("vulns", ())
        if found["fix_versions"] and not {found["id"], *found["aliases"]} & set(excused)
    ]


def main():
    answer = ask()
    if isinstance(answer, str):
        print(f"{LOCK.name} was not audited: {answer}.")
        return 0
    lines = fixable(answer, read_excuses())
    print(*lines, sep="\n", end="\n" if lines else "")
    skipped = sum("skip_reason" in one for one in answer["dependencies"])
    print(
        f"{LOCK.name}: {len(answer['dependencies']) - skipped} releases audited, {skipped} "
        f"unknown to the list."
    )
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
