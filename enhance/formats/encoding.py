"""The output formats: a finished PNG becomes a JPEG, WebP, AVIF, TIFF, JPEG XL or a PNG with less
metadata.

The PNG is read in strips. A JPEG or TIFF is written in strips too, in constant memory. Each strip
of a JPEG is encoded separately, and restart markers join them (ITU-T T.81, E.1.4). The pixels equal
a JPEG encoded in one piece. The other formats are encoded in one piece. The memory for that is
checked before, and only one image is encoded at a time.
"""

from __future__ import annotations

import io
import math
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, features

from ..errors import MemoryShortError, PictureError, SettingsError, check_stop
from ..files import link_or_copy, write_atomically
from ..i18n import PixelCount
from ..images import Metadata, jxl, spans
from ..images.colour import grey_as_rgb, grey_in_srgb, profile_name
from ..images.gain_map import INDEX_HEADER, index_segment, segment, version_segment, with_directory
from ..images.metadata import CHOICES, INPUT_NOTES, fit_to_format, photoshop_resource
from ..images.png_chunks import END, SIGNATURE
from ..images.source_type import read_source_type, with_source_type
from ..images.worker import free_memory
from ..metadata.provenance import Origin, marked_ending, origin_of
from .png import PngFormat
from .png_reader import PngReader
from .thumbnails import srgb_image
from .tiff import write_tiff

FINE = 90
"""From this quality on, colour has the resolution of brightness (4:4:4) if the format allows it."""
_STRIP = 16
"""The rows of the largest JPEG block."""
_STRIP_BYTES = 1 << 20
"""The bytes of a strip, which then has fewer than the 65,535 blocks that a restart interval can
have."""
_THOROUGH_PIXELS = 10_000_000
"""Smaller AVIFs are encoded at speed 6, larger ones at 8: 2.6 times as fast, 12 % larger."""
_RESOURCE_BYTES = 65_000
_START_OF_FRAME = (0xC0, 0xC1)  # Baseline, extended.
_START_OF_SCAN = 0xDA
_RESTART_INTERVAL = 0xDD
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"
_ONE_PIECE = threading.Lock()
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Format:
    """A file format and the largest image that programs read: pixels per side and in total.

    JPEG allows 65,535 px per side, but libjpeg, which nearly all programs use, only 65,500. libavif
    allows 32,768 px per side and 16,384 squared in total. `bits` are those of 16-bit images.
    `lossless` is the lowest quality without loss. `memory` is the measured memory of encoding in
    one piece, in bytes per pixel, for a quality without loss, of FINE or more, and lower.
    """

    name: str
    ending: str
    side: int = (1 << 31) - 1
    pixels: int = 1 << 62
    alpha: bool = True
    bits: int = 8
    lossless: int = 101
    memory: tuple[int, int, int] = (0, 0, 0)


FORMATS = {
    "png": Format("PNG", ".png", bits=16, lossless=1),
    "jpeg": Format("JPEG", ".jpg", 65_500, alpha=False),
    "webp": Format("WebP", ".webp", 16_383, lossless=100, memory=(44, 17, 17)),
    "avif": Format("AVIF", ".avif", 32_768, 16_384**2, bits=10, memory=(0, 62, 40)),
    "tiff": Format("TIFF", ".tif", bits=16, lossless=1),
    "jxl": Format("JPEG XL", ".jxl", bits=16, lossless=100, memory=(48, 48, 48)),
}
ENDINGS = {form.ending: name for name, form in FORMATS.items()} | {".jpeg": "jpeg", ".tiff": "tiff"}
"""The format of each file name extension."""

BACKGROUNDS = {"white": 255, "black": 0}
"""The 8-bit level of each background."""


