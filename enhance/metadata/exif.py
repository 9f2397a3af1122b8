"""EXIF blocks, read and patched by bytes.

A block is a TIFF structure of directories, without the `Exif\\0\\0` prefix of JPEG. Values stay
where they are, because maker notes contain offsets from the start of the block: they are changed in
place and new ones are appended. Functions that change a block raise an error of `_DAMAGE` if it is
damaged, which `change_exif` handles.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from PIL import Image

from .tiff_directories import is_whole, load_directory

ORIENTATION = 0x0112
MAKER_NOTE = 0x927C
_X_RESOLUTION = 0x011A
_Y_RESOLUTION = 0x011B
_RESOLUTION_UNIT = 0x0128
EXIF_IFD = 0x8769
GPS_IFD = 0x8825
INTEROP_IFD = 0xA005
_THUMBNAIL_START = 0x0201
_THUMBNAIL_LENGTH = 0x0202
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
_MAIN = 0
"""The key of the main directory, where others have the tag that points to them."""
_PARENTS = {GPS_IFD: _MAIN, EXIF_IFD: _MAIN, INTEROP_IFD: EXIF_IFD}
"""The directory with the tag that points to another directory."""
_OFFSET_TYPES = 4, 13
"""The types of the offset of a directory."""
_HEADER = 8
"""Bytes before the first directory."""
_TYPES = {"H": 3, "I": 4, "II": 5}
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
    129: 1,  # UTF-8
}
"""Bytes of a number of each type (TIFF 6.0, section 2, BigTIFF and EXIF 3.0)."""
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


class Block:
    """A block that is read or changed. Its methods raise an error of `_DAMAGE` if it is damaged."""

    def __init__(self, content: bytes) -> None:
        if not content.startswith((b"II*\0", b"MM\0*")):
            raise ValueError("no TIFF header")
        self.order = byte_order(content)
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

    def directories(self) -> dict[int, int]:
        """Return the offset of the main directory as `_MAIN`, and of the intact directories for
        EXIF, GPS and interoperability, by their tags."""
        found = {_MAIN: self.main}
        for tag, parent in _PARENTS.items():
            entries = self.entries(found[parent]) if parent in found else []
            for entry in entries:
                if entry.tag == tag and tag not in found:
                    with suppress(struct.error):
                        directory = self.long(entry.position + 8)
                        if self.is_free(directory, self.end_of(directory), found):
                            found[tag] = directory
        return found

    def is_free(self, start: int, end: int, directories: Mapping[int, int]) -> bool:
        """Return whether these bytes are inside the block and outside of directories."""
        tables = [(directory, self.end_of(directory)) for directory in directories.values()]
        is_inside = _HEADER <= start <= end <= len(self.data)
        return is_inside and not any(first < end and start < last for first, last in tables)

    def is_intact(self, entry: _Entry, directories: Mapping[int, int]) -> bool:
        """Return whether an entry has a known type and a value inside the block and outside of the
        `directories`; the offset of a directory must be that of one of them."""
        if entry.tag in _PARENTS:
            is_offset = entry.kind in _OFFSET_TYPES and entry.length == 4
            return is_offset and self.long(entry.start) == directories.get(entry.tag)
        end = entry.start + entry.length
        is_inline = entry.length <= 4
        is_possible = is_inline or self.is_free(entry.start, end, directories)
        return entry.kind in TYPE_SIZES and is_possible

    def all_entries(self) -> list[_Entry]:
        """Return the entries of all `directories`."""
        directories = self.directories().values()
        return [entry for directory in directories for entry in self.entries(directory)]

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

    def remove(self, tags: Collection[int]) -> None:
        """Remove tags of all `directories`, and their values."""
        for entry in self.all_entries():
            if entry.tag in tags:
                self.clear(entry.start, entry.length)
        self.keep(lambda entry: entry.tag not in tags)

    def keep(self, is_kept: Callable[[_Entry], bool]) -> None:
        """Remove all other entries of all `directories`, but not their values.

        Zeros follow a directory that becomes shorter, so it no longer refers to another one.
        """
        for directory in self.directories().values():
            kept = [self.bytes_of(entry) for entry in self.entries(directory) if is_kept(entry)]
            end = self.end_of(directory)
            content = self.pack("H", len(kept)) + b"".join(kept)
            self.data[directory:end] = content.ljust(end - directory, b"\0")

    def parts(self) -> list[slice]:
        """Return the positions of the header, of all `directories` and of their values."""
        directories = self.directories().values()
        # The offset of the next directory follows.
        tables = [slice(directory, self.end_of(directory) + 4) for directory in directories]
        values = [slice(entry.start, entry.start + entry.length) for entry in self.all_entries()]
        return [slice(0, _HEADER), *tables, *values]

    def keep_parts(self) -> None:
        """Replace all bytes outside of `parts` by zeros, and remove those at the end."""
        parts = self.parts()
        data = bytearray(len(self.data))
        for part in parts:
            data[part] = self.data[part]
        self.data = data[: max(part.stop for part in parts)]

    def bytes_of(self, entry: _Entry) -> bytes:
        return bytes(self.data[entry.position : entry.position + 12])

    def new_entry(self, tag: int, layout: str, *numbers: int) -> bytes:
        """Return an entry with one value; `layout` is "H", "I" or, for a ratio, "II"."""
        value = self.pack(layout, *numbers)
        if len(value) > 4:
            value = self.pack("I", self.append(value))
        return self.pack("HHI", tag, _TYPES[layout], 1) + value.ljust(4, b"\0")


def byte_order(block: bytes) -> str:
    """Return the byte order of a TIFF or an EXIF block as `struct` denotes it."""
    if block.startswith(b"II"):
        return "<"
    return ">"


def read_directory(content: bytes | None, directory: int = _MAIN) -> _Values:
    """Return type and bytes of each intact value of a directory by its tag.

    `directory` is EXIF_IFD or GPS_IFD, by default the main directory. The bytes are in the order of
    the block. The result is empty if the directory is missing or damaged, or if its values overlap.
    """
    content = content or b""
    with suppress(*_DAMAGE, KeyError):
        block = Block(content)
        entries = block.entries(block.directories()[directory])
        known = [entry for entry in entries if entry.kind in TYPE_SIZES]
        intact = [entry for entry in known if 0 < entry.length <= len(content) - entry.start]
        if _are_plausible(intact, content):
            return {
                entry.tag: (entry.kind, content[entry.start : entry.start + entry.length])
                for entry in intact
            }
    return {}


def read_values(content: bytes | None, *tags: int, directory: int = _MAIN) -> list[bytes]:
    """Return the bytes of the values of tags in a directory, which are empty if a tag is missing.

    `directory` is as in `read_directory`.
    """
    values = read_directory(content, directory)
    return [values.get(tag, (0, b""))[1] for tag in tags]


def mend(content: bytes) -> bytes | None:
    """Return a block without damaged entries and directories, and without a damaged thumbnail.

    Only what the other entries refer to is kept. An intact block is returned unchanged. The result
    is None if the main directory is damaged or values overlap.
    """
    with suppress(*_DAMAGE):
        block = Block(content)
        entries = block.all_entries()
        is_intact = partial(block.is_intact, directories=block.directories())
        intact = list(filter(is_intact, entries))
        if not _are_plausible(intact, content):
            return None
        if intact == entries and _has_intact_thumbnail(block):
            return content
        block.clear(block.end_of(block.main), 4)  # the offset of the thumbnail's directory
        block.keep(is_intact)
        block.keep_parts()
        return bytes(block.data)
    return None


def _are_plausible(entries: Iterable[_Entry], content: bytes) -> bool:
    """Return whether the values of entries are together at most twice as long as the block.

    Overlapping values can take very long in readers that copy each value, and here.
    """
    return sum(entry.length for entry in entries) <= 2 * len(content)


def without_prefix(block: bytes | None) -> bytes | None:
    """Return the block without the prefix that some formats keep; None if nothing is left."""
    return _PREFIXES.sub(b"", block or b"") or None


def read_orientation(block: bytes | None) -> int:
    """Return the orientation, 1 to 8; 1 if the block states none or is damaged."""
    (value,) = read_values(block, ORIENTATION)
    number = max(value, default=1)  # The other byte is 0, in either order.
    if number in range(1, 9):
        return number
    return 1


def read_dpi(block: bytes | None) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, across and down, if the block states one."""
    block = block or b""
    unit, *ratios = read_values(block, _RESOLUTION_UNIT, _X_RESOLUTION, _Y_RESOLUTION)
    units_per_inch = 1.0
    if 3 in unit:  # centimetres
        units_per_inch = 2.54
    with suppress(struct.error, ZeroDivisionError):
        numbers = struct.unpack(byte_order(block) + "4I", b"".join(ratios))
        across, across_divisor, down, down_divisor = numbers
        dpi_across = across / across_divisor * units_per_inch
        dpi_down = down / down_divisor * units_per_inch
        return plausible_dpi(dpi_across, dpi_down)
    return None


def plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
    """Return a resolution in dots per inch, None if it is too low or too high to be meant."""
    if min(across, down) >= 0.1 and max(across, down) <= 100_000:
        return across, down
    return None


def replace_numbers(block: Block, numbers: Mapping[int, int]) -> None:
    """Replace the numbers of existing tags and remove the thumbnail.

    All other bytes stay the same.
    """
    for entry in block.all_entries():
        if entry.tag in numbers:
            number = numbers[entry.tag]
            layout = "I"
            if number <= 0xFFFF:
                layout = "H"
            new_entry = block.new_entry(entry.tag, layout, number)
            block.data[entry.position : entry.position + 12] = new_entry
    _remove_thumbnail(block)


def _find_thumbnail(block: Block) -> tuple[int, int]:
    """Return start and end of the thumbnail, 0 if the directory after the main one has none."""
    entries = block.entries(block.long(block.end_of(block.main)))
    numbers = {entry.tag: block.long(entry.position + 8) for entry in entries}
    start = numbers.get(_THUMBNAIL_START, 0)
    return start, start + numbers.get(_THUMBNAIL_LENGTH, 0)


def _has_intact_thumbnail(block: Block) -> bool:
    """Return whether the thumbnail and its directory, if there are any, are inside the block."""
    link = block.end_of(block.main)
    if not any(block.data[link : link + 4]):
        return True
    with suppress(*_DAMAGE):
        _, end = _find_thumbnail(block)
        return end <= len(block.data)
    return False


