"""The finished PNG becomes what people take home: JPEG, WebP or AVIF, with its profile, metadata and resolution.

The PNG is read by rows and stays as it is. A large JPEG is written by strips too, in constant memory: each strip is
coded by itself, and restart markers join them (ITU-T T.81, E.1.4), which gives the pixels of a JPEG made whole. WebP
and AVIF are coded whole: the memory that this takes is reckoned before, and one is made at a time.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, features

from ..errors import Cancelled, MemoryShortError, PictureError, SettingsError
from ..files import link_or_copy, write_atomically
from ..i18n import PixelCount
from ..images import Metadata
from ..images.metadata import CHOICES, SEGMENT, fitted, resource_of
from ..images.worker import free_memory
from .png import read_carried, take_png
from .png_reader import PngRows
from .provenance import MARK_SEGMENT, ORIGIN_TEXTS, Origin, marked, origin_of
from .thumbnails import grey_in_srgb, on_white

FINE = 90
"""From this quality on colour is kept at the resolution of brightness (4:4:4), where the format can."""
_STRIP, _STRIP_BYTES = 16, 1 << 20
_PROGRESSIVE_PIXELS = 16_000_000
"""Up to here a JPEG is progressive, which makes it 3 % smaller and takes the whole picture's memory."""
_THOROUGH_PIXELS = 10_000_000
"""Up to here an AVIF is coded at speed 6, beyond at 8: 2.6 times as fast, 12 % larger."""
_WHOLE = threading.Lock()
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Format:
    """A kind of file, and the largest picture that programs read in it: pixels a side, and in all.

    A JPEG has room for 65,535 a side, but libjpeg, which nearly all programs use, refuses more than 65,500; libavif
    refuses more than 32,768 a side or 16,384 squared in all. `memory` is what coding a whole picture was measured to
    take, in bytes a pixel, from FINE on and below.
    """

    name: str
    ending: str
    side: int = (1 << 31) - 1
    pixels: int = 1 << 62
    alpha: bool = True
    memory: tuple[int, int] = (0, 0)


FORMATS = {
    "png": Format("PNG", ".png"),
    "jpeg": Format("JPEG", ".jpg", 65_500, alpha=False),
    "webp": Format("WebP", ".webp", 16_383, memory=(13, 13)),
    "avif": Format("AVIF", ".avif", 32_768, 16_384**2, memory=(48, 34)),
}
ENDINGS = {form.ending: name for name, form in FORMATS.items()} | {".jpeg": "jpeg"}
"""How the name of a result may end, and which format that is."""
_LOSSLESS_WEBP = 40


@dataclass(frozen=True)
class Encoding:
    """How a result is handed out. Raises SettingsError for what none can be.

    `quality`, 1 to 100, means what it means for the libraries of each format (libjpeg, libwebp, libavif), and nothing
    for PNG. A WebP of 100 is lossless, because below it has half the resolution in colour at any quality.
    `metadata` says what is kept: "keep", "no-location" or "none".
    """

    format: str = "png"
    quality: int = 92
    metadata: str = "keep"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SettingsError("format_unknown", value=self.format, formats=", ".join(FORMATS))
        if isinstance(self.quality, bool) or self.quality not in range(1, 101):
            raise SettingsError("quality_range", value=repr(self.quality))
        if self.metadata not in CHOICES:
            raise SettingsError("metadata_unknown", value=self.metadata, choices=", ".join(CHOICES))
        object.__setattr__(self, "quality", int(self.quality))

    @staticmethod
    def of_file(path: Path, quality: int = 92, metadata: str = "keep", format: str | None = None) -> Encoding:
        """That of a file by its name's ending. Raises SettingsError, also where that is not of the `format` named."""
        by_name = ENDINGS.get(path.suffix.lower())
        if by_name is None:
            raise SettingsError("format_ending", name=path.name)
        if format is not None and format != by_name:
            raise SettingsError("format_contradicts", name=path.name, format=format)
        return Encoding(by_name, quality, metadata)

    @property
    def form(self) -> Format:
        return FORMATS[self.format]

    @property
    def lossless(self) -> bool:
        return self.format == "png" or (self.format == "webp" and self.quality == 100)

    @property
    def is_stored(self) -> bool:
        """Whether the stored PNG is the file itself."""
        return self.format == "png" and self.metadata == "keep"

    def __str__(self) -> str:
        return "-".join([self.format, *([] if self.lossless else [str(self.quality)]), self.metadata])

    def notes(self, *, alpha: bool, bits: int, told: Metadata) -> list[str]:
        """Return notes on what such an image loses in the format.

        "on_white": transparency; "eight_bits": bit depth; "location_left": XMP or IPTC with a location, if none is
        wanted; and the notes of `enhance.images.metadata.fitted`.
        """
        kept = told.kept(self.metadata)
        lost = {
            "on_white": alpha and not self.form.alpha,
            "eight_bits": bits > 8 and self.format != "png",
            "location_left": self.metadata == "no-location" and (kept.xmp, kept.iptc) != (told.xmp, told.iptc),
        }
        return [note for note, is_lost in lost.items() if is_lost] + self.fitted(kept)[1]

    def fitted(self, told: Metadata) -> tuple[Metadata, list[str]]:
        """What the format has room for, where it has room for it, and notes of what it has not."""
        if self.format == "png":
            return told, []
        others = replace(told, texts=tuple(text for text in told.texts if text[0] not in ORIGIN_TEXTS))
        return fitted(others, self.format)

    def check(self, width: int, height: int) -> None:
        """Find out before any work whether a picture of this size can be had so.

        Raises PictureError beyond the format, MemoryShortError beyond the free memory, SettingsError where the library
        for the format is missing.
        """
        form, size = self.form, {"format": self.form.name, "width": f"{width:,}", "height": f"{height:,}"}
        if self.format in ("webp", "avif") and not features.check(self.format):
            raise SettingsError("format_missing", format=form.name)
        if max(width, height) > form.side:
            raise PictureError("format_too_long", limit=f"{form.side:,}", **size)
        if width * height > form.pixels:
            raise PictureError("format_too_large", limit=PixelCount(form.pixels), **size)
        each = _LOSSLESS_WEBP if self.lossless else form.memory[self.quality < FINE]
        needed, free = 0 if self.format == "png" else width * height * each, free_memory()
        if needed > free:
            raise MemoryShortError("format_memory", needed=f"{needed / 1e9:.1f}", free=f"{free / 1e9:.1f}", **size)


