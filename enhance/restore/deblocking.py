"""A photo without the blocks of its JPEG compression, and a network's output without the steps at
their borders.

The photo is compressed again with its own quantisation tables, on 16 grids that are shifted against
each other, and the results are averaged (Nosratinia, "Enhancement of JPEG-compressed images by
re-application of JPEG", 2001). The borders of blocks lie elsewhere on each grid, while real edges
are on all of them.

A network keeps some of the blocks and sharpens their borders. The steps at the borders are
therefore removed from its output, each by at most the step that the averaging removes from the
photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
from numpy import ndarray

from ..analysis.jpeg import quality_of_table
from ..analysis.samples import cosines
from ..images import SourceImage, ceil_div, spans, widen
from .fidelity import Photo, in_blocks
from .resample import Rows, rounded

_FIRST_CLEAN_QUALITY = 92
_SIDE = 8
_SHIFTS = [(down, (3 * down + half) % _SIDE) for down in range(_SIDE) for half in (0, _SIDE // 2)]
"""Rows and columns of the shifts. Each row and each column occurs twice, which leaves no trace of
any grid."""
_ROWS = 64
_COLUMNS = 504
"""The size of a tile. Its products are so small that OpenBLAS uses one thread: several threads cost
more than they save as soon as other work is running."""
_CACHED_STRIPS = 12
"""Enough for the rows of the largest preview, which the fidelity meter reads after the tuning."""
_COSINES = np.kron(cosines(_SIDE), cosines(_SIDE))
"""The DCT of a block as one matrix [frequency, pixel]."""
_CENTRES = (128, 0.5, 0.5)  # Of Y, Cr and Cb as OpenCV defines them for float32.
_STEP_HALO = 4
"""The number of rows of the photo above and below that the output without steps depends on."""

Matrices = tuple[ndarray, ndarray]
"""The matrices [64, 64] from the pixels of a block to its quantisation steps and back."""


def has_blocks(image: SourceImage) -> bool:
    """Return whether an image is a JPEG, grey or of three colours, at a quality that leaves visible
    blocks."""
    if not image.jpeg_tables or image.mode == "CMYK":
        return False
    return quality_of_table(image.jpeg_tables[0]) < _FIRST_CLEAN_QUALITY


def deblocked_rows(image: SourceImage) -> Rows:
    """Return the rows of a JPEG without its blocks, uint8 [n, W, 3]."""
    light, *colour = map(_matrices, image.jpeg_tables)
    matrices = [light, *colour, *colour]
    above = -image.first_block[0] % _SIDE  # the rows that the first block lacks
    return in_blocks(partial(_strip, image, matrices), _ROWS, _CACHED_STRIPS, -above)


def _matrices(table: tuple[int, ...]) -> Matrices:
    steps = np.maximum(np.array(table, np.float32), 1)  # A crafted file can have zeros.
    return _COSINES.T / steps, steps[:, None] * _COSINES / len(_SHIFTS)


def _strip(
    image: SourceImage,
    matrices: Sequence[Matrices],
    first: int,
    last: int,
) -> ndarray:
    """Return whole rows of blocks, [last - first, W, 3], also where they reach beyond the image."""
    left = -image.first_block[1] % _SIDE
    right = -(left + image.width) % _SIDE
    low, high = widen(first, last, _SIDE, image.height)
    border = (low - first + _SIDE, last + _SIDE - high, left + _SIDE, right + _SIDE)
    rows = cv2.copyMakeBorder(image.rgb[low:high], *border, cv2.BORDER_REPLICATE)
    columns = spans(left + image.width + right, _COLUMNS)
    tiles = [_tile(rows[:, start : end + 2 * _SIDE], matrices) for start, end in columns]
    return np.concatenate(tiles, axis=1)[:, left : left + image.width]


def _tile(rgb: ndarray, matrices: Sequence[Matrices]) -> ndarray:
    """Return a tile, uint8 [8n + 16, 8m + 16, 3], without its blocks and its border of 8 px.

    `matrices` are those of Y, Cr and Cb, or only of Y for a grey image.
    """
    planes = list(cv2.split(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb)))
    for number, pair in enumerate(matrices):
        centre = _CENTRES[number]
        planes[number] = _recompressed(planes[number] - centre, *pair) + centre
    colour = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2RGB)
    return rounded(colour[_SIDE:-_SIDE, _SIDE:-_SIDE], 255)


def _recompressed(plane: ndarray, to_steps: ndarray, to_pixels: ndarray) -> ndarray:
    """Return the mean of a plane after compression on each grid; a border of 8 px is undefined."""
    height = plane.shape[0] - _SIDE
    width = plane.shape[1] - _SIDE
    down_blocks = height // _SIDE
    across_blocks = width // _SIDE
    mean = np.zeros_like(plane)
    for down, across in _SHIFTS:
        part = np.s_[down : down + height, across : across + width]
        cells = plane[part].reshape(down_blocks, _SIDE, across_blocks, _SIDE)
        blocks = cells.swapaxes(1, 2).reshape(down_blocks, across_blocks, _SIDE * _SIDE)
        restored = np.rint(blocks @ to_steps) @ to_pixels
        cells = restored.reshape(down_blocks, across_blocks, _SIDE, _SIDE).swapaxes(1, 2)
        mean[part] += cells.reshape(height, width)
    return mean


def without_steps(network: Rows, photo: Photo, factor: int, share: float) -> Rows:
    """Return a network's output without steps at a JPEG's blocks, as float32 rows [n, W, 3].

    The output is `factor` times as large as `photo`. `share` of 0 to 1 is the part of the steps to
    remove.
    """
    top, left = photo.first_block

    def rows(first: int, last: int) -> ndarray:
        low, high = widen(first // factor, ceil_div(last, factor), _STEP_HALO, photo.size.height)
        start = factor * low
        pixels = network(start, factor * high).astype(np.float32)
        with_blocks = photo.rows(low, high).astype(np.float32)  # A JPEG has 8 bits.
        blocks = share * (with_blocks - photo.without_blocks(low, high))
        _remove_steps(pixels.swapaxes(0, 1), blocks.swapaxes(0, 1), left, factor)
        _remove_steps(pixels, blocks, (top - low) % _SIDE, factor)
        return pixels[first - start : last - start]

    return rows


def _remove_steps(pixels: ndarray, blocks: ndarray, first: int, factor: int) -> None:
    """Remove the steps at each 8th row of `blocks`, from row `first` on, from `pixels`.

    `pixels` are `factor` times as large. A step is the change within half a pixel of the photo on
    each side, minus what the slopes next to it explain. At most the step of `blocks` is removed,
    and nothing if the two have opposite signs. The removed part decreases to 0 over a pixel of the
    photo.
    """
    near = max(factor // 2, 1)
    reach = factor + 1
    # Two rows above and below a border are necessary.
    rows = np.arange(first, len(blocks) - 1, _SIDE)
    rows = rows[rows > 1]
    if not len(rows):
        return

    def lines(offset: int) -> ndarray:
        """Return a view of the row of `pixels` at this distance from each border."""
        return pixels[factor * rows[0] + offset :: factor * _SIDE][: len(rows)]

    above = lines(-near)
    below = lines(near - 1)
    slopes = above - lines(-2 * near) + lines(2 * near - 1) - below
    step = below - above - (2 * near - 1) / (2 * near) * slopes
    limit = np.repeat(blocks[rows] - blocks[rows - 1], factor, axis=1)
    step = np.clip(step, np.minimum(limit, 0), np.maximum(limit, 0))
    for distance in range(reach):
        ramp = (distance + 0.5) / (near - 0.5)
        rest = (reach - distance - 0.5) / (reach - near + 0.5)
        removed = min(ramp, rest) / 2 * step
        below = lines(distance)
        below -= removed  # changes `pixels`
        above = lines(-1 - distance)
        above += removed
