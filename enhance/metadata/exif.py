"""EXIF blocks, read and patched by bytes.

A block is a TIFF structure of directories, without the `Exif\\0\\0` prefix of JPEG. Nothing in it
moves, because maker notes contain offsets from the start of the block: values are changed in place
and new directories are appended. Functions that change a block raise an error of `_DAMAGE` if it is
damaged, which `change_exif` handles.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple, TypeAlias

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
_RATIONAL = 5
_TYPES = {"H": _SHORT, "I": 4, "II": _RATIONAL}
"""The type of a number by its layout as `struct` denotes it."""
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

_DAMAGE = (ValueError, struct.error)
"""The errors that a damaged block raises."""

_Values: TypeAlias = dict[int, tuple[int, bytes]]
"""The type and the bytes of the values of a directory, by tag."""


class _Entry(NamedTuple):
    """An entry of a directory: its position, and the start and the length of its value.

    The last four of its twelve bytes are the value or its start.
    """

    position: int
    tag: int
    kind: int
    start: int
    length: int


class _Block:
    """A block that is read or changed. Its methods raise an error of `_DAMAGE` if it is damaged."""

    def __init__(self, content: bytes) -> None:
        if content.startswith(b"II*\0"):
            self.order = "<"
        elif content.startswith(b"MM\0*"):
            self.order = ">"
        else:
            raise ValueError("no TIFF header")
        self.data = bytearray(content)
        self.main = self.long(4)

    def unpack(self, layout: str, start: int) -> tuple[Any, ...]:
        return struct.unpack_from(self.order + layout, self.data, start)

    def long(self, start: int) -> int:
        return self.unpack("I", start)[0]

    def pack(self, layout: str, *values: Any) -> bytes:
        return struct.pack(self.order + layout, *values)

    def end_of(self, directory: int) -> int:
        """Return the end of the entries of a directory."""
        return directory + 2 + 12 * self.unpack("H", directory)[0]

    def entries(self, directory: int) -> list[_Entry]:
        entries: list[_Entry] = []
        for position in range(directory + 2, self.end_of(directory), 12):
            tag, kind, count, start = self.unpack("HHII", position)
            length = TYPE_SIZES.get(kind, 1) * count
            if length <= 4:
                start = position + 8
            entries.append(_Entry(position, tag, kind, start, length))
        return entries

    def all_entries(self, *tags: int) -> list[_Entry]:
        """Return the entries of the main directory, and of those that these tags point to."""
        directories = [self.main, *filter(None, map(self.directory, tags))]
        return [entry for directory in directories for entry in self.entries(directory)]

    def directory(self, tag: int) -> int | None:
        """Return the offset of an intact directory that a tag of the main directory points to."""
        for entry in self.entries(self.main):
            if entry.tag == tag:
                with suppress(struct.error):
                    directory = self.long(entry.position + 8)
                    self.entries(directory)
                    return directory
        return None

    def values(self, directory: int) -> _Values:
        """Return the intact values of a directory.

        Raises ValueError if they overlap so much that copies would be much longer than the block.
        """
        entries = [entry for entry in self.entries(directory) if entry.kind in TYPE_SIZES]
        intact = [one for one in entries if 0 < one.length <= len(self.data) - one.start]
        if sum(entry.length for entry in intact) > 2 * len(self.data):
            raise ValueError("values overlap")
        return {
            entry.tag: (entry.kind, bytes(self.data[entry.start : entry.start + entry.length]))
            for entry in intact
        }

    def numbers(self, directory: int) -> dict[int, float]:
        """Return the first number of each entry of a directory, 0 for one that is damaged."""
        return {entry.tag: self._first_number(entry) for entry in self.entries(directory)}

    def _first_number(self, entry: _Entry) -> float:
        if entry.kind == _SHORT:
            return self.unpack("H", entry.position + 8)[0]
        if entry.kind != _RATIONAL:
            return self.long(entry.position + 8)
        with suppress(struct.error, ZeroDivisionError):
            numerator, denominator = self.unpack("II", entry.start)
            return numerator / denominator
        return 0.0

    def clear(self, start: int, length: int) -> None:
        """Replace bytes by zeros, as far as there are any."""
        count = len(self.data[start : start + length])
        self.data[start : start + length] = bytes(count)

    def append(self, content: bytes) -> int:
        """Append content at an even offset, and return the offset."""
        self.data += bytes(len(self.data) % 2)
        start = len(self.data)
        self.data += content
        return start

    def append_directory(self, entries: Mapping[int, bytes]) -> int:
        """Append a directory of these entries, by tag, and return its offset."""
        sorted_entries = [entries[tag] for tag in sorted(entries)]
        return self.append(b"".join([self.pack("H", len(entries)), *sorted_entries, bytes(4)]))

    def copied_entries(self, directory: int, without: Collection[int]) -> dict[int, bytes]:
        """Return the bytes of the entries of a directory by tag, except the tags `without`."""
        entries = [entry for entry in self.entries(directory) if entry.tag not in without]
        return {one.tag: bytes(self.data[one.position : one.position + 12]) for one in entries}

    def new_entry(self, tag: int, layout: str, *numbers: int) -> bytes:
        """Return an entry with one value; `layout` is "H", "I" or, for a ratio, "II"."""
        value = self.pack(layout, *numbers)
        if len(value) > 4:
            value = self.pack("I", self.append(value))
        return self.pack("HHI", tag, _TYPES[layout], 1) + value.ljust(4, b"\0")


def read_directory(content: bytes, tag: int | None = None) -> _Values:
    """Return type and bytes of each intact value of a directory by its tag.

    The directory is the main one, or the one that `tag` points to. The bytes are in the order of
    the block. The result is empty if the directory is missing or damaged, or if its values overlap.
    """
    with suppress(*_DAMAGE):
        block = _Block(content)
        directory: int | None = block.main
        if tag is not None:
            directory = block.directory(tag)
        if directory is not None:
            return block.values(directory)
    return {}


def _main_numbers(content: bytes | None) -> dict[int, float]:
    with suppress(*_DAMAGE):
        block = _Block(content or b"")
        return block.numbers(block.main)
    return {}


def has_plausible_values(content: bytes) -> bool:
    """Return whether the values of all directories are together at most twice as long as the block.

    Overlapping values can take very long in readers that copy each value, and here.
    """
    total = 0
    with suppress(*_DAMAGE):  # Functions that change the block report the damage.
        for entry in _Block(content).all_entries(EXIF_IFD, GPS_IFD):
            total += max(0, min(entry.length, len(content) - entry.start))
    return total <= 2 * len(content)


def without_prefix(block: bytes | None) -> bytes | None:
    """Return the block without the prefix that some formats keep; None if nothing is left."""
    return _PREFIXES.sub(b"", block or b"") or None


def read_orientation(block: bytes | None) -> int:
    """Return the orientation, 1 to 8; 1 if the block states none or is damaged."""
    value = int(_main_numbers(block).get(ORIENTATION, 1))
    if value in range(1, 9):
        return value
    return 1


def read_dpi(block: bytes | None) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, across and down, if the block states one."""
    found = _main_numbers(block)
    across = found.get(_X_RESOLUTION, 0)
    down = found.get(_Y_RESOLUTION, 0)
    units_per_inch = {2: 1.0, 3: 2.54}.get(int(found.get(_RESOLUTION_UNIT, 2)), 0)
    return plausible_dpi(across * units_per_inch, down * units_per_inch)


def plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
    """Return a resolution in dots per inch, None if it is too low or too high to be meant."""
    if min(across, down) >= 0.1 and max(across, down) <= 100_000:
        return across, down
    return None


def with_numbers(content: bytes, numbers: Mapping[int, int]) -> bytes:
    """Replace the numbers of existing tags and remove the thumbnail.

    All other bytes stay the same.
    """
    block = _Block(content)
    for entry in block.all_entries(EXIF_IFD):
        if entry.tag in numbers:
            number = numbers[entry.tag]
            layout = "I"
            if entry.kind == _SHORT and number <= 0xFFFF:
                layout = "H"
            new_entry = block.new_entry(entry.tag, layout, number)
            block.data[entry.position : entry.position + 12] = new_entry
    _remove_thumbnail(block)
    return bytes(block.data)


def _remove_thumbnail(block: _Block) -> None:
    """Remove the thumbnail, and the directory after the main one, which describes it."""
    link = block.end_of(block.main)
    thumbnail: dict[int, float] = {}
    with suppress(*_DAMAGE):
        thumbnail = block.numbers(block.long(link))
    block.clear(link, 4)
    for offset_tag, length_tag in _THUMBNAIL_TAGS:
        start = int(thumbnail.get(offset_tag, 0))
        length = int(thumbnail.get(length_tag, 0))
        end = start + length
        if not link + 4 <= start < end <= len(block.data):
            continue
        block.clear(start, length)
        if len(block.data) - end < 4:  # Only padding follows.
            del block.data[start:]


