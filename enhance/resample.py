"""Resizing by rows on demand: bicubic enlargement four times, and the anti-aliased way down from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

FACTOR = 4
_HALO = 3  # a cubic looks at two rows beyond; the third keeps the strip's own border out of reach


def enlarge_rows(source: Callable[[int, int], np.ndarray], height: int, first: int, last: int) -> np.ndarray:
    """The rows [first, last) of the bicubic x4 enlargement of a picture of `height` rows, float32 in its levels.

    Keys 1981, with OpenCV's a = -0.75; pixel centres aligned; the border repeats. May overshoot the levels.
    """
    low, high = max(first // FACTOR - _HALO, 0), min(-(-last // FACTOR) + _HALO, height)
    rows = source(low, high).astype(np.float32)
    size = (rows.shape[1] * FACTOR, rows.shape[0] * FACTOR)
    return cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC)[first - low * FACTOR : last - low * FACTOR]


@dataclass(frozen=True)
class Resampler:
    """Resizes a picture from one size to another, rows on demand, with the cubic widened to suppress aliasing.

    Keys 1981 with a = -0.5, stretched by the reduction as Pillow and MATLAB do.
    """

    height: int
    width: int
    new_height: int
    new_width: int

    def rows(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """The rows [first, last) of the result, float32, from float32 rows of `source`."""
        places, weights = _taps(self.height, self.new_height)
        places, weights = places[first:last], weights[first:last]
        low, high = int(places.min()), int(places.max()) + 1
        mix = np.zeros((last - first, high - low), np.float32)
        np.add.at(mix, (np.arange(last - first)[:, None], places - low), weights)
        taken = source(low, high)
        rows = (mix @ taken.reshape(high - low, -1)).reshape(last - first, *taken.shape[1:])
        return self._across(rows)

    def _across(self, rows: np.ndarray) -> np.ndarray:
        places, weights = _taps(self.width, self.new_width)
        result = np.zeros((rows.shape[0], self.new_width, *rows.shape[2:]), np.float32)
        for tap in range(places.shape[1]):
            weight = weights[:, tap].reshape(-1, *[1] * (rows.ndim - 2))
            result += np.take(rows, places[:, tap], axis=1) * weight
        return result


@lru_cache(maxsize=8)
def _taps(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For every output place the input places it looks at [new_length, taps] and their weights, which sum to 1."""
    ratio = length / new_length
    stretch = max(ratio, 1.0)
    centres = (np.arange(new_length) + 0.5) * ratio - 0.5
    reach = int(np.ceil(2 * stretch))
    places = np.floor(centres)[:, None].astype(np.int64) + np.arange(1 - reach, reach + 1)
    weights = _cubic((places - centres[:, None]) / stretch)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.clip(places, 0, length - 1), weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    near = np.abs(distance)
    inner = 1.5 * near**3 - 2.5 * near**2 + 1
    outer = -0.5 * near**3 + 2.5 * near**2 - 4 * near + 2
    return np.where(near < 1, inner, np.where(near < 2, outer, 0.0))
