"""Strength and fidelity: how a result keeps to its photo, and how well it does.

With x the photo without JPEG blocks, N the network's output, up the bicubic upscaling and d =
down(y) the averages at the photo's size, all in 8-bit levels whatever the photo's type:

    y = strength * N + (1 - strength) * up(G)        G, x without its noise and its blur
    result = y + fidelity * up(C) - up(K)            C, the correction: what x shows and y does not
                                                     K, the colour noise of x that remains

This is iterative back-projection (Irani and Peleg 1991) that ignores the photo's noise and its
blur. docs/fidelity.md explains it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy import ndarray

from ..analysis.filters import guided_coefficients, local_mean, local_variance
from ..images import NO_DEGRADATION, Box, Degradation, ceil_div, spans, widen
from ..images.colour import grey_as_rgb
from ..size import Size
from .resample import Rows, area_weights, weighted_sums

_BLURS = (0.6, 1.2)
_BLUR_TAPS = 11
_CLEANED_RADIUS = 2
_CORRECTED_RADIUS = 1
_TEXTURE_RADIUS = 2
_BROAD_RADIUS = 7
_DEBLUR_SIGMA = 0.8
_DEBLUR_TAPS = 7
_DEBLUR_GAIN = 2.0
_NOISE_OF_A_CHANNEL = 3.0
"""Noise that differs between channels is weaker in the grey image, where it is measured."""
_DIFFERENCE_HALO = _BROAD_RADIUS + _BLUR_TAPS // 2
"""Rows above and below that `difference` depends on."""
_CORRECTION_HALO = _DIFFERENCE_HALO + _BROAD_RADIUS
_COLOUR_RADIUS = 3
_COLOUR_SMOOTHNESS = 25.0
_COLOUR_HALO = 3 * _COLOUR_RADIUS
_COLOUR_STRENGTH = 0.8
"""The largest strength at which colour noise is removed completely. Above, it decreases to nothing
at 1."""
_CLEANED_HALO = 2 * _CLEANED_RADIUS + _DEBLUR_TAPS // 2
_ENLARGED_HALO = 2

_SHAPE_RADIUS = 5
METER_HALO = _DIFFERENCE_HALO + 2 * _SHAPE_RADIUS
"""Rows above and below that the measured fidelity depends on."""
_FAINT = 25.0
"""The variance of a contrast that is hardly visible."""
_ROUNDING = 0.1
"""The variance of rounding to 8 bits."""
_HIDDEN_SHARE = 0.015
_MOST_HIDDEN = 2.0
"""The share of the variance of the noise that can hide an error, up to a limit, so that noise alone
is never "low"."""
_LEAST_WEIGHT = 0.01
_CONTRASTS = (0.5, 2.0)
_WORST_SHARE = 0.01
_BINS_PER_DECIBEL = 100
_LOWEST_DB = -50
_HIGHEST_DB = 60
GRADES = {"very": 22.0, "good": 15.0, "fair": 7.0, "free": -math.inf}
"""The lowest `worst_db` of each grade. docs/fidelity.md has the measurements."""

_LEAST_ENERGY = 0.25
_BLOCK_PIXELS = 2**18
_MIN_BLOCK_ROWS = 32
_MAX_BLOCK_ROWS = 256
_AVERAGED_ROWS = 16
_MEASURED_ROWS = 64


@dataclass(frozen=True)
class Photo:
    """The photo that a result is compared with: `rows` of an image of `size`, 0..`levels`.

    `degradation` describes the whole photo, also if this is a part of it. `deblocked` returns the
    same rows without JPEG blocks, for the base layer; None for a photo without blocks.
    `first_block` is the first row and column, 0 to 7, where a block begins.
    """

    rows: Rows
    size: Size
    levels: int
    degradation: Degradation = NO_DEGRADATION
    deblocked: Rows | None = None
    first_block: tuple[int, int] = (0, 0)

    def without_blocks(self, first: int, last: int) -> ndarray:
        """Return the rows [first, last) without JPEG blocks, float32 in 8-bit levels."""
        rows = self.deblocked or self.rows
        return self.in_8_bits(rows(first, last))

    def in_8_bits(self, values: ndarray) -> ndarray:
        """Return values of the photo's levels as float32 in 8-bit levels."""
        return values.astype(np.float32, copy=False) * (255 / self.levels)


