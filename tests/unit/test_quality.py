"""The tables of docs/fidelity.md have the presets of the program, and the measures of quality are
correct."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.quality.cases import Case, Upscaled
from tests.quality.metrics import haarpsi
from tests.quality.photos import reference_of
from tests.quality.tables import values_table

ROOT = Path(__file__).parents[2]


def test_the_values_in_the_docs_are_those_that_ship():
    assert values_table() in (ROOT / "docs" / "fidelity.md").read_text("utf-8")


def test_a_result_that_is_the_original_has_the_best_value():
    reference = reference_of("coffee")
    case = Case(reference, reference)

    assert haarpsi(case, Upscaled(reference)) == pytest.approx(100, abs=0.1)
    assert haarpsi(case, Upscaled(np.roll(reference, 2, 0))) < 90
