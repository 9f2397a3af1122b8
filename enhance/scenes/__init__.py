"""What a picture looks like, and what suits it: a scene around the network, another preset, or a reduction.

Haze is taken off before the network, faces are restored after it. What suits a picture is said to the person, and never
done without being asked.

How soft, noisy and compressed a photo is, is told from its pixels. A photo's spectrum falls steadily: each octave of
frequencies holds about as much as the one below. A soft photo's falls at once, so it can be made smaller without losing
anything. It is looked at in small places all over the picture; the sharpest of those that show something decide, so
that a blurred background makes no photo soft.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..images import Picture

NOISY, COMPRESSED = 5.0, 1.5
"""From this noise, and from these steps between JPEG's blocks, a picture looks noisy, or heavily compressed."""
CLEAN_NOISE, CLEAN_BLOCKS, CLEAN_SOFTNESS = 2.0, 1.12, 0.3
"""Below all three of these a picture looks clean: less noise than 3 levels, no JPEG 75, no blur of 0.6 px."""
SUITED: dict[str, str | None] = {
    "dehaze": "dehaze",
    "face": "face",
    "noisy": None,
    "compressed": None,
    "clean": "precise",
}
"""The preset that measures best for a picture that looks like this; None where none is better than the usual one."""

BEST_REDUCTION = 2
"""The most that is offered: it measures best for a photo that is softer still too, docs/fidelity.md."""
REDUCTIONS = (2, 3, 4)

# Chosen on photos that were sharp, made soft by 2, 3 and 4, noisy and compressed: docs/fidelity.md.
_LOST = 0.27
_SHARPEST = 0.9

_SIDE = 64
_BLOCK = 8
"""The side of JPEG's blocks, in pixels."""
_MOST_PLACES = 400
_FEWEST_TELLING = 5
_TELLING = 9.0
"""The least variance of a place's coarse detail, in levels of 8 bits."""
_COARSE = 0.03, 0.125
_FINEST = 0.4, 0.71
"""Frequencies in cycles a pixel, along the diagonal too."""
_BEYOND = 1.25
_NOISE_PLACES = 0.4
_LEAST_STEP = 0.1


@dataclass(frozen=True)
class Hint:
    """What a picture looks like (dehaze, face, noisy, compressed, clean, soft), and the preset or reduction for it."""

    looks: str
    preset: str | None = None
    reduce: int = 1


def hints(picture: Picture, detector: Path | None) -> tuple[Hint, ...]:
    """What may suit it: `dehaze` where it looks hazy, `face` where `detector` (its file, if here) sees one, and so on.

    Takes up to a second for a large picture.
    """
    # only here, so that one scene can be imported without what the others need
    from .dehaze import HAZY, haze_amount
    from .face_detection import find_faces

    known = degradation_of(picture)
    hazy = haze_amount(picture.rgb) >= HAZY
    looks = {
        "dehaze": hazy,
        "face": detector is not None and bool(find_faces(picture.rgb, detector, precise=False)),
        "noisy": known.noise >= NOISY,
        "compressed": known.blocks >= COMPRESSED,
        "clean": not hazy and known.is_clean and picture.softness < CLEAN_SOFTNESS,
    }
    found = [Hint(look, SUITED[look]) for look, so in looks.items() if so and SUITED[look]]
    reduce = min(known.softness, BEST_REDUCTION)
    return (*found, Hint("soft", reduce=reduce)) if reduce > 1 else tuple(found)


@dataclass(frozen=True)
class Degradation:
    """How soft, noisy and compressed a picture is.

    `softness` 1 to 4 is how many times smaller, in width and height, it still holds its detail; `noise` the standard
    deviation in levels of 8 bits; `blocks` how much larger the steps between JPEG's blocks are than any inside, 1
    where no blocks are seen.
    """

    softness: int
    noise: float
    blocks: float

    @property
    def is_clean(self) -> bool:
        return self.softness == 1 and self.noise < CLEAN_NOISE and self.blocks < CLEAN_BLOCKS


def degradation_of(picture: Picture) -> Degradation:
    """What the picture's pixels tell of what it went through; a tenth of a second for a large one."""
    sample = _sample(picture)
    if sample is None:
        return Degradation(1, picture.noise, 1.0)
    grey = cv2.cvtColor(sample.rgb.astype(np.float32) * (255 / sample.levels), cv2.COLOR_RGB2GRAY)
    places = grey.reshape(-1, _SIDE, _SIDE)
    return Degradation(_softness(places), sample.noise, _blocks(places))


def _sample(picture: Picture) -> Picture | None:
    """Places all over the picture, each of whole blocks, one below the other; None where it is smaller than a place."""
    rows, columns = picture.height // _SIDE, picture.width // _SIDE
    if not rows or not columns:
        return None
    fewer = max(1.0, (rows * columns / _MOST_PLACES) ** 0.5)
    tops, lefts = (
        np.linspace(0, side - _SIDE, max(1, int(count / fewer))).astype(int) // _BLOCK * _BLOCK
        for side, count in ((picture.height, rows), (picture.width, columns))
    )
    places = [picture.rgb[top : top + _SIDE, left : left + _SIDE] for top in tops for left in lefts]
    return replace(picture, rgb=np.concatenate(places), alpha=None)


def _softness(places: np.ndarray) -> int:
    """The largest reduction that loses next to nothing of the octave of frequencies below what it can hold."""
    window = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
    shown = (places - places.mean((1, 2), keepdims=True)) * (window * window[:, None])
    power = np.abs(np.fft.rfft2(shown)) ** 2 / (np.square(window).sum() ** 2 * _SIDE**2)
    (coarse, _), (finest, share) = _band(power, *_COARSE), _band(power, *_FINEST)
    telling = coarse >= max(_TELLING, float(np.median(coarse)))
    if telling.sum() < _FEWEST_TELLING:
        return 1
    noise = np.quantile(finest / share, _NOISE_PLACES)  # of all frequencies together
    softness = 1
    for reduction in REDUCTIONS:
        limit = 0.5 / reduction
        (held, held_share), (lost, lost_share) = _band(power, limit / 2, limit), _band(power, _BEYOND * limit, 1)
        ratio = np.maximum(lost - noise * lost_share, 0) / np.maximum(held - noise * held_share, 0.3)
        if np.quantile(np.sqrt(ratio[telling]), _SHARPEST) <= _LOST:
            softness = reduction
    return softness


def _band(power: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float]:
    """The variance of each place in a band of frequencies, and the share of all frequencies that lies in it."""
    down, across = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)
    frequency, twice = np.hypot(down, across), np.where((across > 0) & (across < 0.5), 2, 1)
    inside = ((frequency >= low) & (frequency < high)) * twice
    return (power * inside).sum((1, 2)), float(inside.sum()) / _SIDE**2


def _blocks(places: np.ndarray) -> float:
    """How much larger the steps from column to column, and row to row, are at one of eight than at any other."""
    phases = np.zeros(_BLOCK)
    for turned in (places, places.transpose(0, 2, 1)):
        steps = np.abs(np.diff(turned, axis=2))
        sharp = np.maximum(steps[..., 1:-1] - (steps[..., :-2] + steps[..., 2:]) / 2, 0).mean((0, 1))
        phases += [sharp[phase::_BLOCK].mean() for phase in range(_BLOCK)]
    second, largest = np.sort(phases)[-2:]  # a picture that was enlarged twice has four of them
    return float((largest + _LEAST_STEP) / (second + _LEAST_STEP))
