"""The steps at the borders of JPEG blocks."""

from __future__ import annotations

import numpy as np


def block_steps(pixels, distance=8):
    """Return the mean difference of neighbours across the borders of blocks, divided by the mean of
    all others."""
    light = pixels.astype(float).mean(2)
    borders = 0.0
    others = 0.0
    for lines in (light, light.T):
        differences = np.abs(np.diff(lines, axis=0)).mean(1)
        is_border = np.arange(1, len(differences) + 1) % distance == 0
        borders += differences[is_border].mean()
        others += differences[~is_border].mean()
    return borders / others
