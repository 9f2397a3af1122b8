"""The tables of docs/fidelity.md and README: their presets, photos and summaries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from enhance import Settings
from tests.quality.cases import Case, Output
from tests.quality.measures import CLIPPED, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI
from tests.quality.photos import DRAWINGS, REPORTED, TUNING, downscale, reference_photo
from tests.quality.tables import full_table, replace_section, short_table, values_table, verdict
from tests.quality.trials import Table, trials

ROOT = Path(__file__).parents[2]
NAMES = [one.name for one in (HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED)]
PHOTOS = {**TUNING, **REPORTED, **DRAWINGS}
BETTER = dict(zip(NAMES, (70.0, 80.0, 10.0, 40.0, 37.0, -0.5, 0.1), strict=True))
WORSE = dict(zip(NAMES, (60.0, 70.0, 12.0, 44.0, 30.0, 0.5, 0.4), strict=True))


def test_the_docs_have_the_presets_settings():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")


def test_no_photo_is_used_for_tuning_and_tables():
    assert not TUNING.keys() & REPORTED.keys()
    for trial in trials():
        assert not trial.sources.keys() & TUNING.keys()


@pytest.mark.parametrize("photo", PHOTOS)
def test_every_photo_is_rgb_and_can_be_downscaled_by_4(photo):
    reference = reference_photo(PHOTOS[photo])

    assert reference.dtype == np.uint8
    assert reference.shape[2] == 3
    assert downscale(reference).shape[:2] == (reference.shape[0] // 4, reference.shape[1] // 4)


def test_face_and_dehaze_have_the_tuning_of_gentle():
    gentle = Settings.from_preset("gentle")
    for name in ("face", "dehaze"):
        scene = Settings.from_preset(name)
        assert (scene.model, scene.blend, scene.fidelity, scene.sharpen) == (
            *(gentle.model, gentle.blend, gentle.fidelity, gentle.sharpen),
        )


def table_with(**losses: float) -> Table:
    """Return a table in which gentle is better than both others, except for the values in `losses`."""
    means = {"bicubic": WORSE, "original": WORSE, "gentle": BETTER | losses}
    return {("sharp", method): {name: (value,) for name, value in one.items()} for method, one in means.items()}


def test_the_summary_lists_each_lost_comparison():
    assert "nearer in 8 of 8" in verdict(table_with())
    lost = verdict(table_with(GMSD=13.0))
    assert "nearer in 6 of 8" in lost
    assert "sharp: bicubic by GMSD (1.00)" in lost


def test_the_summary_has_the_worst_values():
    text = verdict(table_with())

    assert "keep: 37.0 dB" in text
    assert "at least +7.0 dB more" in text
    assert "clipped at most -0.30 %" in text


def test_both_strengths_share_a_cell_which_is_empty_without_values():
    table: Table = {("noise 6 / 10", "bicubic"): {"MDSI": (42.25, 43.5), "keep": (math.nan, math.nan)}}

    assert full_table(table, (MDSI, KEEP)).splitlines()[-1] == "| noise 6 / 10 | bicubic | 42.2 / 43.5 |  |"


def test_the_short_table_is_the_mean_of_all():
    assert short_table(table_with()).splitlines()[-1] == "| gentle | 70.0 | 80.0 | 10.0 | 40.0 | 37.0 |"


def test_only_the_named_section_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- quality x -->\nold\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )

    replace_section(page, "x", "new")

    assert page.read_text() == (
        "a\n<!-- quality x -->\nnew\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )


def test_the_original_as_result_has_the_best_values():
    reference = reference_photo(TUNING["coffee"])
    case = Case(reference, downscale(reference))

    assert KEEP.of(case, Output(reference)) > 50
    assert FLAT.of(case, Output(reference)) == 0
    assert HAARPSI.of(case, Output(reference)) == pytest.approx(100, abs=0.1)
