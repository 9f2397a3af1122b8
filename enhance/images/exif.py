"""EXIF blocks, read and patched by bytes.

A block is a TIFF structure of directories, without the `Exif\\0\\0` prefix of JPEG. Nothing in it moves, because maker
notes contain offsets from the start of the block: values are changed in place and new directories are appended.
Functions that return a changed block raise ValueError if the block is damaged.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO

from PIL import Image

logger = logging.getLogger(__name__)

ORIENTATION, MAKER_NOTE = 0x0112, 0x927C
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
_THUMBNAIL_TAGS = ((0x0201, 0x0202), (0x0111, 0x0117))  # JPEG, uncompressed: offset and length
_POSITION_TAGS = {2, 4, 20, 22, 27, 28}  # The other tags of the GPS directory state time, datum and receiver.
# The tags of a TIFF file that describe the photo. The others describe how its pixels are stored.
_PHOTO_TAGS = (
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x011D, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749),
    *(0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
)
_SHORT, _LONG, _RATIONAL = 3, 4, 5
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a number of each type (TIFF 6.0, section 2, and BigTIFF)."""
_LONGEST_VALUE = 32_000
_PREFIXES = re.compile(rb"\A(?:Exif\0\0)+")

EMPTY = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
"""A block without entries."""


def _order(block: bytes | bytearray) -> str:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise ValueError("no TIFF header")
    return order


def read_directory(block: bytes, tag: int | None = None) -> dict[int, tuple[int, bytes]]:
    """Return type and bytes of each intact value by its tag, of the main directory or of the one that `tag` points to.

    The bytes are in the order of the block. The result is empty if the directory is missing or damaged, or if its
    values overlap, because a copy could then be much longer than the block.
    """
    try:
        start = _main_directory(block) if tag is None else _subdirectory(block, tag)
        entries = [] if start is None else list(_entries(block, start))
        found = {one: (kind, *_value_span(block, kind, at)) for one, kind, at in entries if kind in TYPE_SIZES}
    except ValueError:
        return {}
    if sum(length for _, _, length in found.values()) > len(block):
        return {}
    return {
        one: (kind, block[first : first + length])
        for one, (kind, first, length) in found.items()
        if 0 < length <= len(block) - first
    }


def _number(block: bytes | bytearray, layout: str, start: int) -> int:
    if start + struct.calcsize(layout) > len(block):
        raise ValueError("an offset points beyond the end")
    return struct.unpack_from(_order(block) + layout, block, start)[0]


def _main_directory(block: bytes | bytearray) -> int:
    return _number(block, "I", 4)


