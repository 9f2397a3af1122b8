"""What a picture file tells before a pixel is decoded: its format, size, mode, profile and metadata.

The format is judged by the first bytes, never by the name, and only the formats listed here are opened: the decoder's
class is called directly. That also keeps Pillow's own pixel limit out of it, which lives in one global variable
(Image.MAX_IMAGE_PIXELS, checked by Image.open) that cannot be changed for one call while other threads read too.

Pillow's readers of headers can be made to work for minutes (a JPEG of padding, a GIF of comments), and those of HEIC
and AVIF are C libraries, so this runs in the worker process too.

The PictureErrors raised here lack the file's name: the caller adds it to their values as `name`.
"""

from __future__ import annotations

import importlib
import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

from PIL import ImageFile

from ..errors import PictureError
from ..i18n import PixelCount
from .containers import (
    LARGEST_BLOCK,
    Chunk,
    block_in,
    check_bytes,
    check_deflated,
    check_jpeg,
    check_packed,
    chunk_content,
    count_gif_frames,
    first_of,
    png_profile,
    riff_chunks,
    scan_chunks,
    tiff_tags,
    webp_size,
)
from .containers import SIGNATURE as PNG_SIGNATURE
from .exif import bare_block, block_from_tiff, dpi_of_exif, read_orientation
from .metadata import LARGEST_TEXT, LARGEST_TEXTS, Density, Metadata, density, iptc_in, png_texts
from .xmp import joined_extension, plain_xmp

logger = logging.getLogger(__name__)

