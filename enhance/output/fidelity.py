"""Strength and fidelity: what the network's share stands on, so that a result keeps to its photo.

With x the photo, N the network's output, up the bicubic enlargement, d = down(y) the averages at the photo's size, all
in levels of 8 bits whatever the picture's type:

    y = strength * N + (1 - strength) * up(G)        G, the photo without its noise and its blur
    result = y + fidelity * up(C)                    C, what the photo says that y does not

This is iterative back-projection (Irani and Peleg 1991) made deaf to the photo's noise and blind to its blur.

And `Tuning`, which does that and what the other sliders say, row by row, without running the network again. Every row
can be asked for by itself, and is the same to the bit however it is asked for: the rows that a filter needs above and
below are read with it, and what keeps running sums is computed in fixed blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import cv2
import numpy as np

from ..images import FLAWLESS, Measurements
from ..settings import Settings
from .resample import Cut, Grid, enlarge_rows, rounded

Rows = Callable[[int, int], np.ndarray]
"""Gives the rows [first, last) of a picture, [last - first, W, 3] or [last - first, W]."""

_BLURS = (0.6, 1.2)
_BLUR_TAPS = 11
_CLEANED_RADIUS, _CORRECTED_RADIUS, _TEXTURE_RADIUS, _BROAD_RADIUS = 2, 1, 2, 7
_DEBLUR_SIGMA, _DEBLUR_TAPS, _DEBLUR_GAIN = 0.8, 7, 2.0
_NOISE_OF_A_CHANNEL = 3.0  # grain that differs from channel to channel is weaker in the grey that it is measured on
DIFFERENCE_HALO = _BROAD_RADIUS + _BLUR_TAPS // 2
"""Rows above and below that a difference depends on."""
_CORRECTION_HALO = DIFFERENCE_HALO + _BROAD_RADIUS
_CLEANED_HALO = 2 * _CLEANED_RADIUS + _DEBLUR_TAPS // 2
_ENLARGED_HALO = 2

_LEAST_ENERGY = 0.25
_BLOCK_PIXELS = 2**18
_BLOCK_ROWS = 32, 256
_AVERAGED_ROWS = 16


@dataclass(frozen=True)
class Photo:
    """What a result is held against: `rows` of a picture [height, width, 3] of 0..`levels`, and its flaws.

    Where it is a part of a picture, the flaws are those of the whole.
    """

    rows: Rows
    height: int
    width: int
    levels: int
    flaws: Measurements = FLAWLESS

    def part(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last), float32 in levels of 8 bits."""
        return self.rows(first, last).astype(np.float32) * np.float32(255 / self.levels)


