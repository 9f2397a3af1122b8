"""EXIF: a TIFF structure of directories, read and patched by its bytes.

Blocks are patched in place instead of being written anew: makers' notes hold offsets from the beginning of the block
that a rewrite would break. A block here is the bare structure, without the "Exif" and two zeros that JPEG puts before.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO

from PIL import Image

logger = logging.getLogger(__name__)

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0xA005, 0x927C
_THUMBNAIL_PLACES = ((0x0201, 0x0202), (0x0111, 0x0117))  # JPEG thumbnail, uncompressed thumbnail: (offset, length)
# The tags of a TIFF file that tell about the photo; the others tell how its pixels are stored.
_ABOUT_THE_PHOTO = (
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x011D, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749),
    *(0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
)
ASCII, SHORT, _LONG, RATIO, UNDEFINED = 2, 3, 4, 5, 7
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_PLACES_OF_GPS = {2, 4, 20, 22, 27, 28}  # the others tell of time, map and receiver


def order_of(block: bytes | bytearray) -> str:
    """The byte order of a TIFF structure, as `struct` writes it; ValueError if it is none."""
    if block[:4] == b"II*\0":
        return "<"
    if block[:4] == b"MM\0*":
        return ">"
    raise ValueError("no TIFF header")


def number_at(block: bytes | bytearray, layout: str, place: int) -> int:
    """One number of a TIFF structure; ValueError beyond its end."""
    if place + struct.calcsize(layout) > len(block):
        raise ValueError("an offset points beyond the end")
    return struct.unpack_from(order_of(block) + layout, block, place)[0]


def main_directory(block: bytes | bytearray) -> int:
    """Where the first directory of a TIFF structure starts; ValueError if there is none."""
    return number_at(block, "I", 4)


def entries(block: bytes | bytearray, directory: int) -> Iterator[tuple[int, int, int]]:
    """(tag, type, place of the value) of each entry of a directory; ValueError where it goes beyond the end."""
    end = directory + 2 + 12 * number_at(block, "H", directory)
    if end > len(block):
        raise ValueError("a directory goes beyond the end")
    for place in range(directory + 2, end, 12):
        tag, kind = struct.unpack_from(order_of(block) + "HH", block, place)
        yield tag, kind, place + 8


def bare_block(block: bytes | None) -> bytes | None:
    """The block without the "Exif" prefix that some formats keep; None if nothing is left."""
    while block and block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block or None


def read_orientation(block: bytes | None) -> int:
    """1..8 as EXIF numbers them; 1 where the block is missing, damaged or silent."""
    try:
        for tag, kind, place in entries(block or b"", main_directory(block or b"")):
            if tag == _ORIENTATION:
                value = number_at(block or b"", "H" if kind == SHORT else "I", place)
                return value if 1 <= value <= 8 else 1
    except ValueError:
        pass
    return 1


def dpi_of_exif(block: bytes | None) -> tuple[float, float] | None:
    """Dots an inch across and down, where the block says them."""
    found: dict[int, float] = {}
    try:
        for tag, _, place in entries(block or b"", main_directory(block or b"")):
            if tag in (0x011A, 0x011B):
                at = number_at(block or b"", "I", place)
                upper, lower = (number_at(block or b"", "I", at + step) for step in (0, 4))
                found[tag] = upper / lower if lower else 0.0
            elif tag == 0x0128:
                found[tag] = number_at(block or b"", "H", place)
    except ValueError:
        return None
    inch = {2: 1.0, 3: 2.54}.get(int(found.get(0x0128, 2)))
    return plausible_dpi(found.get(0x011A, 0) * inch, found.get(0x011B, 0) * inch) if inch else None


def plausible_dpi(across: float, down: float) -> tuple[float, float] | None:
    """Both, if a print can have that many dots an inch."""
    return (across, down) if min(across, down) >= 0.1 and max(across, down) <= 100_000 else None


def with_numbers(block: bytes, numbers: Mapping[int, int]) -> bytes:
    """The block with other numbers under tags that it has, and without its thumbnail; all else byte for byte."""
    order, start = order_of(block), main_directory(block)
    data = bytearray(block)
    for directory in (start, *_below(block, start, _EXIF_IFD)):
        for tag, kind, place in entries(block, directory):
            if tag not in numbers:
                continue
            if kind == SHORT and numbers[tag] <= 0xFFFF:
                struct.pack_into(order + "HH", data, place, numbers[tag], 0)
            else:
                struct.pack_into(order + "HII", data, place - 6, _LONG, 1, numbers[tag])
    link = start + 2 + 12 * number_at(block, "H", start)
    if link + 4 > len(data):
        return bytes(data)
    thumbnail_directory = number_at(block, "I", link)
    struct.pack_into("4x", data, link)
    if thumbnail_directory:
        _erase_thumbnail(data, thumbnail_directory, link + 4)
    return bytes(data)


def _below(block: bytes | bytearray, directory: int, tag: int) -> list[int]:
    """Where the sound directories lie that a directory points to by this tag."""
    found = []
    for one, _, place in entries(block, directory):
        if one == tag:
            try:
                found.append(number_at(block, "I", place))
                list(entries(block, found[-1]))
            except ValueError:
                found.pop()
    return found


def _erase_thumbnail(data: bytearray, directory: int, first_free: int) -> None:
    """Cut the thumbnail off where it ends the block, else blank it, so that no trace of another picture stays."""
    try:
        numbers = {
            tag: number_at(data, "H" if kind == SHORT else "I", place) for tag, kind, place in entries(data, directory)
        }
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


def has_place(block: bytes) -> bool:
    start = main_directory(block)
    return any(tag in _PLACES_OF_GPS for gps in _below(block, start, _GPS_IFD) for tag, _, _ in entries(block, gps))


def without_place(block: bytes) -> bytes:
    """The block without GPS directory and makers' notes: their bytes are blanked, and nothing else moves."""
    data, start = bytearray(block), main_directory(block)
    for gps in _below(block, start, _GPS_IFD):
        for tag, kind, place in entries(block, gps):
            _blank(data, tag, kind, place)
        end = gps + 2 + 12 * number_at(block, "H", gps)
        data[gps:end] = bytes(end - gps)
    for directory in _below(block, start, _EXIF_IFD):
        for tag, kind, place in entries(block, directory):
            if tag == _MAKER_NOTE:
                _blank(data, tag, kind, place)
        _take_out(data, directory, _MAKER_NOTE)
    _take_out(data, start, _GPS_IFD)
    return bytes(data)


