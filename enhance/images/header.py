"""Image headers: format, size, mode, colour profile and metadata, read before a pixel is decoded.

The first bytes determine the format, never the file name. Only the formats listed here are opened, by Pillow's class
for the format. Calling it directly also bypasses Image.MAX_IMAGE_PIXELS, a global that cannot be changed for one call
while other threads read.

This runs in a worker process: a crafted file can keep Pillow's header readers busy for minutes, and those of HEIC and
AVIF are C libraries. PictureErrors raised here lack the file's name; the caller adds it.
"""

from __future__ import annotations

import importlib
import io
import logging
import mmap
import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ImageFile

from ..errors import PictureError
from ..i18n import PixelCount
from . import containers, jxl, raw
from .containers import (
    MAX_TEXTS,
    MAX_TEXTS_LENGTH,
    Chunk,
    chunk_content,
    cut_block,
    first_chunks,
    limit_profile,
    map_file,
    read_block,
)
from .exif import INTEROP_IFD, MAKER_NOTE, block_from_tiff, plausible_dpi, read_dpi, read_orientation, without_prefix
from .gain_map import ISO_SEGMENT, MapHeader, apple_header, find_attached, read_map_header
from .metadata import Metadata, accept_xmp, extract_iptc, find_claims
from .pages import count_pages, tiff_tags

logger = logging.getLogger(__name__)

MAX_SIDE = 500_000
"""The longest side of an input in pixels. OpenCV crashes on much wider rows: cv2.blur on float32 [1, 100_000_000]."""

_STARTS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": containers.SIGNATURE,
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JXL": jxl.STARTS,
    "RAW": raw.STARTS,
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BMP_HEADER_SIZES = tuple(bytes([size]) for size in (12, 16, 40, 52, 56, 64, 108, 124))
_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_TIFF_MODES = {1: "I", 3: "RGB", 4: "RGBA"}
_DEEP_KINDS = {(16, 1), (32, 3)}
"""(bits, sample format) of the deep TIFFs that are supported; sample format 1 is unsigned, 3 float."""
_INCH = 0.0254

# The highest compression of a flat image. Measured: 256 pixels per byte as JPEG and 1,340 as GIF. By definition: LZW
# 2,700 bytes per byte, deflate 1,032, PackBits 64. Lossless WebP, AVIF, HEIC, LZMA and Zstandard have no such limit;
# for them only the memory budget applies.
_PIXELS_PER_BYTE = {"JPEG": 1024, "GIF": 4096}
_TIFF_RATIOS = {1: 3, 5: 4096, 8: 1100, 32946: 1100, 32773: 64}

_RESOURCES, _EXTENDED_XMP = b"Photoshop 3.0\0", b"http://ns.adobe.com/xmp/extension/\0"
_GAIN_MAP_TYPE = "urn:com:apple:photo:2020:aux:hdrgainmap"
"""The type of a gain map in a HEIC."""

# Cameras write up to 10 scans, and 200 MB in full segments are 3,100 segments.
_MAX_SCANS = 100
_MAX_SEGMENTS = 10_000
_MAX_PADDING = 1 << 16
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_MARKER_AFTER_PIXELS = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # The restart markers D0 to D7 are among pixels.


