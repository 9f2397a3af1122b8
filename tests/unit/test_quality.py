"""The tables of docs/fidelity.md and README: the presets are those that ship, and what is said of a table is true."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from enhance import Settings
from tests.quality.cases import Case, Made
from tests.quality.measures import CLIPPED, FLAT, FSIM, GMSD, HAARPSI, KEEP, MDSI
from tests.quality.photos import DRAWN, REPORTED, TUNING, made_small, truth_of
from tests.quality.tables import full_table, put_between_marks, short_table, values_table, verdict
from tests.quality.trials import Table, trials

ROOT = Path(__file__).parents[2]
NAMES = [one.name for one in (HAARPSI, FSIM, GMSD, MDSI, KEEP, FLAT, CLIPPED)]
PHOTOS = {**TUNING, **REPORTED, **DRAWN}
BETTER = dict(zip(NAMES, (70.0, 80.0, 10.0, 40.0, 37.0, -0.5, 0.1), strict=True))
WORSE = dict(zip(NAMES, (60.0, 70.0, 12.0, 44.0, 30.0, 0.5, 0.4), strict=True))


def test_the_values_in_the_docs_are_those_that_ship():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")


def test_no_photo_is_both_tuned_on_and_reported():
    assert not TUNING.keys() & REPORTED.keys()
    for trial in trials():
        assert not trial.sources.keys() & TUNING.keys()


@pytest.mark.parametrize("photo", PHOTOS)
def test_every_photo_is_here_in_colour_and_made_of_whole_blocks(photo):
    truth = truth_of(PHOTOS[photo])

    assert truth.dtype == np.uint8
    assert truth.shape[2] == 3
    assert made_small(truth).shape[:2] == (truth.shape[0] // 4, truth.shape[1] // 4)


def test_a_face_without_a_face_and_a_clear_view_have_gentles_values():
    gentle = Settings.from_preset("gentle")
    for name in ("face", "dehaze"):
        scene = Settings.from_preset(name)
        assert (scene.model, scene.blend, scene.fidelity, scene.sharpen) == (
            *(gentle.model, gentle.blend, gentle.fidelity, gentle.sharpen),
        )


def table_with(**losses: float) -> Table:
    """Gentle is ahead of both in everything but `losses`, of one strength, on a sharp photo."""
    means = {"bicubic": WORSE, "original": WORSE, "gentle": BETTER | losses}
    return {("sharp", way): {name: (value,) for name, value in one.items()} for way, one in means.items()}


def test_what_is_not_nearer_is_named():
    assert "nearer in 8 of 8" in verdict(table_with())
    lost = verdict(table_with(GMSD=13.0))
    assert "nearer in 6 of 8" in lost
    assert "sharp: bicubic by GMSD (1.00)" in lost


def test_the_bounds_are_told_with_the_table():
    told = verdict(table_with())

    assert "keep: 37.0 dB" in told
    assert "at least +7.0 dB more" in told
    assert "clipped at most -0.30 %" in told


def test_both_strengths_stand_in_one_cell_and_none_where_nothing_was_measured():
    table: Table = {("noise 6 / 10", "bicubic"): {"MDSI": (42.25, 43.5), "keep": (math.nan, math.nan)}}

    assert full_table(table, (MDSI, KEEP)).splitlines()[-1] == "| noise 6 / 10 | bicubic | 42.2 / 43.5 |  |"


def test_the_short_table_is_the_mean_of_all():
    assert short_table(table_with()).splitlines()[-1] == "| gentle | 70.0 | 80.0 | 10.0 | 40.0 | 37.0 |"


def test_tables_go_between_their_own_marks_and_nothing_else_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- quality x -->\nold\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )

    put_between_marks(page, "x", "new")

    assert page.read_text() == (
        "a\n<!-- quality x -->\nnew\n<!-- /quality x -->\n<!-- quality y -->\nstays\n<!-- /quality y -->\nb"
    )


def test_a_result_that_is_the_truth_keeps_it_and_is_as_flat():
    truth = truth_of(TUNING["coffee"])
    case = Case(truth, made_small(truth))

    assert KEEP.of(case, Made(truth)) > 50
    assert FLAT.of(case, Made(truth)) == 0
    assert HAARPSI.of(case, Made(truth)) == pytest.approx(100, abs=0.1)