def export(
    png: Path, place: Path, encoding: Encoding, stop: threading.Event | None = None, *, marked: bool = False
) -> None:
    """Make a finished PNG into a file at `place`, whole or not at all; the PNG stays.

    `marked`: the file says which result it is even where no metadata is wanted, so that a later run knows it again.
    Raises what `Encoding.check` does, StorageError, PictureError for a PNG that is damaged or gone, and Cancelled.
    """
    if encoding.is_stored:
        write_atomically(place, lambda temporary: link_or_copy(png, temporary), durable=True)
        return
    bare = encoding.metadata == "none"
    origin = Origin() if bare and not marked else replace(origin_of(png), encoding=str(encoding))
    if encoding.format == "png":
        take_png(png, place, encoding.metadata, () if bare else origin.texts(), origin.mark() if bare else None)
        return
    with PngRows(png) as rows:
        height, width = rows.size
        encoding.check(width, height)
        icc, told = read_carried(png, encoding.metadata)
        source = _Source(rows, encoding, icc, encoding.fitted(told)[0], origin.mark(), stop)
        write = _write_jpeg if encoding.format == "jpeg" else _write_whole

        def written(temporary: Path) -> None:
            with temporary.open("xb") as file:
                write(file, source)

        write_atomically(place, written, durable=True)


def notes_of(png: Path, encoding: Encoding) -> list[str]:
    """The notes of `Encoding.notes` for a finished PNG. Raises PictureError."""
    if encoding.is_stored:
        return []
    with PngRows(png) as rows:
        return encoding.notes(alpha=rows.channels in (2, 4), bits=rows.bits, told=read_carried(png)[1])


