"""XMP packets, read and changed by regular expressions, and otherwise carried as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

EXTENSION = "xmpNote:HasExtendedXMP"
LOST = {
    "gain_map_left": re.compile(
        rb"hdrgm:Version\s*[=>]|\bSemantic\W{1,9}GainMap\b|HDRGainMapVersion\s*[=>]",
    ),
    "video_left": re.compile(
        rb"(MotionPhoto|MicroVideo)\s*(=\s*[\"']|>)\s*1|\bSemantic\W{1,9}MotionPhoto\b",
    ),
    "xmp_extension_left": re.compile(EXTENSION.encode() + rb"\s*(=\s*[\"']|>)\s*\w"),
}
"""Notes on data in the input file that no result contains, and the XMP that claims it."""
_CLAIM = rb"(?:hdrgm|HDRGainMap|apdi):[\w.-]{1,80}|GCamera:(?:Motion|Micro)\w{1,80}"
_CLAIMS = re.compile(
    rb"\s(?:%s)\s{0,9}=\s{0,9}(?:\"[^\"<]*\"|'[^'<]*')" % _CLAIM
    + rb"|<(%s|Container:Directory)(?:\s[^<>]*)?(?:/>|>.{0,2000}?</\1\s{0,9}>)" % _CLAIM,
    re.DOTALL,
)
"""The properties of XMP that claim a gain map or a video in the file: attributes, and elements of
limited length, because a search for the end of many elements would take minutes."""
_RDF_END = re.compile(rb"</([\w.-]{1,80}:)?RDF\s{0,9}>")
EMPTY_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF>'
    b'</x:xmpmeta>\n<?xpacket end="w"?>'
)


def accept_xmp(packet: bytes | None) -> bytes | None:
    """Return the packet without zeros at its end.

    The result is None if it is empty, not in UTF-8, or has a document type.
    """
    packet = (packet or b"").rstrip(b"\0")
    # Entities of a document type could hide names, or expand to gigabytes.
    if b"\0" in packet or b"<!DOCTYPE" in packet:
        return None
    return packet or None


def with_values(xmp: bytes | None, values: Mapping[str, str]) -> bytes | None:
    """Replace the values of simple properties that the packet has, as attributes or as elements."""
    if xmp is None:
        return None
    for name, value in values.items():
        # The name must not be the end of a longer one or in a closing tag.
        pattern = rb"(?<![\w.:/-])(%s\s{0,9}(?:=\s{0,9}[\"']|>))[^\"'<]*" % name.encode()
        xmp = re.sub(pattern, rb"\g<1>" + value.encode(), xmp)
    return xmp


def with_properties(xmp: bytes | None, attributes: bytes, elements: bytes = b"") -> bytes:
    """Return XMP with properties added: attributes, and elements in which `%(rdf)s` is the prefix
    of RDF.

    Without XMP, or if the end of its properties is missing, the result is a new packet with only
    these properties.
    """
    if xmp is None or _RDF_END.search(xmp) is None:
        xmp = EMPTY_PACKET
    *_, end = _RDF_END.finditer(xmp)
    added = b'<%(rdf)sDescription %(rdf)sabout="" ' + attributes
    if elements:
        added += b">" + elements + b"</%(rdf)sDescription>"
    else:
        added += b"/>"
    added = added.replace(b"%(rdf)s", end[1] or b"")
    return xmp[: end.start()] + added + xmp[end.start() :]


def find_claims(xmp: bytes) -> list[str]:
    """Return the keys of `LOST` whose data XMP claims to be in the file."""
    return [note for note, claim in LOST.items() if claim.search(xmp)]


def without_claims(xmp: bytes) -> bytes | None:
    """Return XMP without the properties in `_CLAIMS`, None if it is empty or still claims a gain
    map or a video in the file."""
    rest = _CLAIMS.sub(b"", xmp)
    if {"gain_map_left", "video_left"}.isdisjoint(find_claims(rest)):
        return rest or None
    return None
