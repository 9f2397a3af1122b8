"""Everything that the report shows of the two pictures, taken in one pass over the result's rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..output.png_rows import FinishedRows
from ..output.rendition import Rendition, reduce, to_screen
from ..output.resample import enlarge_part
from ..picture import Picture
from .histogram import Histogram
from .places import Place, choose_places
from .planes import alpha_of, grey_of, seen_of, whole_of
from .similarity import Sharpness, psnr, ssim

_STRIP_PIXELS = 1 << 18
_MEASURED_PIXELS = 1 << 24  # of a larger result only every second, third... strip is measured
_COMPARED_PIXELS = 1 << 24  # a larger input is compared at a smaller size


@dataclass(frozen=True)
class Wanted:
    """The pixels (height, width) that printing needs: of the whole picture at most, and of a place."""

    whole: tuple[int, int]
    place: tuple[int, int]


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
    before = whole_of(picture)
    grey = grey_of(before)
    channels = before.shape[2]
    shown = Rendition(height, width, channels=channels, size=_inside(size, wanted.whole), exact=True)
    reduced = Rendition(height, width, channels=channels, size=_compared(size, grey.shape), exact=True)
    places = choose_places(grey, alpha_of(before), size, wanted.place)
    crops = [np.zeros((place.height, place.width, channels), np.uint8) for place in places]
    histograms = Histogram(picture.grey), Histogram(picture.grey)
    sharpness = Sharpness(), Sharpness()
    histograms[0].add(before)
    for first, strip, is_measured in _strips(result):
        shown.add(strip)
        reduced.add(strip)
        _fill(crops, places, strip, first)
        if is_measured:
            histograms[1].add(strip)
            sharpness[0].add(enlarge_part(grey, size, (first, first + len(strip)), (0, width)), seen_of(strip))
            sharpness[1].add(grey_of(strip), seen_of(strip))
    return Findings(
        size=(width, height),
        whole=Look(reduce(before, shown.size), shown.pixels),
        places=[
            (place, Look(enlarge_part(before, size, place.rows, place.columns), crop))
            for place, crop in zip(places, crops, strict=True)
        ],
        histograms=(histograms[0].shares, histograms[1].shares),
        sharpness=(sharpness[0].value, sharpness[1].value),
        likeness=_likeness(before, reduced.pixels),
    )


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


def _likeness(before: np.ndarray, after: np.ndarray) -> Likeness:
    height, width = after.shape[:2]
    before = reduce(before, (height, width))
    seen = seen_of(before)
    colours, made = (np.ascontiguousarray(pixels[..., :3]) for pixels in (before, after))
    return Likeness(width, height, psnr(colours, made, seen), ssim(grey_of(before), grey_of(after), seen))


def _inside(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """`size` reduced to lie inside `most`, in its proportions; never enlarged."""
    factor = min(1.0, most[0] / size[0], most[1] / size[1])
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _compared(size: tuple[int, int], source: tuple[int, ...]) -> tuple[int, int]:
    """The input's size or one that is not too large; no side longer than the result's."""
    factor = min(1.0, math.sqrt(_COMPARED_PIXELS / (source[0] * source[1])))
    return min(size[0], max(1, round(source[0] * factor))), min(size[1], max(1, round(source[1] * factor)))
