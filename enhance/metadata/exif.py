"""EXIF blocks, read and patched by bytes.

A block is a TIFF structure of directories, without the `Exif\\0\\0` prefix of JPEG. Nothing in it
moves, because maker notes contain offsets from the start of the block: values are changed in place
and new directories are appended. Functions that return a changed block raise ValueError if the
block is damaged.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

from PIL import Image

logger = logging.getLogger(__name__)

ORIENTATION = 0x0112
MAKER_NOTE = 0x927C
_X_RESOLUTION = 0x011A
_Y_RESOLUTION = 0x011B
_RESOLUTION_UNIT = 0x0128
EXIF_IFD = 0x8769
GPS_IFD = 0x8825
INTEROP_IFD = 0xA005
_THUMBNAIL_TAGS = ((0x0201, 0x0202), (0x0111, 0x0117))
"""The tags of the offset and the length of a thumbnail: as JPEG, and uncompressed."""
_POSITION_TAGS = {
    2,  # GPSLatitude
    4,  # GPSLongitude
    20,  # GPSDestLatitude
    22,  # GPSDestLongitude
    27,  # GPSProcessingMethod
    28,  # GPSAreaInformation
}
"""The other tags of the GPS directory state time, datum and receiver."""
_PHOTO_TAGS = (
    0x010D,  # DocumentName
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x011A,  # XResolution
    0x011B,  # YResolution
    0x011D,  # PageName
    0x0128,  # ResolutionUnit
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x013C,  # HostComputer
    0x4746,  # Rating
    0x4749,  # RatingPercent
    0x8298,  # Copyright
    0x9C9B,  # XPTitle
    0x9C9C,  # XPComment
    0x9C9D,  # XPAuthor
    0x9C9E,  # XPKeywords
    0x9C9F,  # XPSubject
)
"""The tags of a TIFF that describe the photo. The others describe how its pixels are stored."""
_SHORT = 3
_LONG = 4
_RATIONAL = 5
TYPE_SIZES = {
    1: 1,  # byte
    2: 1,  # ASCII
    3: 2,  # short
    4: 4,  # long
    5: 8,  # rational
    6: 1,  # signed byte
    7: 1,  # undefined
    8: 2,  # signed short
    9: 4,  # signed long
    10: 8,  # signed rational
    11: 4,  # float
    12: 8,  # double
    13: 4,  # offset of a directory
    16: 8,  # long of BigTIFF
    17: 8,  # signed long of BigTIFF
    18: 8,  # offset of a directory of BigTIFF
}
"""Bytes of a number of each type (TIFF 6.0, section 2, and BigTIFF)."""
_LONGEST_VALUE = 32_000
_PREFIXES = re.compile(rb"\A(?:Exif\0\0)+")

EMPTY = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
"""A block without entries."""

_Block: TypeAlias = bytes | bytearray
_Value: TypeAlias = tuple[int, ...]
"""A type and integers of it."""


def _order(block: _Block) -> str:
    """Return the byte order as `struct` denotes it.

    Raises ValueError if the block has no TIFF header.
    """
    if block.startswith(b"II*\0"):
        return "<"
    if block.startswith(b"MM\0*"):
        return ">"
    raise ValueError("no TIFF header")


def read_directory(block: bytes, tag: int | None = None) -> dict[int, tuple[int, bytes]]:
    """Return type and bytes of each intact value of a directory by its tag.

    The directory is the main one, or the one that `tag` points to. The bytes are in the order of
    the block. The result is empty if the directory is missing or damaged, or if its values overlap,
    because a copy could then be much longer than the block.
    """
    values: dict[int, tuple[int, bytes]] = {}
    total = 0
    try:
        directory = _main_directory(block) if tag is None else _subdirectory(block, tag)
        if directory is None:
            return {}
        for one, kind, field in _entries(block, directory):
            if kind not in TYPE_SIZES:
                continue
            start, length = _value_span(block, kind, field)
            total += length
            if total > len(block):
                return {}
            if 0 < length <= len(block) - start:
                values[one] = (kind, block[start : start + length])
    except ValueError:
        return {}
    return values


def _number(block: _Block, layout: str, start: int) -> int:
    if start + struct.calcsize(layout) > len(block):
        raise ValueError("an offset points beyond the end")
    return struct.unpack_from(_order(block) + layout, block, start)[0]


def _main_directory(block: _Block) -> int:
    return _number(block, "I", 4)


def _entries(block: _Block, directory: int) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, type, start of the value field) for each entry of a directory."""
    end = directory + 2 + 12 * _number(block, "H", directory)
    if end > len(block):
        raise ValueError("a directory extends beyond the end")
    for start in range(directory + 2, end, 12):
        tag, kind = struct.unpack_from(_order(block) + "HH", block, start)
        yield tag, kind, start + 8


def _subdirectory(block: _Block, tag: int) -> int | None:
    """Return the offset of an intact directory that a tag of the main directory points to."""
    with suppress(ValueError):
        for one, _, field in _entries(block, _main_directory(block)):
            if one == tag:
                directory = _number(block, "I", field)
                list(_entries(block, directory))  # raises ValueError if it is damaged
                return directory
    return None


