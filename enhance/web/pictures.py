"""Pictures for the browser: thumbnails, a square's before and after, one that grows. Every size is bounded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..files import place_whole
from ..inference.network_output import streams_columns
from ..output.png import encode_png
from ..output.rendition import Rendition, reduce, save_for_screen, to_screen
from ..output.result import ResultRows
from ..picture import Box, Picture
from .state import Visitor

THUMBNAIL = 896
LIVE = 720


def icc_for_screen(picture: Picture) -> bytes | None:
    """The profile for what is shown of the picture; a grey profile does not fit the RGB that a screen gets."""
    return None if picture.grey else picture.icc


def small_size(width: int, height: int, limit: int) -> tuple[int, int]:
    """Height and width of a picture brought to at most `limit` px a side, never larger than it is."""
    factor = max(1.0, max(width, height) / limit)
    return max(1, round(height / factor)), max(1, round(width / factor))


def whole_picture(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """The picture at `size` (height, width), 8 bit, its transparency with it."""
    pixels = picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
    return reduce(pixels, size)


def save_thumbnail(visitor: Visitor, picture: Picture) -> tuple[Path, tuple[int, int]]:
    """A thumbnail file, and its width and height."""
    size = small_size(picture.width, picture.height, THUMBNAIL)
    path = save_for_screen(whole_picture(picture, size), visitor.place("thumbnail", ""), icc_for_screen(picture))
    return path, (size[1], size[0])


def save_map(visitor: Visitor, pixels: np.ndarray, icc: bytes | None) -> tuple[Path, tuple[int, int]]:
    """A small copy of a rendition to click on, and its width and height."""
    size = small_size(pixels.shape[1], pixels.shape[0], THUMBNAIL)
    return save_for_screen(reduce(pixels, size), visitor.place("map", ""), icc), (size[1], size[0])


def save_outlined(visitor: Visitor, kind: str, source: Path, box: Box, factor: tuple[float, float]) -> Path:
    """A copy of the picture file `source` with the outline of `box`; `factor`: its pixels for one of the box's."""
    with Image.open(source) as image:
        icc = image.info.get("icc_profile")
        marked = image.copy()
    across, down = factor
    left, top = box.left * across, box.top * down
    right, bottom = left + max(4.0, box.width * across) - 1, top + max(4.0, box.height * down) - 1
    draw = ImageDraw.Draw(marked)
    width = max(1, round(max(marked.size) / 400))
    opaque = (255,) if marked.mode == "RGBA" else ()
    for grow, colour in ((width, (0, 0, 0)), (0, (255, 255, 255))):
        edges = (left - grow, top - grow, right + grow, bottom + grow)
        draw.rectangle(edges, outline=colour + opaque, width=width)
    return save_for_screen(np.asarray(marked), visitor.place(kind, ""), icc)


def save_png(pixels: np.ndarray, path: Path, icc: bytes | None) -> Path:
    """A picture as a PNG file, whole or not at all; gives its path. Raises StorageError."""
    content = encode_png(pixels, icc=icc)
    place_whole(path, lambda part: part.write_bytes(content))
    return path


def save_pair(visitor: Visitor, kind: str, pair: tuple[np.ndarray, np.ndarray], icc: bytes | None) -> tuple[Path, Path]:
    """Before and after as PNG files, pixel for pixel in 8 bit. Raises StorageError."""
    files = []
    for side, pixels in zip(("before", "after"), pair, strict=True):
        path = visitor.place(f"{kind}-{side}", ".png")
        files.append(save_png(to_screen(pixels), path, icc))
    return files[0], files[1]


@dataclass(frozen=True, eq=False)
class WholePicture:
    """The whole picture for the screen: before, and after as it is being filled, both of the same size."""

    before: np.ndarray
    after: Rendition
    icc: bytes | None


class GrowingPicture:
    """Watches a run: the picture as far as it has come, and at the end before and after for the screen.

    `backdrop` is the input at any size, uint8 [h, w, 3 or 4]; it stays visible, dimmed, where nothing has come yet.
    """

    def __init__(self, width: int, height: int, backdrop: np.ndarray):
        # every second pixel or fewer is enough for a small picture that is shown for a moment
        self._step = max(1, 4 * max(width, height) // (2 * LIVE))
        self._columns, self._passed = streams_columns(height, width), 0
        size = (-(-4 * side // self._step) for side in (height, width))
        self._live = Rendition(*size, columns=self._columns, limit=LIVE)
        self._live.pixels[:] = reduce(backdrop, self._live.size)[..., :3] // 3
        self._changed = False
        self._shown = 0.0
        self.whole: WholePicture | None = None

    def strip(self, strip: np.ndarray) -> None:
        step, first = self._step, -self._passed % self._step
        self._passed += strip.shape[1 if self._columns else 0]
        thinned = strip[::step, first::step] if self._columns else strip[first::step, ::step]
        if thinned.size:
            self._live.add(np.ascontiguousarray(thinned))
            self._changed = True

    def finished(self, rows: ResultRows) -> Rendition:
        height, width = rows.size
        after = Rendition(height, width, channels=rows.channels)
        self.whole = WholePicture(whole_picture(rows.picture, after.size), after, icc_for_screen(rows.picture))
        return after

    def look(self, every: float) -> np.ndarray | None:
        """The picture so far, if it has changed and was not looked at for `every` seconds."""
        now = time.monotonic()
        if not self._changed or now - self._shown < every:
            return None
        self._changed, self._shown = False, now
        return self._live.pixels