def in_blocks(compute: Rows, height: int, cached: int, start: int = 0) -> Rows:
    """Return the rows of `compute`, called only for blocks of `height` rows.

    One of the blocks begins at `start`. The last `cached` blocks are cached. Blocks can reach
    beyond the image.
    """

    @lru_cache(cached)
    def block(number: int) -> ndarray:
        return compute(start + number * height, start + (number + 1) * height)

    def rows(first: int, last: int) -> ndarray:
        numbers = range((first - start) // height, ceil_div(last - start, height))
        top = start + numbers.start * height
        blocks = np.concatenate([block(number) for number in numbers])
        return blocks[first - top : last - top]

    return rows


@dataclass(frozen=True)
class BaseLayer:
    """The base layer at the photo's size: (1 - strength) * G + fidelity * C - K."""

    network: Rows
    photo: Photo
    factor: int
    strength: float
    fidelity: float

    def rows(self) -> Rows:
        """Return the rows of the layer, float32 in 8-bit levels."""
        fitting = min(_BLOCK_PIXELS // self.photo.size.width, _MAX_BLOCK_ROWS)
        # OpenCV's box filters use running sums, so only fixed blocks give the same bits for any
        # request.
        return in_blocks(self._block, max(_MIN_BLOCK_ROWS, fitting), cached=2)

    def _block(self, first: int, last: int) -> ndarray:
        last = min(last, self.photo.size.height)
        degradation = self.photo.degradation
        rest = 1 - self.strength
        colour_share = 0.0
        if degradation.colour_noise:
            colour_share = min(rest / (1 - _COLOUR_STRENGTH), 1)
        halo = 0
        if self.fidelity:
            halo += _CORRECTION_HALO
        if colour_share:
            halo += _COLOUR_HALO
        low, high = widen(first, last, halo, self.photo.size.height)
        base, averages = self._enlarged(low, high, rest)
        if self.fidelity or colour_share:
            averages = averages + self.strength * self._averages(low, high)
        if self.fidelity:
            missing = difference(self.photo.without_blocks(low, high), averages)
            correction = self.fidelity * _correction(missing, averages, degradation.noise)
            base = base + correction
            averages = averages + correction
        if colour_share:
            base = base - colour_share * _colour_noise(averages, degradation.colour_noise)
        return base[first - low : last - low]

    def _enlarged(self, first: int, last: int, share: float) -> tuple[ndarray, ndarray]:
        """Return rows of G times `share`, and of the averages of its upscaling."""
        low, high = widen(first, last, _CLEANED_HALO + _ENLARGED_HALO, self.photo.size.height)
        photo = self.photo.without_blocks(low, high)
        cleaned = share * _cleaned(photo, self.photo.degradation)
        taps = _up_and_down(self.factor)
        averaged = cv2.sepFilter2D(cleaned, -1, taps, taps, borderType=cv2.BORDER_REPLICATE)
        inside = slice(first - low, last - low)
        return cleaned[inside], averaged[inside]

    def _averages(self, first: int, last: int) -> ndarray:
        """Return rows of the averages of the network's output.

        It is large, so a few rows at a time are read.
        """
        averages = np.empty((last - first, self.photo.size.width, 3), np.float32)
        for low, high in spans(last, _AVERAGED_ROWS, first):
            rows = self.network(self.factor * low, self.factor * high).astype(np.float32)
            size = (self.photo.size.width, high - low)
            reduced = cv2.resize(rows, size, interpolation=cv2.INTER_AREA)
            averages[low - first : high - first] = reduced
        return self.photo.in_8_bits(averages)


def _up_and_down(factor: int) -> ndarray:
    """Return the filter [5] with the effect of upscaling by `factor` and averaging down again."""
    point = np.eye(5, dtype=np.float32)[2:3]
    upscaled = cv2.resize(point, (5 * factor, 1), interpolation=cv2.INTER_CUBIC)
    return upscaled.reshape(5, factor).mean(1)


def difference(photo: ndarray, averages: ndarray) -> ndarray:
    """Return D, what the photo shows and the averages of a result do not, whatever the photo's
    blur.

    All are float32 [n, W, 3] in 8-bit levels. D is the mean of the differences from the averages as
    they are and from two blurred versions, each weighted by how well it matches the photo in the
    neighbourhood.
    """
    blurred = [cv2.GaussianBlur(averages, (_BLUR_TAPS, _BLUR_TAPS), blur) for blur in _BLURS]
    differences = [photo - version for version in (averages, *blurred)]
    energies = [local_mean(_grey(each * each), _BROAD_RADIUS) for each in differences]
    energies = np.array(energies) + _LEAST_ENERGY
    weights = (energies.min(axis=0) / energies) ** 4
    shares = map(_in_colour, weights / weights.sum(axis=0))
    return np.add.reduce([*map(cv2.multiply, differences, shares)])


def _correction(missing: ndarray, averages: ndarray, noise: float) -> ndarray:
    """Return C, the part of D to add: structure where there is texture, else low frequencies."""
    smoothness = max(25.0, (1.5 * noise) ** 2)
    spread = _grey(local_variance(averages, _TEXTURE_RADIUS))
    textured = _in_colour(spread / (spread + smoothness / 2))
    tone = local_mean(missing, _BROAD_RADIUS)
    structure = _guided(missing, averages, _CORRECTED_RADIUS, smoothness)
    return tone + textured * (structure - tone)


def _colour_noise(pixels: ndarray, noise: float) -> ndarray:
    """Return the colour noise of pixels: the detail of their chroma that does not follow their
    luma.

    Where the variance of this detail exceeds that of the noise, some of it belongs to the photo, so
    less is returned.
    """
    luma = _in_colour(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    chroma = pixels - luma
    detail = chroma - _guided(chroma, luma, _COLOUR_RADIUS, _COLOUR_SMOOTHNESS)
    variance = local_mean(_grey(detail * detail), _COLOUR_RADIUS)
    share = noise**2 / np.maximum(variance, noise**2)
    return detail * _in_colour(share)


def _cleaned(photo: ndarray, degradation: Degradation) -> ndarray:
    """Return G, the photo without detail that is no more than noise, sharpened if it is soft."""
    noise = max(degradation.noise, 0.5) ** 2
    radius = _CLEANED_RADIUS
    light = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    share_of_light = _share_of_signal(local_variance(light, radius), noise)
    share_of_channels = _share_of_signal(local_variance(photo, radius), _NOISE_OF_A_CHANNEL * noise)
    share = np.maximum(_in_colour(share_of_light), share_of_channels)
    mean = local_mean(photo, radius)
    clean = local_mean(share, radius) * photo + local_mean(mean - share * mean, radius)
    if degradation.softness == 0:
        return clean
    blurred = cv2.GaussianBlur(clean, (_DEBLUR_TAPS, _DEBLUR_TAPS), _DEBLUR_SIGMA)
    sharpened = clean + degradation.softness * _DEBLUR_GAIN * (clean - blurred)
    return np.clip(sharpened, 0, 255)


def _share_of_signal(variance: ndarray, noise: float) -> ndarray:
    """Return the share of detail to keep, from the variances of image and noise (Lee 1980)."""
    signal = np.maximum(variance - noise, 0)
    return signal / (signal + noise / 2)


def _guided(pixels: ndarray, guide: ndarray, radius: int, smoothness: float) -> ndarray:
    """Apply the guided filter to each channel; `smoothness` is a variance."""
    slope, offset = guided_coefficients(pixels, guide, radius, smoothness)
    return slope * guide + offset


def _grey(pixels: ndarray) -> ndarray:
    """Return the mean of the channels, [n, W]."""
    return cv2.transform(pixels, np.full((1, 3), 1 / 3))


def _in_colour(plane: ndarray) -> ndarray:
    """Return three equal channels, [n, W, 3]."""
    return cv2.merge([plane] * 3)


@dataclass(frozen=True)
class Fidelity:
    """How closely a result matches its photo, in dB: on average, and in the areas that differ most.

    `worst_place` is the centre of the area that differs most, x and y in pixels of the photo.
    """

    average_db: float
    worst_db: float
    worst_place: tuple[int, int]


class FidelityMeter:
    """Measures the fidelity of a result: how well it matches its photo at the photo's size and
    sharpness.

    It receives the rows of a result of `size` from top to bottom, from row `first` on. The photo is
    not larger and covers `covered` (width, height) of its pixels. That is more than `size` if the
    photo's last averages reach beyond the input; the border of the result is then repeated. Only
    the region `box` of the photo counts.

    The photo is measured in blocks of rows, as soon as the rows of the result that a block depends
    on are complete.

    The weight of a pixel depends on the contrast around it, of the photo or of the error, that
    exceeds the noise. Noise hides small errors, so the worst figure includes an error that is a
    share of the noise.
    """

    def __init__(
        self, photo: Photo, size: Size, covered: tuple[float, float], box: Box, first: int = 0
    ):
        self._photo = photo
        self._box = box
        width, height = covered
        positions, self._shares = area_weights(height, photo.size.height)
        # The positions are relative to the rows that are kept.
        self._positions = np.minimum(positions, size.height - 1) - first
        self._share_across = photo.size.width / width
        self._extra_columns = math.ceil(width) - size.width
        self._blocks = list(spans(box.bottom, _MEASURED_ROWS, box.top))
        # The rows of the result that are still needed, averaged to the width of the photo.
        self._strips: list[ndarray] = []
        self._squares = 0.0
        # A histogram by ratio in dB, because the worst hundredth is known only at the end and all
        # ratios would need too much memory.
        self._weights = np.zeros((_HIGHEST_DB - _LOWEST_DB) * _BINS_PER_DECIBEL)
        self._worst = (0.0, (0, 0))  # The largest mean of weighted ratios, and where it is.

    def add(self, rows: ndarray) -> None:
        """Add the result's next rows, uint8 or uint16 [n, W, C] with 1 to 4 channels."""
        if rows.shape[2] < 3:
            rows = grey_as_rgb(rows)
        border = (0, 0, 0, self._extra_columns, cv2.BORDER_REPLICATE)
        wide = cv2.copyMakeBorder(rows[..., :3].astype(np.float32), *border)
        share = self._share_across
        self._strips.append(cv2.resize(wide, None, fx=share, fy=1, interpolation=cv2.INTER_AREA))
        while self._blocks:
            top, bottom = self._blocks[0]
            low, high = widen(top, bottom, METER_HALO, self._photo.size.height)
            positions = self._positions[low:high]
            if positions.max() >= sum(map(len, self._strips)):
                return
            kept = np.concatenate(self._strips)
            averages = weighted_sums(kept, positions, self._shares[low:high], 0)
            passed = positions.min()
            self._strips = [kept[passed:]]
            self._positions -= passed
            self._measure(top, bottom, low, self._photo.in_8_bits(averages))
            del self._blocks[0]

    def _measure(self, top: int, bottom: int, low: int, averages: ndarray) -> None:
        """Measure the rows [top, bottom) of the photo by the averages from row `low` on."""
        photo = self._photo.without_blocks(low, low + len(averages))
        missing = difference(photo, averages)
        noise = self._photo.degradation.noise
        contrast, error = _shape_errors(photo, photo - missing, noise)
        visible = np.maximum(contrast, error)
        weights = np.maximum(visible / (visible + _FAINT), _LEAST_WEIGHT)
        signal = contrast + _FAINT
        hidden = _ROUNDING + min(_HIDDEN_SHARE * noise**2, _MOST_HIDDEN)
        distortion = error + hidden
        # Outside the image is no error, so that the worst place is rarely at the border.
        areas = local_mean(weights * distortion / signal, _SHAPE_RADIUS, cv2.BORDER_CONSTANT)
        inside = np.s_[top - low : bottom - low, self._box.left : self._box.right]
        weights = weights[inside]
        squares = _grey(missing * missing)[inside]
        self._squares += float((weights * squares).sum(dtype=float))
        decibels = 10 * np.log10((signal / distortion)[inside]) - _LOWEST_DB
        bins = (_BINS_PER_DECIBEL * decibels).astype(int).clip(0, len(self._weights) - 1)
        self._weights += np.bincount(bins.ravel(), weights.ravel(), len(self._weights))
        areas = areas[inside]
        row, column = divmod(int(areas.argmax()), areas.shape[1])
        place = (self._box.left + column, top + row)
        self._worst = max(self._worst, (float(areas[row, column]), place))

    def fidelity(self) -> Fidelity:
        """Return the fidelity of the rows so far, each figure at most 99 dB.

        `average_db` is the weighted PSNR of the difference. `worst_db` is the ratio of the photo's
        variance to the error in shape, over the worst hundredth of the weights, but at least over
        the weight of one neighbourhood.
        """
        total = self._weights.sum()
        neighbourhood = (2 * _SHAPE_RADIUS + 1) ** 2
        worst = min(max(_WORST_SHARE * total, neighbourhood), total)
        counted = np.diff(np.minimum(np.cumsum(self._weights), worst), prepend=0)
        decibels = _LOWEST_DB + (np.arange(len(counted)) + 0.5) / _BINS_PER_DECIBEL
        distortion = (counted * 10 ** (-decibels / 10)).sum() / worst
        mean_square = max(self._squares / total, 1e-12)
        _, place = self._worst
        return Fidelity(_in_decibels(255**2 / mean_square), _in_decibels(1 / distortion), place)


def _in_decibels(ratio: float) -> float:
    return round(min(99.0, float(10 * np.log10(ratio))), 2)


def fidelity_grade(decibels: float) -> str:
    """Return the grade of a `worst_db`, which is shown with one decimal."""
    return next(grade for grade, lowest in GRADES.items() if round(decibels, 1) >= lowest)


def _shape_errors(
    photo: ndarray,
    result: ndarray,
    noise: float,
) -> tuple[ndarray, ndarray]:
    """Return the variance of a photo and of its error in shape around each pixel [n, W].

    That of the noise is subtracted from both. `photo` and `result` are float32 [n, W, 3]. They are
    compared in grey, because the noise was measured in the grey image. Brightness does not count.
    The contrast of the result is multiplied by the best factor within `_CONTRASTS`, and the rest of
    the difference is the error.
    """
    photo = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    result = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)
    photo_mean = local_mean(photo, _SHAPE_RADIUS)
    result_mean = local_mean(result, _SHAPE_RADIUS)
    contrast = local_mean(photo * photo, _SHAPE_RADIUS) - photo_mean * photo_mean
    own = local_mean(result * result, _SHAPE_RADIUS) - result_mean * result_mean
    common = local_mean(photo * result, _SHAPE_RADIUS) - photo_mean * result_mean
    own_signal = np.maximum(own, 0) + _FAINT
    gain = np.clip((common + _FAINT) / own_signal, *_CONTRASTS)
    error = contrast - gain * (2 * common - gain * own)
    return np.maximum(contrast - noise**2, 0), np.maximum(error - noise**2, 0)
