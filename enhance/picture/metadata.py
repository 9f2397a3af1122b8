"""What a photo tells beside its pixels: EXIF, XMP, IPTC, texts and resolution, as the enlarged picture carries it on.

Blocks are patched in place instead of being written anew: makers' notes hold offsets from the beginning of EXIF that a
rewrite would break, and of XMP every byte stays that says nothing untrue.

EXIF here is the bare TIFF structure, without the "Exif" and two zeros that JPEG puts before it; XMP is the packet in
UTF-8; IPTC is the bare data sets of IIM, without Photoshop's block around them.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.parsers import expat

from .chunks import entries, iim_sets, main_directory, number_at, order_of

logger = logging.getLogger(__name__)

CHOICES = ("keep", "no-location", "none")
"""What may be kept: everything, all that does not tell where the photo was taken, or only profile and resolution."""

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0x927C
_THUMBNAIL_PLACES = ((0x0201, 0x0202), (0x0111, 0x0117))  # JPEG thumbnail, uncompressed thumbnail: (offset, length)
_SHORT, _LONG = 3, 4
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_PLACES_OF_GPS = {2, 4, 20, 22, 27, 28}  # the others tell of time, map and receiver

_XMP, _TIFF_NS, _EXIF_NS = "http://ns.adobe.com/", "http://ns.adobe.com/tiff/1.0/ ", "http://ns.adobe.com/exif/1.0/ "
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# RDF"
_UNTRUE_WHEN_ENLARGED = (f"{_XMP}xap/1.0/ Thumbnails", f"{_XMP}xmp/note/ HasExtendedXMP")
_START_TAG = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
_ATTRIBUTE = re.compile(rb"""(?<!\s)\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_MOST_ELEMENTS = 100_000  # attributes count as such

# Names of XMP properties and texts, whatever their namespace. It takes nothing of the photographer's address
# (CiAdrCity), nor the subject's place within the picture.
_OF_A_PLACE = re.compile(
    r"(?!subject)(.*(gps|latitude|longi?tude|longtitude|altitude|location|geotag).*|city|state|country|country-?code"
    r"|country-?name|province-?state|world-?region)",
    re.IGNORECASE,
)
_COORDINATES = re.compile(
    r"geo: ?-?\d|[+-]\d{2}\.\d+[+-]\d{3}\.\d+|\d ?° ?\d+(\.\d+)? ?['′]"
    r"|-?\b\d{1,3}\.\d{4,} ?[,;/ ] ?-?\d{1,3}\.\d{4,}\b"
)
_IPTC_PLACES = {26, 27, 90, 92, 95, 100, 101}  # content location, city, sub-location, province, country (IIM 4.2)


