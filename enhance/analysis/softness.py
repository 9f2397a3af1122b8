"""Softness: the factor by which an image can be downscaled without losing detail.

In a sharp photo each octave of frequencies has about as much power as the one below. In a soft
photo the power ends at some octave, so that the photo can be downscaled without losing detail. The
spectrum is measured in small blocks all over the image, and the sharpest blocks with detail decide:
a blurred background does not make a photo soft.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from .samples import LUMA

REDUCTIONS = (2, 3, 4)

# Chosen on sharp, soft, noisy and compressed photos.
_LOST = 0.27
_SHARPEST = 0.9

_LEAST_DETAILED = 5
_DETAIL = 9.0
"""The least variance of the coarse detail of a block, in levels of 8 bits."""
_COARSE = (0.03, 0.125)
_FINEST = (0.4, 0.71)
"""Frequencies in cycles per pixel, in any direction. The highest is 0.71, in the diagonals."""
_BEYOND = 1.25
"""Detail counts as lost from this multiple of the highest frequency that is kept."""
_LEAST_KEPT = 0.3
"""The least variance that lost detail is compared to."""
_NOISE_QUANTILE = 0.4


def softness_of(samples: ndarray) -> int:
    """Return the softness, 1 to 4, from squares [n, side, side, 3] in 8-bit levels.

    The softness is the largest reduction that removes little power, compared to the octave below
    the removed frequencies.
    """
    grey = samples @ LUMA
    side = grey.shape[1]
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    contrast = grey - grey.mean((1, 2), keepdims=True)
    spectrum = np.fft.rfft2(contrast * (window * window[:, None]))
    power = np.abs(spectrum) ** 2 / (np.square(window).sum() ** 2 * side**2)
    coarse = _variance(power, *_COARSE)
    detailed = coarse >= max(_DETAIL, float(np.median(coarse)))
    if detailed.sum() < _LEAST_DETAILED:
        return 1
    # The mean power at one of the finest frequencies.
    finest = _variance(power, *_FINEST) / _variance(np.ones_like(power), *_FINEST)
    detail = power - np.quantile(finest, _NOISE_QUANTILE)  # without noise
    softness = 1
    for reduction in REDUCTIONS:
        limit = 0.5 / reduction
        kept = np.maximum(_variance(detail, limit / 2, limit), _LEAST_KEPT)
        lost = np.maximum(_variance(detail, _BEYOND * limit, 1), 0)
        ratio = lost / kept
        if np.quantile(np.sqrt(ratio[detailed]), _SHARPEST) <= _LOST:
            softness = reduction
    return softness


def _variance(power: ndarray, low: float, high: float) -> ndarray:
    """Return the variance of each sample in a band of frequencies."""
    side = power.shape[1]
    down = np.fft.fftfreq(side)[:, None]
    across = np.fft.rfftfreq(side)
    # `rfft2` returns one value of each conjugate pair, except at the frequencies 0 and 0.5 across.
    frequency = np.hypot(down, across)
    twice = np.where((across > 0) & (across < 0.5), 2, 1)
    inside = ((frequency >= low) & (frequency < high)) * twice
    return (power * inside).sum((1, 2))
