"""The encoding of an output file, and exporting a finished PNG: as JPEG, WebP, AVIF, TIFF, JPEG XL
or a PNG with less metadata.

The PNG is read in strips. A JPEG or TIFF is written in strips too, in constant memory. The other
formats are encoded in one piece. The memory for that is checked before, and only one image is
encoded at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import MemoryShortError, PictureError, SettingsError, check_stop
from ..files import link_or_copy, write_atomically
from ..i18n import PixelCount
from ..images import SourceImage
from ..images.worker import free_system_memory
from ..metadata import CHOICES, Metadata
from ..metadata.metadata import INPUT_NOTES
from ..metadata.output_formats import fit_to_format
from ..metadata.provenance import Origin, origin_of
from ..metadata.source_type import read_source_type, with_source_type
from ..size import Size
from .avif import AVIF
from .format import FinishedImage, Format
from .jpeg import JPEG
from .jxl import JXL
from .png import PNG
from .png_reader import PngReader
from .tiff import TIFF
from .webp import WEBP

FORMATS = {form.key: form for form in (PNG, JPEG, WEBP, AVIF, TIFF, JXL)}
ENDINGS = {ending: form.key for form in FORMATS.values() for ending in form.endings}
"""The format of each file name extension."""

_ONE_PIECE = threading.Lock()
"""Held while an image is encoded in one piece. It is global, because the memory is that of the
process."""
_POLL_SECONDS = 0.1

BACKGROUNDS = {"white": 255, "black": 0}
"""The 8-bit level of each background."""


_DEPTH_NOTES = {8: "eight_bits", 10: "ten_bits"}


@dataclass(frozen=True)
class Encoding:
    """The format of an output file. Raises SettingsError if a value is not allowed.

    - `format`: png, jpeg, webp, avif, tiff or jxl.
    - `quality`: 1 to 100. PNG and TIFF are always lossless, JPEG XL and WebP at 100. Below 100,
      WebP halves the colour resolution.
    - `metadata`: "keep", "no-location" (all except the location) or "none". The colour profile and
      the resolution are always kept.
    - `label`: whether the XMP labels the output of a model as machine-enhanced, for each value of
      `metadata`.
    - `background`: the colour of transparent areas in a format without transparency, "white" or
      "black".
    """

    format: str = "png"
    quality: int = 92
    metadata: str = "keep"
    label: bool = True
    background: str = "white"

    def __post_init__(self) -> None:
        allowed = {"format": FORMATS, "metadata": CHOICES, "background": BACKGROUNDS}
        for name, choices in allowed.items():
            value = getattr(self, name)
            if value not in choices:
                known = ", ".join(choices)
                raise SettingsError(f"{name}_unknown", setting=name, value=value, choices=known)
        if isinstance(self.quality, bool) or self.quality not in range(1, 101):
            raise SettingsError("quality_range", setting="quality", value=repr(self.quality))
        if not isinstance(self.label, bool):
            raise SettingsError("setting_switch", setting="label", value=repr(self.label))
        object.__setattr__(self, "quality", int(self.quality))

    @staticmethod
    def of_file(path: Path, *, format: str | None = None, **fields: Any) -> Encoding:
        """Return the encoding for a file name. `fields` are other fields of the encoding.

        Raises SettingsError if its extension is unknown or does not match `format`.
        """
        by_name = ENDINGS.get(path.suffix.lower())
        if by_name is None:
            raise SettingsError("format_ending", name=path.name, endings=", ".join(ENDINGS))
        if format is not None and format != by_name:
            raise SettingsError("format_contradicts", name=path.name, format=format)
        return Encoding(by_name, **fields)

    @property
    def file_format(self) -> Format:
        return FORMATS[self.format]

    @property
    def lossless(self) -> bool:
        return self.quality >= self.file_format.lossless

    @property
    def is_stored(self) -> bool:
        """Whether the output file is the stored PNG."""
        return self.format == "png" and self.metadata == "keep" and self.label

    def __str__(self) -> str:
        parts = [self.format]
        if not self.lossless:
            parts.append(str(self.quality))
        parts.append(self.metadata)
        if self.background != "white" and not self.file_format.alpha:
            parts.append(self.background)
        if not self.label:
            parts.append("unlabelled")
        return "-".join(parts)

    def mark(self) -> str | None:
        """Return what the mark of a file states about its encoding, None for a stored PNG."""
        if self.is_stored:
            return None
        return str(self)

    def notes(self, image: SourceImage | PngReader, *, has_alpha: bool) -> list[str]:
        """Return notes on what an image loses in this format.

        "on_white" and "on_black": transparency; "eight_bits" and "ten_bits": bit depth; "in_srgb":
        profile and bit depth; "location_left": XMP or IPTC with a location, if `metadata` is
        "no-location"; and the notes of `enhance.metadata.output_formats.fit_to_format`.
        """
        form = self.file_format
        metadata = image.variants["keep"]
        wanted = image.variants[self.metadata]
        notes = []
        if has_alpha and not form.alpha:
            notes.append(f"on_{self.background}")
        if image.bits > form.bits:
            notes.append(_DEPTH_NOTES[form.bits])
        has_location = (wanted.xmp, wanted.iptc) != (metadata.xmp, metadata.iptc)
        if self.metadata == "no-location" and has_location:
            notes.append("location_left")
        if form.converts_to_srgb(self.quality, image.icc):
            notes.append("in_srgb")
        _, left = fit_to_format(wanted, self.format)
        return notes + left

    def input_notes(self, notes: Iterable[str], *, has_gain_map: bool) -> list[str]:
        """Return those `notes` on the input that apply to a file in this encoding.

        `has_gain_map`: the result has a gain map.
        """
        known = set(INPUT_NOTES)
        if has_gain_map and self.file_format.keeps_gain_map:
            known.remove("gain_map_left")
        return [note for note in notes if note in known]

    def check(self, size: Size) -> None:
        """Check that an image of this size can be encoded.

        Raises PictureError if it is too large for the format, MemoryShortError if there is not
        enough memory, and SettingsError if the library of the format is not installed.
        """
        form = self.file_format
        facts = {"format": form.name, **size._asdict()}
        if not form.is_available():
            raise SettingsError("format_missing", format=form.name, library=form.library)
        if size.long_side > form.side:
            raise PictureError("format_too_long", limit=form.side, **facts)
        if size.pixels > form.pixels:
            raise PictureError("format_too_large", limit=PixelCount(form.pixels), **facts)
        needed = size.pixels * form.memory_per_pixel(self.quality)
        free = free_system_memory()
        if needed > free:
            raise MemoryShortError("format_memory", needed=needed / 1e9, free=free / 1e9, **facts)


def export(
    png: Path,
    target: Path,
    encoding: Encoding,
    stop: threading.Event | None = None,
    *,
    marked: bool = False,
) -> None:
    """Write a finished PNG to `target` in another encoding, atomically; the PNG stays.

    The file carries the PNG's origin unless `encoding` removes all metadata; with `marked` always,
    so that a later run recognises it. Raises what `Encoding.check` does, StorageError, PictureError
    if the PNG is damaged or missing, and Cancelled.
    """
    if encoding.is_stored:
        write_atomically(target, lambda temporary: link_or_copy(png, temporary), durable=True)
        return
    form = encoding.file_format
    with PngReader(png) as reader:
        origin = origin_of(png)
        mark = b""
        if marked or encoding.metadata != "none":
            mark = replace(origin, encoding=encoding.mark()).mark()
        image = FinishedImage(
            reader,
            form,
            encoding.quality,
            background=BACKGROUNDS[encoding.background],
            metadata=_exported_metadata(reader.variants, encoding, origin),
            mark=mark,
            stop=stop,
        )

        def write_file(temporary: Path) -> None:
            with temporary.open("xb") as file, ExitStack() as held:
                if form.memory is not None:
                    held.enter_context(_only_image(stop))
                encoding.check(reader.size)
                form.write(file, image)

        write_atomically(target, write_file, durable=True)


@contextmanager
def _only_image(stop: threading.Event | None) -> Iterator[None]:
    """Wait until no other image is encoded in one piece, because the memory check is for one.

    Raises Cancelled.
    """
    while not _ONE_PIECE.acquire(timeout=_POLL_SECONDS):
        check_stop(stop)
    try:
        yield
    finally:
        _ONE_PIECE.release()


def _exported_metadata(
    variants: Mapping[str, Metadata], encoding: Encoding, origin: Origin
) -> Metadata:
    """Return the metadata of the output file, with or without the label."""
    wanted = variants[encoding.metadata]
    exported, _ = fit_to_format(wanted, encoding.format)
    if origin.source_type is None:
        return exported
    if encoding.label:
        source_type = read_source_type(variants["keep"].xmp)
    elif encoding.metadata == "none" or origin.source_type == "none":
        source_type = None
    else:
        source_type = origin.source_type
    return replace(exported, xmp=with_source_type(exported.xmp, source_type))


def notes_of(png: Path, encoding: Encoding, input_notes: Iterable[str] = ()) -> list[str]:
    """Return `Encoding.input_notes` and `Encoding.notes` for a finished PNG.

    Raises PictureError.
    """
    with PngReader(png) as image:
        notes = encoding.notes(image, has_alpha=image.channels in (2, 4))
        return encoding.input_notes(input_notes, has_gain_map=image.gain_map is not None) + notes