def _value_span(block: _Block, kind: int, start: int) -> tuple[int, int]:
    """Return start and length in bytes of the value that belongs to the value field at `start`."""
    length = TYPE_SIZES.get(kind, 1) * _number(block, "I", start - 4)
    if length > 4:
        start = _number(block, "I", start)
    return start, length


def _numbers(block: _Block, directory: int | None = None) -> dict[int, float]:
    """Return the first number of each tag in a directory, as far as the block is intact.

    The directory is the main one if it is None.
    """
    found: dict[int, float] = {}
    with suppress(ValueError):
        if directory is None:
            directory = _main_directory(block)
        for tag, kind, field in _entries(block, directory):
            found[tag] = _first_number(block, kind, field)
    return found


def _first_number(block: _Block, kind: int, field: int) -> float:
    """Return the first number of the value that belongs to the value field at `field`."""
    if kind == _SHORT:
        return _number(block, "H", field)
    if kind != _RATIONAL:
        return _number(block, "I", field)
    start = _number(block, "I", field)
    numerator = _number(block, "I", start)
    denominator = _number(block, "I", start + 4)
    return numerator / denominator if denominator else 0.0


def has_plausible_values(block: bytes) -> bool:
    """Return whether the values of all directories are together at most twice as long as the block.

    Overlapping values can take very long in readers that copy each value.
    """
    total = 0
    with suppress(ValueError):  # Functions that change the block report the damage.
        directories = [
            _main_directory(block),
            _subdirectory(block, EXIF_IFD),
            _subdirectory(block, GPS_IFD),
        ]
        for directory in filter(None, directories):
            for _, kind, field in _entries(block, directory):
                start, length = _value_span(block, kind, field)
                total += max(0, min(length, len(block) - start))
    return total <= 2 * len(block)


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
    across = found.get(_X_RESOLUTION, 0)
    down = found.get(_Y_RESOLUTION, 0)
    units_per_inch = {2: 1.0, 3: 2.54}.get(int(found.get(_RESOLUTION_UNIT, 2)), 0)
    return plausible_dpi(across * units_per_inch, down * units_per_inch)


def plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
    """Return a resolution in dots per inch, None if it is too low or too high to be meant."""
    if min(across, down) >= 0.1 and max(across, down) <= 100_000:
        return across, down
    return None


def with_numbers(block: bytes, numbers: Mapping[int, int]) -> bytes:
    """Replace the numbers of existing tags and remove the thumbnail.

    All other bytes stay the same.
    """
    order = _order(block)
    main = _main_directory(block)
    data = bytearray(block)
    for directory in filter(None, (main, _subdirectory(block, EXIF_IFD))):
        for tag, kind, field in _entries(block, directory):
            if tag not in numbers:
                continue
            if kind == _SHORT and numbers[tag] <= 0xFFFF:
                struct.pack_into(order + "HH", data, field, numbers[tag], 0)
            else:
                # The type, the count and the value.
                struct.pack_into(order + "HII", data, field - 6, _LONG, 1, numbers[tag])
    _remove_thumbnail(data, main)
    return bytes(data)


def _remove_thumbnail(data: bytearray, main: int) -> None:
    """Remove the thumbnail, and the directory after the main one, which describes it."""
    link = main + 2 + 12 * _number(data, "H", main)
    end = link + 4
    if end > len(data):
        return
    thumbnail = _numbers(data, _number(data, "I", link))
    data[link:end] = bytes(4)
    for offset_tag, length_tag in _THUMBNAIL_TAGS:
        offset = int(thumbnail.get(offset_tag, 0))
        length = int(thumbnail.get(length_tag, 0))
        if not end <= offset < offset + length <= len(data):
            continue
        if len(data) - offset - length < 4:  # Only padding follows.
            del data[offset:]
        else:
            data[offset : offset + length] = bytes(length)


def with_dpi(block: bytes | None, across: float, down: float) -> bytes:
    """Return the block, or a new one, with a resolution in dots per inch."""
    values = {
        _X_RESOLUTION: (_RATIONAL, *_ratio(across)),
        _Y_RESOLUTION: (_RATIONAL, *_ratio(down)),
        _RESOLUTION_UNIT: (_SHORT, 2),
    }
    return with_entries(block or EMPTY, values)


def _ratio(dpi: float) -> tuple[int, int]:
    whole = round(dpi)
    if abs(dpi - whole) < 0.02:  # PNG stores dots per metre, so 300 dpi is read as 299.9994.
        return whole, 1
    return round(1000 * dpi), 1000


def has_position(block: bytes | None) -> bool:
    """Return whether the GPS directory contains a position."""
    return not _POSITION_TAGS.isdisjoint(read_directory(block or b"", GPS_IFD))


