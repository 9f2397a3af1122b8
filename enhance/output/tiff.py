"""The TIFF writer, which needs constant memory: strips of rows, deflated with a predictor (TIFF 6.0, section 14).

A TIFF has the structure of an EXIF block. The file starts with the block as it is, so that the offsets in maker notes
stay right, and a new main directory at the end adds the pixels. BigTIFF has longer offsets. There, the directories of
the block are written again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from ..images.exif import EMPTY, EXIF_IFD, GPS_IFD, INTEROP_IFD, TYPE_SIZES, read_directory
from .png import PngFormat

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SIGNED_RATIONAL, _LONG8 = 1, 3, 4, 5, 7, 10, 16
_CLASSIC_BYTES = (1 << 32) - (64 << 20)
"""Pixels of more bytes need BigTIFF. The rest is for metadata and for strips that cannot be compressed."""
_LEVEL = 1
_PIXEL_TAGS = {
    *(*range(0x0100, 0x0107), 0x0111, *range(0x0115, 0x011A), 0x011C, 0x013D, *range(0x0140, 0x0146), 0x014A),
    *range(0x0200, 0x0215),
}
"""EXIF tags that describe how the pixels of the original are stored."""


def write_tiff(file: BinaryIO, form: PngFormat, strips: Iterable[np.ndarray], rows_per_strip: int) -> None:
    """Write a TIFF into an empty file. It is a BigTIFF if the pixels have more than about 4 GB.

    `strips` are [n, W, C] from top to bottom, uint8 or uint16 according to `form`, of `rows_per_strip` rows. The last
    one can have fewer.
    """
    exif = form.metadata.exif or EMPTY
    is_big = form.height * form.width * form.channels * form.bits // 8 > _CLASSIC_BYTES
    is_swapped = is_big and exif.startswith(b"MM")  # Pillow reads no BigTIFF of that byte order.
    order = ">" if exif.startswith(b"MM") and not is_big else "<"
    offset, kind = ("Q", _LONG8) if is_big else ("I", _LONG)
    file.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0) if is_big else exif)
    starts, lengths = [], []
    for strip in strips:
        packed = isal_zlib.compress(_predict(strip, order), _LEVEL)
        starts.append(file.tell())
        lengths.append(len(packed))
        file.write(packed)
    entries = {tag: entry for tag, entry in _entries(exif, None, is_swapped).items() if tag not in _PIXEL_TAGS}
    if is_big:
        for tag in {EXIF_IFD, GPS_IFD} & entries.keys():
            # The interoperability directory is not written again, so a reference to it would be wrong.
            values = {one: entry for one, entry in _entries(exif, tag, is_swapped).items() if one != INTEROP_IFD}
            entries[tag] = kind, struct.pack("<Q", _write_directory(file, values, order, is_big))
    entries |= _image_entries(form, order, min(rows_per_strip, form.height))
    for tag, numbers in ((273, starts), (279, lengths)):
        entries[tag] = kind, struct.pack(f"{order}{len(numbers)}{offset}", *numbers)
    directory = _write_directory(file, entries, order, is_big)
    file.seek(8 if is_big else 4)
    file.write(struct.pack(order + offset, directory))
    file.seek(0, 2)


def _entries(exif: bytes, tag: int | None, is_swapped: bool) -> dict[int, tuple[int, bytes]]:
    """Return type and bytes of the values in a directory of the block, in the other byte order if `is_swapped`."""
    found = read_directory(exif, tag)
    if not is_swapped:
        return found
    sizes = TYPE_SIZES | {_RATIONAL: 4, _SIGNED_RATIONAL: 4}
    return {
        one: (kind, np.frombuffer(value, f"u{sizes[kind]}").byteswap().tobytes())
        for one, (kind, value) in found.items()
    }


def _predict(rows: np.ndarray, order: str) -> bytes:
    """Return the bytes of rows [n, W, C] as differences to the pixel on the left."""
    values = rows.copy()
    values[:, 1:] -= rows[:, :-1]
    return values.astype(np.dtype(f"{order}u{values.itemsize}"), copy=False).tobytes()


def _image_entries(form: PngFormat, order: str, rows_per_strip: int) -> dict[int, tuple[int, bytes]]:
    shorts = {
        258: [form.bits] * form.channels,
        259: [8],  # deflate
        262: [1 if form.channels < 3 else 2],  # grey or RGB
        277: [form.channels],
        284: [1],  # all channels of a pixel together
        317: [2],  # the predictor
        **({338: [2]} if form.channels in (2, 4) else {}),  # alpha that is not premultiplied
    }
    longs = {256: form.width, 257: form.height, 278: rows_per_strip}
    blocks = {700: (_BYTE, form.metadata.xmp), 33723: (_UNDEFINED, form.metadata.iptc), 34675: (_UNDEFINED, form.icc)}
    return {
        **{tag: (_SHORT, struct.pack(f"{order}{len(numbers)}H", *numbers)) for tag, numbers in shorts.items()},
        **{tag: (_LONG, struct.pack(order + "I", number)) for tag, number in longs.items()},
        **{tag: (kind, block) for tag, (kind, block) in blocks.items() if block},
    }


def _write_directory(file: BinaryIO, entries: Mapping[int, tuple[int, bytes]], order: str, is_big: bool) -> int:
    """Write values and directory, each at an even offset as TIFF 6.0 demands; return the offset of the directory."""
    count, entry, offset = ("Q", "HHQ", "Q") if is_big else ("H", "HHI", "I")
    room, packed = struct.calcsize("=" + offset), []
    for tag, (kind, value) in sorted(entries.items()):
        number = len(value) // TYPE_SIZES[kind]
        if len(value) > room:
            start = _align(file)
            file.write(value)
            value = struct.pack(order + offset, start)
        packed.append(struct.pack(order + entry, tag, kind, number) + value.ljust(room, b"\0"))
    start = _align(file)
    file.write(struct.pack(order + count, len(entries)) + b"".join(packed) + bytes(room))  # 0: no next directory
    return start


def _align(file: BinaryIO) -> int:
    file.write(bytes(file.tell() % 2))
    return file.tell()
