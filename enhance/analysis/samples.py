"""Squares that represent an image of any size, so that every estimate is bounded in time and
memory."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from numpy import ndarray

from ..images import ceil_div

SIDES = 64, 32, 16
"""The sides of the squares in pixels: the largest that fits into the image."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""The shares of the channels in the brightness."""
_MOST = 400
_GRID = 8
_BORDER_RANGE = 3
"""How far the pixels of a uniform border can be from its colour, in 8-bit levels."""
_RINGING = 16
"""How far JPEG artifacts extend from an edge, in pixels."""
_MOST_BACKGROUND = 0.35


def squares(rgb: ndarray, scale: int = 1) -> ndarray | None:
    """Return at most 400 squares from all over the image, float32 [n, side, side, 3] in 8-bit
    levels.

    They begin at multiples of 8 px. With a `scale`, the image is averaged down by this factor
    first. Returns None for an image that is too small.
    """
    height, width = rgb.shape[:2]
    fitting = [side for side in SIDES if side * scale <= min(height, width)]
    if not fitting:
        return None
    side = fitting[0]
    reach = side * scale
    # The squares of a small image overlap.
    rows = ceil_div(height, reach)
    columns = ceil_div(width, reach)
    # An extremely long image has more squares along one side than in total.
    fewer = max(1.0, (rows * columns / _MOST) ** 0.5)
    down = max(1, min(int(rows / fewer), _MOST))
    across = max(1, min(int(columns / fewer), _MOST // down))
    corners = product(_starts(height - reach, down), _starts(width - reach, across))
    parts = [rgb[top : top + reach, left : left + reach] for top, left in corners]
    samples = [cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in parts]
    return np.stack(samples).astype(np.float32) * np.float32(255 / np.iinfo(rgb.dtype).max)


def _starts(last: int, count: int) -> ndarray:
    """Return `count` multiples of 8 that are evenly distributed from 0 to `last`."""
    return np.linspace(0, last, count).astype(int) // _GRID * _GRID


def without_border(rgb: ndarray) -> ndarray:
    """Return an image [H, W, 3] without its uniform border.

    The remaining part begins at a multiple of 8 px.

    A drawing on a uniform background is returned unchanged. Much of the outline of its bounding box
    is background. The outline is examined 16 px inside, because JPEG artifacts extend that far from
    the border.
    """
    before = _is_like(rgb, rgb[0, 0])
    after = _is_like(rgb, rgb[-1, -1])
    rows = _inside(np.all(before, axis=1), np.all(after, axis=1))
    columns = _inside(np.all(before, axis=0), np.all(after, axis=0))
    inside = rgb[rows, columns]
    if min(inside.shape[:2]) < SIDES[0]:
        return rgb
    middle = before[rows, columns][_RINGING:-_RINGING, _RINGING:-_RINGING]
    outline = np.concatenate([middle[0], middle[-1], middle[:, 0], middle[:, -1]])
    if outline.mean() > _MOST_BACKGROUND:
        return rgb
    return inside


def _is_like(rgb: ndarray, colour: ndarray) -> ndarray:
    """Return which pixels have nearly this colour, [H, W]."""
    tolerance = _BORDER_RANGE * (np.iinfo(rgb.dtype).max // 255)
    levels = colour.astype(float)
    return cv2.inRange(rgb, levels - tolerance, levels + tolerance).astype(bool)


def _inside(before: ndarray, after: ndarray) -> slice:
    """Return the lines from the first one that is not `before` the photo to the last one that is
    not `after` it, starting at a multiple of 8."""
    if before.all() or after.all():
        return slice(0)
    first = int(np.argmin(before))
    return slice(first // _GRID * _GRID, len(after) - int(np.argmin(after[::-1])))


def blocks_of(samples: ndarray, side: int) -> ndarray:
    """Return the blocks of `side` x `side` pixels of squares [n, h, w, ...] as
    [m, ..., side, side]."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, (side, side), axis=(1, 2))
    blocks = windows[:, ::side, ::side]
    return blocks.reshape(-1, *blocks.shape[3:])


def dct(blocks: ndarray) -> ndarray:
    """Return the orthonormal DCT-II of blocks [..., side, side]."""
    transform = cosines(blocks.shape[-1])
    return transform @ blocks @ transform.T


def cosines(side: int) -> ndarray:
    """Return the matrix of the orthonormal DCT-II [side, side], one frequency a row."""
    # The inverse transform of a single frequency is its cosine.
    return cv2.dct(np.eye(side), flags=cv2.DCT_INVERSE | cv2.DCT_ROWS).astype(np.float32)
