"""Noise and film grain, measured where the image is smoothest.

Texture is mistaken for noise unless only the smoothest tenth of the blocks counts (after Olsen, "Estimation of noise
in images: an evaluation", 1993). Two scales are measured. White noise shows in the crossed Laplacians (Immerkaer, "Fast
Noise Variance Estimation", 1996). Grain is correlated over 1 to 2 px, so the Laplacians hardly respond. Its spectrum is
flat up to a cutoff and falls above. The spectrum of a photo falls from the lowest frequencies on (Field 1987).
"""

from __future__ import annotations

import numpy as np

from .samples import blocks_of, cosines

_SIDE = 16
_WHITE_SIDE, _WHITE_SHARE = 8, 0.05
"""White noise shows in smaller blocks, of which a photo with fine texture has smooth ones too."""
_WHITE_SELECTION = 1.39
"""The smoothest twentieth of these blocks with equal noise has this much less noise than all of them."""
_SMOOTHEST, _FEWEST, _FEW_BLOCKS = 0.1, 3, 1000
_CLIPPED = 0.1
"""The largest share of pixels at black or white in a block of a photo that counts."""

_RINGS = (1.5, 2.5), (3.5, 5.0), (5.0, 7.0), (7.0, 10.0), (10.0, 14.0)
"""Frequencies of the DCT of a block, in half periods of a block."""
# Of the ratios of two rings, the first is 0.75 to 1 in grain on smooth ground and 0.3 to 0.7 in most clean photos (fine
# texture reaches 1). The second is 1 in white noise and 0.1 to 0.4 in grain.
_FLAT, _CUT = 0.72, 0.6
_LEAST_GRAIN, _MOST_GRAIN = 1.2, 10.0
_LOW_FREQUENCIES = 3
_SELECTION = 1.08
"""The smoothest tenth of blocks with equal noise has this much less noise than all of them."""


def noise_and_grain(samples: np.ndarray, is_photo: bool = True) -> tuple[float, float]:
    """Return the standard deviation of the noise in 8-bit levels, and the correlation length of grain in px, or 0.

    `samples` are float32 [n, side, side, 3]. White paper counts, unlike the
    white of an overexposed photo. The correlation length is the
    distance at which the autocorrelation of the grain falls to 1/e.
    """
    planes = _planes(samples, _SIDE, is_photo)
    white = _white_noise(_planes(samples, _WHITE_SIDE, is_photo))
    transform = cosines(_SIDE)
    spectrum = np.square(transform @ planes @ transform.T)
    radius = np.hypot(*np.meshgrid(range(_SIDE), range(_SIDE)))
    power = spectrum[:, radius >= _RINGS[0][0]].mean(1)
    smoothest = np.argsort(power)[: _count(len(power))]
    levels = [float(np.median(spectrum[smoothest][:, _inside(radius, *ring)].mean(1))) for ring in _RINGS]
    low, middle, *_, high = np.sqrt(levels)
    sigma = float(
        np.sqrt(np.median(power[smoothest]) * (1 - _LOW_FREQUENCIES / 256) + levels[0] * _LOW_FREQUENCIES / 256)
    )
    sigma *= _SELECTION
    is_grain = middle >= _FLAT * low and high <= _CUT * middle and _LEAST_GRAIN <= sigma <= _MOST_GRAIN
    if not (is_photo and is_grain) or sigma < white:
        return white, 0.0
    return sigma, _correlation_length(levels)


def _planes(samples: np.ndarray, side: int, is_photo: bool) -> np.ndarray:
    """Return the channels of the blocks of `side` px of the squares [m, side, side].

    Each channel counts for itself: one can be black where the others are not.
    """
    blocks = blocks_of(samples, side)
    if len(blocks) < _FEW_BLOCKS and samples.shape[1] > side:  # Small smooth areas lie between the blocks.
        half = side // 2
        shifted = (samples[:, top:, left:] for top, left in ((half, half), (half, 0), (0, half)))
        blocks = np.concatenate([blocks, *(blocks_of(one, side) for one in shifted)])
    planes = blocks.transpose(0, 3, 1, 2).reshape(-1, side, side)
    if is_photo:
        usable = ((planes <= 0) | (planes >= 255)).mean((1, 2)) <= _CLIPPED
        planes = planes[usable] if usable.sum() >= _FEWEST else planes
    return planes


def _white_noise(planes: np.ndarray) -> float:
    """Return the standard deviation of white noise that explains the smoothest blocks, by crossed Laplacians."""
    second = planes[:, 2:] - 2 * planes[:, 1:-1] + planes[:, :-2]
    second = second[:, :, 2:] - 2 * second[:, :, 1:-1] + second[:, :, :-2]
    values = np.sort(np.sqrt(np.square(second).mean((1, 2))) / 6)
    return float(np.median(values[: max(_FEWEST, int(_WHITE_SHARE * len(values)))])) * _WHITE_SELECTION


def _count(blocks: int) -> int:
    return max(_FEWEST, int(_SMOOTHEST * blocks))


def _inside(radius: np.ndarray, low: float, high: float) -> np.ndarray:
    return (radius >= low) & (radius < high)


def _correlation_length(levels: list[float]) -> float:
    """Fit exp(-(s w)^2), the power of white noise after a Gaussian blur s, to the rings; the length is 2 s."""
    frequencies = np.array([np.pi * (low + high) / 2 / _SIDE for low, high in _RINGS[1:]])
    slope = np.polyfit(frequencies**2, np.log(np.maximum(levels[1:], 1e-3)), 1)[0]
    return round(2 * float(np.sqrt(max(-slope, 0.0))), 2)
