"""The steps at the borders of JPEG blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.quality.cases import Case
from tests.quality.degradation import Degrade, case_of
from tests.quality.photos import Pixels


def block_steps(pixels: Pixels, distance: int = 8) -> float:
    """Return the mean difference of neighbours across the borders of blocks, divided by the mean of
    all others."""
    light, borders, others = pixels.astype(float).mean(2), [], []
    for lines in (light, light.T):
        differences = np.abs(np.diff(lines, axis=0)).mean(1)
        is_border = np.arange(1, len(differences) + 1) % distance == 0
        borders.append(differences[is_border].mean())
        others.append(differences[~is_border].mean())
    return sum(borders) / sum(others)


def grid_steps(results: Sequence[Pixels], distance: int) -> float:
    """Return the mean difference across the borders of blocks, divided by the mean difference
    halfway between.

    Result i of n, an even number, shows the photo without its first i / n blocks. Each row of the
    photo that is a border in one result is halfway between borders in another one, so the influence
    of the content is removed.
    """
    shift, border, halfway = distance // len(results), 0.0, 0.0
    for number, pixels in enumerate(results):
        start = distance - shift * (number + 1)  # Of the part that all results show.
        light = pixels[start:, start:].astype(float).mean(2)
        light = light[: pixels.shape[0] - distance + shift, : pixels.shape[1] - distance + shift]
        for lines in (light, light.T):
            differences = np.abs(np.diff(lines, axis=0)).mean(1)
            position = (np.arange(1, len(differences) + 1) + start) % distance
            border += differences[position == 0].sum()
            halfway += differences[position == distance // 2].sum()
    return border / halfway


def moved_cases(reference: Pixels, degrade: Degrade) -> list[Case]:
    """Return 8 cases of equal size, the next one always moved by a pixel of the degraded photo."""
    height, width = (side // 32 * 32 - 32 for side in reference.shape[:2])
    parts = (reference[first : first + height, first : first + width] for first in range(0, 32, 4))
    return [case_of(np.ascontiguousarray(part), degrade) for part in parts]