@dataclass(frozen=True)
class Header:
    """Header of an image file.

    `width` and `height` are as stored, before `orientation` (1 to 8) is applied. `bits` is 16 if a channel has more
    than 8 bits that can be kept. `icc` and `metadata` are as found in the file, unchecked.
    """

    format: str
    mode: str
    width: int
    height: int
    bits: int
    has_alpha: bool
    orientation: int
    icc: bytes | None
    metadata: Metadata
    frames: int = 1
    jpeg_table: tuple[int, ...] = ()
    jpeg_chroma_table: tuple[int, ...] = ()
    gain_map: MapHeader | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def detect_format(start: bytes) -> str | None:
    """Return the format that the first 64 bytes of a file indicate, or None."""
    for kind, known in _STARTS.items():
        if start.startswith(known):
            return kind
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith(b"BM") and start[14:15] in _BMP_HEADER_SIZES and start[15:18] == bytes(3):
        return "BMP"
    if start[4:8] == b"ftyp":
        if start[8:12] == b"crx ":
            return "RAW"
        # The box contains its length, `ftyp`, the major brand, its version and the compatible brands.
        brands = {start[8:12], *(start[offset : offset + 4] for offset in range(16, min(start[3], 64), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return None


def open_with_pillow(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """Open a file lazily as this format. Raises PictureError if the library for the format is missing."""
    name = "WebP" if kind == "WEBP" else kind.title()
    try:
        library = importlib.import_module("pillow_heif" if kind == "HEIF" else f"PIL.{name}ImagePlugin")
    except ImportError as error:
        if kind == "HEIF":
            raise PictureError("image_library_missing", format=kind, library="pillow-heif") from error
        raise PictureError("image_pillow_too_old", format=kind) from error
    file.seek(0)
    return getattr(library, f"{name}ImageFile")(file, "")


def open_auxiliary(file: BinaryIO, number: int) -> Any:
    """Return an auxiliary image of a HEIC, not decoded. Raises an error of pillow-heif if it is of another kind."""
    file.seek(0)
    return importlib.import_module("pillow_heif").open_heif(file).get_aux_image(number)


def read_header(file: BinaryIO, *, max_pixels: int, decoding: bool = True) -> Header:
    """Return the header of an open file, after checking its size.

    Without `decoding`, all frames are counted, but not the scans of a JPEG, because that requires reading the whole
    file.

    Raises PictureError if the file is no image, too large or not supported, and EOFError or any other exception of a
    decoder if it is damaged.
    """
    file.seek(0)
    kind = detect_format(file.read(64))
    if kind is None:
        raise PictureError("image_unknown_format")
    readers = {"PNG": _png_header, "TIFF": _tiff_header, "RAW": _raw_header, "JXL": _jxl_header, "WEBP": _webp_header}
    header = readers[kind](file, max_pixels) if kind in readers else _pillow_header(kind, file, max_pixels, decoding)
    metadata = header.metadata.with_note("first_frame") if header.frames > 1 else header.metadata
    return replace(header, metadata=metadata.without_large_blocks())


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise PictureError unless both sides and the number of pixels are within the limits."""
    if width < 1 or height < 1:
        raise PictureError("image_no_pixels")
    if max(width, height) > MAX_SIDE:
        raise PictureError("image_side_too_long", width=f"{width:,}", height=f"{height:,}", limit=f"{MAX_SIDE:,}")
    if width * height > max_pixels:
        size = {"width": width, "height": height, "megapixels": PixelCount(width * height)}
        raise PictureError("image_too_many_pixels", **size, limit=PixelCount(max_pixels))


def _pillow_header(kind: str, file: BinaryIO, max_pixels: int, decoding: bool) -> Header:
    if kind == "JPEG":
        with map_file(file) as data:
            _check_markers(data, count_scans=decoding)
    opened: Any = open_with_pillow(kind, file)
    with opened as image:
        check_size(image.width, image.height, max_pixels)
        if kind in _PIXELS_PER_BYTE:
            _check_file_size(file.seek(0, 2), image.width, image.height, 1, _PIXELS_PER_BYTE[kind])
        metadata = _pillow_metadata(image)
        # libheif applies the orientation itself, from the container's own flags.
        orientation = 1 if kind == "HEIF" else read_orientation(metadata.exif)
        icc = image.info.get("icc_profile") or None
        has_alpha, frames = image.has_transparency_data, _count_frames(image, exact=not decoding)
        header = Header(kind, image.mode, image.width, image.height, 8, has_alpha, orientation, icc, metadata, frames)
        if kind == "HEIF":
            return replace(header, gain_map=_auxiliary_map(image, file, metadata))
        if kind != "JPEG":
            return header
        tables = [tuple(image.quantization.get(number, ())) for *_, number in image.layer]
        light, colour = [*tables, (), ()][:2]
        gain_map = _attached_map(image, file, metadata)
        if gain_map is not None:
            metadata = metadata.with_note("gain_map_left")
        return replace(header, metadata=metadata, jpeg_table=light, jpeg_chroma_table=colour, gain_map=gain_map)


def _attached_map(image: Any, file: BinaryIO, metadata: Metadata) -> MapHeader | None:
    """Return the gain map of a JPEG, None if there is none that can be used."""
    with map_file(file) as data:
        for start, length in find_attached(image.info, metadata.xmp, len(data)):
            attached = data[start : start + length]
            try:
                if detect_format(attached) != "JPEG":
                    continue
                _check_markers(attached, count_scans=True)
                with open_with_pillow("JPEG", io.BytesIO(attached)) as opened:
                    found = read_map_header(opened, (start, length), metadata.exif)
                if found and _fits(found, image):
                    _check_file_size(length, found.width, found.height, 1, _PIXELS_PER_BYTE["JPEG"])
                    return found
            except Exception as error:  # A decoder raises almost any type. The photo itself can be read.
                logger.info("An attached image cannot be used: %s", error)
    return None


def _auxiliary_map(image: Any, file: BinaryIO, metadata: Metadata) -> MapHeader | None:
    """Return the gain map of a HEIC, None if there is none that can be used.

    pillow-heif does not return the XMP of an auxiliary image, so the whole file is searched for it.
    """
    numbers = image.info.get("aux", {}).get(_GAIN_MAP_TYPE)
    if not numbers:
        return None
    try:
        width, height = open_auxiliary(file, numbers[0]).size
        with map_file(file) as data:
            found = apple_header(numbers[0], (width, height), data, metadata.exif)
        # A map of another aspect ratio was not rotated with the photo.
        is_skewed = abs(width * image.height - height * image.width) > image.width + image.height
        return found if found and _fits(found, image) and not is_skewed else None
    except Exception as error:  # The photo itself can be read.
        logger.info("An auxiliary image cannot be used: %s", error)
        return None


def _fits(found: MapHeader, image: Any) -> bool:
    """Return whether a map has no more rows and columns than the photo. A larger one could keep a decoder busy."""
    return 0 < found.width <= image.width and 0 < found.height <= image.height


def _count_frames(image: ImageFile.ImageFile, *, exact: bool) -> int:
    """Return the number of frames. If it need not be `exact`, a GIF with several has 2: a count takes seconds."""
    try:
        if image.format == "GIF" and not exact:
            return 1 + getattr(image, "is_animated", False)
        return max(1, getattr(image, "n_frames", 1))
    except Exception as error:  # Only the first frame is used, so damage in a later one does not matter.
        logger.info("The frames cannot be counted: %s", error)
        return 1


def _webp_header(file: BinaryIO, max_pixels: int) -> Header:
    """Read the chunks. Pillow's reader would allocate two canvases (WebP container specification)."""
    file.seek(0)
    start = file.read(64)
    check_size(*_webp_size(start), max_pixels)
    chunks = containers.riff_chunks(file)
    first = first_chunks(chunks)
    flags = start[20] if b"VP8X" in first else 0
    has_alpha = bool(flags & 0x10) or b"ALPH" in first
    if b"VP8L" in first:
        has_alpha = bool(chunk_content(file, first[b"VP8L"])[4] & 0x10)
    exif = without_prefix(read_block(file, first.get(b"EXIF")))
    metadata = Metadata(exif, accept_xmp(read_block(file, first.get(b"XMP "))), dpi=read_dpi(exif))
    icc = limit_profile(read_block(file, first.get(b"ICCP")))
    frames = max(1, sum(chunk.kind == b"ANMF" for chunk in chunks))
    mode, orientation = "RGBA" if has_alpha else "RGB", read_orientation(exif)
    return Header("WEBP", mode, *_webp_size(start), 8, has_alpha, orientation, icc, metadata, frames)


def _png_header(file: BinaryIO, max_pixels: int) -> Header:
    chunks = containers.scan_chunks(file)
    first = first_chunks(chunks)
    if chunks[0].kind != b"IHDR" or chunks[0].length != 13 or b"IDAT" not in first:
        raise ValueError("not a PNG with pixels")
    width, height, depth, colour_type = struct.unpack(">IIBB", chunk_content(file, chunks[0])[:10])
    check_size(width, height, max_pixels)
    _check_file_size(sum(one.length for one in chunks if one.kind == b"IDAT") + 64, width, height, 1 / 8, 1032)
    mode = _PNG_MODES[colour_type] + (";16" if depth == 16 else "")
    mode = {(1, 0): "1", (16, 0): "I;16"}.get((depth, colour_type), mode)
    has_alpha = colour_type in (4, 6) or b"tRNS" in first
    metadata, icc = png_metadata(file, chunks), containers.png_profile(file, chunks)
    frames = int.from_bytes(chunk_content(file, first[b"acTL"])[:4], "big") if b"acTL" in first else 1
    orientation, bits = read_orientation(metadata.exif), 16 if depth == 16 else 8
    return Header("PNG", mode, width, height, bits, has_alpha, orientation, icc, metadata, frames)


def png_metadata(file: BinaryIO, chunks: Sequence[Chunk]) -> Metadata:
    """Return the metadata of a PNG without damaged blocks."""
    texts, blocks = containers.png_texts(file, chunks)
    first = first_chunks(chunks)
    exif = without_prefix(read_block(file, first.get(b"eXIf"))) or without_prefix(
        blocks.get("exif") or blocks.get("APP1")
    )
    dpi = None
    if b"pHYs" in first and first[b"pHYs"].length == 9:
        across, down, unit = struct.unpack(">IIB", chunk_content(file, first[b"pHYs"]))
        dpi = plausible_dpi(across * _INCH, down * _INCH) if unit == 1 else None
    iptc = extract_iptc(blocks.get("iptc") or blocks.get("8bim") or b"")
    return Metadata(exif, accept_xmp(blocks.get("xmp")), iptc, tuple(texts), dpi or read_dpi(exif))


def _pillow_metadata(image: ImageFile.ImageFile) -> Metadata:
    """Return the metadata of an image that Pillow has opened."""
    info: dict[Any, Any] = image.info
    segments: list[tuple[str, bytes]] = getattr(image, "applist", [])  # of a JPEG: name and content
    resources = [content[len(_RESOURCES) :] for _, content in segments if content.startswith(_RESOURCES)]
    comments = [content for name, content in segments if name == "COM"] or [info.get("comment", b"")]
    if sum(map(len, comments)) > MAX_TEXTS_LENGTH or len(comments) > MAX_TEXTS:
        comments = []
    exif = without_prefix(cut_block(info.get("exif")))
    notes = {one for _, content in segments if content.startswith(_EXTENDED_XMP) for one in find_claims(content)}
    if _GAIN_MAP_TYPE in info.get("aux", ()) or any(content.startswith(ISO_SEGMENT) for _, content in segments):
        notes.add("gain_map_left")
    return Metadata(
        exif,
        accept_xmp(cut_block(info.get("xmp"))),
        extract_iptc(b"".join(resources)),
        tuple(("Comment", _decoded(comment)) for comment in comments if comment),
        _stated_dpi(image) or read_dpi(exif),
        tuple(notes),
    )


def _stated_dpi(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    """Return the resolution that BMP or JFIF states."""
    if image.format not in ("BMP", "JPEG") or (image.format == "JPEG" and not image.info.get("jfif_unit")):
        return None
    return plausible_dpi(*image.info["dpi"]) if "dpi" in image.info else None


def _decoded(comment: bytes) -> str:
    try:
        return comment.decode("utf-8").replace("\0", "")
    except UnicodeDecodeError:
        return comment.decode("latin-1").replace("\0", "")


def _tiff_header(file: BinaryIO, max_pixels: int) -> Header:
    tags = tiff_tags(file)
    photometric = tags.get("PhotometricInterpretation", 1)
    # DNG, a preview as the first image, or the values of a sensor (TIFF/EP)
    if "DNGVersion" in tags or tags.get("NewSubfileType", 0) & 1 or photometric in (32803, 34892):
        return _raw_header(file, max_pixels, tags)
    width, height, samples = int(tags["ImageWidth"]), int(tags["ImageLength"]), tags.get("SamplesPerPixel", 1)
    check_size(width, height, max_pixels)
    bits, sample_format = max(tags.get("BitsPerSample", (1,))), max(tags.get("SampleFormat", (1,)))
    is_deep = bits > 8 and photometric in (0, 1, 2)
    is_planar = tags.get("PlanarConfiguration", 1) != 1
    is_supported = samples in (1, 3, 4) and not is_planar and (bits, sample_format) in _DEEP_KINDS
    if is_deep and not is_supported:
        raise PictureError("image_rare_tiff", channels=samples, bits=bits)
    if (ratio := _TIFF_RATIOS.get(tags.get("Compression", 1))) is not None:
        _check_file_size(file.seek(0, 2), width, height, bits * samples / 8, ratio)
    orientation = tags["Orientation"] if tags.get("Orientation") in range(1, 9) else 1
    icc, metadata = limit_profile(tags.get("ICCProfile")), _tiff_metadata(file, tags)
    if is_deep:
        mode = f"{_TIFF_MODES[samples]};{bits}" + ("F" if sample_format == 3 else "")
        mode = "F" if mode == "I;32F" else mode
        has_alpha = samples == 4 and max(tags.get("ExtraSamples", (2,))) != 0
    else:
        with open_with_pillow("TIFF", file) as image:
            mode, has_alpha = image.mode, image.has_transparency_data
    bits, frames = 16 if is_deep else 8, count_pages(file)
    return Header("TIFF", mode, width, height, bits, has_alpha, orientation, icc, metadata, frames)


def _jxl_header(file: BinaryIO, max_pixels: int) -> Header:
    """Read a JPEG XL. The reader applies its orientation."""
    file.seek(0)
    data = file.read()
    if jxl.is_animated(data):
        raise PictureError("image_jxl_animated")
    facts = jxl.load_library().probe(data)
    check_size(facts.width, facts.height, max_pixels)
    exif = cut_block(facts.exif)
    # The box starts with the distance to the TIFF header (ISO/IEC 18181-2).
    exif = without_prefix(exif and exif[4 + int.from_bytes(exif[:4], "big") :])
    bits, mode = 8 if facts.bits_per_sample <= 8 else 16, "L" if facts.num_color_channels == 1 else "RGB"
    mode = "I" if mode == "L" and bits == 16 and not facts.has_alpha else mode + ("A" if facts.has_alpha else "")
    metadata = Metadata(exif, accept_xmp(cut_block(facts.xmp)), dpi=read_dpi(exif))
    mode, icc = mode + (";16" if bits == 16 else ""), limit_profile(facts.icc)
    return Header("JXL", mode, facts.width, facts.height, bits, facts.has_alpha, 1, icc, metadata)


def _raw_header(file: BinaryIO, max_pixels: int, tags: dict[str, Any] | None = None) -> Header:
    """Read a camera raw file. `tags` are its first directory if it is a TIFF."""
    with raw.open_raw(file) as opened:
        width, height = opened.sizes.iwidth, opened.sizes.iheight
        orientation = raw.ORIENTATIONS.get(opened.sizes.flip, 1)
        check_size(width, height, max_pixels)
        exif = None if tags else without_prefix(cut_block(raw.preview_exif(opened)))
        mode = "I;16" if opened.num_colors == 1 else "RGB;16"
    # Maker notes describe the values of the sensor, and often contain previews.
    metadata = _tiff_metadata(file, tags, (INTEROP_IFD, MAKER_NOTE)) if tags else Metadata(exif, dpi=read_dpi(exif))
    return Header("RAW", mode, width, height, 16, False, orientation, None, metadata.with_note("raw_developed"))


def _tiff_metadata(file: BinaryIO, tags: dict[str, Any], without: Collection[int] = (INTEROP_IFD,)) -> Metadata:
    iptc = _tag_bytes(tags.get("IptcNaaInfo"), file) or _tag_bytes(tags.get("PhotoshopInfo"), file)
    exif = cut_block(block_from_tiff(file, without))
    xmp = accept_xmp(_tag_bytes(tags.get("XMP"), file))
    return Metadata(exif, xmp, extract_iptc(iptc or b""), dpi=read_dpi(exif))


def _tag_bytes(value: object, file: BinaryIO) -> bytes | None:
    """Return the bytes of a tag, which some programs write as 32-bit integers."""
    if isinstance(value, tuple) and all(isinstance(one, int) and one < 1 << 32 for one in value):
        file.seek(0)
        value = struct.pack((">" if file.read(2) == b"MM" else "<") + f"{len(value)}I", *value)
    return cut_block(value)


def _check_markers(data: mmap.mmap | bytes, *, count_scans: bool) -> None:
    """Follow the markers of a JPEG to the first scan, or to the end of the image.

    Raises PictureError if its scans, segments or padding would keep a decoder busy for minutes.
    """
    position, segments, scans, padding = 2, 0, 0, 0
    while (found := (_MARKER_AFTER_PIXELS if scans else _MARKER).search(data, position)) is not None:
        code = found[1][0]
        padding += 0 if scans else found.start() - position
        segments += 1
        scans += code == 0xDA
        if scans > _MAX_SCANS:
            raise PictureError("image_many_scans", limit=_MAX_SCANS)
        if segments > _MAX_SEGMENTS or padding > _MAX_PADDING:
            raise PictureError("image_padding")
        if code == 0xD9 or (scans and not count_scans):
            return
        alone = code == 0x01 or 0xD0 <= code <= 0xD8
        position = found.end() + (0 if alone else int.from_bytes(data[found.end() : found.end() + 2], "big"))


def _check_file_size(size: int, width: int, height: int, bytes_per_pixel: float, ratio: float) -> None:
    """Raise PictureError if `size` bytes are too few for the pixels even at the highest compression `ratio`."""
    if width * height * bytes_per_pixel > size * ratio:
        raise PictureError("image_too_few_bytes", kilobytes=f"{size / 1e3:,.1f}", width=width, height=height)


def _webp_size(start: bytes) -> tuple[int, int]:
    """Return width and height from the first 30 bytes (WebP container specification)."""
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        packed = int.from_bytes(start[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", start, 26)
    return width & 0x3FFF, height & 0x3FFF
