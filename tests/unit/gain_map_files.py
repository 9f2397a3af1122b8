"""Photos with an HDR gain map, in the structures of Ultra HDR, ISO 21496-1 and Apple."""

import struct

import cv2
import numpy as np
from PIL import Image

from enhance.metadata.jpeg_segments import segment
from tests.unit import photos_with_metadata
from tests.unit.image_files import encode
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
HDRGM = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
APPLE = (
    b'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="131072" '
    b'xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" '
    b'apdi:AuxiliaryImageType="urn:com:apple:photo:2020:aux:hdrgainmap"'
)


APPLE_VALUES = np.tile(np.arange(40, dtype=np.uint8)[:, None] * 6, (1, 80))
APPLE_VALUES[:, 60:] = 255


def packet(attributes, properties=b""):
    """Return an XMP packet with a title and a description with these attributes and properties."""
    more = b'<rdf:Description rdf:about="" %s>%s</rdf:Description>' % (attributes, properties)
    return XMP.replace(b"</rdf:RDF>", more + b"</rdf:RDF>")


MAP_XMP = packet(
    HDRGM + b' hdrgm:GainMapMax="2.5" hdrgm:HDRCapacityMax="2.5"'
    b' hdrgm:OffsetSDR="0.015625" hdrgm:OffsetHDR="0.015625"'
)
"""The XMP of a gain map."""


def directory(semantic, kind, length):
    """Return a container directory of the primary image and of a file behind it."""
    item = (
        b'<rdf:li rdf:parseType="Resource">'
        b'<Container:Item Item:Semantic="%s" Item:Mime="%s" Item:Length="%d"/></rdf:li>'
    )
    return (
        b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq>%s%s</rdf:Seq></Container:Directory>'
    ) % (item % (b"Primary", b"image/jpeg", 0), item % (semantic, kind, length))


def gain_map_of(photo):
    """Return a map that brightens the bright areas of a photo, at half its size, uint8 [H / 2, W /
    2, 3]."""
    return cv2.resize((photo.astype(np.float32) ** 2 / 255).astype(np.uint8), None, fx=0.5, fy=0.5)


def ultra_hdr(
    photo,
    gain_map=None,
    *,
    claims=True,
    length=None,
    start=None,
    exif=None,
):
    """Return an Ultra HDR photo: a JPEG with XMP, an MPF index and the segment of ISO 21496-1, then
    a gain map.

    `length` and `start` replace what its index and its XMP state. With `claims` its XMP has a
    directory.
    """
    iso = segment(0xE2, ISO + bytes(4))
    if gain_map is None:
        grey = Image.fromarray(gain_map_of(photo)[..., 1])
        gain_map = encode(grey, "JPEG", xmp=MAP_XMP, extra=iso)
    if length is None:
        length = len(gain_map)
    xmp = packet(HDRGM, directory(b"GainMap", b"image/jpeg", length)) if claims else XMP
    block = b"Exif\0\0" + (exif or photos_with_metadata.exif())
    jpeg = encode(Image.fromarray(photo), "JPEG", xmp=xmp, exif=block, extra=iso, quality=95)
    return with_gain_map(jpeg, gain_map, length, start)


def with_gain_map(jpeg, gain_map, length=None, start=None):
    """Return a JPEG with a gain map behind it and an index (CIPA DC-007, 5.2), which can state
    another position."""
    place = jpeg.index(b"\xff\xdb\0\x43")
    size = len(jpeg) + 90
    if length is None:
        length = len(gain_map)
    if start is None:
        start = size - place - 8
    # A TIFF header and three tags: the version, two images, and 32 bytes at 50 about them.
    index = bytes.fromhex(
        "49492a00 08000000 0300 00b0 0700 04000000 30313030 01b0 0400 01000000 02000000"
        "02b0 0700 20000000 32000000 00000000 00000300"
    )
    index += struct.pack("<IIIIIII", size, 0, 0, 0, length, start, 0)
    return jpeg[:place] + segment(0xE2, b"MPF\0" + index) + jpeg[place:] + gain_map


def attached_image(path):
    """Save the second image of a file, as exiftool finds it by the index, next to it."""
    attached = path.with_suffix(".map.jpg")
    start = read_by_exiftool(path)["MPImage2:MPImageStart"]
    attached.write_bytes(path.read_bytes()[start:])
    return attached