@dataclass(frozen=True)
class Encoding:
    """The format of an output file. Raises SettingsError if a value is out of range.

    `quality` is 1 to 100 as libjpeg, libwebp, libavif and libjxl define it; PNG and TIFF ignore it.
    At 100, JPEG XL is lossless, and so is WebP, because its colour has half the resolution at any
    lower quality. `metadata` is "keep", "no-location" or "none". `label` marks the result of a
    network as machine-enhanced in its XMP, for each value of `metadata`. `background` is the colour
    of transparent areas in a format without transparency, "white" or "black".
    """

    format: str = "png"
    quality: int = 92
    metadata: str = "keep"
    label: bool = True
    background: str = "white"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SettingsError("format_unknown", value=self.format, formats=", ".join(FORMATS))
        if isinstance(self.quality, bool) or self.quality not in range(1, 101):
            raise SettingsError("quality_range", value=repr(self.quality))
        if self.metadata not in CHOICES:
            raise SettingsError("metadata_unknown", value=self.metadata, choices=", ".join(CHOICES))
        if not isinstance(self.label, bool):
            raise SettingsError("setting_switch", setting="label", value=repr(self.label))
        if self.background not in BACKGROUNDS:
            backgrounds = ", ".join(BACKGROUNDS)
            raise SettingsError("background_unknown", value=self.background, choices=backgrounds)
        object.__setattr__(self, "quality", int(self.quality))

    @staticmethod
    def of_file(path: Path, *, format: str | None = None, **fields: Any) -> Encoding:
        """Return the encoding for a file name.

        Raises SettingsError if its extension is unknown or not of `format`.
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
    def media_type(self) -> str:
        return f"image/{self.format}"

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

    def mark(self, *, has_gain_map: bool) -> str | None:
        """Return what the mark of a file states about its encoding, None for a stored PNG."""
        if self.is_stored:
            return None
        return f"{self}-hdr" if has_gain_map and self.format == "jpeg" else str(self)

    def notes(
        self,
        *,
        alpha: bool,
        bits: int,
        icc: bytes | None,
        variants: Mapping[str, Metadata],
        has_gain_map: bool,
    ) -> list[str]:
        """Return notes on what an image loses in this format.

        "on_white" and "on_black": transparency; "eight_bits" and "ten_bits": bit depth; "in_srgb":
        profile and bit depth; "location_left": XMP or IPTC with a location, if none is wanted; and
        the notes of `enhance.images.metadata.fit_to_format`.
        """
        form = self.file_format
        metadata = variants["keep"]
        wanted = variants[self.metadata]
        notes = []
        if alpha and not form.alpha:
            notes.append(f"on_{self.background}")
        if bits > 8 and form.bits == 8:
            notes.append("eight_bits")
        if bits > 8 and form.bits == 10:
            notes.append("ten_bits")
        has_location = (wanted.xmp, wanted.iptc) != (metadata.xmp, metadata.iptc)
        if self.metadata == "no-location" and has_location:
            notes.append("location_left")
        if self.converts_to_srgb(icc):
            notes.append("in_srgb")
        _, left = fit_to_format(wanted, self.format, has_gain_map=has_gain_map)
        return notes + left

    def converts_to_srgb(self, icc: bytes | None) -> bool:
        """Return whether colours with this profile become 8-bit sRGB.

        A lossy JPEG XL keeps no other profile.
        """
        if self.format != "jxl" or self.lossless:
            return False
        return "sRGB" not in (profile_name(icc) or "sRGB")

    def input_notes(self, notes: Iterable[str], *, has_gain_map: bool) -> list[str]:
        """Return those `notes` on the input that apply to a file in this encoding.

        `has_gain_map`: the result has a gain map, which a JPEG keeps.
        """
        known = set(INPUT_NOTES)
        if has_gain_map and self.format == "jpeg":
            known.remove("gain_map_left")
        return [note for note in notes if note in known]

    def check(self, width: int, height: int) -> None:
        """Check that an image of this size can be encoded.

        Raises PictureError if it is too large for the format, MemoryShortError if memory is short,
        and SettingsError if the format's library is not installed.
        """
        form = self.file_format
        size = {"format": form.name, "width": f"{width:,}", "height": f"{height:,}"}
        if self.format in ("webp", "avif") and not features.check(self.format):
            raise SettingsError("format_missing", format=form.name, library="Pillow")
        if self.format == "jxl" and not jxl.is_available():
            raise SettingsError("format_missing", format=form.name, library="pyjpegxl")
        if max(width, height) > form.side:
            raise PictureError("format_too_long", limit=f"{form.side:,}", **size)
        if width * height > form.pixels:
            raise PictureError("format_too_large", limit=PixelCount(form.pixels), **size)
        lossless, fine, coarse = form.memory
        if self.lossless:
            bytes_per_pixel = lossless
        elif self.quality >= FINE:
            bytes_per_pixel = fine
        else:
            bytes_per_pixel = coarse
        needed = width * height * bytes_per_pixel
        free = free_memory()
        if needed > free:
            gigabytes = {"needed": f"{needed / 1e9:.1f}", "free": f"{free / 1e9:.1f}"}
            raise MemoryShortError("format_memory", **gigabytes, **size)


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
    with PngReader(png) as image:
        height, width = image.size
        encoding.check(width, height)
        origin = origin_of(png)
        gain_map = image.gain_map if encoding.format == "jpeg" else None
        has_gain_map = gain_map is not None
        metadata = _exported_metadata(image.variants, encoding, origin, has_gain_map)
        mark = b""
        if marked or encoding.metadata != "none":
            stated = encoding.mark(has_gain_map=has_gain_map)
            mark = replace(origin, encoding=stated).mark()
        result = _Source(image, encoding, metadata, mark, stop, gain_map)
        writers = {"png": _write_png, "jpeg": _write_jpeg, "tiff": _write_tiff}
        write = writers.get(encoding.format, _write_in_one_piece)

        def write_file(temporary: Path) -> None:
            with temporary.open("xb") as file:
                write(file, result)

        write_atomically(target, write_file, durable=True)


def _exported_metadata(
    variants: Mapping[str, Metadata], encoding: Encoding, origin: Origin, has_gain_map: bool
) -> Metadata:
    """Return the metadata of the output file, with or without the label."""
    wanted = variants[encoding.metadata]
    exported, _ = fit_to_format(wanted, encoding.format, has_gain_map=has_gain_map)
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
        notes = encoding.notes(
            alpha=image.channels in (2, 4),
            bits=image.bits,
            icc=image.icc,
            variants=image.variants,
            has_gain_map=image.has_gain_map,
        )
        return encoding.input_notes(input_notes, has_gain_map=image.has_gain_map) + notes


@dataclass(frozen=True)
class _Source:
    """What is encoded: the finished PNG, and the metadata of the new file.

    `mark` is empty for none.
    """

    image: PngReader
    encoding: Encoding
    metadata: Metadata
    mark: bytes
    stop: threading.Event | None
    gain_map: bytes | None = None

    def strips(self, step: int) -> Iterator[np.ndarray]:
        """Yield strips of `step` rows [n, W, C], uint8, or uint16 if the format has more bits.

        Raises Cancelled.
        """
        height, _ = self.image.size
        for first, last in spans(height, step):
            check_stop(self.stop)
            values = self.image.rows(first, last)
            if values.shape[2] in (2, 4) and not self.encoding.file_format.alpha:
                values = _on_background(values, BACKGROUNDS[self.encoding.background])
            elif self.encoding.file_format.bits == 8:
                values = _to_8_bits(values)
            yield values

    def whole(self, *, as_colour: bool = False) -> tuple[np.ndarray, bytes | None]:
        """Return all pixels of `strips`, and their profile.

        `as_colour` converts grey to RGB in sRGB.
        """
        whole = np.concatenate([*self.strips(self.strip_rows)])
        if not as_colour:
            return whole, self.image.icc
        return grey_as_rgb(grey_in_srgb(whole, self.image.icc)), None

    @property
    def strip_rows(self) -> int:
        """The rows of a strip of `_STRIP_BYTES`."""
        return max(1, _STRIP_BYTES // self.image.row_bytes)

    def ending(self, start: bytes | memoryview) -> bytes:
        """Return the last bytes of a file that begins with `start`: its mark, if it has one."""
        if not self.mark:
            return b""
        return marked_ending(bytes(start[:16]), self.mark)

    @property
    def form(self) -> PngFormat:
        image = self.image
        height, width = image.size
        return PngFormat(width, height, image.channels, image.bits, image.icc, self.metadata)


def _write_png(file: BinaryIO, source: _Source) -> None:
    file.writelines(source.form.head())
    source.image.copy_pixels(file)
    file.write(source.ending(SIGNATURE) or END)


def _write_tiff(file: BinaryIO, source: _Source) -> None:
    step = source.strip_rows
    write_tiff(file, source.form, source.strips(step), step)
    file.write(source.mark)


def _write_jpeg(file: BinaryIO, source: _Source) -> None:
    """Write a JPEG, and the gain map behind it."""
    ending = source.ending(_START_OF_IMAGE) or _END_OF_IMAGE
    if source.gain_map is None:
        _write_jpeg_photo(file, source, b"")
        file.write(ending)
        return
    # The mark is at the end of the file, so it belongs to the gain map.
    attached = source.gain_map.removesuffix(_END_OF_IMAGE) + ending
    head = _write_jpeg_photo(file, source, attached)
    file.write(_END_OF_IMAGE)
    size = file.tell()
    file.write(attached)
    index = head.index(index_segment(0, 0, len(attached)))
    file.seek(index)  # The length of the photo is known now.
    file.write(index_segment(size, size - index - INDEX_HEADER, len(attached)))


def _write_jpeg_photo(file: BinaryIO, source: _Source, attached: bytes) -> bytes:
    """Write a JPEG up to its end marker, and return its head.

    Each strip of whole blocks is a restart interval. `attached` is the gain map behind the JPEG; it
    can be empty.
    """
    image = source.image
    height, width = image.size
    quality = source.encoding.quality
    is_fine = quality >= FINE
    subsampling = "4:4:4" if is_fine else "4:2:0"
    block = 8 if is_fine or image.channels < 3 else 16
    blocks_high = min(source.strip_rows // _STRIP, 64)
    step = _STRIP * max(1, blocks_high)
    interval = math.ceil(width / block) * (step // block)

    def encode(strip: np.ndarray, **metadata: Any) -> tuple[bytes, bytes]:
        coded = io.BytesIO()
        photo = Image.fromarray(_squeeze(strip))
        photo.save(coded, "JPEG", quality=quality, subsampling=subsampling, **metadata)
        return _split_jpeg(coded.getvalue(), height, interval)

    strips = source.strips(step)
    # Without `optimize`, Pillow uses the standard Huffman tables, so the head of the first strip
    # fits all scans.
    head, scan = encode(next(strips), **_jpeg_metadata(source, attached))
    file.write(head)
    file.write(scan)
    for number, strip in enumerate(strips):
        _, scan = encode(strip)
        file.write(bytes([0xFF, 0xD0 + number % 8]))
        file.write(scan)
    return head


def _jpeg_metadata(source: _Source, attached: bytes) -> dict[str, Any]:
    """Return Pillow's options for metadata and profile.

    It has none for IPTC and for more than one comment.
    """
    metadata = source.metadata
    xmp = metadata.xmp
    segments = []
    if metadata.iptc:
        resource = photoshop_resource(metadata.iptc)
        for first, last in spans(len(resource), _RESOURCE_BYTES):
            segments.append(segment(0xED, b"Photoshop 3.0\0" + resource[first:last]))
    for _, value in metadata.texts:
        segments.append(segment(0xFE, value.encode("utf-8")))
    if attached:
        xmp = with_directory(xmp, attached)
        segments += [version_segment(attached), index_segment(0, 0, len(attached))]
    return {
        "exif": b"Exif\0\0" + metadata.exif if metadata.exif else b"",
        "xmp": xmp,
        "icc_profile": source.image.icc,
        "dpi": metadata.dpi or (0, 0),
        "extra": b"".join(segments),
    }


def _split_jpeg(coded: bytes, height: int, interval: int) -> tuple[bytes, bytes]:
    """Return a JPEG's head and its scan.

    The head has another height, and a restart interval; the scan has no end marker.
    """
    head = _START_OF_IMAGE
    position = len(head)
    marker = 0
    while marker != _START_OF_SCAN:
        marker, length = struct.unpack_from(">xBH", coded, position)
        end = position + 2 + length
        part = coded[position:end]
        if marker in _START_OF_FRAME:
            part = part[:5] + struct.pack(">H", height) + part[7:]
        if marker == _START_OF_SCAN:
            head += segment(_RESTART_INTERVAL, struct.pack(">H", interval))
        head += part
        position = end
    return head, coded[position:-2]


def _write_in_one_piece(file: BinaryIO, source: _Source) -> None:
    """Write a format that is encoded in one piece, one image at a time.

    The memory check is for one.
    """
    encoders = {"webp": _encode_webp, "avif": _encode_avif, "jxl": _encode_jxl}
    encode = encoders[source.encoding.format]
    while not _ONE_PIECE.acquire(timeout=_POLL_SECONDS):
        check_stop(source.stop)
    try:
        height, width = source.image.size
        # Again, because the free memory can have changed during the wait.
        source.encoding.check(width, height)
        parts = encode(source)
    finally:
        _ONE_PIECE.release()
    file.writelines(parts)


def _encode_webp(source: _Source) -> Iterable[bytes | memoryview]:
    values, icc = source.whole(as_colour=source.image.channels < 3)
    if source.encoding.lossless:
        data = _save_with_pillow(values, source, icc, lossless=True, exact=True)
    else:
        data = _save_with_pillow(values, source, icc, method=4)
    chunk = source.ending(data)
    return _webp_with_chunk(data, chunk, values) if chunk else [data]


def _webp_with_chunk(
    data: memoryview,
    chunk: bytes,
    values: np.ndarray,
) -> Iterator[bytes | memoryview]:
    """Yield the parts of a WebP of these pixels with another chunk at its end.

    Only the extended format, which begins with a VP8X chunk, may have unknown chunks (WebP
    container specification).
    """
    extended = b""
    chunks = data[12:]
    if chunks[:4] != b"VP8X":
        height, width, channels = values.shape
        flags = 0x10 if channels == 4 else 0
        extended = struct.pack("<4sIB3x", b"VP8X", 10, flags)
        extended += (width - 1).to_bytes(3, "little")
        extended += (height - 1).to_bytes(3, "little")
    length = 4 + len(extended) + len(chunks) + len(chunk)
    yield from (b"RIFF", struct.pack("<I", length), b"WEBP", extended, chunks, chunk)


def _encode_avif(source: _Source) -> Iterable[bytes | memoryview]:
    # AVIF has no grey with transparency.
    values, icc = source.whole(as_colour=source.image.channels == 2)
    height, width, channels = values.shape
    speed = 6 if height * width <= _THOROUGH_PIXELS else 8
    if values.dtype == np.uint16:
        data = _encode_deep_avif(values, source, icc, speed)
    else:
        subsampling = "4:4:4" if source.encoding.quality >= FINE else "4:2:0"
        if channels == 1:
            subsampling = "4:0:0"
        data = _save_with_pillow(values, source, icc, subsampling=subsampling, speed=speed)
    return [data, source.ending(data)]


def _encode_deep_avif(
    values: np.ndarray,
    source: _Source,
    icc: bytes | None,
    speed: int,
) -> memoryview:
    """Return an AVIF of 10 bits, which Pillow cannot write.

    OpenCV halves the colour resolution below quality 100.
    """
    if values.shape[2] > 1:
        values[..., :3] = values[..., 2::-1]
    # Row by row, because the 32-bit numbers of a whole image need twice its memory.
    for row in values:
        row[:] = (row.astype(np.uint32) * 1023 + 32_767) // 65_535
    blocks = {
        cv2.IMAGE_METADATA_EXIF: source.metadata.exif,
        cv2.IMAGE_METADATA_XMP: source.metadata.xmp,
        cv2.IMAGE_METADATA_ICCP: icc,
    }
    kinds = [kind for kind, block in blocks.items() if block]
    contents = [np.frombuffer(block, np.uint8) for block in blocks.values() if block]
    options = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_SPEED, speed]
    options += [cv2.IMWRITE_AVIF_QUALITY, source.encoding.quality]
    is_done, coded = cv2.imencodeWithMetadata(".avif", values, kinds, contents, options)
    if not is_done:
        raise MemoryError("OpenCV encoded no AVIF")
    return coded.data


def _save_with_pillow(
    values: np.ndarray,
    source: _Source,
    icc: bytes | None,
    **options: Any,
) -> memoryview:
    coded = io.BytesIO()
    Image.fromarray(_squeeze(values)).save(
        coded,
        source.encoding.file_format.name,
        quality=source.encoding.quality,
        icc_profile=icc,
        exif=source.metadata.exif or b"",
        xmp=source.metadata.xmp or b"",
        **options,
    )
    return coded.getbuffer()


def _encode_jxl(source: _Source) -> Iterable[bytes | memoryview]:
    values, icc = source.whole()
    if source.encoding.converts_to_srgb(icc):
        values = _in_srgb(_to_8_bits(values), icc)
    ending = source.ending(jxl.START)
    return jxl.encode_jxl(values, source.encoding.quality, icc, source.metadata, ending)


def _squeeze(values: np.ndarray) -> np.ndarray:
    """Return pixels as Pillow expects them: grey has no axis of channels."""
    return values[..., 0] if values.shape[2] == 1 else values


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    rounded = (values.astype(np.uint32) + 128) // 257
    return rounded.astype(np.uint8)


def _in_srgb(values: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Convert uint8 [H, W, 1 to 4] from a profile to sRGB; alpha stays."""
    if values.shape[2] < 3:
        return grey_in_srgb(values, icc)
    colour = np.asarray(srgb_image(values[..., :3], icc))
    return np.dstack([colour, values[..., 3:]])


def _on_background(values: np.ndarray, level: int) -> np.ndarray:
    """Return grey or colour over an 8-bit level, uint8 [n, W, 1 or 3], rounded once.

    `values` have alpha last, and are uint8 or uint16.
    """
    levels = int(np.iinfo(values.dtype).max)
    background = np.uint64(levels // 255 * level)
    colour = values[..., :-1].astype(np.uint64)
    alpha = values[..., -1:].astype(np.uint64)
    mixed = colour * alpha + background * (levels - alpha)
    divisor = np.uint64(levels * (levels // 255))  # `levels` squared becomes 255.
    rounded = (mixed + divisor // 2) // divisor
    return rounded.astype(np.uint8)
