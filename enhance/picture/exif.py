"""The EXIF block: which way up the picture is, and the block that the enlarged picture carries on.

A block here is the bare TIFF structure, without the "Exif" and two zeros that JPEG puts before it. It is patched in
place instead of being written anew, because makers' notes hold offsets from its beginning that a rewrite would break.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

logger = logging.getLogger(__name__)

_ORIENTATION = 0x0112
_THUMBNAIL_PLACES = ((0x0201, 0x0202), (0x0111, 0x0117))  # JPEG thumbnail, uncompressed thumbnail: (offset, length)
_SHORT = 3

# The tags of a TIFF file that tell about the photo; the others tell how its pixels are stored.
_ABOUT_THE_PHOTO = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005


def bare_block(block: bytes | None) -> bytes | None:
    """The block without the "Exif" prefix that some formats keep; None if nothing is left."""
    while block and block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block or None


def read_orientation(block: bytes | None) -> int:
    """1..8 as EXIF numbers them; 1 where the block is missing, damaged or silent."""
    if block is None:
        return 1
    try:
        for tag, kind, place in _entries(block, *_first_directory(block)):
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(_order(block) + ("H" if kind == _SHORT else "I"), block, place)
                return value if 1 <= value <= 8 else 1
    except ValueError:
        pass
    return 1


def upright_block(block: bytes | None) -> bytes | None:
    """The block for the output: orientation 1, no thumbnail, all else byte for byte; None if it is damaged."""
    if block is None:
        return None
    try:
        return _patched(block)
    except ValueError as error:
        logger.info("the EXIF block is damaged and was left out: %s", error)
        return None


def block_from_tiff(file: BinaryIO) -> bytes | None:
    """An EXIF block made from what a TIFF file tells about its photo; None if it tells nothing."""
    file.seek(0)
    try:
        source, kept = Image.Exif(), Image.Exif()
        source.load_from_fp(file)
        for tag in _ABOUT_THE_PHOTO:
            if tag in source:
                kept[tag] = source[tag]
        for tag in (_EXIF_IFD, _GPS_IFD):
            if tag in source:
                kept.get_ifd(tag).update({key: v for key, v in source.get_ifd(tag).items() if key != _INTEROP_IFD})
        if not kept and not kept.get_ifd(_EXIF_IFD) and not kept.get_ifd(_GPS_IFD):
            return None
        kept[_ORIENTATION] = 1
        return bare_block(kept.tobytes())
    except Exception as error:  # Pillow's TIFF reader raises whatever a strange tag makes its Python code raise
        logger.info("the TIFF tags could not be carried over: %s", error)
        return None


def _order(block: bytes | bytearray) -> str:
    if block[:4] == b"II*\0":
        return "<"
    if block[:4] == b"MM\0*":
        return ">"
    raise ValueError("no TIFF header")


def _first_directory(block: bytes | bytearray) -> tuple[int, int]:
    """Where the main directory starts, and where its link to the next one is."""
    order = _order(block)
    start = _number(block, order + "I", 4)
    return start, start + 2 + 12 * _number(block, order + "H", start)


def _entries(block: bytes | bytearray, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(tag, type, place of the value) of each entry of a directory."""
    if end > len(block):
        raise ValueError("a directory goes beyond the end")
    for place in range(start + 2, end, 12):
        tag, kind = struct.unpack_from(_order(block) + "HH", block, place)
        yield tag, kind, place + 8


def _number(block: bytes | bytearray, layout: str, place: int) -> int:
    if place + struct.calcsize(layout) > len(block):
        raise ValueError("an offset points beyond the end")
    return struct.unpack_from(layout, block, place)[0]


def _patched(block: bytes) -> bytes:
    order = _order(block)
    start, link = _first_directory(block)
    data = bytearray(block)
    for tag, kind, place in _entries(block, start, link):
        if tag == _ORIENTATION:
            upright = (order + "HH", 1, 0) if kind == _SHORT else (order + "I", 1)
            struct.pack_into(upright[0], data, place, *upright[1:])
    if link + 4 > len(data):
        return bytes(data)
    thumbnail_directory = _number(block, order + "I", link)
    struct.pack_into(order + "I", data, link, 0)
    if thumbnail_directory:
        _erase_thumbnail(data, order, thumbnail_directory, link + 4)
    return bytes(data)


def _erase_thumbnail(data: bytearray, order: str, directory: int, first_free: int) -> None:
    """Cut the thumbnail off where it ends the block, else blank it, so that no trace of another picture stays."""
    try:
        end = directory + 2 + 12 * _number(data, order + "H", directory)
        numbers = {}
        for tag, kind, place in _entries(data, directory, end):
            numbers[tag] = _number(data, order + ("H" if kind == _SHORT else "I"), place)
    except ValueError:
        return
    for offset_tag, length_tag in _THUMBNAIL_PLACES:
        start, length = numbers.get(offset_tag, 0), numbers.get(length_tag, 0)
        if not first_free <= start < start + length <= len(data):
            continue
        if len(data) - start - length < 4:  # nothing but padding behind it
            del data[start:]
        else:
            data[start : start + length] = bytes(length)
