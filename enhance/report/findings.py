"""Everything that the report shows of the two pictures, taken in one pass over the result's rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..output.finished import FinishedRows
from ..output.rendition import (
    Averages,
    Rendition,
    grey_of,
    seen_of,
    small_size,
    to_screen,
    whole_picture,
)
from ..output.resample import Span, enlarge_part
from ..picture import Picture

_STRIP_PIXELS = 1 << 18
_MEASURED_PIXELS = 1 << 24  # of a larger result only every second, third... strip is measured
_COMPARED_PIXELS = 1 << 24  # a larger input is compared at a smaller size
_LONGEST = 1024  # of the reduced picture that is searched for places
_DARKEST, _BRIGHTEST, _BETWEEN = 12, 243, 0.8  # black borders and burnt-out skies are even, but show nothing
_SEEN = 0.9
_APART = 0.75  # of its own size a place keeps from the others
_WINDOW, _SIGMA = 11, 1.5  # of SSIM
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BAND = 512  # rows, or fewer of a wide picture
_BAND_PIXELS = 1 << 20
BINS = 128


class Histogram:
    """Counts the seen pixels of strips: brightness, and unless `grey` red, green and blue."""

    def __init__(self, grey: bool) -> None:
        self._counts = np.zeros((1 if grey else 4, BINS))

    def add(self, strip: np.ndarray) -> None:
        """Take uint8 RGB or RGBA [n, W, C]."""
        seen = seen_of(strip)
        for row, plane in enumerate((grey_of(strip), *cv2.split(strip))[: len(self._counts)]):
            self._counts[row] += cv2.calcHist([plane], [0], seen, [BINS], [0, 256]).ravel()

    @property
    def shares(self) -> np.ndarray:
        """[1 or 4, BINS]; every row sums to 1, or to 0 if nothing was seen."""
        return self._counts / np.maximum(self._counts.sum(axis=1, keepdims=True), 1)


@dataclass(frozen=True)
class Wanted:
    """The pixels (height, width) that printing needs: of the whole picture at most, and of a place."""

    whole: tuple[int, int]
    place: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A rectangle in pixels of the result; `kind` is detailed, even or middle."""

    kind: str
    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> tuple[int, int]:
        return self.top, self.top + self.height

    @property
    def columns(self) -> tuple[int, int]:
        return self.left, self.left + self.width


@dataclass(frozen=True, eq=False)
class Look:
    """The same part before and after, uint8 RGB or RGBA [h, w, C] of equal size, in the picture's own colour space."""

    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Likeness:
    """The result averaged down to `width` x `height`, against the input: PSNR in dB of the colours, SSIM of the grey.

    Both are None if nothing can be seen. What tuning changed is part of the difference.
    """

    width: int
    height: int
    psnr: float | None
    ssim: float | None


@dataclass(frozen=True, eq=False)
class Findings:
    """What was seen and measured of a picture and its result of `size` (width, height).

    `histograms` and `sharpness` are before and after; the first sharpness is that of the bicubic enlargement, so that
    both belong to pictures of one size (None for a picture without inner pixels).
    """

    size: tuple[int, int]
    whole: Look
    places: list[tuple[Place, Look]]
    histograms: tuple[np.ndarray, np.ndarray]
    sharpness: tuple[float | None, float | None]
    likeness: Likeness


def examine(result: FinishedRows, picture: Picture, wanted: Wanted) -> Findings:
    """Read the result once from top to bottom, holding one strip of it at a time."""
    height, width = size = result.size
    of = picture.height, picture.width
    channels = 3 if picture.alpha is None else 4
    shown = Rendition(height, width, channels=channels, size=_inside(size, wanted.whole), exact=True)
    reduced = Rendition(height, width, channels=channels, size=_compared(size, of), exact=True)
    histograms = Histogram(picture.grey), Histogram(picture.grey)
    places = choose_places(*_searched(picture, histograms[0]), size, wanted.place)
    crops = [np.zeros((place.height, place.width, channels), np.uint8) for place in places]
    sharpness = Sharpness(), Sharpness()

    def colours(rows: Span, columns: Span) -> np.ndarray:
        return part_of(picture, rows, columns)

    def greys(rows: Span, columns: Span) -> np.ndarray:
        return grey_of(colours(rows, columns))

    for first, strip, is_measured in _strips(result):
        shown.add(strip)
        reduced.add(strip)
        _fill(crops, places, strip, first)
        if is_measured:
            histograms[1].add(strip)
            enlarged = enlarge_part(greys, of, size, (first, first + len(strip)), (0, width))
            sharpness[0].add(enlarged, seen_of(strip))
            sharpness[1].add(grey_of(strip), seen_of(strip))
    return Findings(
        size=(width, height),
        whole=Look(whole_picture(picture, shown.size), shown.pixels),
        places=[
            (place, Look(enlarge_part(colours, of, size, place.rows, place.columns), crop))
            for place, crop in zip(places, crops, strict=True)
        ],
        histograms=(histograms[0].shares, histograms[1].shares),
        sharpness=(sharpness[0].value, sharpness[1].value),
        likeness=_likeness(picture, reduced.pixels),
    )


