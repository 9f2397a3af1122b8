"""The table of values in docs/fidelity.md has the presets of the program."""

from __future__ import annotations

from pathlib import Path

from tests.quality.tables import values_table

ROOT = Path(__file__).parents[2]


def test_the_values_in_the_docs_are_those_that_ship():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")
