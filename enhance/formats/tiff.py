"""TIFF as an output format, written in constant memory: strips of rows, deflated with a predictor
(TIFF 6.0, section 14).

A TIFF has the structure of an EXIF block. The file starts with the block as it is, so that the
offsets in maker notes stay right, and a new main directory at the end adds the pixels. BigTIFF has
longer offsets. There, the directories of the block are written again, in its byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import numpy as np
from isal import isal_zlib
from numpy import ndarray

from ..metadata.exif import (
    EMPTY,
    EXIF_IFD,
    GPS_IFD,
    INTEROP_IFD,
    TYPE_SIZES,
    byte_order,
    read_directory,
)
from .format import FinishedImage, Format

_BYTE = 1
_SHORT = 3
_LONG = 4
_UNDEFINED = 7
_LONG8 = 16
_CLASSIC_BYTES = (1 << 32) - (64 << 20)
"""Pixels of more bytes need BigTIFF. The rest is for metadata and for strips that cannot be
compressed."""
_LEVEL = 1
_STRIP_OFFSETS = 273
_STRIP_BYTES = 279
_PIXEL_TAGS = {0x0118, 0x0119, *range(0x0140, 0x0146), 0x014A, *range(0x0200, 0x0215)}
"""EXIF tags that describe how the pixels of the original are stored, except those that every TIFF
of a result has."""

_Entry: TypeAlias = tuple[int, bytes]
"""The type and the bytes of a value."""


@dataclass(frozen=True)
class _Layout:
    """The numbers of a TIFF as `struct` denotes them: byte order, counts and offsets.

    `offset_type` is the type of an offset in an entry. The offset of the main directory is at
    `main_offset`.
    """

    order: str
    count: str
    offset: str
    offset_type: int
    main_offset: int

    def pack(self, kind: str, *numbers: int) -> bytes:
        """Return the bytes of numbers; `kind` is as `struct` denotes it."""
        return struct.pack(f"{self.order}{len(numbers)}{kind}", *numbers)


def _write(file: BinaryIO, image: FinishedImage) -> None:
    """Write a TIFF. It is a BigTIFF if the pixels have more than about 4 GB."""
    exif = image.metadata.exif or EMPTY
    order = byte_order(exif)
    is_big = image.png.size.height * image.png.row_bytes > _CLASSIC_BYTES
    if is_big:
        layout = _Layout(order, "Q", "Q", _LONG8, main_offset=8)
        file.write(exif[:2] + layout.pack("H", 43, 8, 0) + bytes(8))
    else:
        layout = _Layout(order, "H", "I", _LONG, main_offset=4)
        file.write(exif)
    starts: list[int] = []
    lengths: list[int] = []
    for strip in image.strips(image.strip_rows):
        packed = isal_zlib.compress(_predict(strip, layout.order), _LEVEL)
        starts.append(file.tell())
        lengths.append(len(packed))
        file.write(packed)
    exif_entries = read_directory(exif)
    if is_big:
        exif_entries |= _copy_directories(file, exif, layout)
    entries = {tag: entry for tag, entry in exif_entries.items() if tag not in _PIXEL_TAGS}
    entries |= _image_entries(image, layout)
    entries[_STRIP_OFFSETS] = (layout.offset_type, layout.pack(layout.offset, *starts))
    entries[_STRIP_BYTES] = (layout.offset_type, layout.pack(layout.offset, *lengths))
    directory = _write_directory(file, entries, layout)
    file.seek(layout.main_offset)
    file.write(layout.pack(layout.offset, directory))
    file.seek(0, 2)
    file.write(image.mark)


TIFF = Format("tiff", "TIFF", (".tif", ".tiff"), _write, bits=16, lossless=1)


def _copy_directories(file: BinaryIO, exif: bytes, layout: _Layout) -> dict[int, _Entry]:
    """Write the directories in an EXIF block into a BigTIFF, and return references to them."""
    references = {}
    for tag in (EXIF_IFD, GPS_IFD):
        values = read_directory(exif, tag)
        # The interoperability directory is not written again, so a reference to it would be wrong.
        values.pop(INTEROP_IFD, None)
        if values:
            offset = layout.pack("Q", _write_directory(file, values, layout))
            references[tag] = (_LONG8, offset)
    return references


def _predict(rows: ndarray, order: str) -> bytes:
    """Return the bytes of rows [n, W, C] as differences to the pixel on the left."""
    values = rows.copy()
    values[:, 1:] -= rows[:, :-1]
    stored = np.dtype(f"{order}u{values.itemsize}")
    return values.astype(stored, copy=False).tobytes()


def _image_entries(image: FinishedImage, layout: _Layout) -> dict[int, _Entry]:
    """Return the entries of the pixels, and of the metadata that EXIF does not contain."""
    width, height = image.png.size
    channels = image.png.channels
    icc = image.png.icc
    shorts = {
        258: [image.png.bits] * channels,
        259: [8],  # deflate
        262: [2],  # RGB
        277: [channels],
        284: [1],  # all channels of a pixel together
        317: [2],  # the predictor
    }
    if channels < 3:
        shorts[262] = [1]  # grey
    if channels in (2, 4):
        shorts[338] = [2]  # alpha that is not premultiplied
    longs = {256: width, 257: height, 278: min(image.strip_rows, height)}
    entries = {tag: (_SHORT, layout.pack("H", *numbers)) for tag, numbers in shorts.items()}
    entries |= {tag: (_LONG, layout.pack("I", number)) for tag, number in longs.items()}
    if image.metadata.xmp:
        entries[700] = (_BYTE, image.metadata.xmp)
    if image.metadata.iptc:
        entries[33723] = (_UNDEFINED, image.metadata.iptc)
    if icc:
        entries[34675] = (_UNDEFINED, icc)
    return entries


def _write_directory(file: BinaryIO, entries: Mapping[int, _Entry], layout: _Layout) -> int:
    """Write values and directory, and return the offset of the directory.

    TIFF 6.0 demands even offsets.
    """
    field_size = TYPE_SIZES[layout.offset_type]
    packed = [layout.pack(layout.count, len(entries))]
    for tag, (kind, value) in sorted(entries.items()):
        count = len(value) // TYPE_SIZES[kind]
        if len(value) > field_size:
            start = _align(file)
            file.write(value)
            value = layout.pack(layout.offset, start)
        packed += [layout.pack("H", tag, kind), layout.pack(layout.offset, count)]
        packed.append(value.ljust(field_size, b"\0"))
    packed.append(bytes(field_size))  # 0: no next directory
    start = _align(file)
    file.writelines(packed)
    return start


def _align(file: BinaryIO) -> int:
    """Move the end of a file to an even offset, and return it."""
    file.write(bytes(file.tell() % 2))
    return file.tell()