def part_of(picture: Picture, rows: Span, columns: Span) -> np.ndarray:
    """Some rows and columns of the decoded input as uint8 RGB, or RGBA where it has alpha."""
    part = slice(*rows), slice(*columns)
    colour = picture.rgb[part]
    return to_screen(colour if picture.alpha is None else np.dstack([colour, picture.alpha[part]]))


def _searched(picture: Picture, histogram: Histogram) -> tuple[np.ndarray, np.ndarray | None]:
    """The input's brightness and opacity, reduced for a search; all of its pixels are counted on the way."""
    height, width = picture.height, picture.width
    averages, means = Averages(height, *small_size(width, height, _LONGEST)), []
    step = max(1, _STRIP_PIXELS // width)
    for first in range(0, height, step):
        strip = part_of(picture, (first, min(first + step, height)), (0, width))
        histogram.add(strip)
        means.append(averages.add(np.dstack([grey_of(strip), *cv2.split(strip)[3:]])))
    grey, *alpha = cv2.split(np.rint(np.concatenate(means)).astype(np.uint8))
    return grey, alpha[0] if alpha else None


def _strips(result: FinishedRows) -> Iterator[tuple[int, np.ndarray, bool]]:
    """All of the result as uint8 RGB or RGBA: the first row's number, the strip, and whether it is to be measured."""
    height, width = result.size
    step = max(4, _STRIP_PIXELS // width)
    every = math.ceil(height * width / _MEASURED_PIXELS)
    for number, first in enumerate(range(0, height, step)):
        yield first, to_screen(result.rows(first, min(first + step, height))), number % every == 0


def _fill(crops: list[np.ndarray], places: tuple[Place, ...], strip: np.ndarray, first: int) -> None:
    """Copy what the strip has of each place."""
    for crop, place in zip(crops, places, strict=True):
        low, high = max(place.rows[0], first), min(place.rows[1], first + len(strip))
        if low < high:
            crop[low - place.top : high - place.top] = strip[low - first : high - first, slice(*place.columns)]


def _likeness(picture: Picture, after: np.ndarray) -> Likeness:
    height, width = after.shape[:2]
    before = whole_picture(picture, (height, width))
    seen = seen_of(before)
    decibels = psnr(np.ascontiguousarray(before[..., :3]), np.ascontiguousarray(after[..., :3]), seen)
    return Likeness(width, height, decibels, ssim(grey_of(before), grey_of(after), seen))


def _inside(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """`size` reduced to lie inside `most`, in its proportions; never enlarged."""
    factor = min(1.0, most[0] / size[0], most[1] / size[1])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _compared(size: tuple[int, int], source: tuple[int, ...]) -> tuple[int, int]:
    """The input's size or one that is not too large; no side longer than the result's."""
    factor = min(1.0, math.sqrt(_COMPARED_PIXELS / (source[0] * source[1])))
    return min(size[0], max(1, round(source[0] * factor))), min(size[1], max(1, round(source[1] * factor)))


def choose_places(
    grey: np.ndarray, alpha: np.ndarray | None, size: tuple[int, int], wanted: tuple[int, int]
) -> tuple[Place, Place, Place]:
    """Three places of a result of `size` (height, width), each `wanted` large or as large as half a side allows.

    `grey` is the input at any size, uint8 [h, w], and `alpha` its opacity. The places keep apart where there is room.
    """
    height, width = size
    factor = min(1.0, height / 2 / wanted[0], width / 2 / wanted[1])
    tall, wide = (max(1, min(round(side * factor), most)) for side, most in zip(wanted, size, strict=True))
    middle = ((height - tall) // 2, (width - wide) // 2)
    scale = grey.shape[0] / height, grey.shape[1] / width
    window = max(1, round(tall * scale[0])), max(1, round(wide * scale[1]))
    activity, usable = _windows(grey, alpha, window)

    def away(place: tuple[int, int]) -> None:
        """Leave places near this one out of the search, unless that leaves nothing."""
        rows = np.abs(np.arange(usable.shape[0]) - place[0] * scale[0]) < _APART * window[0]
        columns = np.abs(np.arange(usable.shape[1]) - place[1] * scale[1]) < _APART * window[1]
        rest = usable & ~(rows[:, None] & columns)
        if rest.any():
            usable[:] = rest

    def found(index: np.intp) -> tuple[int, int]:
        row, column = np.unravel_index(index, usable.shape)
        return min(round(row / scale[0]), height - tall), min(round(column / scale[1]), width - wide)

    away(middle)
    detailed = found(np.argmax(np.where(usable, activity, -np.inf)))
    away(detailed)
    even = found(np.argmin(np.where(usable, activity, np.inf)))
    named = {"detailed": detailed, "even": even, "middle": middle}
    first, second, third = (Place(kind, left, top, wide, tall) for kind, (top, left) in named.items())
    return first, second, third


def _windows(grey: np.ndarray, seen: np.ndarray | None, window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For every window inside the picture, by its top left pixel: the mean step between neighbours, and its worth."""
    values = grey.astype(np.float32)
    steps = np.abs(np.diff(values, axis=0, append=values[-1:])) + np.abs(np.diff(values, axis=1, append=values[:, -1:]))
    usable = np.ones((grey.shape[0] - window[0] + 1, grey.shape[1] - window[1] + 1), bool)
    between = (grey > _DARKEST) & (grey < _BRIGHTEST)
    worth = _means(between.astype(np.float32), window) >= _BETWEEN
    if seen is not None:
        worth &= _means(seen.astype(np.float32), window) >= _SEEN * 255
    return _means(steps, window), worth if worth.any() else usable


def _means(values: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """The mean of `values` over every window that lies inside."""
    sums = cv2.integral(values, sdepth=cv2.CV_64F)
    tall, wide = window
    return (sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]) / (tall * wide)


def psnr(one: np.ndarray, other: np.ndarray, mask: np.ndarray | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB of two uint8 pictures [H, W] or [H, W, C]; infinite if they are equal.

    Only pixels where `mask` [H, W] is not 0 count; None if there are none.
    """
    channels = 1 if one.ndim == 2 else one.shape[2]
    count = one.shape[0] * one.shape[1] if mask is None else cv2.countNonZero(mask)
    if count == 0:
        return None
    error = cv2.norm(one, other, cv2.NORM_L2SQR, mask) / (count * channels)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(one: np.ndarray, other: np.ndarray, mask: np.ndarray | None = None) -> float | None:
    """Structural similarity of two uint8 pictures [H, W], 1 if they are equal.

    Wang, Bovik, Sheikh and Simoncelli 2004: Gaussian window of 11 px with sigma 1.5, K1 = 0.01, K2 = 0.03, the mean
    over all windows that lie in the picture (over all there are in one smaller than a window). Only places where
    `mask` is not 0 count; None if there are none.
    """
    height, width = one.shape
    reach = _WINDOW // 2 if min(height, width) >= _WINDOW else 0
    total, count = 0.0, 0
    band = max(2 * _WINDOW, min(_BAND, _BAND_PIXELS // width))
    for first in range(reach, height - reach, band):
        last = min(first + band, height - reach)
        # whole windows for the band's rows, so that bands give the same as the whole
        low, high = max(first - _WINDOW, 0), min(last + _WINDOW, height)
        similar = _ssim_map(one[low:high], other[low:high])[first - low : last - low, reach : width - reach]
        if mask is None:
            total, count = total + float(similar.sum()), count + similar.size
        else:
            seen = mask[first:last, reach : width - reach] != 0
            total, count = total + float(similar[seen].sum()), count + int(seen.sum())
    return total / count if count else None


def _ssim_map(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT)

    x, y = one.astype(np.float32), other.astype(np.float32)
    mean_x, mean_y = mean(x), mean(y)
    across = mean(x * y) - mean_x * mean_y
    spread = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    return (2 * mean_x * mean_y + _C1) * (2 * across + _C2) / ((mean_x**2 + mean_y**2 + _C1) * (spread + _C2))


class Sharpness:
    """Variance of the Laplacian (Pech-Pacheco and others 2000) of a picture that comes in strips.

    A higher number means more and finer edges; it can be compared only between pictures of one size.
    """

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, grey: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Take a strip, uint8 [n, W]; its outermost pixels only surround the others."""
        if min(grey.shape) < 3:
            return
        laplacian = cv2.Laplacian(grey, cv2.CV_16S)[1:-1, 1:-1]
        inner = None if mask is None else np.ascontiguousarray(mask[1:-1, 1:-1])
        count = laplacian.size if inner is None else cv2.countNonZero(inner)
        mean, deviation = (float(value.ravel()[0]) for value in cv2.meanStdDev(laplacian, mask=inner))
        self._count += count
        self._sum += mean * count
        self._squares += (deviation**2 + mean**2) * count

    @property
    def value(self) -> float | None:
        """None for a picture without inner pixels."""
        if self._count == 0:
            return None
        return self._squares / self._count - (self._sum / self._count) ** 2
