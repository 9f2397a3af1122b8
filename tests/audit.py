"""Check the releases in requirements.lock for known vulnerabilities: `python -m tests.audit`.

A vulnerability that a later release fixes is an error, unless pyproject.toml excuses it with a
reason. If no release was audited, that is an error too, unless the vulnerability service does not
answer for a release that it has. In that case, the check prints a warning and succeeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import requests

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
SERVICE = "https://pypi.org/pypi/pip/25.0/json"
"""The address that pip-audit asks for the vulnerabilities of a release, here of one that exists."""


def ask():
    """Return pip-audit's facts about the releases of the lock, or none if it fails or takes too
    long."""
    options = ["--disable-pip", "--progress-spinner=off", "--timeout=5", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", f"--requirement={LOCK}", *options]
    try:
        process = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=300)
        return json.loads(process.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return []


def answers(service):
    """Return whether the service answers with vulnerabilities, and not only with an error."""
    try:
        return "vulnerabilities" in requests.get(service, timeout=5).json()
    except requests.RequestException:
        return False


def fixable(releases, excused):
    """Yield a line for each vulnerability that a later release fixes and that is not excused."""
    for one in releases:
        for found in one.get("vulns", ()):
            if found["fix_versions"] and not {found["id"], *found["aliases"]} & set(excused):
                fixes = " or ".join(found["fix_versions"])
                yield f"{one['name']} {one['version']}: {found['id']} is fixed in {fixes}"


def report(releases, excused, service=SERVICE):
    """Print the result of an audit, and return the exit status."""
    audited = sum("skip_reason" not in one for one in releases)
    lines = [*fixable(releases, excused)]
    print(*lines, f"{LOCK.name}: {audited} releases audited.", sep="\n")
    if audited:
        return 1 if lines else 0
    if answers(service):
        print("Error: The vulnerability service answers, but no release was audited.")
        return 1
    print(f"Warning: No release was audited, because {service} does not answer.")
    return 0


def main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return report(ask(), project["tool"]["audit"]["excused"])


if __name__ == "__main__":
    sys.exit(main())
