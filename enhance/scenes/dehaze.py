"""Haze is taken off a picture: as much of it as is really there, so a clear picture stays as it is."""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import SettingsError
from .haze import Haze, check_pixels, find_haze

HAZY = 0.1
"""From this `haze_amount` on it is worth telling a person that the picture looks hazy."""

_LEAST_TRANSMISSION = 0.2  # noise and compression grow by no more than five times
_STRIP = 128


def dehaze(rgb: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The picture without its haze: uint8 or uint16 [H, W, 3] RGB gives a new array of the same shape and type.

    `strength` is the share of the haze to take off, 0 (the input exactly) to 1. Time and memory are linear in the
    pixels. Raises PictureError for another kind of array, SettingsError for a strength outside 0..1.
    """
    check_pixels(rgb)
    _check_strength(strength)
    if strength == 0:
        return rgb.copy()
    haze = find_haze(rgb)
    result = np.empty_like(rgb)
    for first in range(0, rgb.shape[0], _STRIP):
        rows = rgb[first : first + _STRIP]
        result[first : first + _STRIP] = clear_part(rows, haze, strength, top=first)
    return result


def haze_amount(rgb: np.ndarray) -> float:
    """How hazy a picture is, 0 (clear) to 1: the share of haze in what one sees at its typical place."""
    return find_haze(rgb).amount


def clear_part(rgb: np.ndarray, haze: Haze, strength: float = 1.0, *, top: int = 0, left: int = 0) -> np.ndarray:
    """A part of a picture without its haze: the very pixels that `dehaze` gives for the whole.

    `rgb` is the part, uint8 or uint16 [h, w, 3] RGB; `top` and `left` say where it lies in the picture of `haze`.
    """
    check_pixels(rgb)
    _check_strength(strength)
    if strength == 0 or haze.amount == 0:
        return rgb.copy()
    levels = float(np.iinfo(rgb.dtype).max)
    rows, columns = slice(top, top + rgb.shape[0]), slice(left, left + rgb.shape[1])
    light = rgb.astype(np.float32)
    guide = cv2.transform(light, np.full((1, 3), 1 / (3 * levels), np.float32)).reshape(rgb.shape[:2])
    veil = _enlarged(haze.slope, haze, rows, columns) * guide + _enlarged(haze.offset, haze, rows, columns)
    transmission = np.maximum(1 - strength * np.clip(veil, 0, 1), _LEAST_TRANSMISSION)
    airlight = haze.airlight * np.float32(levels)
    light -= airlight
    light /= transmission[..., None]
    light += airlight
    return np.rint(np.clip(light, 0, levels, out=light), out=light).astype(rgb.dtype)


def _enlarged(reduced: np.ndarray, haze: Haze, rows: slice, columns: slice) -> np.ndarray:
    """The given rows and columns of the bilinear enlargement of a map to the size of the picture."""
    places = (np.arange(rows.start, rows.stop) + 0.5) * (reduced.shape[0] / haze.height) - 0.5
    places = np.clip(places, 0, reduced.shape[0] - 1)
    above = places.astype(np.intp)
    below = np.minimum(above + 1, reduced.shape[0] - 1)
    weight = (places - above).astype(np.float32)[:, None]
    lines = reduced[above] * (1 - weight) + reduced[below] * weight
    return cv2.resize(lines, (haze.width, len(lines)), interpolation=cv2.INTER_LINEAR)[:, columns]


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise SettingsError(f"strength takes a number from 0 to 1, not {strength!r}.")
