"""Metadata of files that Pillow opens, and of TIFFs."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

from PIL import ImageFile

from .exif import (
    INTEROP_IFD,
    block_from_tiff,
    byte_order,
    plausible_dpi,
    read_dpi,
    without_prefix,
)
from .gain_map import AUXILIARY_TYPE, ISO_SEGMENT
from .iptc import extract_iptc
from .metadata import DAMAGED_EXIF, DAMAGED_PART, MAX_TEXTS, Metadata
from .xmp import accept_xmp, find_claims

_Segments: TypeAlias = list[tuple[str, bytes]]
"""The segments of a JPEG as Pillow lists them: name and content."""
_RESOURCES = b"Photoshop 3.0\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"


def pillow_metadata(image: ImageFile.ImageFile) -> Metadata:
    """Return the metadata of an image that Pillow has opened."""
    info = image.info
    segments = getattr(image, "applist", [])
    resources = b"".join(
        content.removeprefix(_RESOURCES)
        for _, content in segments
        if content.startswith(_RESOURCES)
    )
    exif = without_prefix(info.get("exif"))
    return Metadata(
        exif,
        xmp=accept_xmp(info.get("xmp")),
        iptc=extract_iptc(resources),
        texts=_comments(info, segments),
        dpi=_stated_dpi(image) or read_dpi(exif),
        notes=_pillow_notes(info, segments),
    )


def _comments(info: Mapping[Any, Any], segments: _Segments) -> tuple[tuple[str, str], ...]:
    """Return the comments of a GIF or JPEG as texts."""
    comments = [content for name, content in segments if name == "COM"]
    comments = comments or [info.get("comment", b"")]
    return tuple(("Comment", _decoded(comment)) for comment in comments[:MAX_TEXTS] if comment)


def _pillow_notes(info: Mapping[Any, Any], segments: _Segments) -> tuple[str, ...]:
    """Return the notes on data in the file that its XMP packet does not claim."""
    notes = set[str]()
    for _, content in segments:
        if content.startswith(_EXTENDED_XMP):
            notes.update(find_claims(content))
        if content.startswith(ISO_SEGMENT):
            notes.add("gain_map_left")
    if AUXILIARY_TYPE in info.get("aux", ()):
        notes.add("gain_map_left")
    return tuple(notes)


def _stated_dpi(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    """Return the resolution that BMP or JFIF states."""
    has_unit = image.format == "BMP" or (image.format == "JPEG" and image.info.get("jfif_unit"))
    if has_unit and "dpi" in image.info:
        return plausible_dpi(*image.info["dpi"])
    return None


def _decoded(comment: bytes) -> str:
    try:
        text = comment.decode("utf-8")
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return text.replace("\0", "")


def tiff_metadata(
    file: BinaryIO,
    tags: dict[str, Any],
    without: Collection[int] = (INTEROP_IFD,),
) -> Metadata:
    exif, is_damaged = block_from_tiff(file, without)
    xmp = accept_xmp(_tag_bytes(tags.get("XMP"), file))
    iptc = _tag_bytes(tags.get("IptcNaaInfo"), file)
    iptc = iptc or _tag_bytes(tags.get("PhotoshopInfo"), file)
    notes = ()
    if is_damaged:
        notes = (DAMAGED_PART if exif else DAMAGED_EXIF,)
    return Metadata(exif, xmp, extract_iptc(iptc), dpi=read_dpi(exif), notes=notes)


def _tag_bytes(value: object, file: BinaryIO) -> bytes:
    """Return the bytes of a tag, which some programs write as 32-bit integers."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, tuple):
        file.seek(0)
        with suppress(struct.error):
            return struct.pack(f"{byte_order(file.read(2))}{len(value)}I", *value)
    return b""
