"""What an output format is, and the image that its writer receives."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy import ndarray
from PIL import Image

from ..errors import check_stop
from ..images import spans
from ..images.colour import grey_as_rgb, in_srgb, to_8_bits
from ..metadata import Metadata
from ..metadata.profiles import profile_name
from ..metadata.provenance import marked_ending
from .png_reader import PngReader

FINE = 90
"""From this quality on, colour has the resolution of brightness (4:4:4) if the format allows it."""
_STRIP_BYTES = 1 << 20

Write: TypeAlias = Callable[[BinaryIO, "FinishedImage"], None]


@dataclass(frozen=True)
class Format:
    """A file format and its writer.

    - `key`: the name in settings, which is also the subtype of the media type.
    - `name`: the name in texts.
    - `endings`: the extensions of its files. The first one is written.
    - `write`: writes an image into an empty file. Raises Cancelled, and PictureError if the PNG is
      damaged.
    - `side` and `pixels`: the largest image that programs read, in px per side and in total.
    - `alpha`: whether it stores transparency.
    - `bits`: the bits of a channel of a 16-bit image.
    - `lossless`: the lowest quality without loss.
    - `memory`: the measured memory of encoding in one piece, in bytes per pixel, for a quality
      without loss, of FINE or more, and lower; None for a format that is written in strips.
    - `profiles_from`: the lowest quality at which a file keeps its colour profile instead of
      becoming sRGB.
    - `keeps_gain_map`: whether a file contains the gain map of an HDR photo.
    - `library` and `is_available`: the library that can be missing, and whether it is installed.
    """

    key: str
    name: str
    endings: tuple[str, ...]
    write: Write
    side: int = (1 << 31) - 1
    pixels: int = 1 << 62
    alpha: bool = True
    bits: int = 8
    lossless: int = 101
    memory: tuple[int, int, int] | None = None
    profiles_from: int = 1
    keeps_gain_map: bool = False
    library: str = ""
    is_available: Callable[[], bool] = lambda: True

    @property
    def ending(self) -> str:
        return self.endings[0]

    @property
    def media_type(self) -> str:
        return f"image/{self.key}"

    @property
    def takes_quality(self) -> bool:
        """Whether the quality changes its files."""
        return self.lossless > 1

    def converts_to_srgb(self, quality: int, icc: bytes | None) -> bool:
        """Return whether colours with this profile become 8-bit sRGB."""
        if quality >= self.profiles_from:
            return False
        return "sRGB" not in (profile_name(icc) or "sRGB")

    def memory_per_pixel(self, quality: int) -> int:
        """Return the bytes of memory for each pixel that is encoded in one piece."""
        if self.memory is None:
            return 0
        lossless, fine, coarse = self.memory
        if quality >= self.lossless:
            return lossless
        return fine if quality >= FINE else coarse


@dataclass(frozen=True)
class FinishedImage:
    """A finished PNG for the writer of a format, with the metadata of the new file.

    `background` is the 8-bit level behind transparent areas in a format without transparency.
    `mark` is empty for a file without its origin.
    """

    png: PngReader
    form: Format
    quality: int
    background: int
    metadata: Metadata
    mark: bytes
    stop: threading.Event | None

    @property
    def is_lossless(self) -> bool:
        return self.quality >= self.form.lossless

    @property
    def is_fine(self) -> bool:
        return self.quality >= FINE

    @property
    def strip_rows(self) -> int:
        """The rows of a strip of 1 MiB, which has fewer than the 65,535 blocks of a JPEG's restart
        interval."""
        return max(1, _STRIP_BYTES // self.png.row_bytes)

    def strips(self, step: int) -> Iterator[ndarray]:
        """Yield strips of `step` rows [n, W, C], uint8, or uint16 if the format has more bits.

        Raises Cancelled.
        """
        for first, last in spans(self.png.size.height, step):
            check_stop(self.stop)
            values = self.png.rows(first, last)
            if values.shape[2] in (2, 4) and not self.form.alpha:
                values = _on_background(values, self.background)
            elif self.form.bits == 8:
                values = to_8_bits(values)
            yield values

    def whole(self, *, as_colour: bool = False) -> tuple[ndarray, bytes | None]:
        """Return all pixels of `strips`, and their profile.

        `as_colour` converts grey to RGB in sRGB, grey with a profile in 8 bits.
        """
        whole = np.concatenate([*self.strips(self.strip_rows)])
        if not as_colour:
            return whole, self.png.icc
        if self.png.icc:
            return in_srgb(whole, self.png.icc), None
        return grey_as_rgb(whole), None

    def ending(self, start: bytes | memoryview) -> bytes:
        """Return the last bytes of a file that begins with `start`: its mark, if it has one."""
        if not self.mark:
            return b""
        return marked_ending(bytes(start[:16]), self.mark)

    def save_with_pillow(self, values: ndarray, icc: bytes | None, **options: Any) -> memoryview:
        """Return pixels as a file of this format, with the metadata of the image."""
        coded = io.BytesIO()
        Image.fromarray(squeeze(values)).save(
            coded,
            self.form.name,
            quality=self.quality,
            icc_profile=icc,
            exif=self.metadata.exif or b"",
            xmp=self.metadata.xmp or b"",
            **options,
        )
        return coded.getbuffer()


def squeeze(values: ndarray) -> ndarray:
    """Return pixels as Pillow expects them: grey has no axis of channels."""
    return values[..., 0] if values.shape[2] == 1 else values


def _on_background(values: ndarray, level: int) -> ndarray:
    """Return grey or colour over an 8-bit level, uint8 [n, W, 1 or 3], rounded once.

    `values` have alpha last, and are uint8 or uint16.
    """
    levels = np.iinfo(values.dtype).max
    colour = values[..., :-1] * (255 / levels)
    alpha = values[..., -1:] / levels
    mixed = colour * alpha + level * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)