def with_dpi(content: bytes | None, across: float, down: float) -> bytes:
    """Return the block, or a new one, with a resolution in dots per inch."""
    block = _Block(content or EMPTY)
    entries = _copied_directories(block)
    entries[_X_RESOLUTION] = block.new_entry(_X_RESOLUTION, "II", *_ratio(across))
    entries[_Y_RESOLUTION] = block.new_entry(_Y_RESOLUTION, "II", *_ratio(down))
    entries[_RESOLUTION_UNIT] = block.new_entry(_RESOLUTION_UNIT, "H", 2)
    return _with_main(block, entries)


def _with_main(block: _Block, entries: Mapping[int, bytes]) -> bytes:
    """Return the block with a new main directory."""
    block.data[4:8] = block.pack("I", block.append_directory(entries))
    return bytes(block.data)


def _ratio(dpi: float) -> tuple[int, int]:
    whole = round(dpi)
    if abs(dpi - whole) < 0.02:  # PNG stores dots per metre, so 300 dpi is read as 299.9994.
        return whole, 1
    return round(1000 * dpi), 1000


def has_position(block: bytes | None) -> bool:
    """Return whether the GPS directory contains a position."""
    return not _POSITION_TAGS.isdisjoint(read_directory(block or b"", GPS_IFD))


def without_position(content: bytes) -> bytes:
    """Remove the GPS directory, and maker notes, whose own formats can contain positions."""
    block = _Block(content)
    removed = [entry for entry in block.all_entries(EXIF_IFD) if entry.tag == MAKER_NOTE]
    gps = block.directory(GPS_IFD)
    if gps is not None:
        removed += block.entries(gps)
    for entry in removed:
        block.clear(entry.start, entry.length)
    if gps is not None:
        block.clear(gps, block.end_of(gps) - gps)
    return without_tags(bytes(block.data), (GPS_IFD, MAKER_NOTE))


def without_tags(content: bytes, tags: Collection[int]) -> bytes:
    """Remove tags of the main directory and of the EXIF directory.

    New directories at the end of the block replace these two.
    """
    block = _Block(content)
    return _with_main(block, _copied_directories(block, tags))


def _copied_directories(block: _Block, without: Collection[int] = ()) -> dict[int, bytes]:
    """Append a copy of the EXIF directory, and return the entries of a new main directory.

    Both are without these tags.
    """
    entries = block.copied_entries(block.main, without)
    photo = block.directory(EXIF_IFD)
    if photo is not None:
        directory = block.append_directory(block.copied_entries(photo, without))
        entries[EXIF_IFD] = block.new_entry(EXIF_IFD, "I", directory)
    return entries


def shorten_block(block: bytes) -> bytes | None:
    """Return the block without maker notes, unusual tags and long values, or None if that is not
    possible."""
    without = (INTEROP_IFD, MAKER_NOTE)
    return block_from_tiff(io.BytesIO(block), without, longest=_LONGEST_VALUE)


def block_from_tiff(
    file: BinaryIO, without: Collection[int], longest: int = 1 << 24
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
    except _DAMAGE as error:
        logger.info("The EXIF block is damaged and was left out: %s", error)
        return None