def without_position(block: bytes) -> bytes:
    """Remove the GPS directory, and maker notes, whose own formats can contain positions."""
    spans: list[tuple[int, int]] = []
    gps = _subdirectory(block, GPS_IFD)
    if gps is not None:
        spans.append((gps, 2 + 12 * _number(block, "H", gps)))
        spans += [_value_span(block, kind, field) for _, kind, field in _entries(block, gps)]
    photo = _subdirectory(block, EXIF_IFD)
    if photo is not None:
        for tag, kind, field in _entries(block, photo):
            if tag == MAKER_NOTE:
                spans.append(_value_span(block, kind, field))
    cleared = _with_zeros(block, spans)
    return with_entries(cleared, {}, without=(GPS_IFD, MAKER_NOTE))


def _with_zeros(block: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return the block with zeros in `spans`.

    Each span is a start and a length. They can overlap, or exceed the block.
    """
    data = bytearray(block)
    cleared = 0
    for start, length in sorted(spans):
        end = min(start + length, len(data))
        first = max(start, cleared)  # Each byte is cleared only once.
        if first < end:
            data[first:end] = bytes(end - first)
            cleared = end
    return bytes(data)


def with_entries(
    block: bytes,
    values: Mapping[int, _Value],
    without: Collection[int] = (),
) -> bytes:
    """Set entries of the main directory, and remove the tags `without`.

    `values` are a type and integers by tag. The removed tags are also removed from the EXIF
    directory. New directories at the end of the block replace these two.
    """
    data = bytearray(block)
    main = _main_directory(block)
    photo = _subdirectory(block, EXIF_IFD)
    if photo is not None:
        values = {**values, EXIF_IFD: (_LONG, _append_directory(data, photo, {}, without))}
    new_main = _append_directory(data, main, values, without)
    struct.pack_into(_order(block) + "I", data, 4, new_main)
    return bytes(data)


def _append_directory(
    data: bytearray,
    old: int,
    values: Mapping[int, _Value],
    without: Collection[int],
) -> int:
    """Append a directory with the entries of the `old` one and these values; return its offset."""
    order = _order(data)
    entries: dict[int, bytes] = {}
    for tag, _, field in _entries(data, old):
        if tag not in without:
            entries[tag] = bytes(data[field - 8 : field + 4])
    for tag, (kind, *numbers) in values.items():
        layout = "H" if kind == _SHORT else "I"
        value = struct.pack(f"{order}{len(numbers)}{layout}", *numbers)
        if len(value) > 4:  # Values of up to 4 bytes are in the entry itself.
            value = struct.pack(order + "I", _append(data, value))
        entries[tag] = struct.pack(order + "HHI", tag, kind, 1) + value.ljust(4, b"\0")
    count = struct.pack(order + "H", len(entries))
    sorted_entries = [entries[tag] for tag in sorted(entries)]
    return _append(data, b"".join([count, *sorted_entries, bytes(4)]))


def _append(data: bytearray, content: bytes) -> int:
    """Append content at an even offset; return the offset."""
    data += bytes(len(data) % 2)
    start = len(data)
    data += content
    return start


def shorten(block: bytes) -> bytes | None:
    """Write the block again without maker notes, unusual tags and long values; return None if that
    is not possible."""
    without = (INTEROP_IFD, MAKER_NOTE)
    return block_from_tiff(io.BytesIO(block), without, longest=_LONGEST_VALUE)


def block_from_tiff(
    file: BinaryIO,
    without: Collection[int],
    longest: int = 1 << 24,
) -> bytes | None:
    """Return an EXIF block with the tags of a TIFF that describe the photo; None if there are none.

    Texts and other bytes longer than `longest` are left out.
    """

    def is_long(value: object) -> bool:
        return isinstance(value, bytes | str) and len(value) > longest

    def select(values: Mapping[int, Any]) -> dict[int, Any]:
        selected = {tag: value for tag, value in values.items() if tag not in without}
        return {tag: value for tag, value in selected.items() if not is_long(value)}

    try:
        source = _read_with_pillow(file)
        block = Image.Exif()
        block.update(select({tag: source[tag] for tag in _PHOTO_TAGS if tag in source}))
        for directory in (EXIF_IFD, GPS_IFD):
            new_values = block.get_ifd(directory)
            if directory in source:
                new_values.update(select(source.get_ifd(directory)))
        if not block and not block.get_ifd(EXIF_IFD) and not block.get_ifd(GPS_IFD):
            return None
        block[ORIENTATION] = 1
        return without_prefix(block.tobytes())
    except Exception as error:  # Pillow raises many types of errors for unusual tags.
        logger.info("The TIFF tags cannot be carried over: %s", error)
        return None


def _read_with_pillow(file: BinaryIO) -> Image.Exif:
    """Return the tags of a TIFF or BigTIFF."""
    tags = Image.Exif()
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    if start.startswith(b"II+\0"):  # BigTIFF; Pillow reads only this byte order.
        tags.bigtiff = True
        tags.endian = "<"
        tags.load_from_fp(file, int.from_bytes(start[8:], "little"))
    else:
        tags.load_from_fp(file)
    return tags


def change_exif(change: Callable[[bytes], bytes | None], block: bytes | None) -> bytes | None:
    """Return the changed EXIF block; None if there is none or it is damaged."""
    try:
        return change(block) if block else None
    except ValueError as error:
        logger.info("The EXIF block is damaged and was left out: %s", error)
        return None
