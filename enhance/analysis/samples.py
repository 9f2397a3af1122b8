"""Squares that represent an image of any size, so that every estimate is bounded in time and memory."""

from __future__ import annotations

import cv2
import numpy as np

SIDES = 64, 32, 16
"""The sides of the squares in pixels: the largest that fits into the image."""
_MOST = 400
_GRID = 8
_BORDER_RANGE, _RINGING, _MOST_BACKGROUND = 3, 16, 0.35


def squares(rgb: np.ndarray, scale: int = 1) -> np.ndarray | None:
    """Return at most 400 squares from all over the image, float32 [n, side, side, 3] in 8-bit levels.

    They begin at multiples of 8 px. With a `scale`, the image is averaged down by this factor first. Returns None for
    an image that is too small.
    """
    height, width = rgb.shape[:2]
    side = next((side for side in SIDES if side * scale <= min(height, width)), None)
    if side is None:
        return None
    reach = side * scale
    rows, columns = -(-height // reach), -(-width // reach)  # The squares of a small image overlap.
    # An extremely long image has more squares along one side than in total.
    fewer = max(1.0, (rows * columns / _MOST) ** 0.5)
    down = max(1, min(int(rows / fewer), _MOST))
    across = max(1, min(int(columns / fewer), _MOST // down))
    if across == 1:
        down = min(rows, _MOST)
    tops = np.linspace(0, height - reach, down).astype(int) // _GRID * _GRID
    lefts = np.linspace(0, width - reach, across).astype(int) // _GRID * _GRID
    cut = [rgb[top : top + reach, left : left + reach] for top in tops for left in lefts]
    if scale > 1:
        cut = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in cut]
    return np.stack(cut).astype(np.float32) * np.float32(255 / np.iinfo(rgb.dtype).max)


def without_border(rgb: np.ndarray) -> np.ndarray:
    """Return an image [H, W, 3] without its uniform border. The remaining part begins at a multiple of 8 px.

    A drawing on a uniform background is returned unchanged. Much of the outline of its bounding box is background.
    The outline is examined 16 px inside, because JPEG artifacts extend that far from the border.
    """
    if min(rgb.shape[:2]) < SIDES[0]:
        return rgb
    tolerance = _BORDER_RANGE * (np.iinfo(rgb.dtype).max // 255)
    down, across = (_inside(lines, tolerance) for lines in (rgb, rgb.swapaxes(0, 1)))
    inside = rgb[down, across]
    if inside.shape == rgb.shape or min(inside.shape[:2]) < SIDES[0]:
        return rgb
    middle = inside[_RINGING:-_RINGING, _RINGING:-_RINGING]
    outline = np.concatenate([middle[0], middle[-1], middle[:, 0], middle[:, -1]]).astype(int)
    is_background = (np.abs(outline - rgb[0, 0]) <= tolerance).all(1)
    return rgb if is_background.mean() > _MOST_BACKGROUND else inside


def _inside(lines: np.ndarray, tolerance: int) -> slice:
    """Return the lines without the uniform lines at both ends, starting at a multiple of 8."""
    count = len(lines)
    first = next((n for n in range(count) if _differs(lines[n], lines[0, 0], tolerance)), 0)
    last = next((n for n in range(count - 1, first, -1) if _differs(lines[n], lines[-1, -1], tolerance)), count - 1)
    return slice(first // _GRID * _GRID, last + 1)


def _differs(line: np.ndarray, colour: np.ndarray, tolerance: int) -> bool:
    levels = np.asarray(colour, int)
    return bool((line.max(0) > levels + tolerance).any() or (line.min(0) < levels - tolerance).any())


def blocks_of(samples: np.ndarray, side: int) -> np.ndarray:
    """Return the blocks of `side` x `side` pixels of squares [n, h, w, ...] as [m, side, side, ...]."""
    count, height, width, *rest = samples.shape
    rows, columns = height // side, width // side
    whole = samples[:, : rows * side, : columns * side]
    cells = whole.reshape(count, rows, side, columns, side, *rest).swapaxes(2, 3)
    return cells.reshape(count * rows * columns, side, side, *rest)


def cosines(side: int) -> np.ndarray:
    """Return the matrix of the orthonormal DCT-II [side, side], one frequency a row."""
    frequency, place = np.arange(side)[:, None], np.arange(side)
    matrix = np.cos(np.pi * (2 * place + 1) * frequency / (2 * side)) * np.sqrt(2 / side)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
