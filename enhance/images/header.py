"""Image headers: format, size, mode, colour profile and metadata, read before a pixel is decoded.

This runs in a worker process: a crafted file can keep Pillow's header readers busy for minutes, and
those of HEIC and AVIF are C libraries. PictureErrors raised here lack the file's name; the caller
adds it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, BinaryIO

from PIL import ImageFile

from ..errors import PictureError
from ..metadata import Metadata, png_chunks
from ..metadata.containers import chunk_content, first_chunks
from ..metadata.exif import (
    INTEROP_IFD,
    MAKER_NOTE,
    read_dpi,
    read_orientation,
    without_prefix,
)
from ..metadata.gain_map import MapHeader, find_map
from ..metadata.profiles import limit_profile
from ..metadata.reading import pillow_metadata, tiff_metadata
from ..metadata.tiff_directories import count_pages, load_directory
from ..metadata.xmp import accept_xmp
from ..size import Size
from . import jxl_reader, raw
from .file_types import detect_format, open_with_pillow
from .limits import check_size

_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_DEEP_TIFF_MODES = {1: "I;16", 3: "RGB;16", 4: "RGBA;16"}
"""The modes of the deep TIFFs that are supported, by samples."""
_CAMERA_PHOTOMETRIC = (32803, 34892)
"""The values of a sensor: a colour filter array, and linear raw."""


@dataclass(frozen=True)
class Header:
    """Header of an image file.

    `size` is as stored, before `orientation` (1 to 8) is applied. `icc` and `metadata` are as found
    in the file, unchecked. `jpeg_tables` are as in `SourceImage`.
    """

    format: str
    mode: str
    size: Size
    metadata: Metadata
    icc: bytes | None = None
    has_alpha: bool = False
    orientation: int = 1
    frames: int = 1
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    gain_map: MapHeader | None = None

    @property
    def bits(self) -> int:
        """16 if a channel has more than 8 bits that can be kept, else 8."""
        return 16 if self.mode.endswith(";16") else 8

    @property
    def upright_size(self) -> Size:
        """The size after the orientation is applied."""
        if self.orientation >= 5:
            return self.size.transpose()
        return self.size


def read_header(file: BinaryIO, *, max_pixels: int) -> Header:
    """Return the header of an open file, after checking its size.

    Raises PictureError if the file is no image, too large or not supported, and EOFError or any
    other exception of a decoder if it is damaged.
    """
    file.seek(0)
    kind = detect_format(file.read(64))
    if kind is None:
        raise PictureError("image_unknown_format")
    readers = {
        "PNG": _png_header,
        "TIFF": _tiff_header,
        "RAW": _raw_header,
        "JXL": _jxl_header,
    }
    if kind in readers:
        header = readers[kind](file)
    else:
        header = _pillow_header(kind, file)
    check_size(header.size, max_pixels)
    metadata = header.metadata
    if header.frames > 1:
        metadata = metadata.with_note("first_frame")
    if header.gain_map is not None:
        metadata = metadata.with_note("gain_map_left")
    icc = limit_profile(header.icc)
    return replace(header, metadata=metadata.without_damage(), icc=icc)


def _pillow_header(kind: str, file: BinaryIO) -> Header:
    """Read a JPEG, WebP, GIF, BMP, HEIC or AVIF."""
    opened: Any = open_with_pillow(kind, file)
    with opened as image:
        metadata = pillow_metadata(image)
        orientation = read_orientation(metadata.exif)
        tables = []
        if kind == "JPEG":
            # Those of Y and Cb, or of grey.
            tables = [image.quantization.get(number, ()) for *_, number in image.layer[:2]]
        elif kind == "HEIF":
            orientation = 1  # libheif applies it itself, from the container's own flags.
        return Header(
            kind,
            image.mode,
            Size(*image.size),
            metadata,
            icc=image.info.get("icc_profile"),
            has_alpha=image.has_transparency_data,
            orientation=orientation,
            frames=_count_frames(image),
            # Pillow does not read a table between two scans.
            jpeg_tables=tuple(map(tuple, takewhile(bool, tables))),
            gain_map=find_map(image, file, metadata.exif),
        )


def _count_frames(image: ImageFile.ImageFile) -> int:
    try:
        return getattr(image, "n_frames", 1)
    # Only the first frame is used, so damage in a later one does not matter.
    except Exception:
        return 1


def _png_header(file: BinaryIO) -> Header:
    chunks = png_chunks.scan_chunks(file)
    first = first_chunks(chunks)
    if b"IDAT" not in first:
        raise ValueError("a PNG without pixels")
    size_and_type = chunk_content(file, first[b"IHDR"])
    width, height, depth, colour_type = struct.unpack_from(">IIBB", size_and_type)
    mode = _PNG_MODES[colour_type]
    if depth > 8:
        mode = _deep_mode(mode)
    metadata = png_chunks.read_metadata(file, chunks)
    animation = chunk_content(file, first.get(b"acTL"))
    return Header(
        "PNG",
        mode,
        Size(width, height),
        metadata,
        icc=png_chunks.read_profile(file, chunks),
        # OpenCV ignores a transparent level of 16-bit grey.
        has_alpha=colour_type in (4, 6) or (b"tRNS" in first and mode != "I;16"),
        orientation=read_orientation(metadata.exif),
        frames=int.from_bytes(animation[:4], "big") or 1,
    )


def _deep_mode(mode: str) -> str:
    """Return the mode of an image of 16 bits that has the channels of `mode`."""
    if mode == "L":
        return "I;16"
    return f"{mode};16"


def _tiff_header(file: BinaryIO) -> Header:
    tags = load_directory(file).named()
    photometric = tags.get("PhotometricInterpretation", 1)
    has_preview_first = tags.get("NewSubfileType", 0) & 1
    if "DNGVersion" in tags or has_preview_first or photometric in _CAMERA_PHOTOMETRIC:
        return _raw_header(file, tags)
    size = Size(int(tags["ImageWidth"]), int(tags["ImageLength"]))
    if tags.get("Orientation") in (5, 6, 7, 8):  # Both decoders apply the orientation.
        size = size.transpose()
    if max(tags.get("BitsPerSample", (1,))) > 8 and photometric in (0, 1, 2):
        mode = _deep_tiff_mode(tags)
        has_alpha = mode == "RGBA;16" and max(tags.get("ExtraSamples", (2,))) == 2
    else:
        with open_with_pillow("TIFF", file) as image:
            mode = image.mode
            has_alpha = image.has_transparency_data
    return Header(
        "TIFF",
        mode,
        size,
        tiff_metadata(file, tags),
        icc=tags.get("ICCProfile"),
        has_alpha=has_alpha,
        frames=count_pages(file),
    )


def _deep_tiff_mode(tags: dict[str, Any]) -> str:
    """Return the mode of a TIFF of 16 bits. Raises PictureError for any that OpenCV cannot read."""
    samples = tags.get("SamplesPerPixel", 1)
    bits = tags["BitsPerSample"]
    is_plain = (
        {*bits} == {16}
        and {*tags.get("SampleFormat", (1,))} == {1}  # unsigned integers
        and tags.get("PlanarConfiguration", 1) == 1  # all channels of a pixel together
        and tags.get("PhotometricInterpretation") != 0  # not inverted
        and 1 not in tags.get("ExtraSamples", ())  # not premultiplied
    )
    if samples not in _DEEP_TIFF_MODES or not is_plain:
        raise PictureError("image_rare_tiff", channels=samples, bits=max(bits))
    return _DEEP_TIFF_MODES[samples]


def _jxl_header(file: BinaryIO) -> Header:
    """Read a JPEG XL. The reader applies its orientation."""
    file.seek(0)
    data = file.read()
    codestream = jxl_reader.codestream_of(data)
    if jxl_reader.is_animated(codestream):
        raise PictureError("image_jxl_animated")
    facts = jxl_reader.load_library().probe(codestream)
    mode = "L" if facts.num_color_channels == 1 else "RGB"
    if facts.has_alpha:
        mode += "A"
    if facts.bits_per_sample > 8:
        mode = _deep_mode(mode)
    # The box starts with 4 bytes, the distance to the TIFF header (ISO/IEC 18181-2).
    exif = without_prefix(jxl_reader.read_block(data, b"Exif")[4:])
    xmp = accept_xmp(jxl_reader.read_block(data, b"xml "))
    return Header(
        "JXL",
        mode,
        Size(facts.width, facts.height),
        Metadata(exif, xmp, dpi=read_dpi(exif)),
        icc=facts.icc,
        has_alpha=facts.has_alpha,
    )


def _raw_header(file: BinaryIO, tags: dict[str, Any] | None = None) -> Header:
    """Read a camera raw file. `tags` are its first directory if it is a TIFF."""
    with raw.open_raw(file) as opened:
        if tags:
            # Maker notes describe the values of the sensor, and often contain previews.
            metadata = tiff_metadata(file, tags, (INTEROP_IFD, MAKER_NOTE))
        else:
            exif = without_prefix(raw.preview_exif(opened))
            metadata = Metadata(exif, dpi=read_dpi(exif))
        mode = "L" if opened.num_colors == 1 else "RGB"
        return Header(
            "RAW",
            _deep_mode(mode),
            Size(opened.sizes.iwidth, opened.sizes.iheight),
            metadata.with_note("raw_developed"),
            orientation=raw.ORIENTATIONS.get(opened.sizes.flip, 1),
        )
