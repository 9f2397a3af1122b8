"""Coherence: whether the fine detail of an image is lines, such as those of bricks.

The coherence of the structure tensor (Weickert, "Coherence-enhancing diffusion filtering", 1999) is the difference of
its eigenvalues relative to their sum.
"""

from __future__ import annotations

import cv2
import numpy as np

_BLUR, _SPREAD = 0.7, 1.0
"""Sigmas, in pixels, of the filters before the gradients and after their products."""
_FLAT = 4.0
"""Added to the sum, so that flat areas have a coherence of about 0."""
_MARGIN = 4
"""The width in pixels of the border of a square, which is left out because it lacks neighbours."""


def coherence_of(samples: np.ndarray) -> float:
    """Return the mean coherence, 0 to 1, of squares [n, side, side, 3] in 8-bit levels."""
    return float(np.mean([_coherence(one)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].mean() for one in samples]))


def _coherence(square: np.ndarray) -> np.ndarray:
    grey = cv2.GaussianBlur(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), (0, 0), _BLUR)
    down, across = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((0, 1), (1, 0)))
    vertical, horizontal, mixed = (
        cv2.GaussianBlur(product, (0, 0), _SPREAD) for product in (down * down, across * across, down * across)
    )
    # The difference and the sum of the eigenvalues of [[vertical, mixed], [mixed, horizontal]].
    return np.hypot(vertical - horizontal, 2 * mixed) / (vertical + horizontal + _FLAT)
