"""The format of an image file by its first bytes, never by its name, and opening it with the
library for the format.

Only the formats listed here are opened, by Pillow's class for the format. Calling it directly also
bypasses Image.MAX_IMAGE_PIXELS, a global that cannot be changed for one call while other threads
read.
"""

from __future__ import annotations

import importlib
from typing import BinaryIO

from PIL import ImageFile

from ..metadata.jpeg_segments import START_OF_IMAGE
from ..metadata.png_chunks import SIGNATURE
from . import jxl_reader, raw

_STARTS = {
    "JPEG": START_OF_IMAGE,
    "PNG": SIGNATURE,
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JXL": jxl_reader.STARTS,
    "RAW": raw.STARTS,
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BMP_HEADER_SIZES = tuple(bytes([size]) for size in (12, 16, 40, 52, 56, 64, 108, 124))
_CLASSES = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
"""The module and the class for each format that Pillow, or a plug-in of it, reads."""


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
        return _detect_iso_media(start)
    return None


def _detect_iso_media(start: bytes) -> str | None:
    """Return the format that the brands in the first box state."""
    major = start[8:12]
    end = min(start[3], 64)
    brands = {major, *(start[offset : offset + 4] for offset in range(16, end, 4))}
    if major == b"crx ":
        return "RAW"
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIF"
    return None


def open_with_pillow(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """Open a file lazily as this format."""
    module, name = _CLASSES[kind]
    file_class = getattr(importlib.import_module(module), name)
    file.seek(0)
    return file_class(file, "")
