"""What is measured of pictures: brightness and what can be seen, likeness, sharpness, and shares of the levels."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..output.rendition import to_screen
from ..picture import Picture

BINS = 128
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BAND = 512


def whole_of(picture: Picture) -> np.ndarray:
    """The decoded input as uint8 RGB, or RGBA where it has alpha."""
    return to_screen(picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha]))


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """Brightness [h, w] (ITU-R BT.601, as OpenCV weighs it)."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2GRAY if pixels.shape[2] == 4 else cv2.COLOR_RGB2GRAY)


def alpha_of(pixels: np.ndarray) -> np.ndarray | None:
    """Opacity [h, w]; None where all is opaque."""
    return np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None


def seen_of(pixels: np.ndarray) -> np.ndarray | None:
    """A mask [h, w] of what is at least half opaque; None where all is."""
    return cv2.inRange(pixels[..., 3], 128, 255) if pixels.shape[2] == 4 else None  # type: ignore[arg-type]


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
    for first in range(reach, height - reach, _BAND):
        last = min(first + _BAND, height - reach)
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