def _blank(data: bytearray, tag: int, kind: int, place: int) -> None:
    """Zeros for the value of an entry, where that lies outside of it."""
    length = _UNITS.get(kind, 1) * number_at(data, "I", place - 4)
    start = number_at(data, "I", place)
    if length > 4 and 8 <= start < len(data):
        data[start : start + length] = bytes(min(length, len(data) - start))


def _take_out(data: bytearray, directory: int, tag: int) -> None:
    """Take the entries of a tag out of a directory: what follows in it moves up, zeros take the room at its end."""
    places = [place for one, _, place in entries(data, directory) if one == tag]
    for place in reversed(places):
        count = number_at(data, "H", directory)
        end = directory + 2 + 12 * count
        follows = data[place + 4 : end + 4]  # the link to the next directory among them
        data[place - 8 : place + 4 + len(follows)] = follows + bytes(12)
        struct.pack_into(order_of(data) + "H", data, directory, count - 1)


EMPTY = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
"""A block that tells nothing."""
Values = Mapping[int, tuple[int, bytes | tuple[int, ...]]]
"""By tag: the type, and the bytes of the value or its whole numbers."""


def tags_of(block: bytes) -> frozenset[int]:
    """The tags that the block has in its first directory and in that of the photo; ValueError if it is damaged."""
    start = main_directory(block)
    return frozenset(tag for one in (start, *_below(block, start, _EXIF_IFD)) for tag, _, _ in entries(block, one))


