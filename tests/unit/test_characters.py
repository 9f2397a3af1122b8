"""Small and faint print: Auto keeps its characters, and the fidelity label shows results that change some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enhance import Enhancer
from enhance.analysis import analyse
from enhance.analysis.auto import choose
from enhance.output.fidelity import fidelity_grade
from tests.quality.cases import Networks
from tests.quality.characters import PRINTS, Reading, Text, read

PRESETS = "gentle", "precise", "anime-fast"
SAMPLES = {
    "clean": Text("DejaVuSans", 10, rows=2),
    "faint, noise 8": Text("DejaVuSans", 7, rows=2),
    "faint, JPEG 75": Text("DejaVuSans", 7, rows=2),
}


@pytest.fixture(scope="module")
def readings(span_weights, tmp_path_factory) -> dict[str, dict[str, Reading]]:
    networks = Networks(Enhancer("cpu"), tmp_path_factory.mktemp("networks"))
    cases = {name: PRINTS[name].case(text) for name, text in SAMPLES.items()}
    return {
        name: {preset: read(SAMPLES[name], case, preset, networks) for preset in PRESETS}
        for name, case in cases.items()
    }


def test_the_label_shows_changed_characters(readings):
    results = [one for column in readings.values() for one in column.values()]

    assert readings["faint, JPEG 75"]["anime-fast"].changed > 2
    assert {bool(one.changed) for one in results} == {True, False}
    for one in results:
        assert fidelity_grade(one.worst_db) != ("very" if one.changed else "free")


@pytest.mark.parametrize("name", SAMPLES)
def test_what_auto_selects_for_text_changes_no_more_characters_than_gentle(readings, name):
    analysis = replace(analyse(PRINTS[name].case(SAMPLES[name]).image), kind="text")  # Too small to be recognised.

    preset = choose(analysis, PRESETS).preset

    assert readings[name][preset].changed <= readings[name]["gentle"].changed
