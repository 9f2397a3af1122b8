"""The digital source type in XMP, which labels a result as machine-enhanced.

The property is part of the IPTC Photo Metadata Standard 2023.1. Its values are the names in the
vocabulary http://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from __future__ import annotations

import re

from .xmp import EMPTY_PACKET, with_properties

ENHANCED = "algorithmicallyEnhanced"
"""An image that an algorithm altered or corrected."""
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
"""An image that combines a photo with content that a trained network generated."""

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_PROPERTY = re.compile(
    rb"\s[\w.-]{1,80}:DigitalSourceType\s{0,9}=\s{0,9}(?:\"[^\"<]*\"|'[^'<]*')"
    rb"|<([\w.-]{1,80}):DigitalSourceType(?:\s[^<>]*)?(?:/>|>[^<]*</\1:DigitalSourceType\s{0,9}>)"
)
"""The property as an attribute, or as an element with or without content."""
_NAME = re.compile(rb"/digitalsourcetype/(\w{1,50})\b")
_GENERATED = ("algorithmicMedia", "compositeSynthetic", "trainedAlgorithmicMedia", COMPOSITE)
_NAMESPACE = b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
_LABEL = re.compile(
    rb'<[\w.:-]{0,80}Description [\w.:-]{0,80}about="" '
    + _NAMESPACE
    + rb' Iptc4xmpExt:DigitalSourceType="[^"<]*" */>',
)
"""The element that `with_source_type` adds."""


def read_source_type(xmp: bytes | None) -> str | None:
    """Return the name of the digital source type that XMP states.

    The result is None if it states none of the vocabulary.
    """
    stated = _PROPERTY.search(xmp or b"")
    name = stated and _NAME.search(stated[0])
    if not name:
        return None
    return name[1].decode()


def label_of(xmp: bytes | None, *, generated: bool) -> str:
    """Return the digital source type of a result whose photo has this XMP.

    It is COMPOSITE for `generated` content, otherwise ENHANCED. A photo that states that it was
    generated itself keeps its type, because the result is generated, too.
    """
    own = read_source_type(xmp)
    if own in _GENERATED:
        return own
    if generated:
        return COMPOSITE
    return ENHANCED


def with_source_type(xmp: bytes | None, name: str | None) -> bytes | None:
    """Return XMP with this digital source type instead of another one, and otherwise unchanged.

    Without XMP, or if the end of its properties is missing, the result is a new packet with only
    this property. With `name` None, the property is removed, and the result is None if it was the
    only one of such a packet. Packets with ENHANCED and COMPOSITE have the same length.
    """
    without_label = _LABEL.sub(b"", xmp or EMPTY_PACKET)
    rest = _PROPERTY.sub(b"", without_label)
    if name is None:
        return None if rest == EMPTY_PACKET else rest
    # The writer of a PNG replaces the packet in place once it is known whether the content is
    # generated.
    value = f'"{_VOCABULARY}{name}"'.ljust(len(_VOCABULARY + COMPOSITE) + 2).encode()
    return with_properties(rest, _NAMESPACE + b" Iptc4xmpExt:DigitalSourceType=" + value)
