"""The result's rows, colour and alpha together, the PNG they are written to, and how the whole looks on a screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import Cancelled, SettingsError
from ..inference.network_output import streams_columns
from ..picture import Picture
from ..scenes.faces import FacePatch, apply
from ..settings import FACTOR, Settings
from .png import PngFormat, PngWriter
from .png_rows import FinishedRows
from .rendition import Rendition, icc_for_screen, reduce, whole_picture
from .resample import enlarge
from .tuning import Rows, Tuning

_STRIP = 64
ENDINGS = (".png",)
"""How the name of a result may end."""
LIVE = 720
"""The longest side of what is shown for a moment, in pixels."""
_SIGNATURE, _INPUT = "Enhance signature", "Enhance input"


@dataclass(frozen=True)
class Origin:
    """What a finished PNG tells of where it comes from; None where it does not tell.

    `signature` is that of its settings and input, `input_sha256` that of the input's bytes.
    """

    signature: str | None = None
    input_sha256: str | None = None


@dataclass(frozen=True)
class Written:
    """A finished PNG file."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ResultRows:
    """The finished picture as rows on demand: tuned colour, enlarged alpha, grey where the input was grey.

    `network` gives rows of the network's output for `picture`, [n, 4 * width, 3] in the picture's own type.
    """

    picture: Picture
    network: Rows
    settings: Settings

    @property
    def tuning(self) -> Tuning:
        picture = self.picture
        return Tuning(
            self.network, lambda a, b: picture.rgb[a:b], picture.height, picture.width, picture.levels, self.settings
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.tuning.size

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
        alpha = enlarge(self.picture.alpha, self.settings.scale, first, last)  # [n, W]
        return np.concatenate([colour, alpha[..., None]], axis=2)  # [n, W, 2 or 4]


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
    after = Rendition(*size, channels=channels)
    return WholePicture(whole_picture(picture, after.size), after, icc_for_screen(picture))


def with_faces(
    network: Rows, patches: Sequence[FacePatch], settings: Settings, origin: tuple[int, int] = (0, 0)
) -> Rows:
    """Rows of the network's output with the restored faces put in, as strongly as the settings say.

    `origin` is the top and left, in input pixels, of a picture that is only a part.
    """
    if not patches:
        return network
    top, left = FACTOR * origin[0], FACTOR * origin[1]
    return lambda a, b: apply(network(a, b), top + a, patches, settings.strength, left=left)


def check_ending(path: Path) -> None:
    """Raise SettingsError unless the name of a result ends as one of its formats does."""
    if path.suffix.lower() not in ENDINGS:
        raise SettingsError("png_only", name=path.name)


def write_png(
    result: ResultRows,
    path: Path,
    *,
    signature: str,
    rendition: Rendition | None = None,
    stop: threading.Event | None = None,
) -> tuple[Written, dict[str, float]]:
    """Write the result to `path`, whole or not at all; gives the file, and the seconds of `tuning` and of `encode`.

    The file carries `signature` and the input's checksum, so that it is known again; `rendition` is fed the same rows.
    Raises StorageError, or Cancelled when `stop` is set.
    """
    height, width = result.size
    picture = result.picture
    seconds = {"tuning": 0.0, "encode": 0.0}
    text = {_SIGNATURE: signature, _INPUT: picture.sha256}
    form = PngFormat(width, height, result.channels, picture.bits, picture.icc, picture.exif, text)
    writer = PngWriter(path, form)
    with writer:
        for first in range(0, height, _STRIP):
            if stop is not None and stop.is_set():
                raise Cancelled("stopped")
            started = time.perf_counter()
            rows = result.rows(first, min(first + _STRIP, height))  # [n, W, C]
            tuned = time.perf_counter()
            writer.write(rows)
            if rendition is not None:
                rendition.add(rows)
            seconds["tuning"] += tuned - started
            seconds["encode"] += time.perf_counter() - tuned
    return Written(path, writer.sha256, writer.bytes_written), seconds


def origin_of(path: Path) -> Origin:
    """What a finished PNG tells of its origin; nothing for any other file, or none."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return Origin(*(image.info.get(key) for key in (_SIGNATURE, _INPUT)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Origin()
