"""The size of a result, and resampling of any part of an image: up bicubically, down by area
averages."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import cv2
import numpy as np
from numpy import ndarray

from ..errors import SettingsError
from ..images import Box, ceil_div, spans, widen
from ..settings import PRINT_SIDES, SECOND_SCALE, WHOLE, Settings
from ..size import Size

_INCH = 2.54
_SMALLEST_SCALE = 1 / 16
_MAX_SECOND_PIXELS = 1_600_000_000
"""The most pixels of a result beyond the scale of the network: as many as a 100-megapixel photo has
at 4x."""
_SOURCE_ROWS = 512
_HALO = 3
"""The bicubic filter reads two neighbours; the third keeps the border of the part out of reach."""
_ROUNDING = 1e-6  # The tolerance for borders of pixels, which are products of floats.

Rows = Callable[[int, int], ndarray]
"""A function that returns the rows [first, last) of an image, [last - first, W, C] or [last -
first, W]."""


@dataclass(frozen=True)
class _WantedSize:
    """The setting that determines the size of a result, its value, and the scale.

    The value is proportional to the scale, or to its square for an area.
    """

    setting: str
    value: float
    scale: float
    power: int = 1

    def limit(self, scale: float) -> str:
        """Return the value for the possible scale with three digits, rounded to the allowed
        side."""
        value = self.value * (scale / self.scale) ** self.power
        digits = max(0, 2 - math.floor(math.log10(value)))
        if self.setting in WHOLE:
            digits = 0
        limit = self.round(value * 10**digits, scale) / 10**digits
        return f"{limit:.{digits}f}"

    def round(self, value: float, scale: float) -> int:
        """Round a value for the possible scale to the allowed side."""
        value = round(value, 6)  # It is a product of floats.
        if scale < self.scale:
            return math.floor(value)
        return math.ceil(value)


def _wanted_size(settings: Settings, size: Size) -> _WantedSize:
    if settings.long_side is not None:
        scale = settings.long_side / size.long_side
        return _WantedSize("long_side", settings.long_side, scale)
    if settings.megapixels is not None:
        scale = math.sqrt(settings.megapixels / size.megapixels)
        return _WantedSize("megapixels", settings.megapixels, scale, power=2)
    if settings.is_print:
        return _print_size(settings, size)
    return _WantedSize("scale", settings.wanted_scale, settings.wanted_scale)


def _print_size(settings: Settings, size: Size) -> _WantedSize:
    """Return the side of a print that determines the size of an image."""
    across = settings.print_width
    down = settings.print_height
    if across and down and (across > down) != (size.width > size.height):  # The paper is turned.
        size = size.transpose()
    sides = []
    for setting, pixels in zip(PRINT_SIDES, size, strict=True):
        centimetres = getattr(settings, setting)
        if centimetres:
            scale_of_centimetre = settings.resolution() / _INCH / pixels
            sides.append(_WantedSize(setting, centimetres, centimetres * scale_of_centimetre))
    return min(sides, key=lambda side: side.scale)


def result_size(settings: Settings, size: Size) -> Size:
    """Return the size of the result for an image of `size`, at least 1 px each.

    `long_side` is met exactly. Raises SettingsError if the size is more than the network's or less
    than a 16th of the image per side.
    """
    wanted = _wanted_size(settings, size)
    scale = _possible_scale(wanted, settings, size)
    value = f"{wanted.value:g}"
    values = {"setting": wanted.setting, "value": value, **size._asdict()}
    if scale < wanted.scale:
        raise SettingsError("size_large", largest=wanted.limit(scale), **values)
    if scale > wanted.scale:
        raise SettingsError("size_small", smallest=wanted.limit(scale), **values)
    return size.scale(scale)


def _possible_scale(wanted: _WantedSize, settings: Settings, size: Size) -> float:
    """Return the possible scale that is nearest to the wanted one."""
    # Beyond the scale of the network, the pixels are limited too.
    limit = math.sqrt(_MAX_SECOND_PIXELS / size.pixels)
    largest = min(settings.largest_scale, max(settings.network_scale, limit))
    if wanted.scale > largest + _ROUNDING:
        return largest
    return max(wanted.scale, _SMALLEST_SCALE)


def with_possible_size(settings: Settings, size: Size) -> Settings:
    """Return the settings with the possible size that is nearest to theirs, for an image of `size`.

    A print keeps its size and gets another resolution, in whole dpi, if one is possible.
    """
    wanted = _wanted_size(settings, size)
    scale = _possible_scale(wanted, settings, size)
    if scale == wanted.scale:
        return settings
    if settings.is_print:
        dpi = wanted.round(settings.resolution() * scale / wanted.scale, scale)
        with suppress(SettingsError):  # No resolution makes this print possible.
            return replace(settings, dpi=dpi)
    return settings.changed(**{wanted.setting: float(wanted.limit(scale))})


def has_second_pass(settings: Settings, size: Size) -> bool:
    """Return whether the result for an image of `size` needs a second pass, because it is larger
    than the network's."""
    return not result_size(settings, size).fits_into(size.scale(settings.network_scale))


