"""What an image is: a photo, a drawing, or text, which includes screenshots of user interfaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import cv2
import numpy as np
from numpy import ndarray

from .samples import LUMA, blocks_of

Kind = Literal["photo", "drawing", "text"]

_BLOCK = 8
_OFFSET = 4
"""The offset of these blocks from those of a JPEG, so that the edges of JPEG blocks are inside
them."""
_FLAT = 4
"""The largest range of levels in a flat block."""
# The least shares in a flat image: of flat blocks, and of flat blocks that are constant.
_CONSTANT = 0.78
_FLAT_SHARE = 0.28
_MOSTLY_CONSTANT = 0.9
_MOSTLY_CONSTANT_SHARE = 0.2

# The following values were chosen on 123 objects that were cut out of photos, on white, grey and
# black, 120 drawings and 30 photos, whole and halved, as PNG and JPEG of 50, 70 and 90.
# docs/measure_analysis.py prints the errors for other images.
_BACKGROUND_RANGE = 12
"""Levels within which a pixel is background. JPEG artifacts around an object are rarely larger."""
_MOST_BACKGROUND = 0.2
"""The share of background from which a block shows the outline of an object instead of its
inside."""
_TONE_EDGE = 16
"""The range of brightness from which a block has an edge. From 10 to 20, the errors are similar,
and at 40 larger."""
_FEWEST_EDGES = 8
_TONE_ERROR = 0.1
"""The deviation from two tones, relative to their difference. Most edges of a drawing have less,
even at JPEG 50."""
_TWO_TONES = 0.33
"""The share of two-tone edges: 5% of the cut-outs and no photo have more, 6% of the drawings from
100 px have less."""
_CONSTANT_AREAS = 0.12
"""The share of flat areas that are constant. Soft photos with two-tone edges, such as hazy bricks,
have up to 0.09."""

_PAPER = 8
_INK = 40
"""Levels between the brightness of a pixel and that of the paper: the most for paper, the least for
ink."""
_LEAST_PAPER = 0.5
_MOST_INK = 0.4
_GLYPH_SHARE = 0.6
_GLYPH_HEIGHT = (4, 32)
_GLYPH_WIDTH = 40
_GLYPH_AREA = (5, 870)
_FEWEST_GLYPHS = 5
_FEWEST_TILES = 3
_FEWEST_SQUARES = 4
_TEXT_OF_FLAT = 0.1
_TEXT = 0.5


def kind_of(samples: ndarray, coarser: Iterable[ndarray | None]) -> Kind:
    """Return the kind of an image from squares [n, side, side, 3].

    `coarser` are squares of downscaled copies.
    """
    blocks = blocks_of(samples[:, _OFFSET:, _OFFSET:], _BLOCK).reshape(-1, 3, _BLOCK**2)
    spread = np.ptp(blocks, axis=2).max(1)
    flat = spread <= _FLAT
    constant = (spread <= 1).sum() / max(flat.sum(), 1)
    is_flat = _is_flat(flat, constant)
    if _shows_text(samples, is_flat, fewest_tiles=2 * _FEWEST_TILES):
        return "text"
    for squares in coarser:
        if squares is None:
            break
        if _shows_text(squares, is_flat, fewest_tiles=4 * _FEWEST_TILES):
            return "text"
    if _is_drawing(blocks, flat, constant):
        return "drawing"
    return "photo"


def _shows_text(squares: ndarray, is_flat: bool, fewest_tiles: int) -> bool:
    """Return whether enough squares [n, side, side, 3] show text: `fewest_tiles` and half of those
    that show anything, and fewer in a flat image."""
    text, tiles = _text_tiles(squares)
    if is_flat:
        fewest = min(_FEWEST_TILES, max(1, tiles))
        return text >= max(fewest, _TEXT_OF_FLAT * tiles)
    # In a small image that is not flat, every square must show text.
    fewest = min(fewest_tiles, max(len(squares), _FEWEST_SQUARES))
    return text >= max(fewest, _TEXT * tiles)


def _is_drawing(blocks: ndarray, flat: ndarray, constant: float) -> bool:
    """Return whether the edges of an image without text are between areas of constant brightness.

    Its background has no influence, because a photo that is cut out on white is as flat as a
    drawing, unless there are too few edges outside the background.
    """
    if not flat.any():
        return False
    colours = blocks[flat].mean(2)
    # A cell contains the colours within 4 levels of each channel.
    cells = np.rint(colours / 4).astype(int) @ np.array([1, 128, 128**2])
    background = _most_frequent(colours, cells)
    is_background = np.abs(blocks - background[:, None]).max(1) <= _BACKGROUND_RANGE
    is_inside = is_background.mean(1) < _MOST_BACKGROUND
    light = LUMA @ blocks[is_inside]
    edges = light[np.ptp(light, axis=1) > _TONE_EDGE]
    if len(edges) < _FEWEST_EDGES:
        return _is_flat(flat, constant)
    return constant >= _CONSTANT_AREAS and _share_of_two_tones(edges) >= _TWO_TONES


def _share_of_two_tones(edges: ndarray) -> float:
    """Return the share of blocks [n, pixels] in which most pixels have one of two brightnesses."""
    middle = (edges.min(1) + edges.max(1)) / 2
    is_light = edges > middle[:, None]
    light = edges.mean(1, where=is_light, keepdims=True)
    dark = edges.mean(1, where=~is_light, keepdims=True)
    distance = np.minimum(np.abs(edges - light), np.abs(edges - dark))
    error = np.median(distance, axis=1, keepdims=True)
    return float((error < _TONE_ERROR * (light - dark)).mean())


def _is_flat(flat: ndarray, constant: float) -> bool:
    """Return whether an image has areas of constant colours.

    `flat` are its flat blocks, and `constant` is the share of these that are constant: the sky of a
    photo is flat, but not constant.
    """
    least_share = _FLAT_SHARE
    if constant >= _MOSTLY_CONSTANT:
        least_share = _MOSTLY_CONSTANT_SHARE
    return constant >= _CONSTANT and float(flat.mean()) >= least_share


def _most_frequent(values: ndarray, cells: ndarray) -> ndarray:
    """Return the median of the values [n, ...] in the cell that contains most of them.

    `cells` [n] are the numbers of the cells that contain the values.
    """
    return np.median(values[cells == np.bincount(cells).argmax()], axis=0)


def _text_tiles(samples: ndarray) -> tuple[int, int]:
    """Return how many squares show text, and how many show anything.

    Text consists of small separate shapes, the glyphs, on a background of one colour that covers a
    larger area.
    """
    text = 0
    inked = 0
    for light in samples @ LUMA:
        values = light.ravel()
        paper = _most_frequent(values, (values / 8).astype(int))
        distance = np.abs(light - paper)
        ink = (distance > _INK).astype(np.uint8)
        _, _, shapes, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
        _, _, width, height, area = shapes[1:].T  # The first one is the background.
        is_glyph = width <= _GLYPH_WIDTH
        is_glyph &= _is_between(height, _GLYPH_HEIGHT)
        is_glyph &= _is_between(area, _GLYPH_AREA)
        has_glyphs = is_glyph.sum() >= _FEWEST_GLYPHS
        is_mostly_glyphs = area[is_glyph].sum() > _GLYPH_SHARE * area.sum()
        has_little_ink = ink.mean() < _MOST_INK
        has_paper = (distance <= _PAPER).mean() >= _LEAST_PAPER
        text += has_glyphs and is_mostly_glyphs and has_little_ink and has_paper
        inked += area.sum() > _BLOCK
    return text, inked


def _is_between(values: ndarray, limits: tuple[int, int]) -> ndarray:
    low, high = limits
    return (values >= low) & (values <= high)
