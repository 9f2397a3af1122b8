"""Small and faint print: Auto keeps its characters, and the fidelity label shows results that
change some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enhance import Enhancer
from enhance.analysis import analyse
from enhance.analysis.auto import choose
from enhance.restore.fidelity import fidelity_grade
from tests.quality.cases import Networks
from tests.quality.characters import PRINTS, Reading, Text, read

pytestmark = pytest.mark.long
PRESETS = "gentle", "precise", "anime-fast"
SAMPLES = {
    "clean": Text("DejaVuSans", 10, rows=2),
    "faint, noise 8": Text("DejaVuSans", 7, rows=2),
    "faint, JPEG 75": Text("DejaVuSans", 7, rows=2),
}


USUAL = "faint, JPEG 75"
"""The sample whose result by `anime-fast` has changed characters."""


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def readings(sample, span_weights, tmp_path_factory) -> dict[str, Reading]:
    """The characters that are read in the result of each preset."""
    networks = Networks(Enhancer("cpu"), tmp_path_factory.mktemp("networks"))
    case = PRINTS[sample].case(SAMPLES[sample])
    return {preset: read(SAMPLES[sample], case, preset, networks) for preset in PRESETS}


def test_the_label_shows_changed_characters(sample, readings):
    assert sample != USUAL or readings["anime-fast"].changed > 2
    for one in readings.values():
        assert fidelity_grade(one.worst_db) != ("very" if one.changed else "free")


def test_what_auto_selects_for_text_changes_no_more_characters_than_gentle(sample, readings):
    analysis = replace(
        analyse(PRINTS[sample].case(SAMPLES[sample]).image), kind="text"
    )  # Too small to be recognised.

    preset = choose(analysis, PRESETS).preset

    assert readings[preset].changed <= readings["gentle"].changed