MAX_SIDE = 500_000
"""The longest side of an input in pixels. OpenCV crashes on much wider rows: cv2.blur on float32 [1, 100_000_000]."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    PNG_SIGNATURE: "PNG",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    **dict.fromkeys((b"GIF87a", b"GIF89a"), "GIF"),
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_PNG_COLOUR_TYPES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_TIFF_MODES = {1: "I", 3: "RGB", 4: "RGBA"}
_DEEP_KINDS = {(16, 1), (16, 2), (32, 1), (32, 2), (32, 3), (64, 3)}  # (bits, sample format) that OpenCV decodes
_BMP_HEADER_SIZES = tuple(bytes([size]) for size in (12, 16, 40, 52, 56, 64, 108, 124))
_INCH = 0.0254
_EXTENDED_XMP, _RESOURCES = b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0"
_GAIN_MAPS = b"urn:iso:std:iso:ts:21496:-1\0", "urn:com:apple:photo:2020:aux:hdrgainmap"
"""How a segment of a JPEG begins that announces a gain map (ISO 21496-1), and the type of such an image in a HEIC."""


@dataclass(frozen=True)
class Header:
    """What a file says about its picture.

    `width` and `height` are as stored, `orientation` (1..8) is still to be applied to them. `bits` is 16 where a
    channel holds more than 8 bits that can be kept. `icc` and `metadata` are as found, unchecked.
    """

    format: str
    mode: str
    width: int
    height: int
    bits: int = 8
    has_alpha: bool = False
    orientation: int = 1
    icc: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    frames: int = 1

    @property
    def deep(self) -> bool:
        """Whether Pillow cannot hold the picture."""
        return self.bits > 8

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) once the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def recognise(start: bytes) -> str | None:
    """The format that a file's first 64 bytes announce, or None."""
    for known, kind in _STARTS.items():
        if start.startswith(known):
            return kind
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith(b"BM") and start[14:15] in _BMP_HEADER_SIZES and start[15:18] == bytes(3):
        return "BMP"
    if start[4:8] == b"ftyp":
        brands = {start[8:12], *(start[place : place + 4] for place in range(16, min(start[3], 64), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return None


def open_with_pillow(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """The file as a lazy Pillow image of exactly this format; PictureError if the format's library is missing."""
    name = "WebP" if kind == "WEBP" else kind.title()
    try:
        library = importlib.import_module("pillow_heif" if kind == "HEIF" else f"PIL.{name}ImagePlugin")
    except ImportError as error:
        if kind == "HEIF":
            raise PictureError("picture_library_missing", format=kind, library="pillow-heif") from error
        raise PictureError("picture_pillow_too_old", format=kind) from error
    file.seek(0)
    return getattr(library, f"{name}ImageFile")(file, "")


def read_header(file: BinaryIO, *, max_pixels: int, count_frames: bool = False, only_head: bool = False) -> Header:
    """The header of an open file; its size is checked before a decoder is given the file.

    With `only_head`, a JPEG's scans are not counted: that reads the whole file. Not for a file that is to be decoded.

    PictureError: no picture, too large, a kind that is not supported. EOFError and what decoders raise: damaged.
    """
    file.seek(0)
    start = file.read(64)
    kind = recognise(start)
    if kind is None:
        raise PictureError("picture_unknown_format")
    if kind == "PNG":
        check_size(*struct.unpack(">II", start[16:24]), max_pixels)
        header = _png_header(file)
    elif kind == "TIFF":
        header = _tiff_header(file, max_pixels, count_frames)
    elif kind == "WEBP":
        check_size(*webp_size(start), max_pixels)
        header = _webp_header(file, start)
    else:
        if kind == "JPEG":
            check_jpeg(file, only_head=only_head)
        header = _other_header(kind, file, count_frames)
    check_size(header.width, header.height, max_pixels)
    check_bytes(kind, file.seek(0, 2), header.width, header.height)
    return header


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise PictureError unless both sides and the number of pixels are within the limits."""
    if width < 1 or height < 1:
        raise PictureError("picture_no_pixels")
    if max(width, height) > MAX_SIDE:
        raise PictureError("picture_side_too_long", width=f"{width:,}", height=f"{height:,}", limit=f"{MAX_SIDE:,}")
    if width * height > max_pixels:
        size = {"width": width, "height": height, "megapixels": PixelCount(width * height)}
        raise PictureError("picture_too_many_pixels", **size, limit=PixelCount(max_pixels))


def _other_header(kind: str, file: BinaryIO, count_frames: bool) -> Header:
    with open_with_pillow(kind, file) as image:
        metadata = _pillow_metadata(image)
        return Header(
            format=kind,
            mode=image.mode,
            width=image.width,
            height=image.height,
            has_alpha=image.has_transparency_data,
            # libheif turns the picture itself, by the container's own flags, and Pillow sees the result
            orientation=1 if kind == "HEIF" else read_orientation(metadata.exif),
            icc=image.info.get("icc_profile") or None,
            metadata=metadata,
            frames=_frames(image) if count_frames else 1,
        )


def _frames(image: ImageFile.ImageFile) -> int:
    if image.format == "GIF":  # Pillow goes through each of them
        return count_gif_frames(cast(BinaryIO, image.fp))
    try:
        return max(1, getattr(image, "n_frames", 1))
    except Exception as error:  # a damaged later frame must not spoil the first one, which is all that is used
        logger.info("the frames could not be counted: %s", error)
        return 1


def _webp_header(file: BinaryIO, start: bytes) -> Header:
    """Without its decoder, which sets up two canvases when it opens the file (WebP container specification)."""
    chunks = riff_chunks(file)
    first = first_of(chunks)
    flags = start[20] if b"VP8X" in first else 0
    has_alpha = bool(flags & 0x10) or b"ALPH" in first
    if b"VP8L" in first:
        has_alpha = bool(chunk_content(file, first[b"VP8L"])[4] & 0x10)
    exif = bare_block(block_in(file, first.get(b"EXIF")))
    width, height = webp_size(start)
    return Header(
        format="WEBP",
        mode="RGBA" if has_alpha else "RGB",
        width=width,
        height=height,
        has_alpha=has_alpha,
        orientation=read_orientation(exif),
        icc=(chunk_content(file, first[b"ICCP"]) or None) if b"ICCP" in first else None,
        metadata=Metadata(exif, plain_xmp(block_in(file, first.get(b"XMP "))), dpi=dpi_of_exif(exif)),
        frames=max(1, sum(chunk.kind == b"ANMF" for chunk in chunks)),
    )


def _png_header(file: BinaryIO) -> Header:
    chunks = scan_chunks(file)
    first = first_of(chunks)
    if chunks[0].kind != b"IHDR" or chunks[0].length != 13 or b"IDAT" not in first:
        raise ValueError("not a PNG with pixels")
    width, height, depth, colour = struct.unpack(">IIBB", chunk_content(file, chunks[0])[:10])
    metadata, kind = png_metadata(file, chunks), _PNG_COLOUR_TYPES[colour] + (";16" if depth == 16 else "")
    if b"gAMA" in first and not {b"sRGB", b"iCCP"} & first.keys():
        logger.info("the PNG names a gamma but no profile; its pixels are taken as sRGB")
    check_deflated(chunks, width, height)
    return Header(
        format="PNG",
        mode={(1, 0): "1", (16, 0): "I;16"}.get((depth, colour), kind),
        width=width,
        height=height,
        bits=16 if depth == 16 else 8,
        has_alpha=colour in (4, 6) or b"tRNS" in first,
        orientation=read_orientation(metadata.exif),
        icc=png_profile(file, chunks),
        metadata=metadata,
        frames=int.from_bytes(chunk_content(file, first[b"acTL"])[:4], "big") if b"acTL" in first else 1,
    )


def png_metadata(file: BinaryIO, chunks: Sequence[Chunk]) -> Metadata:
    """What a PNG carries beside pixels and profile; what is damaged or out of bounds is left out."""
    texts, blocks = png_texts(file, chunks)
    first = first_of(chunks)
    exif = bare_block(block_in(file, first.get(b"eXIf"))) or bare_block(blocks.get("exif") or blocks.get("APP1"))
    dpi, aspect = None, None
    if b"pHYs" in first and first[b"pHYs"].length == 9:
        across, down, unit = struct.unpack(">IIB", chunk_content(file, first[b"pHYs"]))
        dpi, aspect = density(across, down, {0: None, 1: _INCH}.get(unit, 0.0))
    iptc = iptc_in(blocks.get("iptc") or blocks.get("8bim") or b"")
    return Metadata(exif, plain_xmp(blocks.get("xmp")), iptc, tuple(texts), dpi or dpi_of_exif(exif), aspect)


def _pillow_metadata(image: ImageFile.ImageFile) -> Metadata:
    """What Pillow's reader of the format has found."""
    info: dict[Any, Any] = image.info
    exif = bare_block(_bounded("EXIF", info.get("exif")))
    xmp = plain_xmp(_bounded("XMP", info.get("xmp")))
    named = getattr(image, "applist", ())
    segments = [content for _, content in named]
    extended = [one[len(_EXTENDED_XMP) :] for one in segments if one.startswith(_EXTENDED_XMP)]
    resources = b"".join(one[len(_RESOURCES) :] for one in segments if one.startswith(_RESOURCES))
    if xmp and extended and _bounded("XMP", b"".join(extended)):
        xmp = joined_extension(xmp, extended)
    iptc = iptc_in(_bounded("IPTC", resources) or b"")
    dpi, aspect = _density(image)
    comments = [content for name, content in named if name == "COM"]
    if not comments or sum(map(len, comments)) > LARGEST_TEXTS:
        comments = [info.get("comment")]
    texts = tuple(text for one in comments for text in _comment(one))
    segment, image_type = _GAIN_MAPS
    has_map = any(one.startswith(segment) for one in segments) or image_type in info.get("aux", ())
    return Metadata(exif, xmp, iptc, texts, dpi or dpi_of_exif(exif), aspect, ("gain_map_left",) * has_map)


def _density(image: ImageFile.ImageFile) -> Density:
    """Dots an inch, or the shape of a pixel, as JFIF and BMP say them."""
    if image.format == "BMP":
        across, down = image.info.get("dpi", (0, 0))
        return density(across, down, 1.0)
    if image.format == "JPEG" and "jfif_density" in image.info:
        across, down = image.info["jfif_density"]
        return density(across, down, {1: 1.0, 2: 2.54}.get(image.info["jfif_unit"]))
    return None, None


def _comment(comment: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(comment, bytes) or not 0 < len(comment) <= LARGEST_TEXT:
        return ()
    try:
        value = comment.decode("utf-8")
    except UnicodeDecodeError:
        value = comment.decode("latin-1")
    return (("Comment", value.replace("\0", "")),)


def _bounded(what: str, block: object) -> bytes | None:
    if not isinstance(block, bytes) or len(block) > LARGEST_BLOCK:
        if block:
            logger.info("the %s block is too large and was left out", what)
        return None
    return block


def _tiff_header(file: BinaryIO, max_pixels: int, count_frames: bool) -> Header:
    tags = tiff_tags(file)
    width, height = int(tags[256]), int(tags[257])
    check_size(width, height, max_pixels)
    bits, samples = max(tags.get(258, (1,))), tags.get(277, 1)
    number, photometric = max(tags.get(339, (1,))), tags.get(262, 1)  # 1: unsigned, 2: signed, 3: float
    if 50706 in tags or tags.get(254, 0) & 1:
        raise PictureError("picture_camera_raw")
    deep = bits > 8 and photometric in (0, 1, 2)
    plain = samples in (1, 3, 4) and tags.get(284, 1) == 1 and (bits, number) in _DEEP_KINDS
    if deep and not plain:
        raise PictureError("picture_rare_tiff", channels=samples, bits=bits)
    check_packed(file.seek(0, 2), tags.get(259, 1), bits * samples, width, height)
    orientation, profile = tags.get(274, 1), tags.get(34675)
    mode = f"{_TIFF_MODES.get(samples)};{bits}" + ("F" if number == 3 else "")
    header = Header(
        format="TIFF",
        mode={"I;32": "I", "I;32F": "F"}.get(mode, mode),
        width=width,
        height=height,
        bits=16 if deep else 8,
        has_alpha=samples == 4 and max(tags.get(338, (2,))) != 0,
        orientation=orientation if orientation in range(1, 9) else 1,
        icc=profile if isinstance(profile, bytes) else None,
        metadata=_tiff_metadata(file, tags),
    )
    if deep:
        return header
    with open_with_pillow("TIFF", file) as image:
        frames = _frames(image) if count_frames else 1
        return replace(header, mode=image.mode, has_alpha=image.has_transparency_data, frames=frames)


def _tiff_metadata(file: BinaryIO, tags: dict[int, Any]) -> Metadata:
    across, down = (float(tags.get(tag, 0) or 0) for tag in (282, 283))
    dpi, aspect = density(across, down, {1: None, 2: 1.0, 3: 2.54}.get(tags.get(296, 2), 0.0))
    iptc = _packed(tags.get(33723), file) or _packed(tags.get(34377), file)
    exif = _bounded("EXIF", block_from_tiff(file))
    return Metadata(exif, plain_xmp(_packed(tags.get(700), file)), iptc_in(iptc or b""), (), dpi, aspect)


def _packed(value: object, file: BinaryIO) -> bytes | None:
    """The bytes of a tag that some write as whole numbers of 32 bits."""
    if isinstance(value, tuple) and all(isinstance(one, int) and one < 1 << 32 for one in value):
        file.seek(0)
        value = struct.pack((">" if file.read(2) == b"MM" else "<") + f"{len(value)}I", *value)
    return _bounded("tag's", value)
