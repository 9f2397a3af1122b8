"""The guided filter: a coarse map takes over the edges of the picture that it belongs to."""

from __future__ import annotations

import cv2
import numpy as np


def guided_coefficients(
    guide: np.ndarray, coarse: np.ndarray, radius: int, smoothness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset [H, W] with which `slope * guide + offset` is `coarse`, smoothed but for the guide's edges.

    `guide` and `coarse` are float32 [H, W], the guide in 0..1; `smoothness` is the variance of the guide below which it
    counts as flat. Slope and offset are smooth, so they may be enlarged and applied to a finer guide. He, Sun, Tang:
    Guided image filtering, 2010, equations 5, 6 and 9; the enlargement is their fast guided filter, 2015.
    """
    mean_guide, mean_coarse = _box(guide, radius), _box(coarse, radius)
    covariance = _box(guide * coarse, radius) - mean_guide * mean_coarse
    variance = _box(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (np.maximum(variance, 0) + smoothness)
    return _box(slope, radius), _box(mean_coarse - slope * mean_guide, radius)


def _box(plane: np.ndarray, radius: int) -> np.ndarray:
    return cv2.blur(plane, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)
