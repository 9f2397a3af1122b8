"""Metadata of an image: EXIF, XMP, IPTC, texts and resolution, as a result carries them.

EXIF is patched by bytes. XMP packets, IPTC blocks and texts are carried as they are, or dropped
whole.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .exif import (
    ORIENTATION,
    has_plausible_values,
    has_position,
    shorten,
    with_dpi,
    with_entries,
    with_numbers,
    without_position,
)

logger = logging.getLogger(__name__)

CHOICES = ("keep", "no-location", "none")
"""What a result keeps: everything, everything without a location, or only colour profile and
resolution."""

MAX_TEXTS = 10_000
MAX_TEXTS_LENGTH = 8 << 20
"""Maximum number of texts of an image, and maximum characters of all of them. The rest is ignored.
"""
MAX_BLOCK = 1_000_000
"""Maximum bytes of a block of EXIF, XMP or IPTC in a result, because blocks are searched and
changed."""
SEGMENT = 65_533
"""Bytes that a JPEG segment can hold."""
_MAX_JPEG_EXIF = SEGMENT - len(b"Exif\0\0")
_MAX_JPEG_XMP = SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")
_GAIN_MAP_XMP = 1000
"""Bytes of XMP that announce a gain map, at most."""

_EXTENSION = "xmpNote:HasExtendedXMP"
LOST = {
    "gain_map_left": re.compile(
        rb"hdrgm:Version\s*[=>]|\bSemantic\W{1,9}GainMap\b|HDRGainMapVersion\s*[=>]",
    ),
    "video_left": re.compile(
        rb"(MotionPhoto|MicroVideo)\s*(=\s*[\"']|>)\s*1|\bSemantic\W{1,9}MotionPhoto\b",
    ),
    "xmp_extension_left": re.compile(_EXTENSION.encode() + rb"\s*(=\s*[\"']|>)\s*\w"),
}
"""Notes on data in the input file that no result contains, and the XMP that claims it."""

_CLAIM = rb"(?:hdrgm|HDRGainMap|apdi):[\w.-]{1,80}|GCamera:(?:Motion|Micro)\w{1,80}"
_CLAIMS = re.compile(
    rb"\s(?:%s)\s{0,9}=\s{0,9}(?:\"[^\"<]*\"|'[^'<]*')" % _CLAIM
    + rb"|<(%s|Container:Directory)(?:\s[^<>]*?)?(/?)>" % _CLAIM
)
"""The properties of XMP that claim a gain map or a video in the file: attributes, and first tags of
elements."""
_CLAIM_BYTES = 20_000
"""Maximum distance in bytes of the end tag of such an element."""
_TAG_END = re.compile(rb"\s{0,9}>")

LARGE_BLOCKS = {"exif": "large_exif_left", "xmp": "large_xmp_left", "iptc": "large_iptc_left"}
"""Notes on blocks that are longer than MAX_BLOCK or have overlapping values, by field of
`Metadata`."""

INPUT_NOTES = (*LOST, *LARGE_BLOCKS.values(), "raw_developed", "first_frame")
"""Notes on the input file, which apply to every result.

"raw_developed": it is a camera raw file; "first_frame": it has several frames or pages.
"""

_PLACE_NAME = (
    r"(?!subject)(?:"
    r"[\w.-]{0,80}(?:gps|latitude|longi?tude|longtitude|altitude|location|geotag)[\w.-]{0,80}"
    r"|city|state|country|country-?code|country-?name|province-?state|world-?region)"
)
"""Names of XMP properties and texts that state a location.

