"""The format of an image file by its first bytes, never by its name, and opening it with the
library for the format.

Only the formats listed here are opened, by Pillow's class for the format. Calling it directly also
bypasses Image.MAX_IMAGE_PIXELS, a global that cannot be changed for one call while other threads
read.
"""

from __future__ import annotations

import re
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

_PATTERNS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "WEBP": rb"RIFF....WEBP",
    "JXL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    # Olympus, Panasonic, Fujifilm, Sigma, Minolta and Canon. Others are TIFF.
    "RAW": rb"IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR|....ftypcrx ",
    # ISO media: one of the names in the first box.
    "AVIF": rb"....ftyp(....)*?avi[fs]",
    "HEIF": rb"....ftyp(....)*?(hei[cxms]|hev[cx]|m[is]f1)",
}
"""Patterns of the first bytes of each format. The first one that matches decides."""
_CLASSES = {
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
    for kind, pattern in _PATTERNS.items():
        if re.match(pattern, start, re.DOTALL):
            return kind
    return None


def open_with_pillow(kind: str, file: BinaryIO) -> ImageFile.ImageFile:
    """Open a file lazily as this format."""
    file.seek(0)
    return _CLASSES[kind](file, "")
