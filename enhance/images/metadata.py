"""What a photo tells beside its pixels: EXIF, XMP, IPTC, texts and resolution, as the enlarged picture carries it on.

Of XMP, as of EXIF, every byte stays that says nothing untrue. EXIF is a block as `exif` has it; XMP is the packet in
UTF-8; IPTC is the bare data sets of IIM, without Photoshop's block around them.
"""

from __future__ import annotations

import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO
from xml.parsers import expat

from .containers import LARGEST_BLOCK, Chunk, block_in, unpacked
from .exif import (
    ASCII,
    EMPTY,
    RATIO,
    SHORT,
    UNDEFINED,
    has_place,
    order_of,
    plausible_dpi,
    shortened,
    tags_of,
    with_entries,
    with_numbers,
    without_place,
)
from .xmp import edited_xmp, split_xmp, titled_xmp

logger = logging.getLogger(__name__)

CHOICES = ("keep", "no-location", "none")
"""What may be kept: everything, all that does not tell where the photo was taken, or only profile and resolution."""

SEGMENT = 65_533
"""Bytes that a segment of a JPEG holds."""
MOST_XMP = 65_502
"""Bytes of XMP in the first segment of a JPEG (Adobe XMP specification, part 3, 1.1.3)."""
LARGEST_TEXT, LARGEST_TEXTS = 1 << 20, 8 << 20
"""Letters of one text, and of all that a picture has; what is beyond is left out."""
_RAW_PROFILE, _XMP_KEYWORD = "Raw profile type ", "XML:com.adobe.xmp"
_MOST_EXIF = SEGMENT - len(b"Exif\0\0")

_ORIENTATION, _USER_COMMENT = 0x0112, 0x9286
_OF_A_GENERATOR = "parameters"
"""The text in which programs that make pictures keep what they were asked for; in other formats a user's comment."""
_FIELDS = {
    "Description": 0x010E,
    "Software": 0x0131,
    "Author": 0x013B,
    "Copyright": 0x8298,
    "Comment": _USER_COMMENT,
    _OF_A_GENERATOR: _USER_COMMENT,
}
"""The fields of EXIF in which other formats keep a text of a PNG (PNG specification, 11.3.3.2)."""

_TIFF_NS, _EXIF_NS = "http://ns.adobe.com/tiff/1.0/ ", "http://ns.adobe.com/exif/1.0/ "
_XMP_DENSITY = tuple(f"{_TIFF_NS}{name}" for name in ("XResolution", "YResolution", "ResolutionUnit"))
_UNTRUE_WHEN_ENLARGED = re.compile(
    r"http://ns\.adobe\.com/(xap/1\.0/ Thumbnails|xmp/note/ HasExtendedXMP|hdr-gain-map/1\.0/ .*)"
    r"|http://ns\.apple\.com/(HDRGainMap|pixeldatainfo)/1\.0/ .*"
    r"|http://ns\.google\.com/photos/1\.0/container/ Directory"
    r"|\S+ (MotionPhoto|MicroVideo)\w*"
)
"""XMP properties of thumbnails and of files that lie behind the photo in its file: results have none of them."""
LOST = {
    "gain_map_left": re.compile(rb"hdrgm:Version\s*[=>]|\bSemantic\W{1,9}GainMap\b|HDRGainMapVersion\s*[=>]"),
    "video_left": re.compile(rb"(MotionPhoto|MicroVideo)\s*(=\s*[\"']|>)\s*1|\bSemantic\W{1,9}MotionPhoto\b"),
}
"""The notes of what a photo's file has beside its image and no result keeps, and the XMP that shows it."""

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
    `notes` are the keys of LOST that apply to the photo's file.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    aspect: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def upright(self) -> Metadata:
        """The same for a picture that has been turned the right way up, without thumbnails and what is damaged.

        XMP's orientation counts for no viewer where EXIF has none, and says 1 too. XMP that refers to a gain map or a
        video in the photo's file is removed and noted.
        """
        found = tuple(note for note, claim in LOST.items() if note in self.notes or claim.search(self.xmp or b""))
        return replace(self, notes=found)._patched({_ORIENTATION: 1}, {f"{_TIFF_NS}Orientation": 1})

    def sized(self, width: int, height: int) -> Metadata:
        """The same for a picture of this many pixels, wherever they are said."""
        tags = {0x0100: width, 0x0101: height, 0xA002: width, 0xA003: height}
        names = {f"{_EXIF_NS}PixelXDimension": width, f"{_EXIF_NS}PixelYDimension": height}
        return self._patched(tags, names | {f"{_TIFF_NS}ImageWidth": width, f"{_TIFF_NS}ImageLength": height})

    def printed(self, dpi: float) -> Metadata:
        """Return the metadata with this resolution, in EXIF too; XMP states none."""
        tags = _exif_density(dpi, dpi)
        exif = _attempted("EXIF", lambda block: with_entries(block, tags), self.exif or EMPTY)
        xmp = _attempted("XMP", lambda packet: edited_xmp(packet, drop=_XMP_DENSITY.__contains__), self.xmp)
        return replace(self, exif=exif, xmp=xmp, dpi=(dpi, dpi), aspect=None)

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
            exif=_attempted("EXIF", without_place, self.exif),
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
        return named or others or bool(_attempted("EXIF", has_place, self.exif))

    def _patched(self, tags: Mapping[int, int], names: Mapping[str, int]) -> Metadata:
        exif = _attempted("EXIF", lambda block: with_numbers(block, tags), self.exif)
        xmp = _attempted("XMP", lambda packet: edited_xmp(packet, names, _is_untrue), self.xmp)
        return replace(self, exif=exif, xmp=xmp)


