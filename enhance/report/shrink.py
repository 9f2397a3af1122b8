"""A large picture made small while its strips pass by: every small pixel is the mean of what it covers."""

from __future__ import annotations

import cv2
import numpy as np


class Shrink:
    """Averages strips of a picture of `size` into `pixels`, uint8 [h, w, C], of size `small` (both height, width).

    Exact for any ratio: a pixel that lies across a border counts on both sides by its share. `small` is not larger
    than `size`.
    """

    def __init__(self, size: tuple[int, int], small: tuple[int, int], channels: int) -> None:
        self.size = small
        self.pixels = np.zeros((*small, channels), np.uint8)
        self._ratio = size[0] / small[0]
        self._taken = 0
        self._begun = 0  # the small row that the last strip left unfinished
        self._sum = np.zeros((small[1], channels), np.float32)

    def add(self, strip: np.ndarray) -> None:
        """Take the next strip from top to bottom, uint8 [n, width, C]."""
        height, width, channels = self.pixels.shape
        first, last = self._taken, self._taken + len(strip)
        self._taken = last
        across = cv2.resize(strip.astype(np.float32), (width, len(strip)), interpolation=cv2.INTER_AREA)
        across = across.reshape(len(strip), width, channels)
        end = min(int(np.ceil(last / self._ratio - 1e-9)), height)
        borders = np.clip(np.arange(self._begun, end + 1) * self._ratio, first, last) - first
        sums = np.diff(_integral(across, borders), axis=0)
        sums[0] += self._sum
        finished = end if end * self._ratio <= last + 1e-6 else end - 1
        self.pixels[self._begun : finished] = np.rint(sums[: finished - self._begun] / self._ratio)
        self._sum = sums[-1] if finished < end else np.zeros_like(self._sum)
        self._begun = finished


def _integral(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The sum of everything above each place: rows [n, ...], places 0..n with fractions; gives [len(places), ...]."""
    sums = np.zeros((len(rows) + 1, *rows.shape[1:]), np.float32)
    np.cumsum(rows, axis=0, out=sums[1:])
    whole = np.minimum(places.astype(np.int64), len(rows) - 1)
    share = (places - whole).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))
    return sums[whole] + share * rows[whole]
