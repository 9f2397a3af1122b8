"""Metadata of an image: EXIF, XMP, IPTC, texts and resolution, as a result carries them.

EXIF is patched by bytes. XMP packets, IPTC blocks and texts are carried as they are, or dropped
whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..size import Size
from .exif import (
    ORIENTATION,
    change_exif,
    has_position,
    mend,
    remove_position,
    replace_numbers,
    with_dpi,
)
from .xmp import EXTENSION, LOST, find_claims, with_values, without_claims

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

LARGE_BLOCKS = {"exif": "large_exif_left", "xmp": "large_xmp_left", "iptc": "large_iptc_left"}
"""Notes on blocks that are longer than MAX_BLOCK, by field of `Metadata`."""

DAMAGED_EXIF = "damaged_exif_left"
DAMAGED_PART = "damaged_exif_part_left"
"""Notes on EXIF of which nothing or only a part can be read."""

_LEFT = *LOST, *LARGE_BLOCKS.values(), DAMAGED_EXIF, DAMAGED_PART
INPUT_NOTES = (*_LEFT, "raw_developed", "first_frame")
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

    def without_damage(self) -> Metadata:
        """Return the metadata without blocks over MAX_BLOCK and without damaged EXIF.

        Each removal is a note. The remaining blocks can be searched and changed quickly.
        """
        large = {name: None for name in LARGE_BLOCKS if len(getattr(self, name) or b"") > MAX_BLOCK}
        notes = [LARGE_BLOCKS[name] for name in large]
        small = replace(self, notes=(*self.notes, *notes), **large)
        mended = small.exif and mend(small.exif)
        if mended == small.exif:
            return small
        note = DAMAGED_PART if mended else DAMAGED_EXIF
        return replace(small, exif=mended).with_note(note)

    def upright(self) -> Metadata:
        """Return the metadata for the image in orientation 1, without thumbnail and damaged blocks.

        The properties of XMP that claim a gain map or a video in the file are removed, or the whole
        packet if it states them in an unusual way. A link to Content Credentials (C2PA) is emptied,
        because they sign the photo, not the result.
        """
        xmp = self.xmp or b""
        stated = {*find_claims(xmp), *self.notes}
        notes = tuple(note for note in INPUT_NOTES if note in stated)
        names = {"tiff:Orientation": "1", EXTENSION: "", "dcterms:provenance": ""}
        upright = replace(self, xmp=without_claims(xmp), notes=notes)
        return upright._with_values({ORIENTATION: 1}, names)

    def with_size(self, size: Size) -> Metadata:
        """Return the metadata for an image of this size."""
        width, height = size
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
        exif = with_dpi(self.exif, dpi, dpi)
        ratio = f"{round(dpi * 1000)}/1000"
        names = {"tiff:XResolution": ratio, "tiff:YResolution": ratio, "tiff:ResolutionUnit": "2"}
        return replace(self, exif=exif, xmp=with_values(self.xmp, names), dpi=(dpi, dpi))

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
        exif = change_exif(remove_position, self.exif)
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
        exif = change_exif(lambda block: replace_numbers(block, tags), self.exif)
        return replace(self, exif=exif, xmp=with_values(self.xmp, names))


def _states_place(key: str, value: str) -> bool:
    """Return whether a text states a location, by its keyword or by coordinates."""
    _, _, name = key.rpartition(":")
    return bool(_PLACE_KEYWORD.fullmatch(name) or _COORDINATES.search(value))
