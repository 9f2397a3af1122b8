"""The result's rows, colour and alpha together, and the PNG they are written to."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import Cancelled, SettingsError
from ..picture import Picture
from ..scenes.faces import FacePatch, apply
from ..settings import FACTOR, Settings
from .png import PngFormat, PngWriter
from .rendition import Rendition
from .resample import enlarge
from .tuning import Overlay, Photo, Rows, Tuning

_STRIP = 64
ENDINGS = (".png",)
"""How the name of a result may end."""
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

    `network` gives rows of the network's output for `picture`, [n, 4 * width, 3] in the picture's own type, and
    `photo` what the network saw of it; `overlay` puts over them what a scene has made.
    """

    picture: Picture
    network: Rows
    settings: Settings
    photo: Photo
    overlay: Overlay | None = None

    @cached_property
    def tuning(self) -> Tuning:
        return Tuning(self.network, self.photo, self.settings, self.overlay)

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


def faces_over(patches: Sequence[FacePatch], settings: Settings, origin: tuple[int, int] = (0, 0)) -> Overlay | None:
    """Puts the restored faces over the picture, as strongly as the settings say; None where there are none.

    `origin` is the top and left, in input pixels, of a picture that is only a part.
    """
    if not patches:
        return None
    top, left = FACTOR * origin[0], FACTOR * origin[1]
    return lambda rows, first: apply(rows, top + first, patches, settings.strength, left=left)


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