Photographers' addresses (CiAdrCity) and the position of the subject in the image (subjectLocation)
do not match.
"""
_PLACE_KEYWORD = re.compile(_PLACE_NAME, re.IGNORECASE)
_XMP_PLACE = re.compile(
    rf"<(?:[\w.-]{{1,80}}:)?{_PLACE_NAME}[\s/>]|\s[\w.-]{{1,80}}:{_PLACE_NAME}\s{{0,9}}=".encode(),
    re.IGNORECASE,
)
_IPTC_PLACE = re.compile(rb"\x1c\x02[\x1a\x1b\x5a\x5c\x5f\x64\x65]")
"""Data sets 26, 27, 90, 92, 95, 100 and 101: content location, city, sub-location, province,
country (IIM 4.2)."""
_COORDINATES = re.compile(
    r"geo: ?-?\d|[+-]\d{2}\.\d+[+-]\d{3}\.\d+|\d ?° ?\d+(\.\d+)? ?['′]"
    r"|-?\b\d{1,3}\.\d{4,} ?[,;/ ] ?-?\d{1,3}\.\d{4,}\b"
)


@dataclass(frozen=True)
class Metadata:
    """Metadata of an image, except its colour profile.

    `exif` is a block as in `exif`; `xmp` a packet in UTF-8; `iptc` the data sets of IIM without
    Photoshop's resource around them. `texts` are keywords and values; a keyword can occur several
    times. `dpi` is the resolution in dots per inch, across and down. `notes` are those of
    `INPUT_NOTES` that apply to the input file.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def with_note(self, note: str) -> Metadata:
        return replace(self, notes=(*self.notes, note))

    def without_large_blocks(self, limit: int = MAX_BLOCK) -> Metadata:
        """Return the metadata without large blocks and EXIF with overlapping values.

        Large blocks have more than `limit` bytes. Each removal is a note. The remaining blocks can
        be searched and changed quickly.
        """
        large = [name for name in LARGE_BLOCKS if self._is_too_large(name, limit)]
        notes = [LARGE_BLOCKS[name] for name in large]
        return replace(self, notes=(*self.notes, *notes), **dict.fromkeys(large))

    def _is_too_large(self, name: str, limit: int) -> bool:
        block: bytes = getattr(self, name) or b""
        return len(block) > limit or (name == "exif" and not has_plausible_values(block))

    def upright(self) -> Metadata:
        """Return the metadata for the image in orientation 1, without thumbnail and damaged blocks.

        The properties of XMP that claim a gain map or a video in the file are removed; the packet,
        if they are unusual. A link to Content Credentials (C2PA) is emptied, because they sign the
        photo, not the result.
        """
        xmp = self.xmp
        claims = find_claims(xmp or b"")
        notes = tuple(note for note in INPUT_NOTES if note in claims or note in self.notes)
        if xmp and _claims_attached(xmp):
            xmp = _without_claims(xmp)
            if _claims_attached(xmp):
                xmp = None
        names = {"tiff:Orientation": "1", _EXTENSION: "", "dcterms:provenance": ""}
        return replace(self, xmp=xmp, notes=notes)._with_values({ORIENTATION: 1}, names)

    def with_size(self, width: int, height: int) -> Metadata:
        """Return the metadata for an image of this size."""
        tags = {0x0100: width, 0x0101: height, 0xA002: width, 0xA003: height}
        names = {
            "exif:PixelXDimension": str(width),
            "exif:PixelYDimension": str(height),
            "tiff:ImageWidth": str(width),
            "tiff:ImageLength": str(height),
        }
        return self._with_values(tags, names)

    def with_resolution(self, dpi: float) -> Metadata:
        """Return the metadata with this resolution, also in EXIF and, if it states one, in XMP."""
        exif = _change_exif(lambda block: with_dpi(block, dpi, dpi), self.exif)
        if exif is None:
            exif = with_dpi(None, dpi, dpi)
        ratio = f"{round(dpi * 1000)}/1000"
        names = {"tiff:XResolution": ratio, "tiff:YResolution": ratio, "tiff:ResolutionUnit": "2"}
        return replace(self, exif=exif, xmp=_with_xmp_values(self.xmp, names), dpi=(dpi, dpi))

    def select(self, choice: str) -> Metadata:
        """Return the part that one of `CHOICES` keeps. The resolution is always part of it.

        With "no-location" EXIF loses its GPS directory and maker notes; XMP, IPTC and texts with a
        location are removed whole. Titles, captions and keywords are the user's own words and count
        as no location.

        The search holds the interpreter's lock for up to a second, so a decoding worker selects:
        see `variants` of `SourceImage` and `PngReader`.
        """
        if choice == "keep":
            return self
        if choice == "none":
            return Metadata(dpi=self.dpi)
        xmp = self.xmp
        if xmp and _XMP_PLACE.search(xmp):
            xmp = None
        iptc = self.iptc
        if iptc and _IPTC_PLACE.search(iptc):
            iptc = None
        exif = _change_exif(without_position, self.exif)
        texts = tuple(text for text in self.texts if not _states_place(*text))
        return replace(self, exif=exif, xmp=xmp, iptc=iptc, texts=texts)

    def variants(self) -> dict[str, Metadata]:
        """Return the part that each of `CHOICES` keeps."""
        return {choice: self.select(choice) for choice in CHOICES}

    @property
    def has_location(self) -> bool:
        """Whether anything states where the photo was taken."""
        selected = self.select("no-location")
        return has_position(self.exif) or replace(selected, exif=self.exif) != self

    def _with_values(self, tags: Mapping[int, int], names: Mapping[str, str]) -> Metadata:
        exif = _change_exif(lambda block: with_numbers(block, tags), self.exif)
        return replace(self, exif=exif, xmp=_with_xmp_values(self.xmp, names))


