"""The size of a result, and resampling of any part of an image: up bicubically, down by area averages."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from ..errors import SettingsError
from ..images import Box
from ..settings import PRINT_SIDES, SECOND_SCALE, Settings, largest_scale, network_scale

_INCH = 2.54
_MAX_REDUCTION = 16
_MAX_SECOND_PIXELS = 1_600_000_000
"""The most pixels of a result beyond the scale of the network: as many as a 100-megapixel photo has at 4x."""
_SOURCE_ROWS = 512
_HALO = 3  # The bicubic filter reads two neighbours; the third keeps the border of the part out of reach.
_ROUNDING = 1e-6  # The tolerance for borders of pixels, which are products of floats.

Span = tuple[int, int]
"""Rows or columns [first, last)."""


def result_size(settings: Settings, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the result for an image of `height` x `width`, at least 1 px each.

    `long_side` is met exactly. Raises SettingsError if the size is more than the network's or less than a 16th of the
    image per side.
    """
    largest, longest = _largest_scale_of(settings, height, width), max(height, width)
    if settings.long_side is not None:
        limits = math.ceil(longest / _MAX_REDUCTION), round(longest * largest)
        _check_size("long_side", settings.long_side, limits, height, width)
        return _scale_size(height, width, settings.long_side / longest)
    if settings.megapixels is not None:
        area = height * width / 1e6
        most = math.prod(_scale_size(height, width, largest)) / 1e6
        _check_size("megapixels", settings.megapixels, (area / _MAX_REDUCTION**2, most), height, width)
        return _scale_size(height, width, min(math.sqrt(settings.megapixels / area), largest))
    if settings.is_print:
        setting, centimetres, pixels = _binding_side(settings, height, width)
        dots = settings.resolution() / _INCH / pixels  # scale for each centimetre
        _check_size(setting, centimetres, (1 / _MAX_REDUCTION / dots, largest / dots), height, width)
        return _scale_size(height, width, centimetres * dots)
    scale = settings.scale or network_scale(settings)
    _check_size("scale", scale, (0, largest), height, width)
    return _scale_size(height, width, scale)


def at_most_largest(settings: Settings, height: int, width: int) -> Settings:
    """Return the settings, with the largest possible size if theirs is too large for an image of `height` x `width`."""
    error = _size_error(settings, height, width)
    return with_possible_size(settings, height, width) if error and error.key == "size_large" else settings


def with_possible_size(settings: Settings, height: int, width: int) -> Settings:
    """Return the settings with the possible size that is nearest to theirs, for an image of `height` x `width`.

    A print keeps its size and gets another resolution, in whole dpi, if one is possible.
    """
    error = _size_error(settings, height, width)
    if error is None:
        return settings
    if settings.is_print:
        _, centimetres, pixels = _binding_side(settings, height, width)
        dots = _INCH * pixels / centimetres  # The resolution of the image itself at this size.
        least = math.ceil(dots / _MAX_REDUCTION + _ROUNDING)
        most = math.floor(dots * _largest_scale_of(settings, height, width) - _ROUNDING)
        with suppress(SettingsError):  # No resolution makes this print possible.
            return replace(settings, dpi=min(max(settings.dpi or 0, least), most))
    limit = error.values.get("largest") or error.values["smallest"]
    return settings.changed(**{error.values["setting"]: float(limit)})


def with_largest_print(settings: Settings, height: int, width: int) -> Settings:
    """Return the settings of a print with the largest possible size at its resolution, of the same shape."""
    error = _size_error(settings, height, width)
    if error is None or error.key != "size_large":
        return settings
    share = float(error.values["largest"]) / float(error.values["value"])
    sides = {name: getattr(settings, name) for name in PRINT_SIDES}
    smaller = {name: side and math.floor(100 * share * side) / 100 for name, side in sides.items()}
    return settings.changed(**smaller)


def _size_error(settings: Settings, height: int, width: int) -> SettingsError | None:
    """Return why a result cannot have its size; None if it can."""
    try:
        result_size(settings, height, width)
    except SettingsError as error:
        return error
    return None


def _binding_side(settings: Settings, height: int, width: int) -> tuple[str, float, int]:
    """Return the side of a print that determines the size of an image: its setting, its cm, and the image's pixels."""
    across, down = settings.print_width, settings.print_height
    is_turned = across is not None and down is not None and (across > down) != (width > height)
    pixels = (height, width) if is_turned else (width, height)
    sides = zip(PRINT_SIDES, (across, down), pixels, strict=True)
    given = [(name, side, count) for name, side, count in sides if side]
    return min(given, key=lambda one: one[1] / one[2])


