"""Box filters: local means and variances, and the guided filter."""

from __future__ import annotations

import cv2
import numpy as np
from numpy import ndarray


def local_mean(pixels: ndarray, radius: int, border: int = cv2.BORDER_DEFAULT) -> ndarray:
    """Return the mean over a square of 2 * radius + 1 px around each pixel, of each channel."""
    side = 2 * radius + 1
    return cv2.blur(pixels, (side, side), borderType=border)


def local_variance(pixels: ndarray, radius: int, border: int = cv2.BORDER_DEFAULT) -> ndarray:
    """Return the variance over a square of 2 * radius + 1 px around each pixel, of each channel."""
    centre = local_mean(pixels, radius, border)
    return np.maximum(local_mean(pixels * pixels, radius, border) - centre * centre, 0)


def guided_coefficients(
    pixels: ndarray,
    guide: ndarray,
    radius: int,
    smoothness: float,
    border: int = cv2.BORDER_DEFAULT,
) -> tuple[ndarray, ndarray]:
    """Return slope and offset of the guided filter, `slope * guide + offset`, for each channel.

    `smoothness` is a variance. Slope and offset can be upscaled and applied to a finer guide. He,
    Sun and Tang: Guided image filtering, 2010, equations 5, 6 and 9; Fast guided filter, 2015.
    """
    pixels_mean = local_mean(pixels, radius, border)
    guide_mean = local_mean(guide, radius, border)
    covariance = local_mean(guide * pixels, radius, border) - guide_mean * pixels_mean
    slope = covariance / (local_variance(guide, radius, border) + smoothness)
    offset = pixels_mean - slope * guide_mean
    return local_mean(slope, radius, border), local_mean(offset, radius, border)