def fit_to_format(
    metadata: Metadata,
    format: str,
    *,
    has_gain_map: bool,
) -> tuple[Metadata, list[str]]:
    """Return the metadata that "png", "jpeg", "webp", "avif", "tiff" or "jxl" can hold, and notes
    on the rest.

    `has_gain_map`: the XMP of a JPEG also announces a gain map.

    Only JPEG has texts, as comments, and only JPEG and TIFF have IPTC; in the others they are
    "texts_left" and "iptc_left". "exif_short": the EXIF of a JPEG lost maker notes, or everything,
    to fit into a segment. "xmp_left": its XMP does not fit. The EXIF of the other formats states
    the resolution. That of WebP, AVIF and JPEG XL states no orientation, because some readers apply
    it twice.
    """
    if format == "png":
        return metadata, []
    if format == "jpeg":
        return _fit_to_jpeg(metadata, has_gain_map)
    notes = []
    if metadata.texts:
        notes.append("texts_left")
    without = ()
    if format != "tiff":
        without = (ORIENTATION,)
        if metadata.iptc:
            metadata = replace(metadata, iptc=None)
            notes.append("iptc_left")
    exif = _change_exif(lambda block: with_entries(block, {}, without), metadata.exif)
    if metadata.dpi:
        exif = with_dpi(exif, *metadata.dpi)
    return replace(metadata, exif=exif, texts=()), notes


def _fit_to_jpeg(metadata: Metadata, has_gain_map: bool) -> tuple[Metadata, list[str]]:
    notes = []
    comments = [(key, _comment(key, value)) for key, value in metadata.texts]
    fitting = tuple((key, comment) for key, comment in comments if len(comment.encode()) <= SEGMENT)
    if len(fitting) < len(comments):
        notes.append("texts_left")
    exif = metadata.exif
    if exif and len(exif) > _MAX_JPEG_EXIF:
        notes.append("exif_short")
        exif = _change_exif(shorten, exif)
        if exif and len(exif) > _MAX_JPEG_EXIF:
            exif = None
    xmp = metadata.xmp
    max_xmp = _MAX_JPEG_XMP
    if has_gain_map:
        max_xmp -= _GAIN_MAP_XMP
    if xmp and len(xmp) > max_xmp:
        notes.append("xmp_left")
        xmp = None
    return replace(metadata, exif=exif, xmp=xmp, texts=fitting), notes