@dataclass(frozen=True)
class _Source:
    """What is to be written: the rows of a finished PNG, how, and what goes along with them."""

    rows: PngRows
    encoding: Encoding
    icc: bytes | None
    told: Metadata
    mark: bytes | None
    stop: threading.Event | None

    def strips(self, step: int, tones: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Strips of uint8 [n, W, C] as the format takes them; grey becomes RGB by its `tones`, uint8 [256]."""
        height, _ = self.rows.size
        for first in range(0, height, step):
            if self.stop is not None and self.stop.is_set():
                raise Cancelled("stopped")
            values = self.rows.rows(first, min(first + step, height))
            if values.shape[2] in (2, 4) and not self.encoding.form.alpha:
                values = on_white(values)
            elif values.dtype == np.uint16:
                values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
            if tones is not None:
                colour = np.repeat(tones[values[..., :1]], 3, axis=2)
                values = np.concatenate([colour, values[..., 1:]], axis=2)
            yield values


def _write_jpeg(file: BinaryIO, source: _Source) -> None:
    """Progressive where that is cheap; else strips of whole blocks, each one restart interval."""
    rows, quality = source.rows, source.encoding.quality
    height, width = rows.size
    whole = height * width <= _PROGRESSIVE_PIXELS
    step = height if whole else _STRIP * max(1, min(_STRIP_BYTES // (_STRIP * rows.row_bytes), 64))
    fine = quality >= FINE
    options: dict[str, Any] = {"quality": quality, "subsampling": "4:4:4" if fine else "4:2:0"}
    options |= {"progressive": True} if whole else {}
    options |= {"dpi": source.told.dpi} if source.told.dpi else {}
    block = 8 if fine or rows.channels < 3 else 16
    interval = 0 if whole else -(-width // block) * (step // block)
    for number, strip in enumerate(source.strips(step)):
        coded = _coded_jpeg(strip, options)
        head = _head_of(coded)
        if number == 0:
            file.writelines(_whole_head(head, height, interval, _segments(source)))
        else:
            file.write(bytes([0xFF, 0xD0 + (number - 1) % 8]))
        file.write(coded[sum(len(segment) for _, segment in head) : -2])
    file.write(b"\xff\xd9")


def _coded_jpeg(strip: np.ndarray, options: dict[str, Any]) -> bytes:
    image, coded = Image.fromarray(_squeezed(strip)), io.BytesIO()
    try:
        image.save(coded, "JPEG", **options)
    except OSError:  # Pillow gives a progressive one a byte or two for a pixel, and noise takes more
        coded = io.BytesIO()
        image.save(coded, "JPEG", **options | {"progressive": False})
    return coded.getvalue()


def _head_of(coded: bytes) -> list[tuple[int, bytes]]:
    """The segments of a JPEG before the first scan's data: the marker, and all of its bytes."""
    found, place = [(0xD8, coded[:2])], 2
    while found[-1][0] != 0xDA:
        marker, length = struct.unpack_from(">xBH", coded, place)
        found.append((marker, coded[place : place + 2 + length]))
        place += 2 + length
    return found


def _whole_head(head: list[tuple[int, bytes]], height: int, interval: int, more: bytes) -> Iterator[bytes]:
    """The head with the height of all strips, a restart interval (0: none), and more segments after JFIF's."""
    for marker, segment in head:
        if 0xC0 <= marker <= 0xC2:
            segment = segment[:5] + struct.pack(">H", height) + segment[7:]
        if marker == 0xDA and interval:
            yield _segment(0xDD, struct.pack(">H", interval))
        yield segment + (more if marker == 0xE0 else b"")


def _segments(source: _Source) -> bytes:
    """What goes along as the segments of a JPEG; what is longer than one goes on in the next of its kind."""
    told = source.told

    def profile_number(first: int, each: int, whole: int) -> bytes:
        return bytes([1 + first // each, -(-whole // each)])

    parts = [
        *_segmented(0xE1, b"Exif\0\0", told.exif or b""),
        *_segmented(0xE1, b"http://ns.adobe.com/xap/1.0/\0", told.xmp or b""),
        *_segmented(0xE2, b"ICC_PROFILE\0", source.icc or b"", profile_number),
        *_segmented(0xED, b"Photoshop 3.0\0", resource_of(told.iptc) if told.iptc else b""),
        *(_segment(0xFE, value.encode("utf-8")) for _, value in told.texts),
        *_segmented(MARK_SEGMENT, b"", source.mark or b""),
    ]
    return b"".join(parts)


def _segmented(
    marker: int, head: bytes, content: bytes, place: Callable[[int, int, int], bytes] = lambda *_: b""
) -> Iterator[bytes]:
    """The content in segments that begin with `head` and what `place` says of (first byte, bytes of each, of all)."""
    room = SEGMENT - len(head) - len(place(0, 1, 1))
    for first in range(0, len(content), room):
        yield _segment(marker, head + place(first, room, len(content)) + content[first : first + room])


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _write_whole(file: BinaryIO, source: _Source) -> None:
    """WebP and AVIF: in one piece, one picture at a time, because the memory of several was not reckoned."""
    rows, encoding, told, icc, mark = source.rows, source.encoding, source.told, source.icc, source.mark
    height, width = rows.size
    grey = encoding.format == "avif" and rows.channels == 1
    tones = None if rows.channels > 2 or grey else grey_in_srgb(icc)
    icc = icc if tones is None else None
    with _one_at_a_time(source.stop):
        encoding.check(width, height)
        mode = "L" if grey else ("RGB" if rows.channels in (1, 3) else "RGBA")
        image, top = Image.new(mode, (width, height)), 0
        for strip in source.strips(max(1, _STRIP_BYTES // rows.row_bytes), tones):
            image.paste(Image.fromarray(_squeezed(strip)), (0, top))
            top += len(strip)
        options: dict[str, Any] = {"quality": encoding.quality, "icc_profile": icc, "xmp": told.xmp or b""}
        options["exif"] = told.exif or b""
        if encoding.format == "webp":
            options |= {"lossless": True, "exact": True} if encoding.lossless else {"method": 4}
        else:
            chroma = "4:0:0" if grey else ("4:4:4" if encoding.quality >= FINE else "4:2:0")
            options |= {"subsampling": chroma, "speed": 6 if height * width <= _THOROUGH_PIXELS else 8}
        coded = io.BytesIO()
        image.save(coded, encoding.form.name, **options)
    data = coded.getbuffer()
    file.writelines(marked(data, mark, (width, height), alpha=mode == "RGBA") if mark else [data])


@contextmanager
def _one_at_a_time(stop: threading.Event | None) -> Iterator[None]:
    """Wait until no other image is encoded in one piece. Raises Cancelled if `stop` is set before."""
    while not _WHOLE.acquire(timeout=_POLL_SECONDS):
        if stop is not None and stop.is_set():
            raise Cancelled("stopped")
    try:
        yield
    finally:
        _WHOLE.release()


def _squeezed(values: np.ndarray) -> np.ndarray:
    return values[..., 0] if values.shape[2] == 1 else values
