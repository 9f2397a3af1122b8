"""XMP: a packet of RDF in UTF-8, whose properties are changed, cut out and added by their bytes.

Every byte stays that nobody asked to change. A JPEG has room for 64 KB of it, and takes the rest in an extension (Adobe
XMP specification, part 3, 1.1.3.1).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

logger = logging.getLogger(__name__)

_RDF, _XML = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://www.w3.org/XML/1998/namespace"
_DC = "http://purl.org/dc/elements/1.1/"
_START_TAG = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
_ATTRIBUTE = re.compile(rb"""(?<!\s)\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_TRAILER = b"<?xpacket end"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_ELEMENTS = 100_000  # attributes count as such
_NEW_PACKET = (
    f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()


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
    return _spliced(packet, cuts)


def _spliced(packet: bytes, cuts: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The packet with something else, or nothing, in place of [first, last); of nested ones the outermost counts."""
    parts, at = [], 0
    for first, last, instead in sorted(cuts, key=lambda cut: (cut[0], -cut[1])):
        if first >= at:  # not within what is gone already
            parts += [packet[at:first], instead]
            at = last
    return b"".join([*parts, packet[at:]])


def titled_xmp(packet: bytes | None, title: str) -> bytes | None:
    """The packet, or a new one, with a title; None where it has one. Raises ValueError or ExpatError."""
    packet = packet or _NEW_PACKET
    elements = _elements(packet)
    if any(element.name == f"{_DC} title" for element in elements):
        return None
    text = escape(_NO_XML.sub("", title)).encode("utf-8")
    body = b'><dc:title><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:title></rdf:Description>' % text
    return _with_description(packet, elements, b'xmlns:dc="%s"' % _DC.encode(), body)


def _with_description(packet: bytes, elements: Sequence[_Element], attributes: bytes, rest: bytes) -> bytes:
    """The packet with one more description, of the thing that the first one is about. Raises ValueError."""
    rdf = _rdf(elements)
    things = (attribute for one in elements if one.depth == rdf.depth + 1 for attribute in one.attributes)
    about = next((value for name, _, value in things if name == f"{_RDF} about"), (0, 0))
    head = b'<rdf:Description xmlns:rdf="%s" rdf:about=%s ' % (_RDF.encode(), packet[slice(*about)] or b'""')
    if rdf.last == rdf.end:
        raise ValueError("RDF that is closed where it begins")
    return packet[: rdf.last] + head + attributes + rest + packet[rdf.last :]


def split_xmp(packet: bytes, most: int) -> tuple[bytes, bytes]:
    """The packet in at most `most` bytes, and the extension that has its largest properties; empty where all fits.

    As `joined_extension` reads it. Raises ValueError or ExpatError for what cannot be split.
    """
    head, trailer, rest = packet.rpartition(_TRAILER)
    packet = head.rstrip() + trailer + rest  # what stands before is room for changes
    if len(packet) <= most:
        return packet, b""
    elements = _elements(packet)
    rdf, moved, left = _rdf(elements), dict[_Element, list[tuple[int, int]]](), len(packet) + 300 - most
    for span, node in sorted(_properties(elements, rdf), key=lambda one: one[0][0] - one[0][1]):
        if left <= 0:
            break
        moved.setdefault(node, []).append(span)
        left -= span[1] - span[0]
    around = sorted(
        (one for one in elements if one.start <= rdf.start and one.end >= rdf.end), key=lambda one: one.start
    )
    spaces = {name: space for one in around for name, space in _spaces(packet[one.start : one.inside]).items()}
    extension = b"".join(_description_of(packet, spaces, node, sorted(spans)) for node, spans in moved.items())
    extension = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s">%s</rdf:RDF></x:xmpmeta>' % (
        _RDF.encode(),
        extension,
    )
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    note = b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"' % digest.encode()
    told = _with_description(packet, elements, note, b"/>")
    main = _spliced(told, ((*span, b"") for spans in moved.values() for span in spans))
    if len(main) > most:
        raise ValueError("what cannot be moved is too large by itself")
    return main, extension


def _properties(elements: Iterable[_Element], rdf: _Element) -> Iterator[tuple[tuple[int, int], _Element]]:
    """Where the properties are, be they elements or attributes, each with the description that it is in."""
    inside: list[_Element] = []
    for element in elements:  # by their ends: a description comes after what is in it
        if element.depth == rdf.depth + 2:
            inside.append(element)
        elif element.depth == rdf.depth + 1:
            yield from ((span, element) for name, span, _ in element.attributes if not name.startswith((_RDF, _XML)))
            yield from (((one.start, one.end), element) for one in inside)
            inside = []


def _description_of(
    packet: bytes, spaces: dict[bytes, bytes], node: _Element, moved: Sequence[tuple[int, int]]
) -> bytes:
    """A description of its own with what is moved out of a `node`, and the namespaces that it counts on."""
    spaces = spaces | _spaces(packet[node.start : node.inside])
    about = (packet[slice(*span)] for name, span, _ in node.attributes if name.startswith((_RDF, _XML)))
    name = _TAG_NAME.match(packet, node.start)
    assert name is not None
    attributes = b"".join([*spaces.values(), *about, *(packet[slice(*one)] for one in moved if one[1] <= node.inside)])
    inside = b"".join(packet[slice(*one)] for one in moved if one[0] >= node.inside)
    return name[0] + attributes + b">" + inside + b"</" + name[0][1:] + b">"


def _spaces(tag: bytes) -> dict[bytes, bytes]:
    """The namespaces that a start tag declares: their names, and the whole of each."""
    return {found[1]: found[0] for found in _ATTRIBUTE.finditer(tag) if found[1].startswith(b"xmlns")}


def _rdf(elements: Iterable[_Element]) -> _Element:
    """The element that all descriptions are in; ValueError if there is none."""
    found = next((one for one in elements if one.name == f"{_RDF} RDF"), None)
    if found is None:
        raise ValueError("no RDF")
    return found


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
    except (ValueError, expat.ExpatError) as error:
        logger.info("the extension of XMP is damaged and was left out: %s", error)
        return packet


def _joined_xmp(packet: bytes, extension: bytes) -> bytes:
    """A packet with what its extension has inside its RDF, and the namespaces that counts on."""
    mine, other = (_rdf(_elements(text)) for text in (packet, extension))
    spaces, added = _spaces(extension[: other.inside]), []
    for element in sorted(_elements(extension), key=lambda one: one.start):
        if element.depth == other.depth + 1:
            tag, name = extension[element.start : element.inside], _TAG_NAME.match(extension, element.start)
            assert name is not None
            known = {one[1] for one in _ATTRIBUTE.finditer(tag)}
            declared = b"".join(space for prefix, space in spaces.items() if prefix not in known)
            added.append(name[0] + declared + extension[name.end() : element.end])
    return packet[: mine.last] + b"".join(added) + packet[mine.last :]
