"""Which three places of a picture are worth a close look: the most detailed, the most even, and the middle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LONGEST = 1024  # of the reduced picture that is searched
_DARKEST, _BRIGHTEST, _BETWEEN = 12, 243, 0.8  # black borders and burnt-out skies are even, but show nothing
_SEEN = 0.9
_APART = 0.75  # of its own size a place keeps from the others


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


def choose_places(
    grey: np.ndarray, alpha: np.ndarray | None, size: tuple[int, int], wanted: tuple[int, int]
) -> tuple[Place, Place, Place]:
    """Three places of a result of `size` (height, width), each `wanted` large or as large as half a side allows.

    `grey` is the input, uint8 [H, W], and `alpha` its opacity. The places keep apart where there is room.
    """
    height, width = size
    factor = min(1.0, height / 2 / wanted[0], width / 2 / wanted[1])
    tall, wide = (max(1, min(round(side * factor), most)) for side, most in zip(wanted, size, strict=True))
    middle = ((height - tall) // 2, (width - wide) // 2)
    ratio = max(grey.shape) / min(max(grey.shape), _LONGEST)
    small = max(1, round(grey.shape[1] / ratio)), max(1, round(grey.shape[0] / ratio))
    reduced = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    seen = None if alpha is None else cv2.resize(alpha, small, interpolation=cv2.INTER_AREA)
    scale = reduced.shape[0] / height, reduced.shape[1] / width
    window = max(1, round(tall * scale[0])), max(1, round(wide * scale[1]))
    activity, usable = _windows(reduced, seen, window)

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
