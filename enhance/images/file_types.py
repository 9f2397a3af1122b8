"""The format of an image file by its first bytes, never by its name, and opening it with the
library for the format.

Only the formats listed here are opened, by Pillow's class for the format. Calling it directly also
bypasses Image.MAX_IMAGE_PIXELS, a global that cannot be changed for one call while other threads
read.
"""

from __future__ import annotations

from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from pillow_heif import HeifImageFile

from ..metadata.jpeg_segments import START_OF_IMAGE
from ..metadata.png_chunks import SIGNATURE
from . import jxl_reader, raw

_STARTS = {
    "JPEG": START_OF_IMAGE,
    "PNG": SIGNATURE,
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": b"BM",
    "JXL": jxl_reader.STARTS,
    "RAW": raw.STARTS,
}
_BRANDS = {
    "RAW": (b"crx ",),
    "AVIF": (b"avif", b"avis"),
    "HEIF": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
}
"""The names of kinds of files in the first box of ISO media."""
_CLASSES: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "HEIF": HeifImageFile,
}


def detect_format(start: bytes) -> str | None:
    """Return the format that the first 64 bytes of a file indicate, or None."""
    for kind, known in _STARTS.items():
        if start.startswith(known):
            return kind
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        box = start[8 : start[3]]
        for kind, brands in _BRANDS.items():
            if any(brand in box for brand in brands):
                return kind
    return None


def open_with_pillow(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """Open a file lazily as this format."""
    file.seek(0)
    return _CLASSES[kind](file, "")
