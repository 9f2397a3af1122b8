"""The size of a result, and resizing any part of a picture by itself: up by a cubic, down by the mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ..errors import SettingsError
from ..images import Box
from ..settings import Settings, largest_scale

DPI = 300
"""What a print is usually made with, in pixels an inch."""
PAPERS = {"10x15": (15.2, 10.2), "13x18": (17.8, 12.7), "20x30": (30.5, 20.3), "a4": (29.7, 21.0), "a3": (42.0, 29.7)}
"""Prints in centimetres, the longer side first: three of photographs as laboratories cut them, two of ISO 216."""
_INCH = 2.54
_REDUCTION = 16
"""A result is smaller than its picture by so much at most."""
_SOURCE_ROWS = 512
_HALO = 3  # a cubic looks at two pixels beyond; the third keeps the part's own border out of reach
_ROUNDING = 1e-6
_WIDEST = 8192  # OpenCV's affine map counts source pixels in 16 bits

Span = tuple[int, int]
"""Rows or columns [first, last)."""
Part = Callable[[Span, Span], np.ndarray]
"""Gives some rows and columns of a picture, uint8 [h, w] or [h, w, C]."""


def result_size(settings: Settings, height: int, width: int) -> tuple[int, int]:
    """Height and width of the result of a picture of `height` x `width`; no side is ever less than one pixel.

    `long_side` is met exactly. Raises SettingsError where that is more than the network makes of the picture, or so
    little that hardly anything would be left of it.
    """
    largest, longest = largest_scale(settings), max(height, width)
    if settings.long_side is not None:
        limits = math.ceil(longest / _REDUCTION), round(longest * largest)
        _check_size("long_side", settings.long_side, limits, height, width)
        return _scaled(height, width, settings.long_side / longest)
    if settings.megapixels is not None:
        area = height * width / 1e6
        most = math.prod(largest_size(settings, height, width)) / 1e6
        _check_size("megapixels", settings.megapixels, (area / _REDUCTION**2, most), height, width)
        return _scaled(height, width, min(math.sqrt(settings.megapixels / area), largest))
    return _scaled(height, width, settings.scale or largest)


def largest_size(settings: Settings, height: int, width: int) -> tuple[int, int]:
    """Height and width of the largest result that the settings' network can make of a picture."""
    return _scaled(height, width, largest_scale(settings))


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def _check_size(setting: str, value: float, limits: tuple[float, float], height: int, width: int) -> None:
    least, most = limits
    said = {"setting": setting, "value": f"{value:g}", "width": width, "height": height}
    if value > most:
        raise SettingsError("size_large", largest=_limit(most, math.floor), **said)
    if value < least:
        raise SettingsError("size_small", smallest=_limit(least, math.ceil), **said)


def _limit(value: float, towards: Callable[[float], int]) -> str:
    """A limit to three digits, rounded to the side where it holds; a whole number keeps all of them."""
    if isinstance(value, int):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{towards(value * 10**digits) / 10**digits:.{digits}f}"


def print_size(height: int, width: int, dpi: float = DPI) -> tuple[float, float]:
    """Height and width in centimetres of a picture of so many pixels in print."""
    return height / dpi * _INCH, width / dpi * _INCH


def long_side_on(paper: str, shape: tuple[int, int] | None = None, dpi: float = DPI) -> int:
    """The pixels of the longer side of a picture of this height and width that fills one of `PAPERS`, uncropped.

    Without a shape that of a picture just as long and wide as the paper. Raises SettingsError for an unknown paper.
    """
    if paper not in PAPERS:
        raise SettingsError("paper_unknown", value=paper, papers=", ".join(PAPERS))
    long, short = (side / _INCH * dpi for side in PAPERS[paper])
    height, width = shape or (short, long)
    return max(1, math.floor(min(long, short * max(height, width) / min(height, width)) + 0.5))


def paper_of(settings: Settings, shape: tuple[int, int]) -> str:
    """Return the print size in PAPERS that these settings fill with an image of this height and width; "" if none."""
    sides = {paper: long_side_on(paper, shape) for paper in PAPERS} if settings.dpi == DPI else {}
    return next((paper for paper, side in sides.items() if side == settings.long_side), "")


def rounded(rows: np.ndarray, levels: int) -> np.ndarray:
    """Float rows in levels, to the nearest of 0..`levels`, as uint8 (255) or uint16 (65535)."""
    if levels == 255:
        return cv2.convertScaleAbs(np.maximum(rows, 0))
    return np.rint(np.clip(rows, 0, levels)).astype(np.uint16)


