"""Degradation of a photo, measured on its pixels: noise, colour noise and softness.

The tuning uses it. The measurements of `enhance.analysis`, which choose a preset, are more
expensive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy import ndarray

from .downscaling import block_means, ceil_div, spans, widen

_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_LAPLACIAN_NORM = 6
"""The norm of their weights, by which the Laplacians multiply the standard deviation of white
noise."""
_NORMAL_MEDIAN = 0.6745
"""The median absolute value of normal noise with a standard deviation of 1."""
_BINS_PER_LEVEL = 8
_BINS = 16 * 512 * _BINS_PER_LEVEL
"""Enough for the largest response: a difference between channels is -255 to 255, and the absolute
weights of the Laplacians add up to 16."""
_WHITE_SHARE = 3 / 16
"""The share of the variance of colour noise to ignore. At half the size, a quarter of the variance
of white noise is left."""
# Colour noise below the first value can be detail of the photo. A JPEG contains less colour detail
# than other files, but only a part of the colour noise of its photo, hence the factors.
_DETAIL_AND_FACTOR = (1.5, 1.5)
_DETAIL_AND_FACTOR_OF_JPEG = (1.0, 3.0)
_GREY = np.array([[0.299, 0.587, 0.114]], np.float32)
_RED_MINUS_GREEN = np.array([[1, -1, 0]], np.float32)
_BLUE_MINUS_GREEN = np.array([[0, -1, 1]], np.float32)
_STRIP_ROWS = 256
_MIN_STRIP_ROWS = 32
_STRIP_PIXELS = 1 << 21
"""A strip has as many rows as these pixels fill, within the two limits."""

# Two octaves of edges: what a first blur removes, and what a second one removes from the rest. In
# photos that were downscaled by averaging the first has at least half of the second's energy, after
# a blur of 1 px at most a fifth.
_FINE_SIGMA = 0.7
_COARSE_SIGMA = 1.6
BLUR_MARGIN = 10
"""At least the sum of the radii of the wider blur, 7, and of the mean of the weights, 2."""
_SHARP_RATIO = 0.5
_SOFT_RATIO = 0.2
_NO_EDGES = 1.0
"""The energy of the coarser octave per pixel, below which an image has no edges."""


@dataclass(frozen=True)
class Degradation:
    """Degradation of a photo: noise and colour noise, in levels of 8 bits, and softness, 0 to 1.

    Colour noise is the part that differs between the channels; 0 if it could be detail.
    """

    noise: float = 0.0
    softness: float = 0.0
    colour_noise: float = 0.0


NO_DEGRADATION = Degradation()


def measure_degradation(rgb: ndarray, *, is_jpeg: bool) -> Degradation:
    """Measure an image, uint8 or uint16 [H, W, 3], in strips."""
    return Degradation(_noise(rgb, _GREY), _softness(rgb), _colour_noise(rgb, is_jpeg))


def _noise(rgb: ndarray, weights: ndarray, reduction: int = 1) -> float:
    """Return the noise of the sum of the channels with `weights` [1, 3].

    This is the standard deviation, in levels of 8 bits, from the response to two crossed Laplacians
    (Immerkaer, "Fast Noise Variance Estimation", 1996), with the median, which edges change less
    than the mean. The image is averaged down by `reduction` before.
    """
    counts = np.zeros(_BINS, np.int64)
    kernel = _LAPLACIANS * (_BINS_PER_LEVEL * 255 / np.iinfo(rgb.dtype).max)
    for rows, inside in _strips(rgb, reduction):
        plane = block_means(cv2.transform(rows, weights), reduction)
        start = inside.start // reduction
        end = ceil_div(inside.stop, reduction)
        response = np.abs(cv2.filter2D(plane, -1, kernel)[start:end])
        counts += np.bincount(response.astype(np.int32).ravel(), minlength=_BINS)
    median = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return median / _BINS_PER_LEVEL / _NORMAL_MEDIAN / _LAPLACIAN_NORM


def _colour_noise(rgb: ndarray, is_jpeg: bool) -> float:
    """Return the colour noise that survives the networks, as standard deviation in 8-bit levels.

    The networks remove most of the white noise, but not the correlated noise of a camera, which is
    stronger at half the size.
    """
    full = _difference_noise(rgb, 1)
    half = _difference_noise(rgb, 2)
    noise = math.sqrt(max(half**2 - _WHITE_SHARE * full**2, 0))
    detail, factor = _DETAIL_AND_FACTOR
    if is_jpeg:
        detail, factor = _DETAIL_AND_FACTOR_OF_JPEG
    return factor * max(noise - detail, 0)


def _difference_noise(rgb: ndarray, reduction: int) -> float:
    """Return the smaller noise of two differences between channels.

    A photo can have colour detail in the other one.
    """
    red = _noise(rgb, _RED_MINUS_GREEN, reduction)
    blue = _noise(rgb, _BLUE_MINUS_GREEN, reduction)
    return min(red, blue)


def _softness(rgb: ndarray) -> float:
    """Return the softness: 0 if sharp at its own size, 1 if as soft as after a blur of 1 px or
    more.

    Measured by the energy of the finer of two octaves, relative to the other, near strong edges,
    where noise has no influence.
    """
    fine = 0.0
    coarse = 0.0
    for rows, inside in _strips(rgb, BLUR_MARGIN):
        rows *= np.float32(255 / np.iinfo(rgb.dtype).max)
        fine_energy, coarse_energy = edge_energies(rows)
        fine += float(fine_energy[inside].sum(dtype=float))
        coarse += float(coarse_energy[inside].sum(dtype=float))
    height, width, _ = rgb.shape
    return blur_of(fine, coarse, height * width)


def _strips(rgb: ndarray, margin: int) -> Iterator[tuple[ndarray, slice]]:
    """Yield strips from top to bottom, float32 with `margin` more rows above and below, and the
    slice of their own rows. The first one of these is even in the image."""
    height, width, _ = rgb.shape
    fitting = min(_STRIP_ROWS, _STRIP_PIXELS // width)
    count = max(_MIN_STRIP_ROWS, fitting)
    for first, last in spans(height, count // 2 * 2):
        low, high = widen(first, last, margin, height)
        yield rgb[low:high].astype(np.float32), slice(first - low, last - low)


def edge_energies(rgb: ndarray) -> tuple[ndarray, ndarray]:
    """Return the energy of the finer and of the coarser octave near strong edges, [H, W].

    `rgb` is float32 [H, W, 3]. Values within BLUR_MARGIN of the border depend on how it is
    continued.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    once = cv2.GaussianBlur(grey, (0, 0), _FINE_SIGMA)
    twice = cv2.GaussianBlur(grey, (0, 0), _COARSE_SIGMA)
    fine = (grey - once) ** 2
    coarse = cv2.absdiff(once, twice) ** 2
    weight = cv2.blur(coarse, (5, 5))
    return weight * fine, weight * coarse


def blur_of(fine: float, coarse: float, pixels: int) -> float:
    """Return the blur, 0 to 1, from the sums of `edge_energies` over `pixels`; 0 without edges."""
    if coarse < _NO_EDGES * pixels:
        return 0.0
    blur = (_SHARP_RATIO - fine / coarse) / (_SHARP_RATIO - _SOFT_RATIO)
    return float(np.clip(blur, 0, 1))
