"""Haze is taken off a picture: as much of it as is really there, so a clear picture stays as it is.

The model of haze (Koschmieder 1924): what the camera sees is the scene times the transmission, plus the airlight times
what is missing of it. What is missing is called the veil here: 0 clear, 1 nothing but haze.

The dark channel prior (He, Sun, Tang: Single image haze removal using dark channel prior, 2009) takes the darkest value
around each pixel for the veil, so that bright things become haze. Here the surroundings are two fifths of the picture:
over so much of a clear picture something is nearly always dark, while haze lies over all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import PictureError, SettingsError

HAZY = 0.1
"""From this `haze_amount` on it is worth telling a person that the picture looks hazy."""

# Daylight haze in a well exposed picture is no darker; a darker estimate is taken for this.
_LEAST_AIRLIGHT = 0.75
_LEAST_TRANSMISSION = 0.2  # noise and compression grow by no more than five times
_REDUCED_SIDE = 400
_STRIP = 128

# Lengths, as shares of the shorter side of the reduced picture.
_WINDOW = 0.4
_VEIL_BLUR = 0.1
_GUIDE_RADIUS = 0.1
_AIR_PATCH = 0.04
_TEXTURE_PATCH = 0.03

_GUIDE_SMOOTHNESS = 3e-4
_AIR_WHERE = 0.7  # the airlight is looked for in the haziest 30 % of the picture,
_AIR_SHARE = 0.005  # in the brightest 0.5 % of the dark channel there
_NO_AIRLIGHT, _SURE_AIRLIGHT = 0.5, 0.65

_TEXTURED = 0.004  # a level of 255; below it the standard deviation is that of nothing at all
_LEAST_TEXTURED = 0.1
_SKY_TEXTURE, _SKY_LIGHT, _SKY_AREA, _SKY_KEPT = 0.007, 0.8, 0.02, 0.8


class _Threshold(NamedTuple):
    """How dark a clear picture's dark places are, and between which amounts of haze the effect fades in."""

    floor: float
    none: float
    full: float


# Measured: the median veil of clear colour photos was at most 0.04 above the floor, under light haze 0.1 and more.
# A grey picture has one channel to be dark in instead of three: clear ones reach 0.3.
_COLOUR = _Threshold(0.07, 0.07, 0.2)
_GREY = _Threshold(0.12, 0.3, 0.5)
_GREY_CHROMA, _COLOUR_CHROMA = 0.03, 0.07


@dataclass(frozen=True, eq=False)
class Haze:
    """The haze of one picture of `height` x `width`: enough to take it off any part.

    `airlight` is float32 [3], R, G, B in 0..1; `amount` 0..1 is the veil at the typical place, 0 where the picture is
    clear. The veil of a pixel is `slope * mean(R, G, B) + offset`; both are float32 maps of the whole picture, reduced.
    """

    airlight: np.ndarray
    amount: float
    slope: np.ndarray
    offset: np.ndarray
    height: int
    width: int