@dataclass(eq=False)
class BaseLayer:
    """What the network's share stands on, before it is enlarged: (1 - strength) * G + fidelity * C.

    It is computed in blocks of rows whose borders depend on nothing but the width, and the last two are kept.
    """

    network: Rows
    photo: Photo
    factor: int
    strength: float
    fidelity: float
    _blocks: dict[int, np.ndarray] = field(default_factory=dict)

    def rows(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last) at the photo's size, float32 in levels of 8 bits."""
        least, most = _BLOCK_ROWS
        height = max(least, min(_BLOCK_PIXELS // self.photo.width, most))
        numbers = range(first // height, -(-last // height))
        blocks = {number: self._blocks.get(number) for number in numbers}
        found = [self._block(number, height) if block is None else block for number, block in blocks.items()]
        self._blocks = dict(zip(numbers[-2:], found[-2:], strict=True))
        start = numbers.start * height
        return np.concatenate(found)[first - start : last - start]

    def _block(self, number: int, height: int) -> np.ndarray:
        first, last = number * height, min((number + 1) * height, self.photo.height)
        halo, rest = _CORRECTION_HALO if self.fidelity else 0, 1 - self.strength
        low, high = max(first - halo, 0), min(last + halo, self.photo.height)
        ground, averages = self._enlarged(low, high, rest) if rest else (np.float32(0), np.float32(0))
        if self.fidelity:
            averages = averages + self.strength * self._averages(low, high)
            missing = difference(self.photo.part(low, high), averages)
            ground = ground + self.fidelity * _correction(missing, averages, self.photo.flaws.noise)
        return np.asarray(ground)[first - low : last - low]

    def _enlarged(self, first: int, last: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a share of G, and of the averages of its enlargement."""
        halo = _CLEANED_HALO + _ENLARGED_HALO
        low, high = max(first - halo, 0), min(last + halo, self.photo.height)
        cleaned = share * _cleaned(self.photo.part(low, high), self.photo.flaws)
        taps = _up_and_down(self.factor)
        averaged = cv2.sepFilter2D(cleaned, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)
        return cleaned[first - low : last - low], averaged[first - low : last - low]

    def _averages(self, first: int, last: int) -> np.ndarray:
        """Rows of the network's output averaged down, a few at a time: at its own size they are many."""
        averages = np.empty((last - first, self.photo.width, 3), np.float32)
        for low in range(first, last, _AVERAGED_ROWS):
            high = min(low + _AVERAGED_ROWS, last)
            rows = self.network(self.factor * low, self.factor * high).astype(np.float32)
            size = (self.photo.width, high - low)
            averages[low - first : high - first] = cv2.resize(rows, size, interpolation=cv2.INTER_AREA)
        return averages * np.float32(255 / self.photo.levels)


@cache
def _up_and_down(factor: int) -> np.ndarray:
    """What a picture goes through that is enlarged by `factor` and averaged down again, along one side [5]."""
    point = np.eye(5, dtype=np.float32)[2:3]
    return cv2.resize(point, (5 * factor, 1), interpolation=cv2.INTER_CUBIC).reshape(5, factor).mean(1)


def difference(photo: np.ndarray, averages: np.ndarray) -> np.ndarray:
    """D, what a photo has that a result averaged down to its size has not, whatever blur the photo may have.

    Both are float32 [n, W, 3] in levels of 8 bits, and so is D: the mean of the differences from the averages as they
    are and twice blurred, each weighted by how well it explains the photo around the place.
    """
    blurred = (cv2.GaussianBlur(averages, (_BLUR_TAPS, _BLUR_TAPS), blur) for blur in _BLURS)
    differences = [photo - one for one in (averages, *blurred)]
    energies = [_mean(_grey(one * one), _BROAD_RADIUS) + _LEAST_ENERGY for one in differences]
    least = np.minimum.reduce(energies)
    weights = [(least / energy) ** 4 for energy in energies]
    total = np.add.reduce(weights)
    shares = [cv2.merge([weight / total] * 3) for weight in weights]
    return np.add.reduce([cv2.multiply(one, share) for one, share in zip(differences, shares, strict=True)])


def _correction(missing: np.ndarray, averages: np.ndarray, noise: float) -> np.ndarray:
    """C, what of the difference D is to be put in: its structure where the result has some, else its broad tone."""
    smoothness = max(25.0, (1.5 * noise) ** 2)
    spread = _grey(_variance(averages, _TEXTURE_RADIUS))
    textured = cv2.merge([spread / (spread + smoothness / 2)] * 3)
    tone = _mean(missing, _BROAD_RADIUS)
    return tone + textured * (_guided(missing, averages, _CORRECTED_RADIUS, smoothness) - tone)


def _cleaned(photo: np.ndarray, flaws: Measurements) -> np.ndarray:
    """G: the photo with as much of its detail as is more than noise, sharpened as far as the whole photo is soft."""
    noise, radius = max(flaws.noise, 0.5) ** 2, _CLEANED_RADIUS
    light = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    share = cv2.merge([_share_of_signal(_variance(light, radius), noise)] * 3)
    share = np.maximum(share, _share_of_signal(_variance(photo, radius), _NOISE_OF_A_CHANNEL * noise))
    mean = _mean(photo, radius)
    clean = _mean(share, radius) * photo + _mean(mean - share * mean, radius)
    if flaws.softness == 0:
        return clean
    blurred = cv2.GaussianBlur(clean, (_DEBLUR_TAPS, _DEBLUR_TAPS), _DEBLUR_SIGMA)
    return np.clip(clean + flaws.softness * _DEBLUR_GAIN * (clean - blurred), 0, 255)


def _share_of_signal(variance: np.ndarray, noise: float) -> np.ndarray:
    """How much of a place's detail is to stay, 0 to 1, by its variance and the noise's (after Lee 1980)."""
    signal = np.maximum(variance - noise, 0)
    return signal / (signal + noise / 2)


def _guided(pixels: np.ndarray, guide: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """The guided filter (He, Sun and Tang, ECCV 2010), each channel by its own; `smoothness` is a variance."""
    mean, middle = _mean(pixels, radius), _mean(guide, radius)
    slope = _mean(guide * pixels, radius) - middle * mean
    slope /= _variance(guide, radius) + smoothness
    return _mean(slope, radius) * guide + _mean(mean - slope * middle, radius)


def _mean(pixels: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(pixels, (2 * radius + 1, 2 * radius + 1))


def _variance(pixels: np.ndarray, radius: int) -> np.ndarray:
    mean = _mean(pixels, radius)
    return np.maximum(_mean(pixels * pixels, radius) - mean * mean, 0)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """The mean of the channels, [n, W]."""
    return cv2.transform(pixels, np.full((1, 3), 1 / 3)).reshape(pixels.shape[:2])


Overlay = Callable[[np.ndarray, int], np.ndarray]
"""Gives rows of the network's size, the first of them numbered, with what a scene puts over them."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
_SHARPEN_SIGMA = 1.5
_SHARPEN_HALO = 6
_SHARPEN_GAIN = 2.0


@dataclass(frozen=True)
class Tuning:
    """One picture's way from the network's output to the result, as rows on demand.

    `network` gives rows of the network's output [s * height, s * width, 3] for `photo`, both uint8 (`levels` 255) or
    both uint16 (65535), which may be cut out of a larger one. The result is of the same type, `size` large.
    """

    network: Rows
    photo: Photo
    settings: Settings
    overlay: Overlay | None = None
    cut: Cut | None = None
    size_before: tuple[int, int] | None = None

    @cached_property
    def grid(self) -> Grid:
        """Where the result's pixels lie over the network's."""
        return Grid.of(self.settings, *(self.size_before or (self.photo.height, self.photo.width)), self.cut)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.grid.size

    def rows(self, first: int, last: int) -> np.ndarray:
        """The result's rows [first, last), rounded to the nearest level."""
        if not self.grid.resizes and not self._tunes:
            return self._overlaid(self.network(first, last), first)[:, : self.size[1]]
        height, _ = self.size
        halo = _SHARPEN_HALO if self._sharpens else 0
        low, high = max(first - halo, 0), min(last + halo, height)
        rows = self.grid.rows(self._mixed, low, high)
        if self._tunes:
            rows = _coloured(rows, self.settings, self.photo.levels)
        return rounded(rows[first - low : last - low], self.photo.levels)

    @property
    def _tunes(self) -> bool:
        one = self.settings
        return one.tuning and (one.blend, one.fidelity, one.sharpen, one.saturation, one.contrast) != (1, 0, 0, 1, 1)

    @property
    def _sharpens(self) -> bool:
        return self.settings.tuning and self.settings.sharpen > 0

    @cached_property
    def _ground(self) -> BaseLayer | None:
        one = self.settings
        mixes = one.tuning and (one.blend < 1 or one.fidelity > 0)
        return BaseLayer(self.network, self.photo, one.factor, one.blend, one.fidelity) if mixes else None

    def _mixed(self, first: int, last: int) -> np.ndarray:
        """Rows of the network's share and of what it stands on, float32 in the picture's own levels."""
        rows = self.network(first, last).astype(np.float32)
        if self._ground is not None:
            ground = enlarge_rows(self._ground.rows, self.photo.height, self.settings.factor, first, last)
            rows = cv2.addWeighted(rows, self.settings.blend, ground, self.photo.levels / 255, 0, dst=rows)
        return self._overlaid(rows, first)

    def _overlaid(self, rows: np.ndarray, first: int) -> np.ndarray:
        return rows if self.overlay is None else self.overlay(rows, first)


def _coloured(rows: np.ndarray, settings: Settings, levels: int) -> np.ndarray:
    """Contrast, saturation and sharpness; the first two bring no value to an end that was not there before.

    Sharpness is an unsharp mask on the luma alone, so that edges gain no coloured rims.
    """
    coloured = rows
    if (settings.contrast, settings.saturation) != (1, 1):
        shares = np.clip(rows, 0, levels)
        shares /= np.float32(levels)
        coloured = _saturated(_contrasted(shares, settings.contrast), settings.saturation)
        coloured *= np.float32(levels)
        np.clip(coloured, np.minimum(rows, 1), np.maximum(rows, levels - 1), out=coloured)
    if settings.sharpen > 0:
        light = cv2.transform(rows, _LUMA[None])
        blurred = cv2.GaussianBlur(light, (0, 0), _SHARPEN_SIGMA, borderType=cv2.BORDER_REPLICATE)
        detail = cv2.subtract(light, blurred)
        detail *= np.float32(settings.contrast * settings.sharpen * _SHARPEN_GAIN)
        coloured = cv2.add(coloured, cv2.merge([detail] * 3))
    return coloured


def _contrasted(colour: np.ndarray, contrast: float) -> np.ndarray:
    """Colour of 0..1 with `contrast` as the slope at middle grey; above 1 an S that never reaches beyond the ends."""
    if contrast <= 1:
        return contrast * colour + np.float32((1 - contrast) / 2)
    from_middle = 2 * colour - 1
    slope = np.float32(contrast) - np.float32(contrast - 1) * cv2.multiply(from_middle, from_middle)
    return (cv2.multiply(from_middle, slope) + 1) / 2


def _saturated(colour: np.ndarray, saturation: float) -> np.ndarray:
    """Colour of 0..1 with its distance from grey stretched; above 1 the less, the nearer it is to the gamut's edge."""
    light = cv2.transform(colour, _LUMA[None]).reshape(colour.shape[:2])
    grey = cv2.merge([light] * 3)
    chroma = cv2.subtract(colour, grey)
    if saturation <= 1:
        return grey + saturation * chroma
    channels, tiny = cv2.split(chroma), np.float32(1e-6)
    highest, lowest = cv2.max(cv2.max(*channels[:2]), channels[2]), cv2.min(cv2.min(*channels[:2]), channels[2])
    edge = cv2.max(highest / (1 - light + tiny), -lowest / (light + tiny))  # 1: on the gamut's edge
    gain = 1 + (saturation - 1) * np.maximum(1 - edge, 0)
    return cv2.add(grey, cv2.multiply(chroma, cv2.merge([gain] * 3)))
