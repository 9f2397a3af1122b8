"""Noise and film grain, measured where the image is smoothest.

Texture is mistaken for noise unless only the smoothest tenth of the blocks counts (after Olsen, "Estimation of noise
in images: an evaluation", 1993). Two scales are measured. White noise shows in the crossed Laplacians (Immerkaer, "Fast
Noise Variance Estimation", 1996). Grain is correlated over 1 to 2 px, so the Laplacians hardly respond. Its spectrum is
flat up to a cutoff and falls above. The spectrum of a photo falls from the lowest frequencies on (Field 1987).

Three properties distinguish fine texture from noise. Downscaling filters texture near the Nyquist frequency, where
white noise is as strong as elsewhere. Texture is nearly equal in the three channels, unlike the noise of a sensor.
Noise and grain occur in every block.
"""

from __future__ import annotations

import numpy as np

from .samples import blocks_of, cosines

_SIDE = 16
_WHITE_SIDE, _WHITE_SHARE = 8, 0.05
"""White noise shows in smaller blocks, of which a photo with fine texture has smooth ones too."""
_WHITE_SELECTION = 1.39
"""The smoothest twentieth of these blocks with equal noise has this much less noise than all of them."""
# The ratio of the finest frequencies of these blocks to finer ones is 0.58 in white noise. It is 0.28 to 0.46 in
# photos downscaled by 2, 3 and 4 whose texture shows as noise.
_FINE, _FINEST = (8, 10), (13, 14)
"""Sums of the vertical and the horizontal frequency of the DCT of a block; both are at least 4."""
_TEXTURE = 0.47
_LEAST_TEXTURE = 2.0
"""Less noise has no influence on the choice of a preset, unless a photo is blurred, which has no fine texture."""
_SMOOTHEST, _FEWEST, _FEW_BLOCKS = 0.1, 3, 1000
_CLIPPED = 0.1
"""The largest share of pixels at black or white in a block of a photo that counts."""

_RINGS = (1.5, 2.5), (3.5, 5.0), (5.0, 7.0), (7.0, 10.0), (10.0, 14.0)
"""Frequencies of the DCT of a block, in half periods of a block."""
# Of the ratios of two rings, the first is 0.75 to 1 in grain on smooth ground and 0.3 to 0.7 in most clean photos (fine
# texture reaches 1). The second is 1 in white noise and 0.1 to 0.4 in grain.
_FLAT, _CUT = 0.72, 0.6
_LEAST_GRAIN, _MOST_GRAIN = 1.2, 10.0
_EVERYWHERE, _LEAST_SHARE = 0.01, 0.36
"""The power of grain in the smoothest hundredth of the blocks, compared with the smoothest tenth: 0.45 or more."""
_LOW_FREQUENCIES = 3
_SELECTION = 1.08
"""The smoothest tenth of blocks with equal noise has this much less noise than all of them."""


def noise_and_grain(samples: np.ndarray, is_photo: bool = True, is_jpeg: bool = False) -> tuple[float, float]:
    """Return the standard deviation of the noise in 8-bit levels, and the correlation length of grain in px, or 0.

    `samples` are float32 [n, side, side, 3]. White paper counts, unlike the white of an overexposed photo. JPEG
    compression changes the finest frequencies, so `is_jpeg` counts fine texture as noise. The correlation length is the
    distance at which the autocorrelation of the grain falls to 1/e.
    """
    blocks, usable = _blocks(samples, _SIDE, is_photo)
    planes = blocks[usable]
    white = _white_noise(samples, is_photo, is_photo and not is_jpeg)
    transform = cosines(_SIDE)
    spectrum = np.square(transform @ planes @ transform.T)
    radius = np.hypot(*np.meshgrid(range(_SIDE), range(_SIDE)))
    power = spectrum[:, radius >= _RINGS[0][0]].mean(1)
    smoothest = np.argsort(power)[: _count(len(power))]
    levels = [float(np.median(spectrum[smoothest][:, _inside(radius, *ring)].mean(1))) for ring in _RINGS]
    low, middle, *_, high = np.sqrt(levels)
    typical = float(np.median(power[smoothest]))
    sigma = float(np.sqrt(typical * (1 - _LOW_FREQUENCIES / 256) + levels[0] * _LOW_FREQUENCIES / 256)) * _SELECTION
    is_grain = middle >= _FLAT * low and high <= _CUT * middle and _LEAST_GRAIN <= sigma <= _MOST_GRAIN
    is_everywhere = np.quantile(power, _EVERYWHERE) >= _LEAST_SHARE * typical
    if not (is_photo and is_grain and is_everywhere) or sigma < white:
        return white, 0.0
    return sigma, _correlation_length(levels)