def dehaze(rgb: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The picture without its haze: uint8 or uint16 [H, W, 3] RGB gives a new array of the same shape and type.

    `strength` is the share of the haze to take off, 0 (the input exactly) to 1. Time and memory are linear in the
    pixels. Raises PictureError for another kind of array, SettingsError for a strength outside 0..1.
    """
    _check_pixels(rgb)
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


def find_haze(rgb: np.ndarray) -> Haze:
    """The haze of a picture, uint8 or uint16 [H, W, 3] RGB, found on a copy of at most 400 px a side: milliseconds.

    The veil is the dark channel opened with the wide window: what is brighter than all around it is no haze, and a
    gradient stays one. What clear pictures have too is taken off. The median of the rest is the amount; a small one is
    none, and the effect fades in above. A flat bright sky or backdrop is left out and mostly left alone; a picture that
    is flat all over, or has nothing as bright as haze, has none. Raises PictureError for another kind of array.
    """
    _check_pixels(rgb)
    light = _reduced(rgb)
    side = min(light.shape[:2])
    guide = light.mean(axis=2)
    airlight = _airlight(light, side)
    dark = np.minimum((light / np.maximum(airlight, _LEAST_AIRLIGHT)).min(axis=2), 1)
    texture = _texture(guide, side)
    sky = _sky(dark, texture, side)
    floor, none, full = _threshold(light)
    opened = np.clip((_opened(_eroded(dark, 3), side) - floor) / (1 - floor), 0, 1)
    ground = sky < 0.5
    telling = (ground & (texture > _TEXTURED)).mean() > _LEAST_TEXTURED
    amount = float(np.median(opened[ground])) if telling else 0.0
    share = _fade(amount, none, full) * _fade(float(airlight.mean()), _NO_AIRLIGHT, _SURE_AIRLIGHT)
    veil = _blurred(opened, _VEIL_BLUR * side) * (1 - _SKY_KEPT * sky)
    slope, offset = _guided_coefficients(guide, veil, max(1, int(_GUIDE_RADIUS * side)), _GUIDE_SMOOTHNESS)
    return Haze(np.clip(airlight, _LEAST_AIRLIGHT, 1), share * amount, share * slope, share * offset, *rgb.shape[:2])


def clear_part(rgb: np.ndarray, haze: Haze, strength: float = 1.0, *, top: int = 0, left: int = 0) -> np.ndarray:
    """A part of a picture without its haze: the very pixels that `dehaze` gives for the whole.

    `rgb` is the part, uint8 or uint16 [h, w, 3] RGB; `top` and `left` say where it lies in the picture of `haze`.
    Raises PictureError and SettingsError like `dehaze`.
    """
    _check_pixels(rgb)
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


def _check_pixels(rgb: np.ndarray) -> None:
    """Raises PictureError unless `rgb` is a picture as this package has them."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16) or 0 in rgb.shape:
        raise PictureError("dehaze_array", dtype=str(rgb.dtype), shape=str(list(rgb.shape)))


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise SettingsError("dehaze_strength", value=repr(strength))


def _reduced(rgb: np.ndarray) -> np.ndarray:
    """A copy of at most `_REDUCED_SIDE` a side, float32 in 0..1.

    A very large picture is halfway reduced in its own type, for the sake of memory; the last step averages the
    rounding away, which would otherwise hide the texture of a sky.
    """
    levels = np.float32(np.iinfo(rgb.dtype).max)
    return _shrunk(_shrunk(rgb, 4 * _REDUCED_SIDE).astype(np.float32) / levels, _REDUCED_SIDE)


def _shrunk(pixels: np.ndarray, longest: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _airlight(light: np.ndarray, side: int) -> np.ndarray:
    """The colour of the haze [3]: the median where a whole patch is bright, in the haziest part of the picture.

    A lamp or a highlight is smaller than the patch; a white wall or shirt does not reach the haziest part, because the
    wide window looks past it.
    """
    dark = light.min(axis=2)
    veil = _blurred(_opened(_eroded(dark, 3), side), _VEIL_BLUR * side)
    haziest = veil >= np.quantile(veil, _AIR_WHERE)
    patches = _eroded(dark, _odd(_AIR_PATCH * side))
    chosen = haziest & (patches >= np.quantile(patches[haziest], 1 - _AIR_SHARE))
    return np.median(light[chosen], axis=0)


def _sky(dark: np.ndarray, texture: np.ndarray, side: int) -> np.ndarray:
    """1 where flat and bright pixels hang together and reach the upper border of the picture, else 0."""
    flat = ((texture < _SKY_TEXTURE) & (dark > _SKY_LIGHT)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat)
    labels = labels.astype(np.intp)
    large = stats[:, cv2.CC_STAT_AREA] >= _SKY_AREA * flat.size
    large[0] = False
    at_top = np.zeros_like(large)
    at_top[np.unique(labels[0])] = True
    sky = np.take(large & at_top, labels).astype(np.float32)
    return _widened(sky, _odd(_TEXTURE_PATCH * side))


def _texture(grey: np.ndarray, side: int) -> np.ndarray:
    """The standard deviation around each pixel."""
    patch = _odd(_TEXTURE_PATCH * side)
    mean = cv2.blur(grey, (patch, patch), borderType=cv2.BORDER_REFLECT)
    square = cv2.blur(grey * grey, (patch, patch), borderType=cv2.BORDER_REFLECT)
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _threshold(light: np.ndarray) -> _Threshold:
    """Between that of grey and that of colour pictures, by the most colourful places."""
    chroma = float(np.quantile(light.max(axis=2) - light.min(axis=2), 0.995))
    colour = min(max((chroma - _GREY_CHROMA) / (_COLOUR_CHROMA - _GREY_CHROMA), 0), 1)
    return _Threshold(
        *(colour * of_colour + (1 - colour) * of_grey for of_colour, of_grey in zip(_COLOUR, _GREY, strict=True))
    )


def _guided_coefficients(
    guide: np.ndarray, coarse: np.ndarray, radius: int, smoothness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset [H, W] with which `slope * guide + offset` is `coarse`, smoothed but for the guide's edges.

    `guide` and `coarse` are float32 [H, W], the guide in 0..1; `smoothness` is the variance of the guide below which it
    counts as flat. Slope and offset are smooth, so they may be enlarged and applied to a finer guide. He, Sun, Tang:
    Guided image filtering, 2010, equations 5, 6 and 9; the enlargement is their fast guided filter, 2015.
    """
    mean_guide, mean_coarse = _mean(guide, radius), _mean(coarse, radius)
    covariance = _mean(guide * coarse, radius) - mean_guide * mean_coarse
    variance = _mean(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (np.maximum(variance, 0) + smoothness)
    return _mean(slope, radius), _mean(mean_coarse - slope * mean_guide, radius)


def _mean(plane: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(plane, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)


def _opened(plane: np.ndarray, side: int) -> np.ndarray:
    """Without what is brighter than its surroundings; the picture goes on beyond its border as in a mirror."""
    window = _odd(_WINDOW * side)
    border = (window,) * 4
    wide = cv2.copyMakeBorder(plane, *border, borderType=cv2.BORDER_REFLECT)
    opened = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((window, window), np.uint8))
    return opened[window:-window, window:-window]


def _eroded(plane: np.ndarray, window: int) -> np.ndarray:
    return cv2.erode(plane, np.ones((window, window), np.uint8))


def _widened(plane: np.ndarray, window: int) -> np.ndarray:
    return cv2.dilate(plane, np.ones((window, window), np.uint8))


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT)


def _odd(length: float) -> int:
    return max(3, int(length) | 1)


def _fade(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, smooth between them."""
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3 - 2 * share)
