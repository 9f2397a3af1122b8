"""A square of the picture, seen before the whole is run: the same engine and the same tuning, with a margin around it.

The margin gives the network its surroundings: 48 px agree with the whole picture to 57 dB and more at fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .output.resample import Cut, enlarge
from .output.result import ResultRows, faces_over
from .output.tuning import Photo
from .picture import Box, Picture
from .scenes.faces import FacePatch
from .settings import Settings

MARGIN = 48
LARGEST = 512
"""The longest side of a preview's square in input pixels."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What the network made of one square: enough to tune it again without running the network.

    `picture` is the square with its margin cut out of the input, `network` the network's output for that,
    [s * height, s * width, 3], and `photo` what it saw; `box` the square, `outer` the square with its margin, in input
    pixels, of a picture of `whole` (height, width); `network_key` that of the whole picture's output, of which this is
    a part; `patches` are the restored faces.
    """

    picture: Picture
    photo: Photo
    network: np.ndarray
    box: Box
    outer: Box
    whole: tuple[int, int]
    network_key: str
    patches: tuple[FacePatch, ...] = ()


@dataclass(frozen=True, eq=False)
class Preview:
    """Before and after of one square at the result's scale: uint8 or uint16 [h, w, C] of equal size, and the facts."""

    before: np.ndarray
    after: np.ndarray
    piece: Piece
    info: dict[str, Any]


def choose_box(width: int, height: int, x: float | None, y: float | None, size: int) -> Box:
    """The square of `size` px with its centre at x, y (default the middle), moved and cut to lie in the picture."""
    across, down = min(size, width), min(size, height)
    left = round((width / 2 if x is None else x) - across / 2)
    top = round((height / 2 if y is None else y) - down / 2)
    return Box(min(max(left, 0), width - across), min(max(top, 0), height - down), across, down)


def render(piece: Piece, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Before (the input enlarged bicubically) and after (the tuned network output) of the square alone."""
    faces = faces_over(piece.patches, settings, (piece.outer.top, piece.outer.left))
    cut = Cut(piece.outer, *piece.whole)
    result = ResultRows(piece.picture, lambda a, b: piece.network[a:b], settings, piece.photo, faces, cut)
    height, _ = result.size
    after = result.rows(0, height)
    before = enlarge(_channels(piece.picture), result.grid, 0, height)
    window = result.grid.window(piece.box)
    return before[window], after[window]


def look(rows: ResultRows, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Before and after of a square of the finished picture: its exact pixels, and the input enlarged bicubically."""
    down, across = rows.grid.window(box)
    before = enlarge(_channels(rows.picture), rows.grid, down.start, down.stop)[:, across]
    return before, rows.rows(down.start, down.stop)[:, across]


def agreement_db(preview: Preview, rows: ResultRows) -> float:
    """The PSNR in dB between a preview and the finished pixels of its square; equal pixels count as 99 dB."""
    _, previewed = render(preview.piece, rows.settings)
    down, across = rows.grid.window(preview.piece.box)
    final = rows.rows(down.start, down.stop)[:, across]
    error = np.mean((previewed.astype(np.float64) - final) ** 2)
    return round(min(99.0, float(10 * np.log10(rows.picture.levels**2 / max(error, 1e-12)))), 2)


def _channels(picture: Picture) -> np.ndarray:
    colour = picture.rgb[..., :1] if picture.grey else picture.rgb
    return colour if picture.alpha is None else np.dstack([colour, picture.alpha])
