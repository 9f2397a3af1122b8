"""The result's rows, colour and alpha together, the PNG they are written to, and how the whole looks on a screen."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..engine.raw_store import streams_columns
from ..errors import Cancelled
from ..images import FLAWLESS, Box, Measurements, Picture
from ..images.worker import allocate_pixels
from ..scenes.dehaze import Haze, remove_haze
from ..scenes.faces import FacePatch, Faces, blend_faces
from ..settings import Settings
from .fidelity import DIFFERENCE_HALO, Overlay, Photo, Rows, Tuning, difference
from .png import PngFormat, PngWriter
from .png_reader import FinishedRows
from .provenance import ORIGIN_TEXTS, Origin
from .resample import Cut, Grid, enlarge
from .thumbnails import AreaAverage, Thumbnail, icc_for_screen, reduce, whole_picture

_STRIP = 64
LIVE = 720
"""The longest side of what is shown for a moment, in pixels."""


@dataclass(frozen=True)
class Written:
    """A finished PNG file."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True, eq=False)
class Scene:
    """What the preset adds around the network: haze to take off before it, restored faces to put in after it."""

    haze: Haze | None = None
    faces: Faces | None = None

    def photo(
        self, picture: Picture, settings: Settings, flaws: Measurements = FLAWLESS, box: Box | None = None
    ) -> Photo:
        """What the network gets to see of the picture; `box` where the picture is only that part."""
        top, left = (box.top, box.left) if box else (0, 0)

        def rows(first: int, last: int) -> np.ndarray:
            if self.haze is None:
                return picture.rgb[first:last]
            return remove_haze(picture.rgb[first:last], self.haze, settings.strength, top=top + first, left=left)

        return Photo(rows, picture.height, picture.width, picture.levels, flaws)

    def seen(
        self, picture: Picture, settings: Settings, box: Box | None = None, folder: Path | None = None
    ) -> np.ndarray:
        """All that the network gets to see as one array: a large one lies in a file without a name in `folder`.

        Raises StorageError.
        """
        if self.haze is None:
            return picture.rgb
        photo = self.photo(picture, settings, box=box)
        seen = allocate_pixels(picture.rgb.shape, picture.rgb.dtype.name, folder)
        for first in range(0, picture.height, _STRIP):
            last = min(first + _STRIP, picture.height)
            seen[first:last] = photo.rows(first, last)
        return seen

    def describe(self) -> dict[str, Any]:
        """The facts that only this scene has."""
        return {"faces": self.faces.describe()} if self.faces else {}


@dataclass(frozen=True)
class ResultRows:
    """The finished picture as rows on demand: tuned colour, enlarged alpha, grey where the input was grey.

    `network` gives rows of the network's output for `picture`, [n, s * width, 3] in the picture's own type, and
    `photo` what the network saw of it; `overlay` puts over them what a scene has made; `cut` says where
    the picture lies in the whole one, if it is a part.
    """

    picture: Picture
    network: Rows
    settings: Settings
    photo: Photo
    overlay: Overlay | None = None
    cut: Cut | None = None

    @cached_property
    def tuning(self) -> Tuning:
        before = self.picture.height, self.picture.width
        return Tuning(self.network, self.photo, self.settings, self.overlay, self.cut, before)

    @property
    def grid(self) -> Grid:
        return self.tuning.grid

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.tuning.size

    @property
    def is_smaller(self) -> bool:
        """Whether the result is smaller than the photo: then there is no telling how well it explains that."""
        return self.size[0] < self.photo.height or self.size[1] < self.photo.width

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        return (1 if self.picture.grey else 3) + (0 if self.picture.alpha is None else 1)

    def rows(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last) [n, width, channels] of uint8 or uint16."""
        colour = self.tuning.rows(first, last)  # [n, W, 3]
        if self.picture.grey:
            colour = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None]  # [n, W, 1]
        if self.picture.alpha is None:
            return colour
        alpha = enlarge(self.picture.alpha, self.grid, first, last)  # [n, W]
        return np.concatenate([colour, alpha[..., None]], axis=2)  # [n, W, 2 or 4]


class FidelityMeter:
    """Measures how well a result explains its photo, seen as soft as the photo is, while the result's rows pass by.

    The result is not smaller than the photo, which is what the network saw. With a `box`, in pixels of the photo, only
    what lies in it counts.
    """

    def __init__(self, result: ResultRows, box: Box | None = None):
        self._photo = photo = result.photo
        self._box = box or Box(0, 0, photo.width, photo.height)
        # where the photo's last averages reach beyond the input, the result's border is taken to go on there
        reduce, of = result.settings.reduce, result.picture
        height = result.size[0] * reduce * photo.height / of.height
        width = result.size[1] * reduce * photo.width / of.width
        self._averages = AreaAverage(height, photo.height, photo.width, width)
        self._left, self._below = result.size[0], math.ceil(height) - result.size[0]
        self._beside = math.ceil(width) - result.size[1]
        self._known = np.empty((0, photo.width, 3), np.float32)  # averages from row `_first` on
        self._first = self._measured = 0
        self._squares = 0.0

    def add(self, rows: np.ndarray) -> None:
        """Take the result's next rows, uint8 or uint16 [n, W, C] of 1 to 4 channels."""
        colour = rows[..., :3] if rows.shape[2] > 2 else np.repeat(rows[..., :1], 3, axis=2)
        self._left -= len(rows)
        below = 0 if self._left else self._below
        if below or self._beside:
            colour = cv2.copyMakeBorder(colour, 0, below, 0, self._beside, cv2.BORDER_REPLICATE)
        averages = self._averages.add(colour) * np.float32(255 / self._photo.levels)
        self._known = np.concatenate([self._known, averages])
        end = self._averages.finished
        whole = end == self._photo.height
        if whole or len(self._known) > _STRIP + 2 * DIFFERENCE_HALO:
            self._measure(end, end if whole else end - DIFFERENCE_HALO)

    def _measure(self, end: int, last: int) -> None:
        box, halo = self._box, DIFFERENCE_HALO
        top, bottom = max(self._measured, box.top), min(last, box.top + box.height)
        if top < bottom:
            low, high, left = max(top - halo, 0), min(bottom + halo, end), max(box.left - halo, 0)
            columns = slice(left, box.left + box.width + halo)
            known = self._known[low - self._first : high - self._first, columns]
            missing = difference(self._photo.part(low, high)[:, columns], known)
            seen = missing[top - low : bottom - low, box.left - left : box.left - left + box.width]
            self._squares += float(np.square(seen).sum(dtype=float))
        first, self._measured = max(last - DIFFERENCE_HALO, 0), last
        self._known, self._first = self._known[first - self._first :], first

    def decibels(self) -> float:
        """The PSNR that belongs to the mean of what the photo has and the result has not; at most 99 dB."""
        mean = self._squares / (self._box.height * self._box.width * 3)
        return round(min(99.0, float(10 * np.log10(255**2 / max(mean, 1e-12)))), 2)