def rounded(rows: ndarray, levels: int) -> ndarray:
    """Round float rows to the nearest of 0..`levels`, as uint8 (255) or uint16 (65535)."""
    clipped = np.clip(rows, 0, levels)
    return np.rint(clipped, out=clipped).astype(np.min_scalar_type(levels))


def enlarge_rows(source: Rows, height: int, factor: int, first: int, last: int) -> ndarray:
    """Return the rows [first, last) of an image upscaled bicubically by `factor`, float32.

    The image has `height` rows. Keys 1981 with OpenCV's a = -0.75; pixel centres are aligned, the
    border is repeated. Values can overshoot.
    """
    low, high = widen(first // factor, ceil_div(last, factor), _HALO, height)
    rows = source(low, high).astype(np.float32)
    size = (rows.shape[1] * factor, rows.shape[0] * factor)
    enlarged = cv2.resize(rows, size, interpolation=cv2.INTER_CUBIC)
    top = low * factor
    return enlarged[first - top : last - top]


def enlarge(plane: ndarray, grid: Grid, first: int, last: int) -> ndarray:
    """Return the rows [first, last) of `plane` upscaled to the grid's size, in its own type.

    `plane` is [H, W] or [H, W, C]. It is upscaled by the network's factor and resampled like the
    network's output, so that both are aligned.
    """
    source = partial(enlarge_rows, lambda low, high: plane[low:high], len(plane), grid.factor)
    return rounded(grid.rows_of_input(source, first, last), np.iinfo(plane.dtype).max)


def enlarge_to(plane: ndarray, size: Size, first: int, last: int) -> ndarray:
    """Return the rows [first, last) of `plane` upscaled to `size`, in its own type."""
    own = Size.of_shape(plane.shape)
    factor = max(1, ceil_div(size.height, own.height), ceil_div(size.width, own.width))
    return enlarge(plane, Grid(factor, 1, Cut.whole(own), size), first, last)


@dataclass(frozen=True)
class Cut:
    """The region of a part in an image of `size`."""

    box: Box
    size: Size

    @classmethod
    def whole(cls, size: Size) -> Cut:
        return cls(Box(0, 0, *size), size)


@dataclass(frozen=True)
class Grid:
    """The positions of the pixels of a result of size `whole` in the network's output.

    The network's output is `factor` times the size of the image averaged down by `reduce`; where
    the last averages reach beyond the image, it is cut off. For a part of the image that is aligned
    to the averages, the result is a part with the same pixels as in the whole.
    """

    factor: int
    reduce: int
    cut: Cut
    whole: Size

    @classmethod
    def of(cls, settings: Settings, cut: Cut) -> Grid:
        """Return the grid for an image or a part of it. Raises SettingsError."""
        factor = settings.factor
        if has_second_pass(settings, cut.size):
            factor *= SECOND_SCALE
        return cls(factor, settings.reduce, cut, result_size(settings, cut.size))

    @property
    def resizes(self) -> bool:
        """Whether the result has another size than the network's output."""
        return self.whole != self.cut.size.scale(self.factor / self.reduce)

    @property
    def size(self) -> Size:
        """The size of the result, or of its part."""
        down, across = self._axes
        return Size(across.size, down.size)

    @cached_property
    def _axes(self) -> tuple[_Axis, _Axis]:
        """The rows and the columns."""
        cut = self.cut
        width, height = self.whole
        vertical = horizontal = self.factor / self.reduce
        if self.resizes:
            vertical = height / cut.size.height
            horizontal = width / cut.size.width
        return (
            _Axis(cut.box.top, cut.box.height, cut.size.height, height, vertical),
            _Axis(cut.box.left, cut.box.width, cut.size.width, width, horizontal),
        )

    def window(self, box: Box) -> tuple[slice, slice]:
        """Return the rows and columns of the result that show a region of the image."""
        down, across = self._axes
        return down.window(box.top, box.height), across.window(box.left, box.width)

    def rows(self, source: Rows, first: int, last: int) -> ndarray:
        """Return the rows [first, last) of the result, float32, from float32 rows of the network's
        size.

        Each pixel is the mean of the area that it covers, so that edges do not ring.
        """
        if not self.resizes:
            return source(first, last)[:, : self.size.width]
        return self._resample(source, first, last, self.reduce)

    def rows_of_input(self, source: Rows, first: int, last: int) -> ndarray:
        """Return what `rows` does, from `factor` times the image itself, not of its averages."""
        if self.reduce == 1:
            return self.rows(source, first, last)
        return self._resample(source, first, last, 1)

    def _resample(self, source: Rows, first: int, last: int, reduce: int) -> ndarray:
        down, across = self._axes
        row_positions, row_weights = down.taps(first, last, self.factor, reduce)
        column_taps = across.taps(0, across.size, self.factor, reduce)
        source_rows = self.factor * self.cut.size.height
        step = max(1, _SOURCE_ROWS * self.whole.height * reduce // source_rows)
        parts = []
        # A much smaller result needs many source rows.
        for start, end in spans(last - first, step):
            positions = row_positions[start:end]
            low = int(positions.min())
            rows = source(low, int(positions.max()) + 1)
            narrow = weighted_sums(rows, positions - low, row_weights[start:end], 0)
            parts.append(weighted_sums(narrow, *column_taps, 1))
        return np.concatenate(parts)


@dataclass(frozen=True)
class _Axis:
    """The rows or the columns of a grid.

    The part of the image has `count` of its `length` pixels, from `start` on. The whole result has
    `new_length`, and `scale` times as many as the image, not rounded.
    """

    start: int
    count: int
    length: int
    new_length: int
    scale: float

    @property
    def first(self) -> int:
        """The first row of the whole result that depends on the part."""
        return math.floor(self.start * self.scale + _ROUNDING)

    @property
    def size(self) -> int:
        """How many rows of the whole result depend on the part."""
        last = math.ceil((self.start + self.count) * self.scale - _ROUNDING)
        return min(self.new_length, last) - self.first

    def window(self, start: int, count: int) -> slice:
        """Return the rows of the result of the part that show `count` rows of the image from
        `start` on."""
        size = max(1, round(count * self.new_length / self.length))
        first = round(start * self.new_length / self.length)
        first = min(first, self.new_length - size) - self.first
        return slice(first, first + size)

    def taps(
        self,
        first: int,
        last: int,
        factor: int,
        reduce: int,
    ) -> tuple[ndarray, ndarray]:
        """Return for rows of the part's result the source ones that they cover, and their weights.

        The source is `factor` times the size of the part, averaged down by `reduce`.
        """
        positions, weights = area_weights(factor * self.length / reduce, self.new_length)
        available = factor * ceil_div(self.count, reduce)
        offset = factor * self.start // reduce
        wanted = slice(self.first + first, self.first + last)
        positions = np.clip(positions[wanted] - offset, 0, available - 1)
        return positions, weights[wanted]


def weighted_sums(
    rows: ndarray,
    positions: ndarray,
    weights: ndarray,
    axis: int,
) -> ndarray:
    """Return weighted sums along an axis.

    They are added tap by tap, so that a row is bit for bit the same in any request.
    """
    shape = list(rows.shape)
    shape[axis] = len(positions)
    result = np.zeros(shape, np.float32)
    later_axes = [1] * (rows.ndim - axis - 1)
    for tap in range(positions.shape[1]):
        weight = weights[:, tap].reshape(-1, *later_axes)
        result += np.take(rows, positions[:, tap], axis=axis) * weight
    return result


@lru_cache(maxsize=8)  # For the process, because all strips of an image need the same two.
def area_weights(length: float, new_length: int) -> tuple[ndarray, ndarray]:
    """Return for each new pixel the old ones that it covers, and their weights.

    Both are [new_length, taps], and the weights of a pixel sum to 1.
    """
    ratio = length / new_length
    borders = np.arange(new_length + 1) * ratio
    low = borders[:-1, None]
    high = borders[1:, None]
    first = np.floor(low + _ROUNDING).astype(np.int64)
    positions = first + np.arange(math.ceil(ratio) + 1)
    covered = np.minimum(positions + 1, high) - np.maximum(positions, low)
    covered[covered < _ROUNDING] = 0
    weights = covered / covered.sum(axis=1, keepdims=True)
    return np.clip(positions, 0, math.ceil(length) - 1), weights.astype(np.float32)
