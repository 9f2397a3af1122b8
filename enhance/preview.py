"""A square of the picture, seen before the whole is run: the same engine and the same tuning, with a margin around it.

The margin gives the network its surroundings: 48 px agree with the whole picture to 57 dB and more at fp32. Where the
picture is averaged down first, those are as many averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .output.resample import enlarge
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

    `picture` is the square with its margin cut out of the input, `photo` what the network saw of that, and `network`
    its output, [4 * height, 4 * width, 3]; `box` the square, `outer` the square with its margin, in input pixels;
    `network_key` that of the whole picture's output, of which this is a part; `patches` are the restored faces.
    """

    picture: Picture
    photo: Photo
    network: np.ndarray
    box: Box
    outer: Box
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


def surroundings(box: Box, width: int, height: int, settings: Settings) -> Box:
    """The square with its margin, made of whole averages, in a picture of `width` x `height`."""
    return box.grown(MARGIN * settings.reduce, width, height).on_grid(settings.reduce, width, height)


def render(piece: Piece, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Before (the input enlarged bicubically) and after (the tuned network output) of the square alone."""
    seen = piece.outer.reduced(settings.reduce)
    faces = faces_over(piece.patches, settings, (seen.top, seen.left))
    result = ResultRows(piece.picture, lambda a, b: piece.network[a:b], settings, piece.photo, faces)
    height, width = result.size
    after = result.rows(0, height)
    before = enlarge(_channels(piece.picture), settings.scale, 0, height)
    window = _window(piece, settings.scale, height, width)
    return before[window], after[window]


def look(rows: ResultRows, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Before and after of a square of the finished picture: its exact pixels, and the input enlarged bicubically."""
    down, across = _square(rows, box)
    before = enlarge(_channels(rows.picture), rows.settings.scale, down.start, down.stop)[:, across]
    return before, rows.rows(down.start, down.stop)[:, across]


def agreement_db(preview: Preview, rows: ResultRows) -> float:
    """The PSNR in dB between a preview and the finished pixels of its square; equal pixels count as 99 dB."""
    _, previewed = render(preview.piece, rows.settings)
    down, across = _square(rows, preview.piece.box)
    final = rows.rows(down.start, down.stop)[:, across]
    error = np.mean((previewed.astype(np.float64) - final) ** 2)
    return round(min(99.0, float(10 * np.log10(rows.picture.levels**2 / max(error, 1e-12)))), 2)


def _square(rows: ResultRows, box: Box) -> tuple[slice, slice]:
    """Where a square of the input lies in the result."""
    height, width = rows.size
    scale = rows.settings.scale
    return _place(box.top, box.height, scale, height), _place(box.left, box.width, scale, width)


def _channels(picture: Picture) -> np.ndarray:
    colour = picture.rgb[..., :1] if picture.grey else picture.rgb
    return colour if picture.alpha is None else np.dstack([colour, picture.alpha])


def _window(piece: Piece, scale: float, height: int, width: int) -> tuple[slice, slice]:
    """Where the square lies in the result of the square with its margin."""
    box, outer = piece.box, piece.outer
    return (
        _place(box.top - outer.top, box.height, scale, height),
        _place(box.left - outer.left, box.width, scale, width),
    )


def _place(start: int, length: int, scale: float, whole: int) -> slice:
    """A stretch of input pixels in a result of `whole` pixels."""
    size = min(max(1, round(length * scale)), whole)
    first = max(0, min(round(start * scale), whole - size))
    return slice(first, first + size)
