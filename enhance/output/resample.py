"""Resizing any part of a picture by itself: bicubic enlargement, and the anti-aliased way down from four times."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ..settings import FACTOR

_HALO = 3  # a cubic looks at two pixels beyond; the third keeps the part's own border out of reach
_ROUNDING = 1e-6
_WIDEST = 8192  # OpenCV's affine map counts source pixels in 16 bits

Span = tuple[int, int]
"""Rows or columns [first, last)."""


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width after scaling; no side is ever less than one pixel."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def rounded(rows: np.ndarray, levels: int) -> np.ndarray:
    """Float rows in levels, to the nearest of 0..`levels`, as uint8 (255) or uint16 (65535)."""
    if levels == 255:
        return cv2.convertScaleAbs(np.maximum(rows, 0))
    return np.rint(np.clip(rows, 0, levels)).astype(np.uint16)


def enlarge_rows(source: Callable[[int, int], np.ndarray], height: int, first: int, last: int) -> np.ndarray:
    """The rows [first, last) of the bicubic x4 enlargement of a picture of `height` rows, float32 in its levels.

    Keys 1981, with OpenCV's a = -0.75; pixel centres aligned; the border repeats. May overshoot the levels.
    """
    low, high = max(first // FACTOR - _HALO, 0), min(-(-last // FACTOR) + _HALO, height)
    rows = source(low, high).astype(np.float32)
    size = (rows.shape[1] * FACTOR, rows.shape[0] * FACTOR)
    return cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC)[first - low * FACTOR : last - low * FACTOR]


def enlarge(plane: np.ndarray, scale: float, first: int, last: int) -> np.ndarray:
    """The rows [first, last) of `plane` [H, W] or [H, W, C] enlarged by `scale`, in its own type.

    It goes the way of the network's output, four times and down from there, so that both fit pixel by pixel.
    """
    height, width = plane.shape[:2]

    def four_times(a: int, b: int) -> np.ndarray:
        return enlarge_rows(lambda low, high: plane[low:high], height, a, b)

    if scale == FACTOR:
        rows = four_times(first, last)
    else:
        new_height, new_width = scaled_size(height, width, scale)
        rows = Resampler(FACTOR * height, FACTOR * width, new_height, new_width).rows(four_times, first, last)
    return rounded(rows, np.iinfo(plane.dtype).max)


def enlarge_part(picture: np.ndarray, size: tuple[int, int], rows: Span, columns: Span) -> np.ndarray:
    """A part of the enlargement of `picture`, [H, W] or [H, W, C], straight to `size` (height, width), in its own type.

    The same cubic as in `enlarge_rows`, at any ratio; at one and the same size it is the picture itself.
    """
    height, width = picture.shape[:2]
    if size == (FACTOR * height, FACTOR * width):
        left, right = _covered(columns, 1 / FACTOR, width)
        made = enlarge_rows(lambda first, last: picture[first:last, left:right], height, *rows)
        return rounded(made[:, columns[0] - FACTOR * left : columns[1] - FACTOR * left], np.iinfo(picture.dtype).max)
    first, last = columns
    starts = range(first, last, _WIDEST)
    pieces = [_mapped(picture, size, rows, (start, min(start + _WIDEST, last))) for start in starts]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)


def _mapped(picture: np.ndarray, size: tuple[int, int], rows: Span, columns: Span) -> np.ndarray:
    down, across = picture.shape[0] / size[0], picture.shape[1] / size[1]
    (top, bottom), (left, right) = _covered(rows, down, picture.shape[0]), _covered(columns, across, picture.shape[1])
    # a pixel's centre lies half a pixel from its corner, in the picture and in the enlargement
    x, y = (columns[0] + 0.5) * across - 0.5 - left, (rows[0] + 0.5) * down - 0.5 - top
    return cv2.warpAffine(
        picture[top:bottom, left:right],
        np.array([[across, 0, x], [0, down, y]]),
        (columns[1] - columns[0], rows[1] - rows[0]),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _covered(part: Span, ratio: float, most: int) -> Span:
    """The source pixels that a part of the enlargement is made from."""
    return max(0, math.floor(part[0] * ratio) - _HALO), min(most, math.ceil(part[1] * ratio) + _HALO)


@dataclass(frozen=True)
class Resampler:
    """Resizes a picture from one size to another, rows on demand, with the cubic widened to suppress aliasing.

    Keys 1981 with a = -0.5, stretched by the reduction as Pillow and MATLAB do. A size with a fraction ends within the
    last row or column.
    """

    height: float
    width: float
    new_height: int
    new_width: int

    def rows(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """The rows [first, last) of the result, float32, from float32 rows of `source`."""
        places, weights = _taps(self.height, self.new_height)
        places, weights = places[first:last], weights[first:last]
        low = int(places.min())
        taken = source(low, int(places.max()) + 1)
        return _weighted(_weighted(taken, places - low, weights, 0), *_taps(self.width, self.new_width), 1)


def _weighted(rows: np.ndarray, places: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """The sum of what lies at `places` along an axis, tap by tap: so a row is the same to the bit among any others."""
    result = np.zeros((*rows.shape[:axis], len(places), *rows.shape[axis + 1 :]), np.float32)
    for tap in range(places.shape[1]):
        weight = weights[:, tap].reshape(-1, *[1] * (rows.ndim - axis - 1))
        result += np.take(rows, places[:, tap], axis=axis) * weight
    return result


class Averages:
    """Averages a picture of `height` rows, strip by strip, to `new_height` x `new_width`, neither of them larger.

    A new pixel is the mean of just what it covers, whatever the strips; `finished` counts the new rows so far. Where
    the last pixels are only partly averaged, `height` and `width` have a fraction.
    """

    def __init__(self, height: float, new_height: int, new_width: int, width: float | None = None):
        self.finished = 0
        self._length, self._width, self._ratio = new_height, new_width, height / new_height
        self._covered = width
        self._taken = 0
        self._begun: np.ndarray | float = 0.0  # the sum of what has arrived of the next row

    def add(self, rows: np.ndarray) -> np.ndarray:
        """The new rows that are whole with these `rows` [n, W, C] of the picture, float32 [m, new_width, C]."""
        first, last = self._taken, self._taken + len(rows)
        across = self._width / (self._covered or rows.shape[1])
        narrow = cv2.resize(rows.astype(np.float32), None, fx=across, fy=1, interpolation=cv2.INTER_AREA)
        narrow = narrow.reshape(len(rows), self._width, -1)
        end = min(math.ceil(last / self._ratio - _ROUNDING), self._length)
        borders = np.clip(np.arange(self.finished, end + 1) * self._ratio, first, last) - first
        sums = np.diff(_integral(narrow, borders), axis=0)
        sums[0] += self._begun
        whole = end if end * self._ratio <= last + _ROUNDING else end - 1
        means = sums[: whole - self.finished] / np.float32(self._ratio)
        self._taken, self.finished, self._begun = last, whole, sums[-1] if whole < end else 0.0
        return means


def _integral(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The sum of everything above each place: rows [n, ...], places 0..n with fractions; gives [len(places), ...]."""
    sums = np.zeros((len(rows) + 1, *rows.shape[1:]), np.float32)
    np.cumsum(rows, axis=0, out=sums[1:])
    whole = np.minimum(places.astype(np.int64), len(rows) - 1)
    share = (places - whole).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))
    return sums[whole] + share * rows[whole]


@lru_cache(maxsize=8)
def _taps(length: float, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For every output place the input places it looks at [new_length, taps] and their weights, which sum to 1."""
    ratio = length / new_length
    stretch = max(ratio, 1.0)
    centres = (np.arange(new_length) + 0.5) * ratio - 0.5
    reach = int(np.ceil(2 * stretch))
    places = np.floor(centres)[:, None].astype(np.int64) + np.arange(1 - reach, reach + 1)
    weights = _cubic((places - centres[:, None]) / stretch)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.clip(places, 0, math.ceil(length) - 1), weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    near = np.abs(distance)
    inner = 1.5 * near**3 - 2.5 * near**2 + 1
    outer = -0.5 * near**3 + 2.5 * near**2 - 4 * near + 2
    return np.where(near < 1, inner, np.where(near < 2, outer, 0.0))
