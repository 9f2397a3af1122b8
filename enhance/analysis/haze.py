"""The haze of an image: its colour, and how much of it covers each pixel.

The model of haze (Koschmieder 1924): the camera sees the scene times the transmission t, plus the
airlight times 1 - t. Here 1 - t is called the veil: 0 is clear, 1 nothing but haze.

The dark channel prior (He, Sun, Tang: Single image haze removal using dark channel prior, 2009)
estimates the veil as the darkest value around each pixel, and thus mistakes bright objects for
haze. Here the window is two fifths of the image. In a clear image, nearly every window of that size
contains something dark, while haze covers all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy import ndarray

from ..size import Size
from .filters import guided_coefficients, local_variance

HAZY = 0.1
"""The amount from which an image counts as hazy."""

# Daylight haze in a well exposed image is no darker; a darker estimate is raised to this.
_LEAST_AIRLIGHT = 0.75
_REDUCED_SIDE = 400

# Lengths, as shares of the shorter side of the downscaled image.
_WINDOW = 0.4
_VEIL_BLUR = 0.1
_GUIDE_RADIUS = 0.1
_AIR_PATCH = 0.04
_TEXTURE_PATCH = 0.03

_FLAT_VARIANCE = 3e-4  # below this variance, the guide is flat
# The airlight is estimated in the haziest 30% of the image, and there in the brightest 0.5% of the
# dark channel.
_AIR_QUANTILE = 0.7
_AIR_SHARE = 0.005
# Dehazing has no effect up to the first airlight, and its full effect from the second one on.
_NO_AIRLIGHT = 0.4
_SURE_AIRLIGHT = 0.5

_TEXTURED = 0.004  # a level of 255; below it there is no texture
_LEAST_TEXTURED = 0.1
_SKY_TEXTURE = 0.007
_SKY_LIGHT = 0.8
_SKY_AREA = 0.02
_SKY_KEPT = 0.8  # the share of the veil in front of a sky that is not removed

# Measured on 45 clear photos, the same photos under 30% haze, and skies, snow and sand without
# haze: the darkest pixels of clear photos are at most 0.09, under haze 0.2 and more. The darkest
# red, green and blue of haze differ by 0.18. The sharpest edges of skies and snow are at most 0.05
# of their contrast, those of photos under haze 0.12 and more.
_COLOURLESS = 0.048
_WHITE = 0.92
_MOST_WHITE = 0.35
_DARKEST = 0.0005
_LEAST_DARK = 0.12
_MOST_COLOUR = 0.22
_SHARPEST = 0.998
_CONTRAST = (0.01, 0.99)
_LEAST_EDGE = 0.08
_EDGE_BLUR = 1.0


# Measured: the median veil of clear colour photos was at most 0.04 above the floor, under light
# haze 0.1 and more. A grey image has one channel instead of three that can be dark: clear ones
# reach 0.3.
_COLOUR = np.array([0.07, 0.07, 0.2])
_GREY = np.array([0.12, 0.3, 0.5])
"""The dark channel of a clear image, and the amounts of haze between which the effect fades in."""
_GREY_CHROMA = 0.03
_COLOUR_CHROMA = 0.07


@dataclass(frozen=True, eq=False)
class Haze:
    """The haze of an image of `size`, for its removal from any part.

    `airlight` is float32 [3], R, G, B in 0..1. `amount` is the median veil, 0 (clear) to 1. The
    veil of a pixel is `slope * mean(R, G, B) + offset`; both are float32 maps of the whole image,
    downscaled.
    """

    airlight: ndarray
    amount: float
    slope: ndarray
    offset: ndarray
    size: Size


def find_haze(rgb: ndarray) -> Haze:
    """Estimate the haze of an image, uint8 or uint16 [H, W, 3] RGB, from a copy of at most 400 px a
    side.

    The veil is the morphological opening of the dark channel, so that objects brighter than their
    surroundings do not count, and gradients stay. The level of clear images is subtracted. The
    median of the rest is the amount. The effect fades in above a small amount. A flat bright sky or
    backdrop does not count and hardly changes. A flat image, or one without bright areas, has no
    haze.
    """
    light = _downscale(rgb)
    side = min(light.shape[:2])
    guide = light.mean(axis=2)
    airlight = _airlight(light, side)
    relative = light / np.maximum(airlight, _LEAST_AIRLIGHT)
    dark = np.minimum(relative.min(axis=2), 1)
    texture = _texture(guide, side)
    sky = _sky(dark, texture, side)
    floor, none, full = _thresholds(light)
    opened = _opened(dark, side)
    covered = np.clip((opened - floor) / (1 - floor), 0, 1)
    ground = sky < 0.5
    amount = 0.0
    if (ground & (texture > _TEXTURED)).mean() > _LEAST_TEXTURED:
        amount = float(np.median(covered[ground]))
    share = _fade(amount, none, full)
    share *= _fade(float(airlight.mean()), _NO_AIRLIGHT, _SURE_AIRLIGHT)
    veil = _blur(covered, _VEIL_BLUR * side) * (1 - _SKY_KEPT * sky)
    radius = max(1, int(_GUIDE_RADIUS * side))
    slope, offset = guided_coefficients(veil, guide, radius, _FLAT_VARIANCE, cv2.BORDER_REFLECT)
    return Haze(
        airlight=np.clip(airlight, _LEAST_AIRLIGHT, 1),
        amount=share * amount,
        slope=share * slope,
        offset=share * offset,
        size=Size.of_shape(rgb.shape),
    )


def haze_amount(rgb: ndarray) -> float:
    """Return the amount of haze of an image, 0 to 1, or 0 if it is grey or mostly white, if a part
    of it is clear or all of it is a sky.

    `rgb` is uint8 or uint16 [H, W, 3] RGB. Haze lightens even the darkest pixels and leaves them
    grey, unlike a bright background with a dark object in front. Clouds and snow are light and grey
    too, but have no sharp edges.
    """
    light = _downscale(rgb)
    is_grey = np.quantile(np.ptp(light, axis=2), 0.98) <= _COLOURLESS
    if is_grey or (light.min(axis=2) > _WHITE).mean() >= _MOST_WHITE:
        return 0.0
    darkest = np.quantile(light.reshape(-1, 3), _DARKEST, axis=0)
    if darkest.min() < _LEAST_DARK or np.ptp(darkest) > _MOST_COLOUR:
        return 0.0
    grey = _blur(light.mean(axis=2), _EDGE_BLUR)  # without its noise
    contrast = np.ptp(np.quantile(grey, _CONTRAST))
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    if np.quantile(edges, _SHARPEST) < _LEAST_EDGE * contrast:
        return 0.0
    return find_haze(rgb).amount


def _downscale(rgb: ndarray) -> ndarray:
    """Return a copy of at most `_REDUCED_SIDE` a side, float32 in 0..1.

    A very large image is downscaled in its own type at first, to save memory. The second step
    averages the rounding away, which would hide the texture of a sky.
    """
    levels = np.float32(np.iinfo(rgb.dtype).max)
    light = _shrink(rgb, 4 * _REDUCED_SIDE).astype(np.float32) / levels
    return _shrink(light, _REDUCED_SIDE)


def _shrink(pixels: ndarray, longest: int) -> ndarray:
    size = Size.of_shape(pixels.shape)
    scale = longest / size.long_side
    if scale >= 1:
        return pixels
    return cv2.resize(pixels, size.scale(scale), interpolation=cv2.INTER_AREA)


def _airlight(light: ndarray, side: int) -> ndarray:
    """Return the colour of the haze [3]: the median where a whole patch is bright, in the haziest
    part of the image.

    A lamp or a highlight is smaller than the patch. A white wall or shirt is not in the haziest
    part, because the window of the dark channel is larger.
    """
    dark = light.min(axis=2)
    veil = _blur(_opened(dark, side), _VEIL_BLUR * side)
    haziest = veil >= np.quantile(veil, _AIR_QUANTILE)
    patches = _erode(dark, _odd(_AIR_PATCH * side))
    brightest = haziest & (patches >= np.quantile(patches[haziest], 1 - _AIR_SHARE))
    return np.median(light[brightest], axis=0)


def _sky(dark: ndarray, texture: ndarray, side: int) -> ndarray:
    """Return 1 in connected regions that are flat, bright and large and reach the upper border,
    else 0."""
    flat = ((texture < _SKY_TEXTURE) & (dark > _SKY_LIGHT)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat)
    large = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= _SKY_AREA * flat.size)
    at_top = np.intersect1d(large, labels[0])
    sky = (flat * np.isin(labels, at_top)).astype(np.float32)
    patch = _odd(_TEXTURE_PATCH * side)
    return cv2.dilate(sky, np.ones((patch, patch), np.uint8))


def _texture(grey: ndarray, side: int) -> ndarray:
    """Return the local standard deviation."""
    radius = _odd(_TEXTURE_PATCH * side) // 2
    return np.sqrt(local_variance(grey, radius, cv2.BORDER_REFLECT))


def _thresholds(light: ndarray) -> list[float]:
    """Return the dark channel of a clear image and the amounts of haze between which the effect
    fades in, interpolated between those of grey and colour images by the most colourful pixels."""
    chroma = float(np.quantile(np.ptp(light, axis=2), 0.995))
    colour = min(max((chroma - _GREY_CHROMA) / (_COLOUR_CHROMA - _GREY_CHROMA), 0), 1)
    return (colour * _COLOUR + (1 - colour) * _GREY).tolist()


def _opened(dark: ndarray, side: int) -> ndarray:
    """Return the morphological opening of the minimum of 3 x 3 px of the dark channel, with
    reflection at the border."""
    window = _odd(_WINDOW * side)
    kernel = np.ones((window, window), np.uint8)
    dark = _erode(dark, 3)
    return cv2.morphologyEx(dark, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_REFLECT)


def _erode(plane: ndarray, window: int) -> ndarray:
    return cv2.erode(plane, np.ones((window, window), np.uint8))


def _blur(plane: ndarray, sigma: float) -> ndarray:
    return cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT)


def _odd(length: float) -> int:
    return max(3, int(length) | 1)


def _fade(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high`, and a smooth step between them."""
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3 - 2 * share)
