"""JPEG quality, from the quantisation table of the file or from the pixels of an image that was a
JPEG before.

The coefficients of a decoded JPEG still lie on multiples of its quantisation steps (Fan and de
Queiroz, "Identification of bitmap compression history", 2003). The mean of cos(2 pi c / step) over
the coefficients c shows a step: it is near 1 for the true one and near 0 without compression. A
user interface has lines on any grid but no such multiples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from .samples import LUMA, blocks_of, dct

# Table K.1 of ITU-T T.81, by vertical and horizontal frequency.
_TABLE = """
    16 11 10 16  24  40  51  61
    12 12 14 19  26  58  60  55
    14 13 16 24  40  57  69  56
    14 17 22 29  51  87  80  62
    18 22 37 56  68 109 103  77
    24 35 55 64  81 104 113  92
    49 64 78 87 103 121 120 101
    72 92 95 98 112 100 103  99
"""
_LUMINANCE = np.array(_TABLE.split(), int).reshape(8, 8)
_FREQUENCIES = [place for place in np.ndindex(8, 8) if 0 < sum(place) <= 6]
_STEPS = np.arange(2, 128)
_BINS_PER_LEVEL = 4
_BINS = 2048
_VALUES = np.arange(_BINS) / _BINS_PER_LEVEL
# Coefficients of up to half a step are quantised to 0. Zero is a multiple of every step, so it is
# no evidence.
_COUNTED = _VALUES[:, None] > _STEPS / 2
_WAVES = np.cos(2 * np.pi * _VALUES[:, None] / _STEPS) * _COUNTED
_ROUNDING = 0.4
"""The standard deviation that the rounding of pixels adds to a coefficient."""
# With normally distributed rounding errors e, the mean of cos(2 pi e / step) is exp(-2 (pi *
# _ROUNDING / step)^2).
_SCORES = np.minimum(0.6, 0.75 * np.exp(-2 * np.square(np.pi * _ROUNDING / _STEPS)))
_FEWEST_COEFFICIENTS = 20
_FEWEST_STEPS = 4
_LEAST_SHARE = 0.15
_FEWEST_BLOCKS = 30
_BLOCKY = 1.03
_LEAST_BUSY = 0.005
_MOST_BUSY = 0.9
_UNKNOWN_QUALITY = 80
"""Stands for the quality of a page on white, whose traces do not show the steps."""


def quality_of_table(table: Sequence[int]) -> int:
    """Return the quality, 1 to 100, of a luminance table of 64 steps, row by row, on the scale of
    libjpeg."""
    return _quality(sum(table) / float(_LUMINANCE.sum()))


def quality_of_pixels(samples: ndarray, *, is_jpeg: bool) -> int | None:
    """Return the quality at which squares [n, side, side, 3] were compressed before, or None
    without traces.

    If the image `is_jpeg`, only traces that show their quality count: those of its own file need no
    estimate.
    """
    light = samples @ LUMA
    # The blocks of a crop, or of an earlier compression, do not begin at the edge of the image.
    grid = (_grid_across(light.swapaxes(1, 2)), _grid_across(light))
    found = [
        _quality_on_grid(samples[:, top:, left:], light[:, top:, left:])
        for top, left in {(0, 0), grid}
    ]
    qualities = list(filter(None, found))
    if not qualities and not is_jpeg and _is_blocky(samples):
        return _UNKNOWN_QUALITY
    return min(qualities, default=None)


def _is_blocky(samples: ndarray) -> bool:
    """Return whether flat areas end where blocks of 8 px begin, as on a white page, whose values
    are clipped.

    Pixel art of squares of 8 px has no busy blocks.
    """
    green = samples[..., 1]
    # Lines of text can lie on such a grid from top to bottom.
    for lines in (green, green.swapaxes(1, 2)):
        width = lines.shape[2] - 8
        on_grid, *others = (
            np.mean(np.ptp(blocks_of(lines[:, :, start : start + width], 8), axis=(1, 2)) > 1)
            for start in range(8)
        )
        if not _LEAST_BUSY < on_grid <= _MOST_BUSY or on_grid * _BLOCKY >= min(others):
            return False
    return True


def _quality_on_grid(samples: ndarray, light: ndarray) -> int | None:
    blocks = blocks_of(light, 8)
    colours = blocks_of(samples, 8).reshape(len(blocks), -1)
    low = colours.min(1)
    high = colours.max(1)
    is_busy = high - low > 1
    not_clipped = (low > 0) & (high < 255)  # Clipping moves coefficients off their multiples.
    return _quality_of_blocks(blocks[is_busy & not_clipped]) or _quality_of_blocks(blocks[is_busy])


def _quality_of_blocks(blocks: ndarray) -> int | None:
    # Identical blocks, as in a pattern, are no evidence.
    blocks = np.unique(blocks.reshape(-1, 64), axis=0).reshape(-1, 8, 8)
    if len(blocks) < _FEWEST_BLOCKS:
        return None
    coefficients = np.abs(dct(blocks)) * _BINS_PER_LEVEL
    bins = np.minimum(np.rint(coefficients), _BINS - 1).astype(int)
    found: list[float] = []
    tested = 0
    for down, across in _FREQUENCIES:
        counts = np.bincount(bins[:, down, across], minlength=_BINS).astype(np.float32)
        counts[-1] = 0  # The last bin also has all larger coefficients.
        evidence = counts @ _COUNTED  # the number of coefficients that count for each step
        if evidence[0] < _FEWEST_COEFFICIENTS:
            continue
        tested += 1
        scores = (counts @ _WAVES) / np.maximum(evidence, 1)
        matches = np.flatnonzero((evidence >= _FEWEST_COEFFICIENTS) & (scores > _SCORES))
        if len(matches):
            # The best of the largest matches: divisors and neighbours of the step match too.
            largest = matches[matches >= matches[-1] - 2]
            best = largest[np.argmax(scores[largest])]
            found.append(float(_STEPS[best] / _LUMINANCE[down, across]))
    if len(found) < max(_FEWEST_STEPS, _LEAST_SHARE * tested):
        return None
    return _quality(float(np.median(found)))


def _quality(scale: float) -> int:
    """Return the quality for which libjpeg multiplies its tables by `scale`."""
    quality = 100 - 50 * scale if scale <= 1 else 50 / scale
    return round(min(max(quality, 1), 100))


def _grid_across(light: ndarray) -> int:
    """Return the column, 0 to 7, at which blocks of 8 px begin, in squares [n, h, w]: where the
    steps are largest."""
    steps = np.abs(np.diff(light))
    neighbours = (steps[..., :-2] + steps[..., 2:]) / 2
    excess = np.maximum(steps[..., 1:-1] - neighbours, 0).mean((0, 1))
    phases = [excess[phase::8].mean() for phase in range(8)]
    return (int(np.argmax(phases)) + 2) % 8  # `excess[n]` is the step before column n + 2.