def _entries(block: bytes | bytearray, directory: int) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, type, start of the value field) for each entry of the directory at this offset."""
    end = directory + 2 + 12 * _number(block, "H", directory)
    if end > len(block):
        raise ValueError("a directory extends beyond the end")
    for start in range(directory + 2, end, 12):
        tag, kind = struct.unpack_from(_order(block) + "HH", block, start)
        yield tag, kind, start + 8


def _subdirectory(block: bytes | bytearray, tag: int) -> int | None:
    """Return the offset of the directory that this tag of the main directory points to, if it is intact."""
    try:
        main = _entries(block, _main_directory(block))
        found = next((_number(block, "I", start) for one, _, start in main if one == tag), None)
        if found is not None:
            list(_entries(block, found))
    except ValueError:
        return None
    return found


def _value_span(block: bytes | bytearray, kind: int, start: int) -> tuple[int, int]:
    """Return start and length in bytes of the value that belongs to a value field."""
    length = TYPE_SIZES.get(kind, 1) * _number(block, "I", start - 4)
    return (start if length <= 4 else _number(block, "I", start)), length


def _numbers(block: bytes | bytearray, directory: int | None = None) -> dict[int, float]:
    """Return the first number of each tag in a directory (None: the main one), as far as the block is intact."""
    found: dict[int, float] = {}
    try:
        for tag, kind, start in _entries(block, _main_directory(block) if directory is None else directory):
            if kind == _RATIONAL:
                numerator, denominator = (_number(block, "I", _number(block, "I", start) + step) for step in (0, 4))
                found[tag] = numerator / denominator if denominator else 0.0
            else:
                found[tag] = _number(block, "H" if kind == _SHORT else "I", start)
    except ValueError:
        pass
    return found


def has_plausible_values(block: bytes) -> bool:
    """Return whether the values of all directories are together at most twice as long as the block.

    Overlapping values can take very long in readers that copy each value.
    """
    try:
        directories = [_main_directory(block), *(_subdirectory(block, tag) for tag in (EXIF_IFD, GPS_IFD))]
        spans = [
            _value_span(block, kind, at)
            for directory in directories
            if directory is not None
            for _, kind, at in _entries(block, directory)
        ]
    except ValueError:  # Functions that change the block report the damage.
        return True
    lengths = (max(0, min(length, len(block) - start)) for start, length in spans)
    return sum(lengths) <= 2 * len(block)


def without_prefix(block: bytes | None) -> bytes | None:
    """Return the block without the prefix that some formats keep; None if nothing is left."""
    return _PREFIXES.sub(b"", block or b"") or None


def read_orientation(block: bytes | None) -> int:
    """Return the orientation, 1 to 8; 1 if the block states none or is damaged."""
    value = int(_numbers(block or b"").get(ORIENTATION, 1))
    return value if 1 <= value <= 8 else 1


def read_dpi(block: bytes | None) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, across and down, if the block states one."""
    found = _numbers(block or b"")
    inch = {2: 1.0, 3: 2.54}.get(int(found.get(_RESOLUTION_UNIT, 2)))
    return plausible_dpi(found.get(_X_RESOLUTION, 0) * inch, found.get(_Y_RESOLUTION, 0) * inch) if inch else None


def plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
    return (across, down) if min(across, down) >= 0.1 and max(across, down) <= 100_000 else None


def with_numbers(block: bytes, numbers: Mapping[int, int]) -> bytes:
    """Replace the numbers of existing tags and remove the thumbnail. All other bytes stay the same."""
    order, main = _order(block), _main_directory(block)
    data = bytearray(block)
    for directory in filter(None, (main, _subdirectory(block, EXIF_IFD))):
        for tag, kind, start in _entries(block, directory):
            if tag not in numbers:
                continue
            if kind == _SHORT and numbers[tag] <= 0xFFFF:
                struct.pack_into(order + "HH", data, start, numbers[tag], 0)
            else:
                struct.pack_into(order + "HII", data, start - 6, _LONG, 1, numbers[tag])  # type, count and value
    link = main + 2 + 12 * _number(block, "H", main)  # to the next directory, which describes the thumbnail
    if link + 4 <= len(data):
        thumbnail = _numbers(block, _number(block, "I", link))
        struct.pack_into("4x", data, link)
        for offset, length in ((int(thumbnail.get(tag, 0)) for tag in pair) for pair in _THUMBNAIL_TAGS):
            if not link + 4 <= offset < offset + length <= len(data):
                continue
            if len(data) - offset - length < 4:  # Only padding follows.
                del data[offset:]
            else:
                data[offset : offset + length] = bytes(length)
    return bytes(data)


def with_dpi(block: bytes | None, across: float, down: float) -> bytes:
    """Return the block, or a new one, with a resolution in dots per inch."""
    ratios = []
    for dpi in (across, down):
        whole = round(dpi)  # PNG stores dots per metre, so 300 dpi is read as 299.9994.
        ratios.append((whole, 1) if abs(dpi - whole) < 0.02 else (round(1000 * dpi), 1000))
    values = {_X_RESOLUTION: (_RATIONAL, *ratios[0]), _Y_RESOLUTION: (_RATIONAL, *ratios[1])}
    return with_entries(block or EMPTY, values | {_RESOLUTION_UNIT: (_SHORT, 2)})


def has_position(block: bytes | None) -> bool:
    """Return whether the GPS directory contains a position."""
    return not _POSITION_TAGS.isdisjoint(read_directory(block or b"", GPS_IFD))


