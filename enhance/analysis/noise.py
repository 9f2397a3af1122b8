"""Noise and film grain, measured where the image is smoothest.

Only the smoothest blocks are measured, so that texture is not mistaken for noise (after Olsen,
"Estimation of noise in images: an evaluation", 1993). Noise is added to the image, so no frequency
of these blocks has less power than the noise. White noise and noise that is correlated over 1 to 2
px are measured separately.

- White noise is measured by crossed Laplacians (Immerkaer, "Fast Noise Variance Estimation", 1996),
  which also respond to fine texture. In the highest frequencies, the power of texture is
  proportional to that of the lower ones in each block, and the power of noise is the same in all
  blocks. A linear fit of all blocks separates them. The power of shot noise is proportional to the
  brightness. The larger of both estimates counts.
- The power of correlated noise is constant up to a cutoff and falls above. The power of a photo
  falls from the lowest frequency on (Field 1987).
- Texture is nearly equal in the three channels, unlike the noise of a sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from .samples import blocks_of, dct

_SIDE = 16
_SMALL_SIDE = 8
"""Photos with fine texture have small smooth areas too."""
_FEWEST = 3
_FEW_BLOCKS = 1000
_CLIPPED = 0.1
"""The largest share of pixels at black or white in a block of a photo that counts."""
_DARK = 1.0
"""Added to the brightness that shot noise is proportional to."""

_WHITE_SHARE = 0.05
_WHITE_SELECTION = 1.39
"""The smoothest twentieth of the blocks with equal noise has this much less noise than all of
them."""
_LEAST_TEXTURE = 2.0
"""Less noise has no influence on the choice of a preset, unless a photo is blurred, which has no
fine texture."""
_ROUNDS = 4
_LEAST_POWER = 0.1
_LARGEST_SLOPE = 0.9
# In the small blocks, the ratio of the finest frequencies to finer ones is 1 in white noise, and at
# least 0.46 in 32 photos with noise of 3. In grass and gravel, which are texture everywhere, it is
# 0.28 to 0.45.
_TEXTURE = 0.47

_RINGS = {16: (2.5, 3.5, 5, 7, 10, 14, 17.5), 8: (1.3, 1.8, 2.5, 3.5, 5, 7)}
"""The borders of rings of frequencies, in half periods of a block."""
_SMOOTHEST = {16: 0.03, 8: 0.02}
_SELECTION = {0.5: {16: 1.5, 8: 2.05}, 0.7: {16: 1.55, 8: 2.3}, 1.0: {16: 1.7, 8: 3.1}}
"""The factor between correlated noise and the estimate from the smoothest blocks, by the blur in px
that turns white noise into correlated noise, and by the side of the blocks. Measured on noise
without a photo."""
_SELECTION_IN_PHOTO = 0.9
"""That factor is this much smaller in a photo, of which only a part is smooth."""
_LEAST_CORRELATED = 2.5
_MOST_CORRELATED = 8.0
"""Less noise is not distinguished from texture, and more is the texture of a photo without smooth
areas."""
_FEWEST_FOR_CORRELATED = 200
"""With fewer blocks, correlated noise is not distinguished from texture."""
_FLAT = 1.27
"""The largest ratio of a low frequency to the lowest of all, both divided by what is expected of
correlated noise."""


@dataclass(frozen=True)
class _Blocks:
    """The channels of blocks, [m, 3, side, side], and which of them count, [m, 3].

    Each channel counts for itself: one can be black where the others are not.
    """

    channels: ndarray
    usable: ndarray

    @property
    def planes(self) -> ndarray:
        """The channels that count, [n, side, side]."""
        return self.channels[self.usable]

    @property
    def grey(self) -> ndarray:
        """The means of the channels of the blocks in which all count, [n, side, side]."""
        return self.channels[self.usable.all(1)].mean(1)

    @property
    def differences(self) -> ndarray:
        """The differences between two channels that count, [n, side, side], with the noise of one
        channel."""
        first, second = self.pairs
        return (first - second) / np.sqrt(np.float32(2))

    @property
    def pairs(self) -> tuple[ndarray, ndarray]:
        """The first and the second channel of each pair of channels that count, both
        [n, side, side]."""
        channels = self.channels.swapaxes(0, 1)
        usable = self.usable.T
        both_usable = usable & np.roll(usable, -1, axis=0)
        return channels[both_usable], np.roll(channels, -1, axis=0)[both_usable]


def noise_and_grain(samples: ndarray, is_photo: bool, is_jpeg: bool) -> tuple[float, float]:
    """Return the standard deviation of the noise in 8-bit levels, and the correlation length of
    grain in px, or 0.

    `samples` are float32 [n, side, side, 3]. White paper counts, unlike the white of an overexposed
    photo. JPEG compression changes the finest frequencies, so `is_jpeg` counts fine texture as
    noise. The correlation length is the distance at which the autocorrelation of the grain falls to
    1/e.
    """
    small = _blocks(samples, _SMALL_SIDE, is_photo)
    white = _white_noise(small, is_photo, is_jpeg)
    if not is_photo:
        return white, 0.0
    large = _blocks(samples, _SIDE, is_photo)
    # The larger noise counts, and has its correlation length.
    return max((white, 0.0), _correlated_noise(large, small))


def smoothness_of(samples: ndarray) -> float:
    """Return the noise in the smoothest blocks of a photo divided by the noise and texture of its
    median block, 0 to 1.

    `samples` are float32 [n, side, side, 3].
    """
    planes = _blocks(samples, _SMALL_SIDE, is_photo=True).planes
    median = float(np.median(_noise_by_laplacians(planes)))
    if median == 0:
        return 1.0
    return min(_noise_of_smoothest(planes) / median, 1.0)


def _blocks(samples: ndarray, side: int, is_photo: bool) -> _Blocks:
    """Return the blocks of `side` px of the squares [n, side, side, 3]."""
    blocks = blocks_of(samples, side)
    # Small smooth areas lie between the blocks.
    if len(blocks) < _FEW_BLOCKS and samples.shape[1] > side:
        half = side // 2
        shifts = (half, half), (half, 0), (0, half)
        shifted = [blocks_of(samples[:, top:, left:], side) for top, left in shifts]
        blocks = np.concatenate([blocks, *shifted])
    is_clipped = (blocks <= 0) | (blocks >= 255)
    usable = is_clipped.mean((2, 3)) <= _CLIPPED
    if not is_photo or usable.sum() < _FEWEST:
        usable[:] = True
    return _Blocks(blocks, usable)


def _white_noise(blocks: _Blocks, is_photo: bool, is_jpeg: bool) -> float:
    """Return the standard deviation of the white noise in the smoothest of the small blocks.

    In fine texture, it is measured in the differences between the channels, and is 0 in a grey
    photo.
    """
    planes = blocks.planes
    if not is_photo:
        return _noise_of_smoothest(planes)
    light = planes.mean((1, 2))
    noise = _noise_of_smoothest(planes, light)
    if is_jpeg or noise < _LEAST_TEXTURE:
        return noise
    fine, finest = _noise_without_texture(planes, light)
    differences = blocks.differences
    without_texture = 0.0
    if len(differences) >= _FEWEST:
        light_of_pairs = np.mean(blocks.pairs, axis=(0, 2, 3))
        _, without_texture = _noise_without_texture(differences, light_of_pairs)
    if finest > _TEXTURE * fine:
        without_texture = max(without_texture, finest)
    return min(noise, without_texture)


def _relative_variance(light: ndarray) -> ndarray:
    """Return the variance of shot noise at the brightness of each block, relative to that of the
    photo."""
    light = light + _DARK
    return light / light.mean()


def _noise_of_smoothest(planes: ndarray, light: ndarray | None = None) -> float:
    """Return the noise of the smoothest planes, measured by crossed Laplacians.

    If the mean brightness `light` of each plane is given, the noise is also measured as shot noise.
    The larger value counts.
    """
    values = _noise_by_laplacians(planes)
    kinds = [values]
    if light is not None:
        kinds.append(values / np.sqrt(_relative_variance(light)))
    count = max(_FEWEST, int(_WHITE_SHARE * len(values)))
    medians = [np.median(np.sort(kind)[:count]) for kind in kinds]
    return float(max(medians)) * _WHITE_SELECTION


def _noise_by_laplacians(planes: ndarray) -> ndarray:
    """Return the response of each plane [n, 8, 8] to crossed Laplacians, which is its noise if it
    has no texture."""
    crossed = np.diff(np.diff(planes, 2, axis=1), 2, axis=2)
    # The squares of the 9 weights add up to 36.
    return np.sqrt(np.square(crossed).mean((1, 2))) / 6


def _noise_without_texture(planes: ndarray, light: ndarray) -> tuple[float, float]:
    """Return the noise in the fine and in the finest frequencies of planes [n, 8, 8], without
    texture.

    `light` is the mean brightness of each plane [n].
    """
    power = np.square(dct(planes))
    vertical, horizontal = np.indices(power.shape[1:])
    radius = np.hypot(vertical, horizontal)
    total = vertical + horizontal
    least = np.minimum(vertical, horizontal)
    fine = (least >= 4) & (total <= 10)
    finest = (least >= 5) & (total >= 13)

    def noise(band: ndarray, lower: ndarray) -> float:
        high = power[:, band].mean(1)
        texture = power[:, lower].mean(1)
        white = _constant_power(high, texture, np.ones_like(light))
        shot = _constant_power(high, texture, _relative_variance(light))
        return float(np.sqrt(max(white, shot)))

    fine_noise = noise(fine, lower=(radius >= 2) & (radius < 5))
    finest_noise = noise(finest, lower=(radius >= 3) & (radius < 7))
    return fine_noise, finest_noise


def _constant_power(power: ndarray, texture: ndarray, variance: ndarray) -> float:
    """Return the power of the noise in the `power` of blocks, by a linear fit.

    The fit is a constant times `variance`, the relative variance of the noise in each block, plus a
    slope times `texture`, the power of lower frequencies, which contains the noise too. The weights
    are the inverse variances of powers, so smooth blocks count most.
    """
    columns = np.stack([variance, texture], axis=1).astype(float)
    constant = 0.0
    slope = 1.0
    for _ in range(_ROUNDS):
        expected = np.maximum(constant * variance + slope * texture, _LEAST_POWER)
        fit, *_ = np.linalg.lstsq(columns / expected[:, None], power / expected, rcond=None)
        constant = max(float(fit[0]), 0.0)
        slope = min(max(float(fit[1]), 0.0), _LARGEST_SLOPE)
    # For noise alone, texture equals power = constant + slope * power.
    return constant / (1 - slope)


def _correlated_noise(large: _Blocks, small: _Blocks) -> tuple[float, float]:
    """Return the standard deviation and the correlation length of correlated noise, or 0 and 0.

    The blocks are those of 16 and of 8 px. The noise can be different in each channel or equal in
    all channels. Only the latter can be confused with texture.
    """
    # The powers of the differences between channels and of their means, by the side of the blocks.
    colour: dict[int, ndarray] = {}
    grey: dict[int, ndarray] = {}
    for side, blocks in ((_SIDE, large), (_SMALL_SIDE, small)):
        planes = blocks.grey
        if len(planes) < _FEWEST_FOR_CORRELATED:
            return 0.0, 0.0
        colour[side] = _smoothest_powers(blocks.differences)
        grey[side] = _smoothest_powers(planes)
    candidates: list[tuple[float, float]] = []
    for blur in _SELECTION:
        noise, _ = _noise_after_blur(colour, blur)
        shared, ratio = _noise_after_blur(grey, blur)
        shared *= _SELECTION_IN_PHOTO
        if shared <= _MOST_CORRELATED and ratio <= _FLAT:
            noise = max(noise, shared)
        candidates.append((noise, 2 * blur))
    noise, length = max(candidates)
    if noise >= _LEAST_CORRELATED:
        return noise, length
    return 0.0, 0.0


def _smoothest_powers(planes: ndarray) -> ndarray:
    """Return the mean power of the smoothest planes [n, side, side] in each ring."""
    side = planes.shape[1]
    rings = _rings(side).reshape(-1, side**2)
    power = np.square(dct(planes)).reshape(-1, side**2)
    count = int(_SMOOTHEST[side] * len(planes))
    in_rings = power @ rings.any(0).astype(np.float32)
    smoothest = power[np.argsort(in_rings)[:count]]
    return np.array([smoothest[:, ring].mean() for ring in rings])


def _rings(side: int) -> ndarray:
    """Return which frequencies of the DCT of a block belong to each ring, [rings, side, side]."""
    radius = np.hypot(*np.indices((side, side)))
    borders = np.array(_RINGS[side])[:, None, None]
    return (borders[:-1] <= radius) & (radius < borders[1:])


def _noise_after_blur(powers: dict[int, ndarray], blur: float) -> tuple[float, float]:
    """Return the largest noise after a blur that the powers of all rings allow, and the ratio of
    the noise in the lowest frequencies to the least noise of a ring.

    `powers` are those of the large and of the small blocks, by their side. The smaller noise of
    both counts, and the ratio is that of the large ones.
    """
    noises = {side: _ring_noises(power, side, blur) for side, power in powers.items()}
    least = min(_SELECTION[blur][side] * rings.min() for side, rings in noises.items())
    large = noises[_SIDE]
    return float(least), float(large[0] / max(large.min(), 1e-6))


def _ring_noises(powers: ndarray, side: int, blur: float) -> ndarray:
    """Return the noise that the power of each ring allows, in blocks of `side` px.

    The powers are measured relative to the spectrum of white noise after a Gaussian blur,
    exp(-(blur * frequency)^2).
    """
    frequency = np.pi / side * np.hypot(*np.indices((side, side)))
    spectrum = np.exp(-((blur * frequency) ** 2))
    # The share of the power of white noise that remains after the blur, over all frequencies of
    # both directions.
    whole = np.exp(-((blur * np.linspace(-np.pi, np.pi, 257)) ** 2)).mean() ** 2
    expected = [spectrum[ring].mean() for ring in _rings(side)]
    return np.sqrt(powers * whole / expected)