def in_jpeg(told: Metadata) -> tuple[Metadata, list[str]]:
    """What a JPEG has room for, its texts being comments, and notes of what it has not: see `in_blocks`.

    "exif_short" where EXIF had to be cut to a segment, "xmp_left" where XMP cannot be split for an extension.
    """
    comments = tuple(one for one in told.texts if one[0] == "Comment" and len(one[1].encode()) <= SEGMENT)
    others = tuple(one for one in told.texts if one not in comments)
    told, notes = _with_texts_in_blocks(replace(told, texts=others), _MOST_EXIF)
    told = replace(told, texts=comments)
    if len(told.exif or b"") > _MOST_EXIF:
        told = replace(told, exif=_attempted("EXIF", lambda block: shortened(block, _MOST_EXIF), told.exif))
        notes.append("exif_short")
    if told.xmp and _attempted("XMP", lambda packet: split_xmp(packet, MOST_XMP), told.xmp) is None:
        told = replace(told, xmp=None)
        notes.append("xmp_left")
    return told, notes


def in_blocks(told: Metadata) -> tuple[Metadata, list[str]]:
    """What WebP and AVIF have room for, EXIF and XMP, and notes of what they have not: "texts_left", "iptc_left".

    EXIF says the resolution, which has no other place there, and no orientation: their readers turn by themselves.
    """
    told, notes = _with_texts_in_blocks(told)
    density = _exif_density(*told.dpi) if told.dpi else {}
    if told.exif or density:
        block = told.exif or EMPTY
        told = replace(told, exif=_attempted("EXIF", lambda one: with_entries(one, density, turned=True), block))
    return replace(told, iptc=None, texts=()), notes + ["iptc_left"] * bool(told.iptc)


def _with_texts_in_blocks(told: Metadata, most: int | None = None) -> tuple[Metadata, list[str]]:
    """The texts in fields of EXIF and XMP of the same meaning that are empty; "texts_left" where some are not there.

    What would make EXIF longer than `most` bytes is left out.
    """
    if not told.texts:
        return told, []
    left, main, photo, xmp = list[tuple[str, str]](), dict[int, Any](), dict[int, Any](), told.xmp
    block = told.exif or EMPTY
    try:
        known = tags_of(block)
        for key, value in sorted(told.texts, key=lambda text: text[0] != _OF_A_GENERATOR):
            tag = _FIELDS.get(key, 0)
            if tag == _USER_COMMENT and tag not in known and not photo:
                photo[tag] = UNDEFINED, _user_comment(value, order_of(block))
            elif tag and tag != _USER_COMMENT and tag not in known and tag not in main:
                main[tag] = ASCII, value.encode("utf-8") + b"\0"
            elif key == "Title" and (titled := titled_xmp(xmp, value)):
                xmp = titled
            else:
                left.append((key, value))
        exif = with_entries(block, main, photo) if main or photo else told.exif
    except (ValueError, expat.ExpatError) as error:
        logger.info("texts could not be carried over: %s", error)
        return replace(told, texts=()), ["texts_left"]
    if most is not None and len(exif or b"") > most and (main or photo):
        exif, left = told.exif, [*told.texts]
    return replace(told, exif=exif, xmp=xmp, texts=()), ["texts_left"] * bool(left)


def _user_comment(value: str, order: str) -> bytes:
    """A user's comment with the name of its code before it (EXIF 2.32, 4.6.5)."""
    if value.isascii():
        return b"ASCII\0\0\0" + value.encode("ascii")
    return b"UNICODE\0" + value.encode("utf-16-le" if order == "<" else "utf-16-be")


