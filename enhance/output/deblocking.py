"""A photo without the blocks of its JPEG compression, and a network's output without the steps at their borders.

The photo is compressed again with its own quantisation tables, on 16 grids that are shifted against each other, and the
results are averaged (Nosratinia, "Enhancement of JPEG-compressed images by re-application of JPEG", 2001). The borders
of blocks lie elsewhere on each grid, while real edges are on all of them.

A network keeps some of the blocks and sharpens their borders. The steps at the borders are therefore removed from its
output, each by at most the step that the averaging removes from the photo.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..analysis.jpeg import quality_of_table
from ..analysis.samples import cosines
from ..images import SourceImage
from .fidelity import Photo, Rows, in_blocks

_FIRST_CLEAN_QUALITY = 92
_SIDE = 8
_SHIFTS = [(down, (3 * down + half) % _SIDE) for down in range(_SIDE) for half in (0, _SIDE // 2)]
"""Rows and columns of the shifts. Each row and each column occurs twice, which leaves no trace of any grid."""
_ROWS, _COLUMNS = 64, 504
"""The size of a tile. Its products are so small that OpenBLAS uses one thread: several threads cost more than they save
as soon as other work is running."""
_CACHED_STRIPS = 12
"""Enough for the rows of the largest preview, which the fidelity meter reads after the tuning."""
_COSINES = np.kron(cosines(_SIDE), cosines(_SIDE))
"""The DCT of a block as one matrix [frequency, pixel]."""
_CENTRES = 128, 0.5, 0.5  # Of Y, Cr and Cb as OpenCV defines them for float32.
_STEP_HALO = 4
"""The number of rows of the photo above and below that the output without steps depends on."""

Matrices = list[tuple[np.ndarray, np.ndarray] | None]
"""For each plane the matrices [64, 64] from pixels to quantisation steps and back; None to keep a plane."""


def has_blocks(image: SourceImage) -> bool:
    """Return whether an image is a JPEG, grey or of three colours, at a quality that leaves visible blocks."""
    table = image.jpeg_table
    return bool(table) and image.mode != "CMYK" and quality_of_table(table) < _FIRST_CLEAN_QUALITY


def deblocked_rows(image: SourceImage) -> Rows:
    """Return the rows of a JPEG without its blocks, uint8 [n, W, 3]."""
    matrices = _matrices(image)
    start = -(-image.first_block[0] % _SIDE)
    return in_blocks(lambda first, last: _strip(image, matrices, first, last), _ROWS, _CACHED_STRIPS, start)


def _matrices(image: SourceImage) -> Matrices:
    light, colour = (
        np.maximum(np.array(table, np.float32), 1)  # A crafted file can have zeros.
        for table in (image.jpeg_table, image.jpeg_chroma_table)
    )
    return [
        (_COSINES.T / steps, steps[:, None] * _COSINES / len(_SHIFTS)) if steps.size else None
        for steps in (light, colour, colour)
    ]


def _strip(image: SourceImage, matrices: Matrices, first: int, last: int) -> np.ndarray:
    """Return whole rows of blocks, [last - first, W, 3], also where they reach beyond the image."""
    left, height, width = -image.first_block[1] % _SIDE, image.height, image.width
    low, high = first - _SIDE, last + _SIDE
    rows = image.rgb[max(low, 0) : min(high, height)]
    above, below, right = max(low, 0) - low, high - min(high, height), -(left + width) % _SIDE
    rows = cv2.copyMakeBorder(rows, above, below, _SIDE + left, right + _SIDE, cv2.BORDER_REPLICATE)
    strip = np.empty((last - first, left + width + right, 3), np.uint8)
    for start in range(0, strip.shape[1], _COLUMNS):
        strip[:, start : start + _COLUMNS] = _tile(rows[:, start : start + _COLUMNS + 2 * _SIDE], matrices)
    return strip[:, left : left + width]


def _tile(rgb: np.ndarray, matrices: Matrices) -> np.ndarray:
    """Return a tile, uint8 [8n + 16, 8m + 16, 3], without its blocks and its border of 8 px."""
    planes = cv2.split(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb))
    clean = [
        _recompressed(plane - centre, *pair) + centre if pair else plane
        for plane, centre, pair in zip(planes, _CENTRES, matrices, strict=True)
    ]
    colour = cv2.cvtColor(cv2.merge(clean), cv2.COLOR_YCrCb2RGB)[_SIDE:-_SIDE, _SIDE:-_SIDE]
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


def _recompressed(plane: np.ndarray, to_steps: np.ndarray, to_pixels: np.ndarray) -> np.ndarray:
    """Return the mean of a plane after compression on each grid; a border of 8 px is undefined."""
    height, width = (side - _SIDE for side in plane.shape)
    mean = np.zeros_like(plane)
    for down, across in _SHIFTS:
        part = np.s_[down : down + height, across : across + width]
        cells = plane[part].reshape(height // _SIDE, _SIDE, width // _SIDE, _SIDE).swapaxes(1, 2)
        blocks = cells.reshape(*cells.shape[:2], _SIDE * _SIDE)
        restored = np.rint(blocks @ to_steps) @ to_pixels
        mean[part] += restored.reshape(cells.shape).swapaxes(1, 2).reshape(height, width)
    return mean


def without_steps(network: Rows, photo: Photo, factor: int, share: float) -> Rows:
    """Return the rows of a network's output without the steps at the borders of a JPEG's blocks, float32 [n, W, 3].

    The output is `factor` times as large as `photo`. `share` of 0 to 1 is the part of the steps to remove.
    """
    top, left = photo.first_block

    def rows(first: int, last: int) -> np.ndarray:
        low, high = max(first // factor - _STEP_HALO, 0), min(-(-last // factor) + _STEP_HALO, photo.height)
        pixels = network(factor * low, factor * high).astype(np.float32)
        blocks = share * (
            photo.rows(low, high).astype(np.float32) - photo.without_blocks(low, high)
        )  # A JPEG has 8 bits.
        _remove_steps(pixels.swapaxes(0, 1), blocks.swapaxes(0, 1), left, factor)
        _remove_steps(pixels, blocks, (top - low) % _SIDE, factor)
        return pixels[first - factor * low : last - factor * low]

    return rows


def _remove_steps(pixels: np.ndarray, blocks: np.ndarray, first: int, factor: int) -> None:
    """Remove the steps at each 8th row of `blocks`, from row `first` on, from `pixels`, `factor` times as large.

    A step is the change within half a pixel of the photo on each side, minus what the slopes next to it explain. At
    most the step of `blocks` is removed, and nothing if the two have opposite signs. The removed part decreases to 0
    over a pixel of the photo.
    """
    near, reach = max(factor // 2, 1), factor + 1
    rows = np.arange(first, len(blocks), _SIDE)
    rows = rows[(factor * rows >= 2 * near) & (factor * rows >= reach) & (factor * rows + reach <= len(pixels))]
    if not len(rows):
        return

    def lines(offset: int) -> np.ndarray:
        start = factor * int(rows[0]) + offset
        return pixels[start : start + factor * _SIDE * (len(rows) - 1) + 1 : factor * _SIDE]

    above, below = lines(-near), lines(near - 1)
    slopes = above - lines(-2 * near) + lines(2 * near - 1) - below
    step = below - above - (2 * near - 1) / np.float32(2 * near) * slopes
    limit = np.repeat(blocks[rows] - blocks[rows - 1], factor, axis=1)
    step = np.clip(step, np.minimum(limit, 0), np.maximum(limit, 0))
    for distance in range(reach):
        ramp, rest = (distance + 0.5) / (near - 0.5), (reach - distance - 0.5) / (reach - near + 0.5)
        removed = np.float32(min(ramp, rest) / 2) * step
        below, above = lines(distance), lines(-1 - distance)
        below -= removed
        above += removed
