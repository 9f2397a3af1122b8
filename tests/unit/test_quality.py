"""The tables of docs/fidelity.md have the presets of the program, and the measures of quality are
correct."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.quality.cases import Case, Upscaled
from tests.quality.metrics import haarpsi
from tests.quality.photos import TUNING, reference_of
from tests.quality.tables import values_table

from .blocks import block_steps, grid_steps

ROOT = Path(__file__).parents[2]


def test_the_values_in_the_docs_are_those_that_ship():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")


def test_a_result_that_is_the_original_has_the_best_value():
    reference = reference_of(TUNING["coffee"])
    case = Case(reference, reference)

    assert haarpsi(case, Upscaled(reference)) == pytest.approx(100, abs=0.1)
    assert haarpsi(case, Upscaled(np.roll(reference, 2, 0))) < 90


def test_edges_of_the_photo_are_not_counted_as_steps_of_the_grid():
    photo = np.random.default_rng(1).normal(128, 8, (264, 264, 1)) * np.ones(3)
    photo[np.arange(264) // 8 % 2 == 1] += 20  # Edges at each multiple of 8 rows.
    moved = [photo[first : first + 256, first : first + 256] for first in range(8)]
    blocks = 6 * (np.arange(256) // 8 % 2)[None, :, None]

    assert block_steps(photo) > 1.3
    assert grid_steps(moved, 8) == pytest.approx(1, abs=1e-9)
    assert grid_steps([one + blocks for one in moved], 8) > 1.05
