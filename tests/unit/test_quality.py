"""The tables of docs/fidelity.md and README have the presets of the program, and their summaries are correct."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from enhance import Settings
from tests.quality.cases import Case, Upscaled
from tests.quality.experiments import Table, experiments
from tests.quality.metrics import CLIPPED, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI, block_steps, grid_steps
from tests.quality.photos import DRAWN, REPORTED, TUNING, downscaled, reference_of
from tests.quality.tables import full_table, replace_section, short_table, values_table, verdict

ROOT = Path(__file__).parents[2]
NAMES = [one.name for one in (HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED)]
PHOTOS = {**TUNING, **REPORTED, **DRAWN}
BETTER = dict(zip(NAMES, (70.0, 80.0, 10.0, 40.0, 37.0, -0.5, 0.1), strict=True))
WORSE = dict(zip(NAMES, (60.0, 70.0, 12.0, 44.0, 30.0, 0.5, 0.4), strict=True))


def test_the_values_in_the_docs_are_those_that_ship():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")


def test_tables_show_no_photo_on_which_values_were_chosen():
    assert not TUNING.keys() & REPORTED.keys()
    for experiment in experiments():
        assert not experiment.sources.keys() & TUNING.keys()


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_photo_is_in_colour_and_divisible_by_4(photo):
    reference = reference_of(PHOTOS[photo])

    assert reference.dtype == np.uint8
    assert reference.shape[2] == 3
    assert downscaled(reference).shape[:2] == (reference.shape[0] // 4, reference.shape[1] // 4)


def test_face_and_dehaze_have_the_values_of_gentle():
    gentle = Settings.from_preset("gentle")
    for name in ("face", "dehaze"):
        scene = Settings.from_preset(name)
        assert (scene.model, scene.blend, scene.fidelity, scene.sharpen) == (
            *(gentle.model, gentle.blend, gentle.fidelity, gentle.sharpen),
        )


def table_with(**losses: float) -> Table:
    """Gentle is ahead of both in everything but `losses`, of one strength, on a sharp photo."""
    means = {"bicubic": WORSE, "original": WORSE, "gentle": BETTER | losses}
    return {("sharp", method): {name: (value,) for name, value in one.items()} for method, one in means.items()}


def test_the_verdict_names_lost_comparisons():
    assert "nearer in 8 of 8" in verdict(table_with())
    lost = verdict(table_with(GMSD=13.0))
    assert "nearer in 6 of 8" in lost
    assert "sharp: bicubic by GMSD (1.00)" in lost


def test_the_verdict_includes_the_extremes():
    values = verdict(table_with())

    assert "keep: 37.0 dB" in values
    assert "at least +7.0 dB more" in values
    assert "clipped at most -0.30 %" in values


def test_strengths_share_a_cell_that_is_empty_without_values():
    table: Table = {("noise 6 / 10", "bicubic"): {"MDSI": (42.25, 43.5), "keep": (math.nan, math.nan)}}

    assert full_table(table, (MDSI, KEEP)).splitlines()[-1] == "| noise 6 / 10 | bicubic | 42.2 / 43.5 |  |"


def test_the_short_table_is_the_mean_of_all():
    assert short_table(table_with()).splitlines()[-1] == "| gentle | 70.0 | 80.0 | 10.0 | 40.0 | 37.0 |"


def test_a_table_replaces_only_its_own_section(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- quality x -->\nold\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )

    replace_section(page, "x", "new")

    assert page.read_text() == (
        "a\n<!-- quality x -->\nnew\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )


def test_a_result_that_is_the_truth_keeps_it_and_is_as_flat():
    reference = reference_of(TUNING["coffee"])
    case = Case(reference, downscaled(reference))

    assert KEEP.of(case, Upscaled(reference)) > 50
    assert FLAT.of(case, Upscaled(reference)) == 0
    assert HAARPSI.of(case, Upscaled(reference)) == pytest.approx(100, abs=0.1)


def test_edges_of_the_photo_are_not_counted_as_steps_of_the_grid():
    photo = np.random.default_rng(1).normal(128, 8, (264, 264, 1)) * np.ones(3)
    photo[np.arange(264) // 8 % 2 == 1] += 20  # Edges at each multiple of 8 rows.
    blocks = photo + 6 * (np.arange(264) // 8 % 2)[None, :, None]
    whole, moved = photo[:256, :256], photo[4:260, 4:260]

    assert block_steps(whole) > 1.3
    assert grid_steps(whole, moved, 8) == pytest.approx(1, abs=0.02)
    assert grid_steps(blocks[:256, :256], moved[:, :] + 6 * (np.arange(256) // 8 % 2)[None, :, None], 8) > 1.05