def without_position(block: bytes) -> bytes:
    """Remove the GPS directory, and maker notes, which can contain positions in formats of their own."""
    data = bytearray(block)
    gps, photo = (_subdirectory(block, tag) for tag in (GPS_IFD, EXIF_IFD))
    spans = [] if gps is None else [_value_span(block, kind, start) for _, kind, start in _entries(block, gps)]
    if gps is not None:
        spans.append((gps, 2 + 12 * _number(block, "H", gps)))
    if photo is not None:
        spans += [_value_span(block, kind, at) for tag, kind, at in _entries(block, photo) if tag == MAKER_NOTE]
    cleared = 0
    for start, length in sorted(spans):
        end = min(start + length, len(data))
        first = max(start, cleared)  # Values can overlap, and each byte is cleared only once.
        if first < end:
            data[first:end] = bytes(end - first)
            cleared = end
    return with_entries(bytes(data), {}, without=(GPS_IFD, MAKER_NOTE))


def with_entries(block: bytes, values: Mapping[int, tuple[int, ...]], without: Collection[int] = ()) -> bytes:
    """Set entries of the main directory, each to a type and integers, and remove the tags `without`.

    They are also removed from the EXIF directory. New directories at the end of the block replace these two.
    """
    data, main = bytearray(block), _main_directory(block)
    photo = _subdirectory(block, EXIF_IFD)
    if photo is not None:
        values = {**values, EXIF_IFD: (_LONG, _append_directory(data, photo, {}, without))}
    struct.pack_into(_order(block) + "I", data, 4, _append_directory(data, main, values, without))
    return bytes(data)


def _append_directory(
    data: bytearray, old: int, values: Mapping[int, tuple[int, ...]], without: Collection[int]
) -> int:
    """Append a directory with the entries of the `old` one and these values; return its offset."""
    order = _order(data)
    entries = {tag: bytes(data[start - 8 : start + 4]) for tag, _, start in _entries(data, old) if tag not in without}
    for tag, (kind, *numbers) in values.items():
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == _SHORT else 'I'}", *numbers)
        if len(packed) > 4:  # Values of up to 4 bytes are in the entry itself. Others have even offsets.
            data += bytes(len(data) % 2) + packed
            packed = struct.pack(order + "I", len(data) - len(packed))
        entries[tag] = struct.pack(order + "HHI", tag, kind, 1) + packed.ljust(4, b"\0")
    data += bytes(len(data) % 2)
    directory = len(data)
    data += struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return directory


def shorten(block: bytes) -> bytes | None:
    """Write the block again without maker notes, unusual tags and long values; return None if that is not possible."""
    return block_from_tiff(io.BytesIO(block), without=(INTEROP_IFD, MAKER_NOTE), longest=_LONGEST_VALUE)


def block_from_tiff(file: BinaryIO, without: Collection[int], longest: int = 1 << 24) -> bytes | None:
    """Return an EXIF block with the tags of a TIFF that describe the photo; None if there are none.

    Texts and other bytes longer than `longest` are left out.
    """

    def is_kept(tag: int, value: object) -> bool:
        return tag not in without and not (isinstance(value, bytes | str) and len(value) > longest)

    file.seek(0)
    try:
        source, block, start = Image.Exif(), Image.Exif(), file.read(16)
        file.seek(0)
        if start.startswith(b"II+\0"):  # BigTIFF; Pillow reads only this byte order.
            source.bigtiff, source.endian = True, "<"
            source.load_from_fp(file, int.from_bytes(start[8:], "little"))
        else:
            source.load_from_fp(file)
        block.update({tag: source[tag] for tag in _PHOTO_TAGS if tag in source and is_kept(tag, source[tag])})
        for directory in (EXIF_IFD, GPS_IFD):
            values = source.get_ifd(directory) if directory in source else {}
            block.get_ifd(directory).update({tag: value for tag, value in values.items() if is_kept(tag, value)})
        if not block and not block.get_ifd(EXIF_IFD) and not block.get_ifd(GPS_IFD):
            return None
        block[ORIENTATION] = 1
        return without_prefix(block.tobytes())
    except Exception as error:  # Pillow raises many types of errors for unusual tags.
        logger.info("The TIFF tags cannot be carried over: %s", error)
        return None