def _comment(key: str, value: str) -> str:
    """Return a text as the comment of a JPEG."""
    if key == "Comment":
        return value
    return f"{key}: {value}"


def _states_place(key: str, value: str) -> bool:
    """Return whether a text states a location, by its keyword or by coordinates."""
    _, _, name = key.rpartition(":")
    return bool(_PLACE_KEYWORD.fullmatch(name) or _COORDINATES.search(value))


def _change_exif(change: Callable[[bytes], bytes | None], block: bytes | None) -> bytes | None:
    """Return the changed EXIF block; None if there is none or it is damaged."""
    try:
        return change(block) if block else None
    except ValueError as error:
        logger.info("The EXIF block is damaged and was left out: %s", error)
        return None


def _with_xmp_values(xmp: bytes | None, values: Mapping[str, str]) -> bytes | None:
    """Replace the values of simple properties that the packet has, as attributes or as elements."""
    if xmp is None:
        return None
    for name, value in values.items():
        # The name must not be the end of a longer one or in a closing tag.
        pattern = rb"(?<![\w.:/-])(%s\s{0,9}(?:=\s{0,9}[\"']|>))[^\"'<]*" % name.encode()
        xmp = re.sub(pattern, rb"\g<1>" + value.encode(), xmp)
    return xmp


def _without_claims(xmp: bytes) -> bytes:
    """Return XMP without the properties in `_CLAIMS`. An element without an end stays."""
    kept: list[bytes] = []
    position = search_from = 0
    while found := _CLAIMS.search(xmp, search_from):
        name, is_empty = found.groups()
        end = found.end()
        if name and not is_empty:
            end = _end_of_element(xmp, name, end)
        search_from = found.start() + 1
        if end is not None:
            kept.append(xmp[position : found.start()])
            position = search_from = end
    return b"".join([*kept, xmp[position:]])


def _end_of_element(xmp: bytes, name: bytes, start: int) -> int | None:
    """Return the end of an element whose content begins at `start`.

    The result is None if it is missing or too far away. A regular expression would take minutes if
    many elements have no end.
    """
    end_tag = b"</" + name
    position = xmp.find(end_tag, start, start + _CLAIM_BYTES)
    if position < 0:
        return None
    end = _TAG_END.match(xmp, position + len(end_tag))
    return end.end() if end else None


def find_claims(xmp: bytes) -> list[str]:
    """Return the keys of `LOST` whose data XMP claims to be in the file."""
    return [note for note, claim in LOST.items() if claim.search(xmp)]


def _claims_attached(xmp: bytes) -> bool:
    """Return whether XMP claims a gain map or a video in the file."""
    return not {"gain_map_left", "video_left"}.isdisjoint(find_claims(xmp))


def accept_xmp(packet: bytes | None) -> bytes | None:
    """Return the packet without zeros at its end.

    The result is None if it is empty, not in UTF-8, or has a document type.
    """
    packet = (packet or b"").rstrip(b"\0")
    # Entities of a document type could hide names, or expand to gigabytes.
    if b"\0" in packet or b"<!DOCTYPE" in packet:
        logger.info("The XMP packet is of an unusual kind and was left out")
        return None
    return packet or None


def extract_iptc(resources: bytes) -> bytes | None:
    """Return the IPTC data sets among Photoshop's image resources, or without resources around
    them."""
    _, found, rest = resources.partition(b"8BIM\4\4")
    if not found and resources.startswith(b"\x1c"):
        return resources
    if not rest:
        return None
    name = (2 + rest[0]) & ~1  # a length and as many letters, padded to an even size
    start = name + 4
    length = int.from_bytes(rest[name:start], "big")
    return rest[start : start + length] or None


def photoshop_resource(iptc: bytes) -> bytes:
    """Return the data sets as an image resource of Photoshop, the form that JPEG and PNG use."""
    return b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
