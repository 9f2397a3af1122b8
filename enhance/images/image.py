"""Data classes: the facts of an image file, a rectangle, and a decoded image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy import ndarray

from ..errors import SettingsError
from ..metadata import Metadata
from ..metadata.gain_map import GainMap
from ..size import Size
from .degradation import Degradation, measure_degradation
from .downscaling import block_means, ceil_div, widen


@dataclass(frozen=True)
class FileFacts:
    """The facts in the header of a file.

    `width` and `height` are those after the EXIF orientation (1 to 8) is applied. `mode` is
    Pillow's, or one like "RGB;16" for what Pillow cannot hold; `bits` per channel, 8 or 16, are
    those after decoding; `profile` is the name in the ICC profile; `frames` is 1 unless the file is
    animated or has several pages, of which the first is used; `dpi` is the resolution that the file
    states.
    """

    name: str
    bytes: int
    format: str
    mode: str
    width: int
    height: int
    bits: int
    orientation: int
    profile: str | None
    has_alpha: bool
    frames: int
    has_location: bool
    dpi: float | None


@dataclass(frozen=True)
class Box:
    """A rectangle in input pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def expand(self, margin: int, size: Size) -> Box:
        """Return the box with a margin on every side, within an image of `size`."""
        left, right = widen(self.left, self.right, margin, size.width)
        top, bottom = widen(self.top, self.bottom, margin, size.height)
        return Box(left, top, right - left, bottom - top)

    def align_to_grid(self, step: int, size: Size) -> Box:
        """Return the box enlarged to whole blocks of `step` x `step` px, within an image of
        `size`."""
        left = self.left // step * step
        top = self.top // step * step
        right = min(ceil_div(self.right, step) * step, size.width)
        bottom = min(ceil_div(self.bottom, step) * step, size.height)
        return Box(left, top, right - left, bottom - top)

    def downscale(self, factor: int) -> Box:
        """Return the same region of the downscaled image; the box must be on its grid."""
        return Box(self.left // factor, self.top // factor, *self.size.downscale(factor))

    def middle(self, width: int, height: int) -> Box:
        """Return the middle of the box, with sides of at most `width` and `height`."""
        width = min(width, self.width)
        height = min(height, self.height)
        left = self.left + (self.width - width) // 2
        top = self.top + (self.height - height) // 2
        return Box(left, top, width, height)

    def intersection(self, other: Box) -> Box | None:
        """Return the part inside another box, or None if there is none."""
        left = max(self.left, other.left)
        top = max(self.top, other.top)
        right = min(self.right, other.right)
        bottom = min(self.bottom, other.bottom)
        if left >= right or top >= bottom:
            return None
        return Box(left, top, right - left, bottom - top)

    def inside(self, size: Size) -> Box:
        """Return the part inside an image of `size`. Raises SettingsError if there is none."""
        part = self.intersection(Box(0, 0, *size))
        if part is None:
            raise SettingsError("rectangle_outside", **size._asdict())
        return part

    def cut(self, pixels: ndarray) -> ndarray:
        """Return this part of an image [H, W] or [H, W, C], which shares its memory."""
        return pixels[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A decoded image in orientation 1.

    `rgb` is uint8 or uint16 [H, W, 3] in the colour space of the profile `icc` (None: sRGB).
    `alpha` is [H, W] of the same dtype, 0 transparent, not premultiplied; pixels with alpha 0 have
    the nearest visible colour. `grey`: the three channels are equal, and the result has to be grey.
    `icc` and `metadata` are for the result: the profile fits its colour type, the metadata state
    orientation 1 and have no thumbnail. `variants` are the part of the metadata that each of
    `metadata.CHOICES` keeps. The other fields describe the file.
    """

    name: str
    sha256: str
    bytes: int
    format: str
    mode: str
    rgb: ndarray
    alpha: ndarray | None
    grey: bool
    icc: bytes | None
    variants: Mapping[str, Metadata]
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables of a JPEG for luminance and, unless it is grey, for chrominance, each
    64 steps row by row; empty for other formats. Tables behind the first scan are missing."""
    first_block: tuple[int, int] = (0, 0)
    """The first row and column, 0 to 7, where a block of a JPEG begins."""
    gain_map: GainMap | None = None
    """The HDR gain map of the whole photo, also of a part."""

    @property
    def metadata(self) -> Metadata:
        return self.variants["keep"]

    @property
    def size(self) -> Size:
        return Size.of_shape(self.rgb.shape)

    @property
    def width(self) -> int:
        return self.size.width

    @property
    def height(self) -> int:
        return self.size.height

    @property
    def levels(self) -> int:
        """Highest value of a channel: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)

    @property
    def bits(self) -> int:
        return self.rgb.dtype.itemsize * 8

    def rows(self, first: int, last: int, columns: slice = slice(None)) -> ndarray:
        """Return the rows [first, last) with their alpha, if there is any, [n, W, 3 or 4], or some
        columns of them."""
        colour = self.rgb[first:last, columns]
        if self.alpha is None:
            return colour
        return np.dstack([colour, self.alpha[first:last, columns]])

    @cached_property
    def degradation(self) -> Degradation:
        return measure_degradation(self.rgb, is_jpeg=bool(self.jpeg_tables))

    def crop(self, box: Box) -> SourceImage:
        """Return a copy of the part inside `box`, which does not keep the whole in memory."""
        down, across = self.first_block
        first_block = ((down - box.top) % 8, (across - box.left) % 8)
        cut = self._map(lambda pixels: box.cut(pixels).copy())
        return replace(cut, first_block=first_block)

    def _map(self, change: Callable[[ndarray], ndarray]) -> SourceImage:
        """Return the image with changed pixels and alpha."""
        rgb = change(self.rgb)  # This needs more memory, so it comes first.
        alpha = None if self.alpha is None else change(self.alpha)
        return replace(self, rgb=rgb, alpha=alpha)

    def downscale(self, factor: int) -> SourceImage:
        """Return the image downscaled by averaging blocks of `factor` x `factor` pixels.

        The last one is cached, because every preview needs it and its measurements.
        """
        if factor == 1:
            return self
        reduced = self._last_reduced.get(factor)
        if reduced is None:
            means = self._map(lambda pixels: block_means(pixels, factor))
            reduced = replace(means, jpeg_tables=())
            self._last_reduced.clear()
            self._last_reduced[factor] = reduced
        return reduced

    @cached_property
    def _last_reduced(self) -> dict[int, SourceImage]:
        return {}

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels and of the cached downscaled image."""
        total = self.rgb.nbytes
        if self.alpha is not None:
            total += self.alpha.nbytes
        if self.gain_map:
            total += self.gain_map.pixels.nbytes
        reduced = list(self._last_reduced.values())  # Another thread can change it.
        return total + sum(image.nbytes for image in reduced)
