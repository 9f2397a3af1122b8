"""Ask the public list of vulnerabilities about every release in the lock: `python -m tests.audit`.

What can be acted on fails: a vulnerability that a later release mends, unless pyproject.toml excuses it with a reason.
Where the list cannot be asked in time, one sentence says so and nothing fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
_SECONDS = 20


def excused() -> dict[str, str]:
    """The vulnerabilities of pyproject.toml's `[tool.audit] excused`, each with the reason."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["audit"]["excused"]


def ask(lock: Path = LOCK, seconds: float = _SECONDS) -> dict[str, Any] | str:
    """What pip-audit says of the lock's releases; why not, if it could not ask.

    It asks for each by itself, so the first one alone shows sooner whether there is anybody to ask.
    """
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first.txt"
        first.write_text(re.findall(r"^\w.*?\n(?=\w)", lock.read_text("utf-8"), re.DOTALL | re.MULTILINE)[0])
        answer = _asked(first, seconds)
    return answer if isinstance(answer, str) else _asked(lock, seconds)


def _asked(lock: Path, seconds: float) -> dict[str, Any] | str:
    options = ("--disable-pip", "--progress-spinner", "off", "--timeout", "5", "--format", "json")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), *options]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:g} s"
    try:
        answer = json.loads(asked.stdout)
    except ValueError:
        said = asked.stderr.strip().splitlines() or ["pip-audit said nothing"]
        return shorten(said[-1], 160)
    known = [one for one in answer["dependencies"] if "skip_reason" not in one]
    return answer if known else "the list of vulnerabilities is not to be had from here"


def mendable(answer: Mapping[str, Any], excused: Collection[str]) -> list[str]:
    """The vulnerabilities that a later release mends and nobody excused, a line each."""
    return [
        f"{one['name']} {one['version']}: {found['id']} is mended in {' or '.join(found['fix_versions'])}"
        for one in answer["dependencies"]
        for found in one.get("vulns", ())
        if found["fix_versions"] and not {found["id"], *found["aliases"]} & set(excused)
    ]


def main() -> int:
    answer = ask()
    if isinstance(answer, str):
        print(f"{LOCK.name} was not audited: {answer}.")
        return 0
    lines = mendable(answer, excused())
    print(*lines, sep="\n", end="\n" if lines else "")
    skipped = sum("skip_reason" in one for one in answer["dependencies"])
    print(f"{LOCK.name}: {len(answer['dependencies']) - skipped} releases audited, {skipped} unknown to the list.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
