"""Coherence: whether the fine detail of an image is lines, such as those of bricks.

The coherence of the structure tensor (Weickert, "Coherence-enhancing diffusion filtering", 1999) is
the difference of its eigenvalues relative to their sum.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy import ndarray

_BLUR = 0.7
_SPREAD = 1.0
"""Sigmas, in pixels, of the filters before the gradients and after their products."""
_FLAT = 4.0
"""Added to the sum, so that flat areas have a coherence of about 0."""
_MARGIN = 4
"""The width in pixels of the border of a square, which is left out because it lacks neighbours."""


def coherence_of(samples: ndarray) -> float:
    """Return the mean coherence, 0 to 1, of squares [n, side, side, 3] in 8-bit levels."""
    return float(np.mean([_coherence(square) for square in samples]))


def _coherence(square: ndarray) -> np.floating:
    grey = cv2.GaussianBlur(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), (0, 0), _BLUR)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8)
    vertical = cv2.GaussianBlur(down * down, (0, 0), _SPREAD)
    horizontal = cv2.GaussianBlur(across * across, (0, 0), _SPREAD)
    mixed = cv2.GaussianBlur(down * across, (0, 0), _SPREAD)
    # The difference and the sum of the eigenvalues of [[vertical, mixed], [mixed, horizontal]].
    difference = np.hypot(vertical - horizontal, 2 * mixed)
    total = vertical + horizontal + _FLAT
    return (difference / total)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].mean()