def with_entries(block: bytes, main: Values, photo: Values | None = None, *, turned: bool = False) -> bytes:
    """The block with more entries in its first directory and in that of the photo; those of these tags are replaced.

    New directories at its end take the place of those two, so that nothing else moves. `turned`: it says no
    orientation, because its readers turn by what the file says beside it.
    """
    data, start = bytearray(block), main_directory(block)
    if photo:
        (below,) = _below(block, start, _EXIF_IFD)[:1] or [None]
        main = {**main, _EXIF_IFD: (_LONG, (_put_directory(data, below, photo),))}
    place = _put_directory(data, start, main, {_ORIENTATION} if turned else ())
    struct.pack_into(order_of(block) + "I", data, 4, place)
    return bytes(data)


def _put_directory(data: bytearray, old: int | None, added: Values, without: Collection[int] = ()) -> int:
    """Put a directory at the end, with the entries of the `old` one and those `added`; gives its place."""
    order = order_of(data)
    own = {} if old is None else {tag: bytes(data[at - 8 : at + 4]) for tag, _, at in entries(data, old)}
    for tag, (kind, value) in added.items():
        layout = f"{order}{len(value)}{'H' if kind == SHORT else 'I'}"
        packed = value if isinstance(value, bytes) else struct.pack(layout, *value)
        head = struct.pack(order + "HHI", tag, kind, len(packed) // _UNITS.get(kind, 1))
        own[tag] = head + _value_put(data, packed)
    data += bytes(len(data) % 2)
    place, kept = len(data), [own[tag] for tag in sorted(own.keys() - set(without))]
    data += struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return place


def _value_put(data: bytearray, packed: bytes) -> bytes:
    """The four bytes of an entry for its value, which goes to the end where it is longer."""
    if len(packed) <= 4:
        return packed.ljust(4, b"\0")
    data += bytes(len(data) % 2)
    place = len(data)
    data += packed
    return struct.pack(order_of(data) + "I", place)


def shortened(block: bytes, most: int) -> bytes:
    """The block in at most `most` bytes: without makers' notes, and of all else the smaller values before the larger.

    It is written anew, which notes with their offsets would not stand. ValueError if it is damaged.
    """
    start = main_directory(block)
    found = {_EXIF_IFD: _below(block, start, _EXIF_IFD), _GPS_IFD: _below(block, start, _GPS_IFD)}
    found[_INTEROP_IFD] = [one for photo in found[_EXIF_IFD] for one in _below(block, photo, _INTEROP_IFD)]
    directories = {0: start} | {tag: places[0] for tag, places in found.items() if places}
    kept: dict[int, dict[int, tuple[int, bytes]]] = {name: {} for name in directories}
    room = most - 8 - 24 * len(directories)
    sized = [(length, name, *entry) for name, one in directories.items() for *entry, length in _values(block, one)]
    for length, name, tag, kind, place in sorted(sized):
        room -= 14 + length
        if room < 0:
            break
        kept[name][tag] = kind, block[place : place + length]
    return _written(order_of(block), kept)


def _values(block: bytes, directory: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, type, place, length) of each value, but for makers' notes, directories, and what goes beyond the end."""
    for tag, kind, place in entries(block, directory):
        length = _UNITS.get(kind, 1) * number_at(block, "I", place - 4)
        start = place if length <= 4 else number_at(block, "I", place)
        if tag not in (_MAKER_NOTE, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD) and start + length <= len(block):
            yield tag, kind, start, length


def _written(order: str, values: Mapping[int, Values]) -> bytes:
    """A block of these directories: 0 is the first one, the others are known by the tag that points to them."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    places: dict[int, tuple[int, tuple[int, ...]]] = {}
    for tag in (_INTEROP_IFD, _EXIF_IFD, _GPS_IFD):
        if tag in values:
            inner = {_INTEROP_IFD: places.pop(_INTEROP_IFD)} if tag == _EXIF_IFD and places else {}
            places[tag] = _LONG, (_put_directory(data, None, {**values[tag], **inner}),)
    struct.pack_into(order + "I", data, 4, _put_directory(data, None, {**values[0], **places}))
    return bytes(data)


def block_from_tiff(file: BinaryIO) -> bytes | None:
    """An EXIF block made from what a TIFF file tells about its photo; None if it tells nothing."""
    file.seek(0)
    try:
        source, kept = Image.Exif(), Image.Exif()
        source.load_from_fp(file)
        kept.update({tag: source[tag] for tag in _ABOUT_THE_PHOTO if tag in source})
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
