"""A small picture of a large one, made from its strips as they pass by: what a browser is given to show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

LIMIT = 2560
"""The longest side of a rendition in pixels."""


class Rendition:
    """Collects strips of a picture of `height` x `width` into one of at most `limit` px a side, 8 bit RGB or RGBA.

    Strips are [n, width, C] from top to bottom, or with `columns` [height, n, C] from left to right. `pixels` can be
    looked at any time: what has not arrived is black, or transparent.
    """

    def __init__(self, height: int, width: int, *, channels: int = 3, columns: bool = False, limit: int = LIMIT):
        self.height, self.width, self.columns = height, width, columns
        factor = max(1.0, max(height, width) / limit)
        self.size = max(1, round(height / factor)), max(1, round(width / factor))
        self.pixels = np.zeros((*self.size, 4 if channels in (2, 4) else 3), np.uint8)
        self._filled = 0

    def add(self, strip: np.ndarray) -> None:
        """Take the next strip, uint8 or uint16, of 1 to 4 channels."""
        axis = 1 if self.columns else 0
        length, small = (self.width, self.size[1]) if self.columns else (self.height, self.size[0])
        low = round(self._filled * small / length)
        self._filled += strip.shape[axis]
        high = round(self._filled * small / length)
        if high == low:
            return
        size = (high - low, self.size[0]) if self.columns else (self.size[1], high - low)
        reduced = to_screen(cv2.resize(_halved(strip, size), size, interpolation=cv2.INTER_AREA))
        if self.columns:
            self.pixels[:, low:high] = reduced
        else:
            self.pixels[low:high] = reduced


def _halved(strip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The strip at half its size where it is to become smaller than that: averaging whole pixels is many times faster.

    An odd row or column at the end is left out; `size` is width and height.
    """
    height, width = strip.shape[0] // 2, strip.shape[1] // 2
    if width < size[0] or height < size[1]:
        return strip
    return cv2.resize(strip[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def to_screen(pixels: np.ndarray) -> np.ndarray:
    """Any of 1 to 4 channels, uint8 or uint16, as uint8 RGB, or RGBA where there is an alpha channel."""
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 2:
        return np.dstack([cv2.cvtColor(np.ascontiguousarray(pixels[..., 0]), cv2.COLOR_GRAY2RGB), pixels[..., 1]])
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.shape[2] == 1 else pixels


def reduce(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A whole picture brought to `size` (height, width) for the screen, whether that is smaller or larger."""
    smaller = size[0] < pixels.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return to_screen(cv2.resize(pixels, (size[1], size[0]), interpolation=how))


def save_for_screen(pixels: np.ndarray, path: Path, icc: bytes | None = None) -> Path:
    """Encode uint8 RGB as a JPEG that shows no artefacts, RGBA as PNG, beside `path`; gives the file's path."""
    image = Image.fromarray(pixels)
    if pixels.shape[2] == 4:
        path = path.with_suffix(".png")
        image.save(path, compress_level=1, icc_profile=icc)
    else:
        path = path.with_suffix(".jpg")
        image.save(path, quality=93, subsampling=0, icc_profile=icc)
    return path