def _largest_scale_of(settings: Settings, height: int, width: int) -> float:
    """Return the maximum scale of a result of an image; beyond the network's, its pixels are limited too."""
    limit = math.sqrt(_MAX_SECOND_PIXELS / (height * width))
    return min(largest_scale(settings), max(network_scale(settings), limit))


def has_second_pass(settings: Settings, height: int, width: int) -> bool:
    """Return whether a result of an image of this size is larger than the network's, so that it needs a second one."""
    largest = _scale_size(height, width, network_scale(settings))
    return any(side > limit for side, limit in zip(result_size(settings, height, width), largest, strict=True))


def _scale_size(height: int, width: int, scale: float) -> tuple[int, int]:
    return max(1, round(height * scale)), max(1, round(width * scale))


def _check_size(setting: str, value: float, limits: tuple[float, float], height: int, width: int) -> None:
    least, most = limits
    values = {"setting": setting, "value": f"{value:g}", "width": width, "height": height}
    if value > most:
        raise SettingsError("size_large", largest=_limit(most, math.floor), **values)
    if value < least:
        raise SettingsError("size_small", smallest=_limit(least, math.ceil), **values)


def _limit(value: float, towards: Callable[[float], int]) -> str:
    """Return a limit with three digits, rounded to the allowed side; an integer keeps all digits."""
    if isinstance(value, int):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{towards(value * 10**digits) / 10**digits:.{digits}f}"


def rounded(rows: np.ndarray, levels: int) -> np.ndarray:
    """Round float rows to the nearest of 0..`levels`, as uint8 (255) or uint16 (65535)."""
    if levels == 255:
        return cv2.convertScaleAbs(np.maximum(rows, 0))
    return np.rint(np.clip(rows, 0, levels)).astype(np.uint16)


def enlarge_rows(
    source: Callable[[int, int], np.ndarray], height: int, factor: int, first: int, last: int
) -> np.ndarray:
    """Return the rows [first, last) of an image of `height` rows upscaled bicubically by `factor`, float32.

    Keys 1981 with OpenCV's a = -0.75; pixel centres are aligned, the border is repeated. Values can overshoot.
    """
    low, high = max(first // factor - _HALO, 0), min(-(-last // factor) + _HALO, height)
    rows = source(low, high).astype(np.float32)
    size = (rows.shape[1] * factor, rows.shape[0] * factor)
    return cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC)[first - low * factor : last - low * factor]


def enlarge(plane: np.ndarray, grid: Grid, first: int, last: int) -> np.ndarray:
    """Return the rows [first, last) of `plane` [H, W] or [H, W, C] upscaled to the grid's size, in its own type.

    It is upscaled by the network's factor and resampled like the network's output, so that both are aligned.
    """

    def enlarged_rows(first: int, last: int) -> np.ndarray:
        return enlarge_rows(lambda low, high: plane[low:high], plane.shape[0], grid.factor, first, last)

    return rounded(grid.rows_of_input(enlarged_rows, first, last), np.iinfo(plane.dtype).max)


@dataclass(frozen=True)
class Cut:
    """The region of a part in an image of `height` x `width` pixels."""

    box: Box
    height: int
    width: int