def _remove_thumbnail(block: Block) -> None:
    """Remove the thumbnail, and the directory after the main one, which describes it."""
    with suppress(*_DAMAGE):
        start, end = _find_thumbnail(block)
        # A wrong offset can point to something else.
        if all(end <= part.start or part.stop <= start for part in block.parts()):
            block.clear(start, end - start)
            if len(block.data) - end < 4:  # Only padding follows.
                del block.data[start:]
    block.clear(block.end_of(block.main), 4)


def with_dpi(content: bytes | None, across: float, down: float) -> bytes | None:
    """Return the block with a resolution in dots per inch, a new block if it is damaged or None."""

    def change(block: Block) -> None:
        entries = {entry.tag: block.bytes_of(entry) for entry in block.entries(block.main)}
        entries[_X_RESOLUTION] = block.new_entry(_X_RESOLUTION, "II", *_ratio(across))
        entries[_Y_RESOLUTION] = block.new_entry(_Y_RESOLUTION, "II", *_ratio(down))
        entries[_RESOLUTION_UNIT] = block.new_entry(_RESOLUTION_UNIT, "H", 2)
        sorted_entries = [entries[tag] for tag in sorted(entries)]
        directory = [block.pack("H", len(entries)), *sorted_entries, bytes(4)]
        block.data[4:8] = block.pack("I", block.append(b"".join(directory)))

    return change_exif(change, content) or change_exif(change, EMPTY)


def _ratio(dpi: float) -> tuple[int, int]:
    whole = round(dpi)
    if abs(dpi - whole) < 0.02:  # PNG stores dots per metre, so 300 dpi is read as 299.9994.
        return whole, 1
    return round(1000 * dpi), 1000


def has_position(block: bytes | None) -> bool:
    """Return whether the GPS directory contains a position."""
    return not _POSITION_TAGS.isdisjoint(read_directory(block, GPS_IFD))


def remove_position(block: Block) -> None:
    """Remove the GPS directory, and maker notes, whose own formats can contain positions.

    In a damaged block, other entries or none can refer to the GPS directory and its values.
    """
    for name, directory in block.directories().items():
        for entry in block.entries(directory):
            is_position = entry.tag in _POSITION_TAGS and name != INTEROP_IFD
            if is_position or name == GPS_IFD:
                block.clear(entry.start, entry.length)
    block.remove((GPS_IFD, MAKER_NOTE))
    block.keep_parts()


def remove_orientation(block: Block) -> None:
    block.remove((ORIENTATION,))


def shorten_block(block: bytes) -> bytes | None:
    """Return the block without maker notes and unusual tags, or None if that is not possible."""
    shortened, _ = block_from_tiff(io.BytesIO(block), (INTEROP_IFD, MAKER_NOTE))
    return shortened


def block_from_tiff(file: BinaryIO, without: Collection[int]) -> tuple[bytes | None, bool]:
    """Return an EXIF block with the tags of a TIFF that describe the photo, None if there are none,
    and whether damaged tags are missing.

    `without` are tags of the EXIF directory that are left out.
    """
    try:
        source = load_directory(file)
        tags = {EXIF_IFD, GPS_IFD} & source.keys()
        directories = {tag: load_directory(file, source[tag]) for tag in tags}
        is_damaged = not all(map(is_whole, (source, *directories.values())))
        block = Image.Exif()
        block.update({tag: source[tag] for tag in _PHOTO_TAGS if tag in source})
        for tag, values in directories.items():
            if values:
                new_values = {one: values[one] for one in values if one not in without}
                block.get_ifd(tag).update(new_values)
        if not block and not any(directories.values()):
            return None, is_damaged
        block[ORIENTATION] = 1
        return without_prefix(block.tobytes()), is_damaged
    except Exception:  # Pillow raises many types of errors for unusual tags.
        return None, True


def change_exif(change: Callable[[Block], None], content: bytes | None) -> bytes | None:
    """Return an EXIF block that `change` has changed; None if there is none or it is damaged."""
    with suppress(*_DAMAGE):
        block = Block(content or b"")
        change(block)
        return bytes(block.data)
    return None
