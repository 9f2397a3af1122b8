"""Haze removal, by the amount of haze that is found: a clear image does not change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy import ndarray

from ..analysis.haze import Haze
from .resample import rounded

_LEAST_TRANSMISSION = 0.2  # noise and compression grow by no more than five times


def remove_haze(
    rgb: ndarray,
    haze: Haze,
    strength: float = 1.0,
    *,
    top: int = 0,
    left: int = 0,
) -> ndarray:
    """Return a part of an image without its haze; each pixel depends on its position only.

    `rgb` is the part, uint8 or uint16 [h, w, 3] RGB, and `top` and `left` its position in the image
    of `haze`. `strength` is the share of the haze to remove, 0 to 1.
    """
    levels = np.iinfo(rgb.dtype).max
    height, width, _ = rgb.shape
    columns = slice(left, left + width)
    light = rgb.astype(np.float32)
    mean = np.full((1, 3), 1 / (3 * levels), np.float32)
    guide = cv2.transform(light, mean)
    slope = _upscale(haze.slope, haze, top, height)[:, columns]
    offset = _upscale(haze.offset, haze, top, height)[:, columns]
    veil = np.clip(slope * guide + offset, 0, 1)
    transmission = np.maximum(1 - strength * veil, _LEAST_TRANSMISSION)
    airlight = haze.airlight * levels
    light -= airlight
    light /= transmission[..., None]
    light += airlight
    return rounded(light, levels)


def _upscale(reduced: ndarray, haze: Haze, top: int, height: int) -> ndarray:
    """Return `height` rows from `top` on of a map that is upscaled to the size of the image,
    bilinearly."""
    last = len(reduced) - 1
    positions = (np.arange(top, top + height) + 0.5) * (len(reduced) / haze.size.height) - 0.5
    positions = np.clip(positions, 0, last)
    above = positions.astype(np.intp)
    below = np.minimum(above + 1, last)
    weight = (positions - above).astype(np.float32)[:, None]
    tall = reduced[above] * (1 - weight) + reduced[below] * weight
    return cv2.resize(tall, (haze.size.width, height), interpolation=cv2.INTER_LINEAR)
