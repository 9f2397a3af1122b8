"""Suggestions for an image, from its haze, its faces, and its softness, noise and compression.

The softness is measured from the spectrum. In a sharp photo each octave of frequencies has about as much power as the
one below. In a soft photo the power ends at some octave, so that the photo can be downscaled without losing detail. The
spectrum is measured in small blocks all over the image, and the sharpest blocks with detail decide: a blurred
background does not make a photo soft.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..images import Picture

CLEAN_NOISE, CLEAN_BLOCKS, CLEAN_SOFTNESS = 2.0, 1.12, 0.3
"""The limits of a clean image: less noise than 3 levels, no JPEG of quality 75, no blur of 0.6 px."""
_PRESETS = {"dehaze": "dehaze", "face": "face", "clean": "precise"}
"""The preset that measures best for an image with this property."""

BEST_REDUCTION = 2
"""The largest suggestion: it measures best for softer photos too (docs/fidelity.md)."""
REDUCTIONS = (2, 3, 4)

# Chosen on sharp, soft, noisy and compressed photos: docs/fidelity.md.
_LOST = 0.27
_SHARPEST = 0.9

_SIDE = 64
_BLOCK = 8
"""The side of JPEG blocks in pixels."""
_MOST_SAMPLES = 400
_LEAST_DETAILED = 5
_DETAIL = 9.0
"""The least variance of the coarse detail of a block, in levels of 8 bits."""
_COARSE = 0.03, 0.125
_FINEST = 0.4, 0.71
"""Frequencies in cycles per pixel, in any direction."""
_BEYOND = 1.25
_NOISE_QUANTILE = 0.4
_LEAST_STEP = 0.1


@dataclass(frozen=True)
class Hint:
    """A property of an image (dehaze, face, clean, soft), and the preset or reduction for it."""

    looks: str
    preset: str | None = None
    reduce: int = 1


def hints(picture: Picture, detector: Path | None) -> tuple[Hint, ...]:
    """Return suggestions for an image; faces are found if `detector`, the detector's file, is given.

    Takes up to a second for a large image.
    """
    # Imported here, so that one scene can be imported without the others.
    from .dehaze import HAZY, find_haze
    from .face_detection import find_faces

    measured = degradation_of(picture)
    is_hazy = find_haze(picture.rgb).amount >= HAZY
    properties = {
        "dehaze": is_hazy,
        "face": detector is not None and bool(find_faces(picture.rgb, detector, precise=False)),
        "clean": not is_hazy and measured.is_clean and picture.softness < CLEAN_SOFTNESS,
    }
    found = [Hint(name, _PRESETS[name]) for name, is_so in properties.items() if is_so]
    reduce = min(measured.softness, BEST_REDUCTION)
    return (*found, Hint("soft", reduce=reduce)) if reduce > 1 else tuple(found)


@dataclass(frozen=True)
class Degradation:
    """How soft, noisy and compressed an image is.

    `softness` is the factor, 1 to 4, by which it can be downscaled without losing detail. `noise` is the standard
    deviation in levels of 8 bits. `blocks` is the ratio of steps between JPEG blocks to other steps, 1 without blocks.
    """

    softness: int
    noise: float
    blocks: float

    @property
    def is_clean(self) -> bool:
        return self.softness == 1 and self.noise < CLEAN_NOISE and self.blocks < CLEAN_BLOCKS


def degradation_of(picture: Picture) -> Degradation:
    """Measure the degradation of an image, in a tenth of a second for a large one."""
    sample = _sample(picture)
    if sample is None:
        return Degradation(1, picture.noise, 1.0)
    grey = cv2.cvtColor(sample.rgb.astype(np.float32) * (255 / sample.levels), cv2.COLOR_RGB2GRAY)
    samples = grey.reshape(-1, _SIDE, _SIDE)
    return Degradation(_softness(samples), sample.noise, _blocks(samples))


def _sample(picture: Picture) -> Picture | None:
    """Return squares all over the image, aligned to JPEG blocks, one below the other; None if the image is smaller."""
    rows, columns = picture.height // _SIDE, picture.width // _SIDE
    if not rows or not columns:
        return None
    fewer = max(1.0, (rows * columns / _MOST_SAMPLES) ** 0.5)
    tops, lefts = (
        np.linspace(0, side - _SIDE, max(1, int(count / fewer))).astype(int) // _BLOCK * _BLOCK
        for side, count in ((picture.height, rows), (picture.width, columns))
    )
    squares = [picture.rgb[top : top + _SIDE, left : left + _SIDE] for top in tops for left in lefts]
    return replace(picture, rgb=np.concatenate(squares), alpha=None)


def _softness(samples: np.ndarray) -> int:
    """Return the largest reduction beyond whose frequencies there is little power, compared to the octave below."""
    window = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
    windowed = (samples - samples.mean((1, 2), keepdims=True)) * (window * window[:, None])
    power = np.abs(np.fft.rfft2(windowed)) ** 2 / (np.square(window).sum() ** 2 * _SIDE**2)
    (coarse, _), (finest, share) = _band(power, *_COARSE), _band(power, *_FINEST)
    detailed = coarse >= max(_DETAIL, float(np.median(coarse)))
    if detailed.sum() < _LEAST_DETAILED:
        return 1
    noise = np.quantile(finest / share, _NOISE_QUANTILE)  # of all frequencies together
    softness = 1
    for reduction in REDUCTIONS:
        limit = 0.5 / reduction
        (kept, kept_share), (lost, lost_share) = _band(power, limit / 2, limit), _band(power, _BEYOND * limit, 1)
        ratio = np.maximum(lost - noise * lost_share, 0) / np.maximum(kept - noise * kept_share, 0.3)
        if np.quantile(np.sqrt(ratio[detailed]), _SHARPEST) <= _LOST:
            softness = reduction
    return softness


def _band(power: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float]:
    """Return the variance of each sample in a band of frequencies, and the share of all frequencies in that band."""
    down, across = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)
    frequency, twice = np.hypot(down, across), np.where((across > 0) & (across < 0.5), 2, 1)
    inside = ((frequency >= low) & (frequency < high)) * twice
    return (power * inside).sum((1, 2)), float(inside.sum()) / _SIDE**2


def _blocks(samples: np.ndarray) -> float:
    """Return how much larger the steps between columns and rows are at one of eight positions than at the others."""
    phases = np.zeros(_BLOCK)
    for lines in (samples, samples.transpose(0, 2, 1)):
        steps = np.abs(np.diff(lines, axis=2))
        sharp = np.maximum(steps[..., 1:-1] - (steps[..., :-2] + steps[..., 2:]) / 2, 0).mean((0, 1))
        phases += [sharp[phase::_BLOCK].mean() for phase in range(_BLOCK)]
    second, largest = np.sort(phases)[-2:]  # an image that was upscaled 2x has four of them
    return float((largest + _LEAST_STEP) / (second + _LEAST_STEP))