@dataclass(frozen=True)
class Grid:
    """The positions of a result's pixels, `whole` (height, width), in the network's output.

    The network's output is `factor` times the size of the image averaged down by `reduce`; where the last averages
    reach beyond the image, it is cut off. For a part of the image that is aligned to the averages, the result is a part
    with the same pixels as in the whole.
    """

    factor: int
    reduce: int
    cut: Cut
    whole: tuple[int, int]

    @classmethod
    def of(cls, settings: Settings, height: int, width: int, cut: Cut | None = None) -> Grid:
        """Return the grid for an image of `height` x `width`, or for a part of a larger one. Raises SettingsError."""
        cut = cut or Cut(Box(0, 0, width, height), height, width)
        factor = settings.factor * (SECOND_SCALE if has_second_pass(settings, cut.height, cut.width) else 1)
        return cls(factor, settings.reduce, cut, result_size(settings, cut.height, cut.width))

    @property
    def resizes(self) -> bool:
        """Whether the result has another size than the network's output."""
        return self.whole != _scale_size(self.cut.height, self.cut.width, self.factor / self.reduce)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result, or of its part."""
        (top, bottom), (left, right) = self._spans
        return bottom - top, right - left

    @property
    def _spans(self) -> tuple[Span, Span]:
        """The rows and the columns of the whole result that depend on the part."""
        cut, box = self.cut, self.cut.box
        down, across = self.whole[0] / cut.height, self.whole[1] / cut.width
        if not self.resizes:
            down = across = self.factor / self.reduce
        return (
            _around(box.top * down, (box.top + box.height) * down, self.whole[0]),
            _around(box.left * across, (box.left + box.width) * across, self.whole[1]),
        )

    def window(self, box: Box) -> tuple[slice, slice]:
        """Return the rows and columns of the result that show a region of the image."""
        (top, _), (left, _) = self._spans
        down = _scale_span(box.top, box.height, self.cut.height, self.whole[0])
        across = _scale_span(box.left, box.width, self.cut.width, self.whole[1])
        return slice(down[0] - top, down[1] - top), slice(across[0] - left, across[1] - left)

    def rows(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """Return the rows [first, last) of the result, float32, from float32 rows of the network's size.

        Each pixel is the mean of the area that it covers, so that edges do not ring.
        """
        if not self.resizes:
            return source(first, last)[:, : self.size[1]]
        return self._resample(source, first, last, self.reduce)

    def rows_of_input(self, source: Callable[[int, int], np.ndarray], first: int, last: int) -> np.ndarray:
        """Return the same as `rows` from a source of `factor` times the size of the image, not of its averages."""
        if self.reduce == 1:
            return self.rows(source, first, last)
        return self._resample(source, first, last, 1)

    def _resample(self, source: Callable[[int, int], np.ndarray], first: int, last: int, reduce: int) -> np.ndarray:
        (top, _), _ = self._spans
        down = self._taps(0, (top + first, top + last), reduce)
        across = self._taps(1, self._spans[1], reduce)
        step = max(1, _SOURCE_ROWS * self.whole[0] * reduce // (self.factor * self.cut.height))
        parts = []
        for start in range(0, last - first, step):  # A much smaller result needs many source rows.
            positions, weights = (one[start : start + step] for one in down)
            low = int(positions.min())
            rows = source(low, int(positions.max()) + 1)
            parts.append(weighted_sums(weighted_sums(rows, positions - low, weights, 0), *across, 1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _taps(self, axis: int, span: Span, reduce: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for rows (or columns) of the whole result the source ones that they cover, and their weights."""
        cut, box = self.cut, self.cut.box
        length, start, part = ((cut.height, box.top, box.height), (cut.width, box.left, box.width))[axis]
        positions, weights = area_weights(self.factor * length / reduce, self.whole[axis])
        available = self.factor * -(-part // reduce)
        positions = np.clip(positions[slice(*span)] - self.factor * start // reduce, 0, available - 1)
        return positions, weights[slice(*span)]


def _around(first: float, last: float, most: int) -> Span:
    """Return the whole pixels that [first, last) touches, from 0 to `most`."""
    return max(0, math.floor(first + _ROUNDING)), min(most, math.ceil(last - _ROUNDING))


def _scale_span(start: int, length: int, whole: int, new_whole: int) -> Span:
    """Return where a span of an image of `whole` pixels is in a result of `new_whole`."""
    size = min(max(1, round(length * new_whole / whole)), new_whole)
    first = max(0, min(round(start * new_whole / whole), new_whole - size))
    return first, first + size


def weighted_sums(rows: np.ndarray, positions: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Return weighted sums along an axis, tap by tap, so that a row is bit for bit the same in any request."""
    result = np.zeros((*rows.shape[:axis], len(positions), *rows.shape[axis + 1 :]), np.float32)
    for tap in range(positions.shape[1]):
        weight = weights[:, tap].reshape(-1, *[1] * (rows.ndim - axis - 1))
        result += np.take(rows, positions[:, tap], axis=axis) * weight
    return result


@lru_cache(maxsize=8)
def area_weights(length: float, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each new pixel the old ones that it covers, [new_length, taps], and their weights, which sum to 1."""
    ratio = length / new_length
    borders = np.arange(new_length + 1) * ratio
    low, high = borders[:-1, None], borders[1:, None]
    positions = np.floor(low + _ROUNDING).astype(np.int64) + np.arange(math.ceil(ratio) + 1)
    weights = np.clip(np.minimum(positions + 1, high) - np.maximum(positions, low), 0, None)
    weights[weights < _ROUNDING] = 0
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.clip(positions, 0, math.ceil(length) - 1), weights
