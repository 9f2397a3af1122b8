"""Any part of a picture's bicubic enlargement, without making the rest of it."""

from __future__ import annotations

import math

import cv2
import numpy as np

_WIDEST = 8192  # OpenCV's affine map counts source pixels in 16 bits
_HALO = 3  # a cubic looks at two pixels beside the one it makes


def enlarged(picture: np.ndarray, size: tuple[int, int], left: int, top: int, width: int, height: int) -> np.ndarray:
    """The rectangle at `left`, `top` of the enlargement of uint8 [H, W] or [H, W, C] to `size` (height, width).

    Keys 1981 with OpenCV's a = -0.75; pixel centres aligned; the border repeats.
    """
    end = left + width
    pieces = [
        _piece(picture, size, (start, top), (min(_WIDEST, end - start), height)) for start in range(left, end, _WIDEST)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)


def _piece(picture: np.ndarray, size: tuple[int, int], corner: tuple[int, int], extent: tuple[int, int]) -> np.ndarray:
    across, down = picture.shape[1] / size[1], picture.shape[0] / size[0]
    left, right = _covered(corner[0], extent[0], across, picture.shape[1])
    top, bottom = _covered(corner[1], extent[1], down, picture.shape[0])
    # a pixel's centre lies half a pixel from its corner, in the picture and in the enlargement
    x, y = (corner[0] + 0.5) * across - 0.5 - left, (corner[1] + 0.5) * down - 0.5 - top
    return cv2.warpAffine(
        picture[top:bottom, left:right],
        np.array([[across, 0, x], [0, down, y]]),
        extent,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _covered(start: int, length: int, ratio: float, most: int) -> tuple[int, int]:
    """The source pixels that a stretch of the enlargement is made from."""
    return max(0, math.floor(start * ratio) - _HALO), min(most, math.ceil((start + length) * ratio) + _HALO)