def _exif_density(across: float, down: float) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Return the entries of EXIF for a resolution in dots an inch."""
    return {0x011A: (RATIO, _ratio(across)), 0x011B: (RATIO, _ratio(down)), 0x0128: (SHORT, (2,))}


def _ratio(number: float) -> tuple[int, int]:
    """A fraction of two whole numbers; what lies a rounding of pHYs (dots a metre) beside one is that whole number."""
    nearest = round(number)
    return (nearest, 1) if abs(number - nearest) < 0.02 else (round(1000 * number), 1000)


def _attempted(what: str, change: Callable[[bytes], Any], block: bytes | None) -> Any:
    """The block changed; None where there is none, or where it is damaged."""
    try:
        return change(block) if block else None
    except (ValueError, expat.ExpatError) as error:
        logger.info("the %s block is damaged and was left out: %s", what, error)
        return None


Density = tuple[tuple[float, float] | None, tuple[int, int] | None]
"""The `dpi` and the `aspect` of `Metadata`: one of them at most."""


def density(across: float, down: float, inches: float | None) -> Density:
    """What so many dots in so many inches say; in no unit (None) they give the shape of pixels that are not square."""
    if inches is not None:
        return plausible_dpi(across * inches, down * inches), None
    shape = round(down), round(across)  # the fewer dots to a length, the wider
    return None, shape if min(shape) > 0 and shape[0] != shape[1] else None


def _is_untrue(name: str) -> bool:
    return bool(_UNTRUE_WHEN_ENLARGED.fullmatch(name))


def _is_of_a_place(name: str) -> bool:
    return bool(_OF_A_PLACE.fullmatch(name.rpartition(" ")[2]))


def _without_places(iptc: bytes) -> bytes | None:
    """The data sets that name no place; what follows a damaged one is left out."""
    kept = [packed for record, number, packed in iim_sets(iptc) if record != 2 or number not in _IPTC_PLACES]
    return b"".join(kept) or None


def _tells_a_place(key: str, value: str) -> bool:
    return bool(_OF_A_PLACE.fullmatch(key.rpartition(":")[2]) or _COORDINATES.search(value))


def iptc_in(resources: bytes) -> bytes | None:
    """The IPTC data sets among Photoshop's image resources; what begins as data sets do is given back."""
    place = 0
    while resources[place : place + 4] == b"8BIM" and place + 12 <= len(resources):
        name = 2 + resources[place + 6] & ~1  # a letter count and letters, padded
        (length,) = struct.unpack(">I", resources[place + 6 + name : place + 10 + name].rjust(4, b"\0"))
        start = place + 10 + name
        if resources[place + 4 : place + 6] == b"\4\4":
            return resources[start : start + length] or None
        place = start + length + length % 2
    return resources if resources[:1] == b"\x1c" else None


def resource_of(iptc: bytes) -> bytes:
    """The data sets as an image resource of Photoshop, which is how JPEG and PNG carry them."""
    return b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)


def iim_sets(iptc: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(record, number, all of its bytes) of each IPTC data set (IIM 4.2, 1.5), up to where they are damaged."""
    place = 0
    while iptc[place : place + 1] == b"\x1c" and place + 5 <= len(iptc):
        record, number, length = struct.unpack_from(">BBH", iptc, place + 1)
        start = place + 5
        if length & 0x8000:  # so many bytes hold the length
            start += length & 0x7FFF
            length = int.from_bytes(iptc[place + 5 : start][:8], "big")
        if start + length > len(iptc):
            return
        yield record, number, iptc[place : start + length]
        place = start + length


def text_in(kind: bytes, content: bytes, most: int) -> tuple[str, str]:
    """Keyword and value of a text chunk (PNG specification, 11.3.3); ValueError or zlib.error if it is damaged."""
    keyword, _, value = content.partition(b"\0")
    packed = kind == b"zTXt" or (kind == b"iTXt" and value[:1] == b"\1")
    if kind == b"zTXt":
        value = value[1:]
    elif kind == b"iTXt":
        value = value[2:].split(b"\0", 2)[-1]
    value = unpacked(value, most) if packed else value
    if len(value) > most or not 1 <= len(keyword) <= 79:
        raise ValueError("its keyword or its length is out of bounds")
    return keyword.decode("latin-1"), value.decode("utf-8" if kind == b"iTXt" else "latin-1").replace("\0", "")


def profile_in(text: str) -> bytes:
    """What a "Raw profile type" text holds: a name, a length, hexadecimal digits (ImageMagick); ValueError if none."""
    _, length, *digits = text.split(maxsplit=2)
    content = bytes.fromhex("".join(digits))
    if len(content) != int(length):
        raise ValueError("it is cut off")
    return content


def profile_text(name: str, content: bytes) -> str:
    """The same the other way."""
    digits = content.hex()
    lines = [digits[first : first + 72] for first in range(0, len(digits), 72)]
    return f"\n{name}\n{len(content):8d}\n" + "\n".join(lines) + "\n"


def png_texts(file: BinaryIO, chunks: Sequence[Chunk]) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """The texts of a PNG, and the blocks that are written as such."""
    texts: list[tuple[str, str]] = []
    blocks: dict[str, bytes] = {}
    room = LARGEST_TEXTS
    for chunk in chunks:
        if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        try:
            content = block_in(file, chunk) or b""
            name = content.partition(b"\0")[0].decode("latin-1")
            most = LARGEST_BLOCK * (2 if name.startswith(_RAW_PROFILE) else name == _XMP_KEYWORD)
            key, value = text_in(chunk.kind, content, most or min(LARGEST_TEXT, room))
            if key == _XMP_KEYWORD:
                blocks["xmp"] = value.encode("utf-8")
            elif key.startswith(_RAW_PROFILE):
                blocks.setdefault(key.removeprefix(_RAW_PROFILE), profile_in(value))
            else:
                texts.append((key, value))
                room -= len(value)
        except (ValueError, zlib.error) as error:
            logger.info("a text is damaged and was left out: %s", error)
    return texts, blocks