def enlarge_rows(
    source: Callable[[int, int], np.ndarray], height: int, factor: int, first: int, last: int
) -> np.ndarray:
    """The rows [first, last) of a picture of `height` rows enlarged bicubically by `factor`, float32 in its levels.

    Keys 1981, with OpenCV's a = -0.75; pixel centres aligned; the border repeats. May overshoot the levels.
    """
    low, high = max(first // factor - _HALO, 0), min(-(-last // factor) + _HALO, height)
    rows = source(low, high).astype(np.float32)
    size = (rows.shape[1] * factor, rows.shape[0] * factor)
    return cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC)[first - low * factor : last - low * factor]


def enlarge(plane: np.ndarray, grid: Grid, first: int, last: int) -> np.ndarray:
    """The rows [first, last) of `plane` [H, W] or [H, W, C] enlarged to the grid's size, in its own type.

    It goes the way of the network's output, up and down from there, so that both fit pixel by pixel.
    """

    def enlarged(a: int, b: int) -> np.ndarray:
        return enlarge_rows(lambda low, high: plane[low:high], plane.shape[0], grid.factor, a, b)

    return rounded(grid.rows_of_input(enlarged, first, last), np.iinfo(plane.dtype).max)


def enlarge_part(part: Part, of: tuple[int, int], size: tuple[int, int], rows: Span, columns: Span) -> np.ndarray:
    """A part of the enlargement of a picture of the size `of` straight to `size`, both (height, width), uint8.

    The same cubic as in `enlarge_rows`, at any ratio; at one and the same size it is the picture itself. `part` is
    asked for no more of the picture than that takes.
    """
    height, width = of
    factor = size[0] // height
    if size == (factor * height, factor * width):
        left, right = _covered(columns, 1 / factor, width)
        made = enlarge_rows(lambda first, last: part((first, last), (left, right)), height, factor, *rows)
        return rounded(made[:, columns[0] - factor * left : columns[1] - factor * left], 255)
    first, last = columns
    starts = range(first, last, _WIDEST)
    pieces = [_mapped(part, of, size, rows, (start, min(start + _WIDEST, last))) for start in starts]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)


