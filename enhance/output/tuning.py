"""What the sliders do to the network's output, row by row, without running the network again.

Every output row can be asked for by itself: the rows that a filter needs above and below are read with it, so a strip
shows no edge of its own (float rounding may move a value by one level).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..settings import Settings
from .resample import Resampler, enlarge_rows, rounded, scaled_size

Rows = Callable[[int, int], np.ndarray]
"""Gives the rows [first, last) of a picture, [last - first, W, 3] or [last - first, W]."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
_SHARPEN_SIGMA = 1.5
_SHARPEN_HALO = 5
_SHARPEN_GAIN = 2.0


@dataclass(frozen=True)
class Tuning:
    """One picture's way from the network's output to the result, as rows on demand.

    `network` gives rows of the network's output [4 * height, 4 * width, 3] and `source` rows of the input picture
    [height, width, 3], both uint8 (`levels` 255) or both uint16 (65535). The result is of the same type, `size` large.
    """

    network: Rows
    source: Rows
    height: int
    width: int
    levels: int
    settings: Settings

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return scaled_size(self.height, self.width, self.settings.scale)

    def rows(self, first: int, last: int) -> np.ndarray:
        """The result's rows [first, last), rounded to the nearest level."""
        if self.settings.scale == 4 and not self._tunes:
            return self.network(first, last)
        height, width = self.size
        halo = _SHARPEN_HALO if self._sharpens else 0
        low, high = max(first - halo, 0), min(last + halo, height)
        if self.settings.scale == 4:
            rows = self._blended(low, high)
        else:
            rows = Resampler(4 * self.height, 4 * self.width, height, width).rows(self._blended, low, high)
        if self._tunes:
            rows = _coloured(rows, self.settings, self.levels)
        return rounded(rows[first - low : last - low], self.levels)

    @property
    def _tunes(self) -> bool:
        one = self.settings
        return one.tuning and (one.blend, one.sharpen, one.saturation, one.contrast) != (1, 0, 1, 1)

    @property
    def _sharpens(self) -> bool:
        return self.settings.tuning and self.settings.sharpen > 0

    def _blended(self, first: int, last: int) -> np.ndarray:
        """Rows of the network's output mixed with the input's bicubic enlargement, float32 in levels."""
        strength = self.settings.blend if self.settings.tuning else 1.0
        network = self.network(first, last).astype(np.float32)
        if strength == 1:
            return network
        plain = enlarge_rows(self.source, self.height, first, last)
        return cv2.addWeighted(network, strength, plain, 1 - strength, 0)


def _coloured(rows: np.ndarray, settings: Settings, levels: int) -> np.ndarray:
    """Sharpness, saturation and contrast: saturation and contrast together are one affine map of the colour.

    Sharpness is an unsharp mask on the luma alone, so that edges gain no coloured rims.
    """
    identity, luma = np.eye(3, dtype=np.float32), np.tile(_LUMA, (3, 1))
    mix = settings.saturation * identity + (1 - settings.saturation) * luma
    middle = levels / 2 * (1 - settings.contrast)
    matrix = np.hstack([settings.contrast * mix, np.full((3, 1), middle, np.float32)])
    coloured = cv2.transform(rows, matrix)
    if settings.sharpen > 0:
        light = cv2.transform(rows, _LUMA[None])
        blurred = cv2.GaussianBlur(light, (0, 0), _SHARPEN_SIGMA, borderType=cv2.BORDER_REPLICATE)
        detail = cv2.subtract(light, blurred)
        coloured += (settings.contrast * settings.sharpen * _SHARPEN_GAIN) * detail.reshape(*rows.shape[:2], 1)
    return coloured