@dataclass(frozen=True)
class Metadata:
    """All that a photo tells beside pixels and profile.

    `exif`, `xmp` and `iptc` are blocks as this module's head says; `texts` keywords and values, a keyword as often as
    it comes; `dpi` dots an inch across and down. `aspect` is a pixel's width to its height, where no size is known.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    aspect: tuple[int, int] | None = None

    def upright(self) -> Metadata:
        """The same for a picture that has been turned the right way up, without thumbnails and what is damaged.

        XMP's orientation counts for no viewer where EXIF has none, and says 1 too.
        """
        return self._patched({_ORIENTATION: 1}, {f"{_TIFF_NS}Orientation": 1})

    def sized(self, width: int, height: int) -> Metadata:
        """The same for a picture of this many pixels, wherever they are said."""
        tags = {0x0100: width, 0x0101: height, 0xA002: width, 0xA003: height}
        names = {f"{_EXIF_NS}PixelXDimension": width, f"{_EXIF_NS}PixelYDimension": height}
        return self._patched(tags, names | {f"{_TIFF_NS}ImageWidth": width, f"{_TIFF_NS}ImageLength": height})

    def kept(self, choice: str) -> Metadata:
        """What is left by one of CHOICES; resolution always.

        With "no-location" EXIF's GPS directory goes, byte for byte, and so do makers' notes, in which some write places
        in forms of their own; of XMP, IPTC and texts every property that names a place or holds coordinates. Titles,
        captions and keywords are the person's own words and stay.
        """
        if choice == "keep":
            return self
        if choice == "none":
            return Metadata(dpi=self.dpi, aspect=self.aspect)
        return replace(
            self,
            exif=_attempted("EXIF", _without_place, self.exif),
            xmp=_attempted("XMP", lambda packet: edited_xmp(packet, drop=_is_of_a_place), self.xmp),
            iptc=_attempted("IPTC", _without_places, self.iptc),
            texts=tuple(text for text in self.texts if not _tells_a_place(*text)),
        )

    @property
    def has_location(self) -> bool:
        """Whether anything in it tells where the photo was taken."""
        left = self.kept("no-location")
        named = any(record == 2 and number in _IPTC_PLACES for record, number, _ in iim_sets(self.iptc or b""))
        others = (left.xmp, left.texts) != (self.xmp, self.texts)
        return named or others or bool(_attempted("EXIF", _has_place, self.exif))

    def _patched(self, tags: Mapping[int, int], names: Mapping[str, int]) -> Metadata:
        exif = _attempted("EXIF", lambda block: _patched(block, tags), self.exif)
        xmp = _attempted("XMP", lambda packet: edited_xmp(packet, names, _UNTRUE_WHEN_ENLARGED.__contains__), self.xmp)
        return replace(self, exif=exif, xmp=xmp)


def _attempted(what: str, change: Callable[[bytes], Any], block: bytes | None) -> Any:
    """The block changed; None where there is none, or where it is damaged."""
    try:
        return change(block) if block else None
    except (ValueError, expat.ExpatError) as error:
        logger.info("the %s block is damaged and was left out: %s", what, error)
        return None


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
                value = number_at(block or b"", "H" if kind == _SHORT else "I", place)
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


def plausible_aspect(across: int, down: int) -> tuple[int, int] | None:
    """The shape of pixels that are not square."""
    return (across, down) if across > 0 and down > 0 and across != down else None


def _patched(block: bytes, numbers: Mapping[int, int]) -> bytes:
    """The block with other numbers under tags that it has, and without its thumbnail; all else byte for byte."""
    order, start = order_of(block), main_directory(block)
    data = bytearray(block)
    for directory in (start, *_below(block, start, _EXIF_IFD)):
        for tag, kind, place in entries(block, directory):
            if tag not in numbers:
                continue
            if kind == _SHORT and numbers[tag] <= 0xFFFF:
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
            tag: number_at(data, "H" if kind == _SHORT else "I", place) for tag, kind, place in entries(data, directory)
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


def _has_place(block: bytes) -> bool:
    start = main_directory(block)
    return any(tag in _PLACES_OF_GPS for gps in _below(block, start, _GPS_IFD) for tag, _, _ in entries(block, gps))


def _without_place(block: bytes) -> bytes:
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


@dataclass(frozen=True)
class _Element:
    """An element of an XMP packet: its name with its namespace, how deep it lies, and where its bytes are.

    `start` to `end` is all of it, `inside` to `last` its content; `attributes` are (name, all of it, its value).
    """

    name: str
    depth: int
    start: int
    inside: int
    last: int
    end: int
    attributes: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...]


def _elements(packet: bytes) -> list[_Element]:
    """All elements in the order of their ends. Raises ValueError or ExpatError for what no XMP packet is."""
    parser = expat.ParserCreate("utf-8", " ")
    parser.ordered_attributes = True
    found: list[_Element] = []
    opened: list[tuple[Any, ...]] = []
    room = _MOST_ELEMENTS

    def start(name: str, attributes: list[str]) -> None:
        nonlocal room
        room -= 1 + len(attributes) // 2
        tag = _START_TAG.match(packet, parser.CurrentByteIndex)
        if tag is None or room < 0:
            raise ValueError("too many elements, or none that is known")
        spelled = [one for one in _ATTRIBUTE.finditer(packet, *tag.span()) if not one[1].startswith(b"xmlns")]
        spans = tuple((key, one.span(), one.span(2)) for key, one in zip(attributes[::2], spelled, strict=True))
        opened.append((name, len(opened), *tag.span(), spans, tag[0].endswith(b"/>")))

    def end(_: str) -> None:
        name, depth, first, inside, spans, empty = opened.pop()
        last = inside if empty else parser.CurrentByteIndex
        found.append(_Element(name, depth, first, inside, last, packet.index(b">", last - empty) + 1, spans))

    def refused(*_: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refused  # without one there are no entities, and so no bombs
    parser.Parse(packet, True)
    return found


def edited_xmp(
    packet: bytes, numbers: Mapping[str, int] | None = None, drop: Callable[[str], bool] = lambda name: False
) -> bytes:
    """The packet with other numbers under names that it has, and without what `drop` says of a name."""
    cuts: list[tuple[int, int, bytes]] = []
    for element in _elements(packet):
        for name, (first, last), value in element.attributes:
            if drop(name):
                cuts.append((first, last, b""))
            elif numbers and name in numbers:
                cuts.append((*value, b'"%d"' % numbers[name]))
        if drop(element.name):
            cuts.append((element.start, element.end, b""))
        elif numbers and element.name in numbers and element.last > element.inside:
            cuts.append((element.inside, element.last, b"%d" % numbers[element.name]))
    parts, at = [], 0
    for first, last, instead in sorted(cuts, key=lambda cut: (cut[0], -cut[1])):
        if first >= at:  # not within what is gone already
            parts += [packet[at:first], instead]
            at = last
    return b"".join([*parts, packet[at:]])


def plain_xmp(packet: bytes | None) -> bytes | None:
    """The packet in UTF-8, without zeros at its end; None if nothing is left."""
    if packet is None:
        return None
    wide = {b"<\0": "utf-16-le", b"\0<": "utf-16-be", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.get(packet[:2])
    plain = packet.decode(wide, "replace").encode("utf-8") if wide else packet
    return plain.rstrip(b"\0") or None


def joined_extension(packet: bytes, segments: Sequence[bytes]) -> bytes:
    """A packet with what JPEG's segments of its extension hold; without it if they are damaged or not all there.

    Each is a checksum of 32 digits, the length of the whole, and where its part belongs (Adobe XMP specification, part
    3, 1.1.3.1).
    """
    mine = [one for one in segments if len(one) > 40 and one[:32] in packet]
    extension = b"".join(one[40:] for one in sorted(mine, key=lambda one: one[36:40]))
    try:
        checksum = hashlib.md5(extension, usedforsecurity=False).hexdigest()
        if not mine or checksum.upper().encode() != mine[0][:32].upper():
            raise ValueError("its parts do not make the whole")
        return _joined_xmp(packet, extension)
    except (ValueError, StopIteration, expat.ExpatError) as error:
        logger.info("the extension of XMP is damaged and was left out: %s", error)
        return packet


def _joined_xmp(packet: bytes, extension: bytes) -> bytes:
    """A packet with what its extension has inside its RDF, and the namespaces that counts on."""
    mine, other = (next(one for one in _elements(text) if one.name == _RDF) for text in (packet, extension))
    outer = extension[: other.inside]
    added = []
    for element in sorted(_elements(extension), key=lambda one: one.start):
        if element.depth == other.depth + 1:
            head = _START_TAG.match(extension, element.start)
            assert head is not None
            name = re.match(rb"<[^\s/>]+", head[0])
            assert name is not None
            known = {one[1] for one in _ATTRIBUTE.finditer(head[0])}
            spaces = {one[1]: one[0] for one in _ATTRIBUTE.finditer(outer) if one[1].startswith(b"xmlns")}
            declared = b"".join(text for space, text in spaces.items() if space not in known)
            added.append(name[0] + declared + extension[element.start + name.end() : element.end])
    return packet[: mine.last] + b"".join(added) + packet[mine.last :]


def _is_of_a_place(name: str) -> bool:
    return bool(_OF_A_PLACE.fullmatch(name.rpartition(" ")[2]))


def _without_places(iptc: bytes) -> bytes | None:
    """The data sets that name no place; what follows a damaged one is left out."""
    kept = [packed for record, number, packed in iim_sets(iptc) if record != 2 or number not in _IPTC_PLACES]
    return b"".join(kept) or None


def _tells_a_place(key: str, value: str) -> bool:
    return bool(_OF_A_PLACE.fullmatch(key.rpartition(":")[2]) or _COORDINATES.search(value))
