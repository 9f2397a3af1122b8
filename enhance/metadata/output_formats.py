"""The metadata that each output format can hold."""

from __future__ import annotations

from dataclasses import replace

from .exif import change_exif, remove_orientation, shorten_block, with_dpi
from .metadata import Metadata

SEGMENT = 65_533
"""Bytes that a JPEG segment can hold."""
_MAX_JPEG_EXIF = SEGMENT - len(b"Exif\0\0")
_MAX_JPEG_XMP = 64_500
"""The rest of its segment is for the name of the segment, and for the properties that announce a
gain map."""


def fit_to_format(metadata: Metadata, format: str) -> tuple[Metadata, list[str]]:
    """Return the metadata that "png", "jpeg", "webp", "avif", "tiff" or "jxl" can hold, and notes
    on the rest.

    Only JPEG has texts, as comments, and only JPEG and TIFF have IPTC; in the others they are
    "texts_left" and "iptc_left". "exif_short": the EXIF of a JPEG lost maker notes, or everything,
    to fit into a segment. "xmp_left": its XMP does not fit. The EXIF of the other formats states
    the resolution. That of WebP, AVIF and JPEG XL states no orientation, because some readers apply
    it twice.
    """
    if format == "png":
        return metadata, []
    if format == "jpeg":
        return _fit_to_jpeg(metadata)
    notes = []
    if metadata.texts:
        notes.append("texts_left")
    exif = metadata.exif
    if format != "tiff":
        exif = change_exif(remove_orientation, exif)
        if metadata.iptc:
            metadata = replace(metadata, iptc=None)
            notes.append("iptc_left")
    if metadata.dpi:
        exif = with_dpi(exif, *metadata.dpi)
    return replace(metadata, exif=exif, texts=()), notes


def _fit_to_jpeg(metadata: Metadata) -> tuple[Metadata, list[str]]:
    notes = []
    comments = [(key, _comment(key, value)) for key, value in metadata.texts]
    fitting = tuple((key, comment) for key, comment in comments if len(comment.encode()) <= SEGMENT)
    if len(fitting) < len(comments):
        notes.append("texts_left")
    exif = metadata.exif
    if exif and len(exif) > _MAX_JPEG_EXIF:
        notes.append("exif_short")
        exif = shorten_block(exif)
        if exif and len(exif) > _MAX_JPEG_EXIF:
            exif = None
    xmp = metadata.xmp
    if xmp and len(xmp) > _MAX_JPEG_XMP:
        notes.append("xmp_left")
        xmp = None
    return replace(metadata, exif=exif, xmp=xmp, texts=fitting), notes


def _comment(key: str, value: str) -> str:
    """Return a text as the comment of a JPEG."""
    if key == "Comment":
        return value
    return f"{key}: {value}"