@dataclass(frozen=True, eq=False)
class WholePicture:
    """The whole picture for the screen: before, and after as it is being filled, both of the same size."""

    before: np.ndarray
    after: Thumbnail
    icc: bytes | None


class GrowingPicture:
    """Watches a run: the picture as far as it has come, and at the end before and after for the screen.

    The network makes it `factor` times as large. `backdrop` is the input at any size, uint8 [h, w, 3 or 4]; it stays
    visible, dimmed, where nothing has come yet.
    """

    def __init__(self, width: int, height: int, factor: int, backdrop: np.ndarray):
        # every second pixel or fewer is enough for a small picture that is shown for a moment
        self._step = max(1, factor * max(width, height) // (2 * LIVE))
        self._columns, self._passed = streams_columns(height, width), 0
        size = (-(-factor * side // self._step) for side in (height, width))
        self._live = Thumbnail(*size, columns=self._columns, limit=LIVE)
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

    def finished(self, rows: ResultRows) -> Thumbnail:
        self.whole = _still_empty(rows.picture, rows.size, rows.channels)
        return self.whole.after

    def look(self, every: float) -> np.ndarray | None:
        """The picture so far, if it has changed and was not looked at for `every` seconds."""
        now = time.monotonic()
        if not self._changed or now - self._shown < every:
            return None
        self._changed, self._shown = False, now
        return self._live.pixels


def whole_of(picture: Picture, rows: FinishedRows) -> WholePicture:
    """The whole of a result that is finished already, read from top to bottom. Raises PictureError."""
    height, _ = rows.size
    first = rows.rows(0, min(_STRIP, height))
    whole = _still_empty(picture, rows.size, first.shape[2])
    whole.after.add(first)
    for top in range(len(first), height, _STRIP):
        whole.after.add(rows.rows(top, min(top + _STRIP, height)))
    return whole


def _still_empty(picture: Picture, size: tuple[int, int], channels: int) -> WholePicture:
    after = Thumbnail(*size, channels=channels)
    return WholePicture(whole_picture(picture, after.size), after, icc_for_screen(picture))


def faces_over(patches: Sequence[FacePatch], settings: Settings, origin: tuple[int, int] = (0, 0)) -> Overlay | None:
    """Puts the restored faces over the picture, as strongly as the settings say; None where there are none.

    `origin` is the top and left, in input pixels, of a picture that is only a part.
    """
    if not patches:
        return None
    top, left = settings.factor * origin[0], settings.factor * origin[1]
    return lambda rows, first: blend_faces(rows, top + first, patches, settings.strength, left=left)


def write_png(
    result: ResultRows,
    path: Path,
    *,
    signature: str,
    passing: Sequence[Thumbnail | FidelityMeter] = (),
    stop: threading.Event | None = None,
) -> tuple[Written, dict[str, float]]:
    """Write the result to `path`, whole or not at all; gives the file, and the seconds of `tuning` and of `encode`.

    The file carries `signature` and the input's checksum, so that it is known again, and what a meter among those in
    `passing` has measured; they take the same rows. Raises StorageError, or Cancelled when `stop` is set.
    """
    height, width = result.size
    picture = result.picture
    seconds = {"tuning": 0.0, "encode": 0.0}
    told, dpi = picture.metadata.sized(width, height), result.settings.dpi
    told = told if dpi is None else told.printed(dpi)
    own = Origin(signature, picture.sha256, dpi=None if dpi is None else str(dpi)).texts()
    told = replace(told, texts=(*(text for text in told.texts if text[0] not in ORIGIN_TEXTS), *own))
    form = PngFormat(width, height, result.channels, picture.bits, picture.icc, told)
    writer = PngWriter(path, form)
    with writer:
        for first in range(0, height, _STRIP):
            if stop is not None and stop.is_set():
                raise Cancelled("stopped")
            started = time.perf_counter()
            rows = result.rows(first, min(first + _STRIP, height))  # [n, W, C]
            for one in passing:
                one.add(rows)
            tuned = time.perf_counter()
            writer.write(rows)
            seconds["tuning"] += tuned - started
            seconds["encode"] += time.perf_counter() - tuned
        measured = [one.decibels() for one in passing if isinstance(one, FidelityMeter)]
        writer.texts_behind += [text for db in measured for text in Origin(fidelity_db=f"{db:g}").texts()]
    return Written(path, writer.sha256, writer.bytes_written), seconds
