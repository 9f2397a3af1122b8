"""Photos of every format with all metadata: maker notes, a location, texts, copyright and resolution."""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, TiffImagePlugin

from enhance.images.containers import make_chunk, profile_text
from enhance.images.gain_map import segment
from enhance.images.metadata import photoshop_resource
from tests.unit.image_files import encode, png, rgb_profile

WIDTH, HEIGHT, DPI = 12, 16, 240
NOTES = b"LANTERN\0II*\0" + bytes(range(40))
"""Maker notes."""
LATITUDE, PLACE = (48.0, 12.0, 30.0), "Hinterbruehl"
COORDINATES = struct.pack("<6I", 48, 1, 12, 1, 30, 1)

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
   xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
   xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" exif:GPSLatitude="48,12.5N" tiff:Orientation = '6'
   exif:PixelXDimension="{WIDTH}" photoshop:City="{PLACE}" xmp:Rating="4" Iptc4xmpCore:Location="{PLACE} 7">
  <exif:PixelYDimension>{HEIGHT}</exif:PixelYDimension><exif:GPSLongitude>16,22.4E</exif:GPSLongitude>
  <photoshop:Country/><Iptc4xmpCore:CreatorContactInfo Iptc4xmpCore:CiAdrCity="Graz"/>
  <Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li Iptc4xmpExt:City="{PLACE}"/></rdf:Bag></Iptc4xmpExt:LocationShown>
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &lt;lantern&gt; &amp; 灯笼</rdf:li></rdf:Alt></dc:title>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def iptc() -> bytes:
    sets = (
        (1, 90, b"\x1b%G"),
        (2, 5, b"Lantern"),
        (2, 90, PLACE.encode()),
        (2, 101, b"Austria"),
        (2, 116, b"(c) A. B."),
    )
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(words)) + words for record, number, words in sets)


def exif(order: str = "<") -> bytes:
    """Return an EXIF block in this byte order with a photo directory, a GPS directory and maker notes."""
    block = Image.Exif()
    block.endian = order
    block.update({0x0100: WIDTH, 0x0101: HEIGHT, 0x010F: "Lantern", 0x0112: 6, 0x8298: "(c) A. B."})
    block.update({0x011A: float(DPI), 0x011B: float(DPI), 0x0128: 2})
    photo = {0x9003: "2024:05:01 10:11:12", 0x927C: NOTES, 0xA002: WIDTH, 0xA003: HEIGHT, 0xA434: "50 mm f/1.8"}
    block.get_ifd(0x8769).update(photo)
    block.get_ifd(0x8825).update({0: b"\2\3\0\0", 1: "N", 2: LATITUDE, 3: "E", 4: LATITUDE})
    return block.tobytes()[6:]


def extend_xmp(attributes: bytes, elements: bytes) -> tuple[bytes, bytes]:
    """Return XMP that refers to an extension with these properties, and its segments, the last of which comes first."""
    head = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    more = b'<rdf:Description rdf:about="" %s>%s</rdf:Description></rdf:RDF></x:xmpmeta>' % (attributes, elements)
    extension = head + more
    segments = b""
    segment_bytes = 40_000
    name = hashlib.md5(extension).hexdigest().upper().encode()
    for first in reversed(range(0, len(extension), segment_bytes)):
        part = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", len(extension), first)
        segments += segment(0xE1, part + extension[first : first + segment_bytes])
    link = b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/>'
    return XMP.replace(b"</rdf:RDF>", link % name + b"</rdf:RDF>"), segments


def extended_jpeg() -> bytes:
    """Return a JPEG with extended XMP in three segments."""
    data = b"<map:Data>" + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 4_000 + b"</map:Data>"
    space = b'xmlns:map="http://ns.google.com/photos/1.0/depthmap/"'
    xmp, segments = extend_xmp(space + b' map:Near="2"', data)
    return encode(photo(), "JPEG", xmp=xmp, extra=segments)


def photo() -> Image.Image:
    slope = np.add.outer(np.arange(HEIGHT) * 9, np.arange(WIDTH) * 7)[..., None] + np.array([10, 30, 60])
    return Image.fromarray(slope.astype(np.uint8))


def photo_with_metadata(kind: str) -> bytes:
    """Return a photo of this format with all metadata that the format can hold."""
    blocks = {"exif": b"Exif\0\0" + exif(), "xmp": XMP, "icc_profile": rgb_profile()}
    if kind == "JPEG":
        extra = segment(0xED, b"Photoshop 3.0\0" + photoshop_resource(iptc()))
        return encode(photo(), "JPEG", dpi=(DPI, DPI), extra=extra, comment=b"by lamplight", **blocks)
    if kind == "PNG":
        chunks = [
            make_chunk(b"pHYs", struct.pack(">IIB", 9449, 9449, 1)),
            make_chunk(b"eXIf", exif()),
            make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
            make_chunk(b"tEXt", b"Raw profile type iptc\0" + profile_text("iptc", photoshop_resource(iptc())).encode()),
            make_chunk(b"tEXt", b"Title\0A lantern"),
            make_chunk(b"iTXt", b"Author\0\0\0de\0\0" + "灯笼".encode()),
            make_chunk(b"tEXt", b"exif:GPSLatitude\x0048/1, 12/1, 30/1"),
            make_chunk(b"tEXt", b"Comment\0at 48.20833, 16.37306"),
        ]
        return png(np.asarray(photo()), 2, before_pixels=b"".join(chunks))
    if kind == "TIFF":
        about = TiffImagePlugin.ImageFileDirectory_v2()
        about[700], about[33723], about[0x010F], about[0x8298] = XMP, iptc(), "Lantern", "(c) A. B."
        about.tagtype[700], about.tagtype[33723] = 1, 7
        return encode(photo(), "TIFF", dpi=(DPI, DPI), tiffinfo=about, icc_profile=rgb_profile())
    if kind == "HEIF":
        sink = io.BytesIO()
        image = pillow_heif.from_pillow(photo().resize((64, 48)))
        image.save(sink, quality=90, exif=blocks["exif"], xmp=XMP)
        return sink.getvalue()
    if kind in ("BMP", "GIF"):
        return encode(photo(), kind, **({"dpi": (DPI, DPI)} if kind == "BMP" else {"comment": b"by lamplight"}))
    return encode(photo(), kind, **blocks)


def read_by_exiftool(path: Path, *options: str) -> dict[str, Any]:
    """Return the tags that exiftool reads, by group and name, with unformatted numbers."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    reader = _exiftool()
    assert reader.stdin is not None
    assert reader.stdout is not None
    print("-j", "-G1", "-n", *options, path, "-execute", sep="\n", file=reader.stdin, flush=True)
    (found,) = json.loads("".join(iter(reader.stdout.readline, "{ready}\n")))
    return found


@cache
def _exiftool() -> subprocess.Popen[str]:
    """Return the exiftool process for all files, because starting it takes longer than reading them."""
    piped: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    reader = subprocess.Popen(["exiftool", "-stay_open", "True", "-@", "-"], **piped)
    atexit.register(reader.kill)
    return reader