def _blocks(samples: np.ndarray, side: int, is_photo: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the channels of the blocks of `side` px of the squares, [m, 3, side, side], and which count, [m, 3].

    Each channel counts for itself: one can be black where the others are not.
    """
    blocks = blocks_of(samples, side)
    if len(blocks) < _FEW_BLOCKS and samples.shape[1] > side:  # Small smooth areas lie between the blocks.
        half = side // 2
        shifted = (samples[:, top:, left:] for top, left in ((half, half), (half, 0), (0, half)))
        blocks = np.concatenate([blocks, *(blocks_of(one, side) for one in shifted)])
    blocks = blocks.transpose(0, 3, 1, 2)
    usable = ((blocks <= 0) | (blocks >= 255)).mean((2, 3)) <= _CLIPPED
    if not is_photo or usable.sum() < _FEWEST:
        usable[:] = True
    return blocks, usable


def _white_noise(samples: np.ndarray, is_photo: bool, can_be_texture: bool) -> float:
    """Return the standard deviation of white noise that explains the smoothest blocks.

    In fine texture, this is the noise of the differences between the channels: 0 in a grey photo.
    """
    blocks, usable = _blocks(samples, _WHITE_SIDE, is_photo)
    planes = blocks[usable]
    noise, smoothest = _noise_of_smoothest(planes)
    if not can_be_texture or noise < _LEAST_TEXTURE or not _is_texture(planes[smoothest]):
        return noise
    pairs = (0, 1), (1, 2), (2, 0)
    differences = [(blocks[:, a] - blocks[:, b])[usable[:, a] & usable[:, b]] for a, b in pairs]
    planes = np.concatenate(differences) / np.sqrt(np.float32(2))
    return min(noise, _noise_of_smoothest(planes)[0]) if len(planes) >= _FEWEST else noise


def _noise_of_smoothest(planes: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the noise by crossed Laplacians in the smoothest planes, and the indices of these planes."""
    second = planes[:, 2:] - 2 * planes[:, 1:-1] + planes[:, :-2]
    second = second[:, :, 2:] - 2 * second[:, :, 1:-1] + second[:, :, :-2]
    values = np.sqrt(np.square(second).mean((1, 2))) / 6
    smoothest = np.argsort(values)[: max(_FEWEST, int(_WHITE_SHARE * len(values)))]
    return float(np.median(values[smoothest])) * _WHITE_SELECTION, smoothest


def _is_texture(planes: np.ndarray) -> bool:
    """Return whether the spectrum of planes falls at the finest frequencies, as texture does after downscaling."""
    transform = cosines(_WHITE_SIDE)
    power = np.square(transform @ planes @ transform.T).mean(0)
    vertical, horizontal = np.indices(power.shape)
    is_fine, total = np.minimum(vertical, horizontal) >= _WHITE_SIDE // 2, vertical + horizontal
    fine, finest = (power[is_fine & (low <= total) & (total <= high)].mean() for low, high in (_FINE, _FINEST))
    return bool(finest <= _TEXTURE**2 * fine)


def _count(blocks: int) -> int:
    return max(_FEWEST, int(_SMOOTHEST * blocks))


def _inside(radius: np.ndarray, low: float, high: float) -> np.ndarray:
    return (radius >= low) & (radius < high)


def _correlation_length(levels: list[float]) -> float:
    """Fit exp(-(s w)^2), the power of white noise after a Gaussian blur s, to the rings; the length is 2 s."""
    frequencies = np.array([np.pi * (low + high) / 2 / _SIDE for low, high in _RINGS[1:]])
    slope = np.polyfit(frequencies**2, np.log(np.maximum(levels[1:], 1e-3)), 1)[0]
    return round(2 * float(np.sqrt(max(-slope, 0.0))), 2)