def _mapped(part: Part, of: tuple[int, int], size: tuple[int, int], rows: Span, columns: Span) -> np.ndarray:
    down, across = of[0] / size[0], of[1] / size[1]
    (top, bottom), (left, right) = _covered(rows, down, of[0]), _covered(columns, across, of[1])
    # a pixel's centre lies half a pixel from its corner, in the picture and in the enlargement
    x, y = (columns[0] + 0.5) * across - 0.5 - left, (rows[0] + 0.5) * down - 0.5 - top
    return cv2.warpAffine(
        part((top, bottom), (left, right)),
        np.array([[across, 0, x], [0, down, y]]),
        (columns[1] - columns[0], rows[1] - rows[0]),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _covered(part: Span, ratio: float, most: int) -> Span:
    """The source pixels that a part of the enlargement is made from."""
    return max(0, math.floor(part[0] * ratio) - _HALO), min(most, math.ceil(part[1] * ratio) + _HALO)


@dataclass(frozen=True)
class Cut:
    """Where a part of a picture lies in it, which has `height` x `width` pixels."""

    box: Box
    height: int
    width: int


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a result of `whole` (height, width) lie over what the network makes of its picture.

    The network's output is `factor` times as large as the picture averaged down by `reduce`; what the last averages
    have beyond the picture is cut off. Where it is that of a part alone, which begins with whole averages, so is the
    result, on the same pixels as in the whole.
    """

    factor: int
    reduce: int
    cut: Cut
    whole: tuple[int, int]

    @classmethod
    def of(cls, settings: Settings, height: int, width: int, cut: Cut | None = None) -> Grid:
        """That of a picture of `height` x `width`, which may be cut out of a larger one. Raises SettingsError."""
        cut = cut or Cut(Box(0, 0, width, height), height, width)
        return cls(settings.factor, settings.reduce, cut, result_size(settings, cut.height, cut.width))

    @property
    def resizes(self) -> bool:
        """Whether the result has another size than the network's output."""
        return self.whole != _scaled(self.cut.height, self.cut.width, self.factor / self.reduce)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result, of a part where it is one."""
        (top, bottom), (left, right) = self._spans
        return bottom - top, right - left

    @property
    def _spans(self) -> tuple[Span, Span]:
        """The rows and the columns of the whole result that are wholly or partly made from the part."""
        cut, box = self.cut, self.cut.box
        down, across = self.whole[0] / cut.height, self.whole[1] / cut.width
        if not self.resizes:
            down = across = self.factor / self.reduce
        return (
            _around(box.top * down, (box.top + box.height) * down, self.whole[0]),
            _around(box.left * across, (box.left + box.width) * across, self.whole[1]),
        )

    def window(self, box: Box) -> tuple[slice, slice]:
        """Where a square of the picture lies in the result, which has it all."""
        (top, _), (left, _) = self._spans
        down = _place(box.top, box.height, self.cut.height, self.whole[0])
        across = _place(box.left, box.width, self.cut.width, self.whole[1])
        return slice(down[0] - top, down[1] - top), slice(across[0] - left, across[1] - left)

    def rows(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """The rows [first, last) of the result, float32, from float32 rows of the network's size from `source`.

        Each pixel is the mean of what it covers: no edge rings, and nothing is left out.
        """
        if not self.resizes:
            return source(first, last)[:, : self.size[1]]
        return self._resampled(source, first, last, self.reduce)

    def rows_of_input(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """The same from what is `factor` times as large as the picture itself, not averaged down before."""
        if self.reduce == 1:
            return self.rows(source, first, last)
        return self._resampled(source, first, last, 1)

    def _resampled(self, source: Callable[[int, int], np.ndarray], first: int, last: int, reduce: int) -> np.ndarray:
        (top, _), _ = self._spans
        down = self._taps(0, (top + first, top + last), reduce)
        across = self._taps(1, self._spans[1], reduce)
        step = max(1, _SOURCE_ROWS * self.whole[0] * reduce // (self.factor * self.cut.height))
        made = []
        for start in range(0, last - first, step):  # few rows of a source at a time, however much smaller the result is
            places, weights = (one[start : start + step] for one in down)
            low = int(places.min())
            taken = source(low, int(places.max()) + 1)
            made.append(_weighted(_weighted(taken, places - low, weights, 0), *across, 1))
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _taps(self, axis: int, span: Span, reduce: int) -> tuple[np.ndarray, np.ndarray]:
        """For rows (or columns) of the whole result the ones of the source that they cover, and their weights."""
        cut, box = self.cut, self.cut.box
        length, start, part = ((cut.height, box.top, box.height), (cut.width, box.left, box.width))[axis]
        places, weights = _covering(self.factor * length / reduce, self.whole[axis])
        there = self.factor * -(-part // reduce)
        places = np.clip(places[slice(*span)] - self.factor * start // reduce, 0, there - 1)
        return places, weights[slice(*span)]


def _around(first: float, last: float, most: int) -> Span:
    return max(0, math.floor(first + _ROUNDING)), min(most, math.ceil(last - _ROUNDING))


def _place(start: int, length: int, whole: int, new_whole: int) -> Span:
    """Where a stretch of a picture's `whole` pixels lies in a result of `new_whole`."""
    size = min(max(1, round(length * new_whole / whole)), new_whole)
    first = max(0, min(round(start * new_whole / whole), new_whole - size))
    return first, first + size


def _weighted(rows: np.ndarray, places: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """The sum of what lies at `places` along an axis, tap by tap: so a row is the same to the bit among any others."""
    result = np.zeros((*rows.shape[:axis], len(places), *rows.shape[axis + 1 :]), np.float32)
    for tap in range(places.shape[1]):
        weight = weights[:, tap].reshape(-1, *[1] * (rows.ndim - axis - 1))
        result += np.take(rows, places[:, tap], axis=axis) * weight
    return result


@lru_cache(maxsize=8)
def _covering(length: float, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For every new place the old ones it covers, [new_length, taps], and their weights, which sum to 1."""
    ratio = length / new_length
    borders = np.arange(new_length + 1) * ratio
    low, high = borders[:-1, None], borders[1:, None]
    places = np.floor(low + _ROUNDING).astype(np.int64) + np.arange(math.ceil(ratio) + 1)
    weights = np.clip(np.minimum(places + 1, high) - np.maximum(places, low), 0, None)
    weights[weights < _ROUNDING] = 0
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.clip(places, 0, math.ceil(length) - 1), weights
