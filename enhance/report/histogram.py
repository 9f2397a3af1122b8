"""How many pixels have which brightness and colour."""

from __future__ import annotations

import cv2
import numpy as np

from .planes import grey_of, seen_of

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
