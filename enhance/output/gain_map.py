"""HDR gain maps of results: stored in the PNG, enlarged, and written into a JPEG.

A JPEG with a gain map has a second JPEG behind it (Ultra HDR 1.1). The XMP of the first states its length, the index
of CIPA DC-007 ("MPF") its position.
"""

from __future__ import annotations

import io
import json
import math
import struct
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from PIL import Image

from ..images import Box
from ..images.gain_map import ISO_SEGMENT, ISO_VERSION, MAX_PIXELS, GainMap
from ..images.source_type import with_properties
from .resample import Cut, Grid, enlarge

CHUNK = b"enHG"
"""The name of the PNG chunk that stores the gain map. Other programs ignore it."""
_QUALITY = 95
_ROWS = 256
_NAMESPACE = b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
_DIRECTORY = (
    b'<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><%(rdf)sSeq>'
    b'<%(rdf)sli %(rdf)sparseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>'
    b'</%(rdf)sli><%(rdf)sli %(rdf)sparseType="Resource"><Container:Item Item:Semantic="GainMap" '
    b'Item:Mime="image/jpeg" Item:Length="%(length)d"/></%(rdf)sli></%(rdf)sSeq></Container:Directory>'
)
_PRIMARY = 0x030000  # "Baseline MP Primary Image", the type of the photo.
_INDEX_START = b"MPF\0"


@dataclass(frozen=True)
class ResultMap:
    """The gain map of a photo, and its height and width in the result."""

    photo: GainMap
    size: tuple[int, int]

    @staticmethod
    def of(photo: GainMap, height: int, width: int, result: tuple[int, int]) -> ResultMap:
        """Return the map of a photo of `height` x `width` that is enlarged to `result` (height, width).

        The map is enlarged like the photo, up to MAX_PIXELS.
        """
        rows, columns = photo.pixels.shape[0] * result[0] / height, photo.pixels.shape[1] * result[1] / width
        factor = min(1.0, math.sqrt(MAX_PIXELS / (rows * columns)))
        return ResultMap(photo, (max(1, round(rows * factor)), max(1, round(columns * factor))))

    @staticmethod
    def unpack(content: bytes) -> ResultMap:
        """Return the map in the content of a chunk. Raises ValueError or an error of the inflater if it is damaged."""
        text, _, packed = content.partition(b"\0")
        fields = json.loads(text)
        pixels = np.frombuffer(isal_zlib.decompress(packed), np.uint8).reshape(fields["shape"])
        values = tuple((name, tuple(several)) for name, several in fields["values"])
        iso, icc = (bytes.fromhex(fields[name]) or None for name in ("iso", "icc"))
        return ResultMap(GainMap(pixels, values, iso, icc), tuple(fields["size"]))

    def pack(self) -> bytes:
        """Return the content of a chunk: JSON, a zero byte and the compressed pixels."""
        photo = self.photo
        fields = {"size": self.size, "shape": photo.pixels.shape, "values": photo.values}
        fields |= {"iso": (photo.iso or b"").hex(), "icc": (photo.icc or b"").hex()}
        return json.dumps(fields).encode() + b"\0" + isal_zlib.compress(photo.pixels.tobytes(), 1)

    @property
    def version_segment(self) -> bytes:
        """The segment of the photo that states the version of ISO 21496-1; empty without `iso`."""
        return segment(0xE2, ISO_SEGMENT + self.photo.iso[:ISO_VERSION]) if self.photo.iso else b""

    def pixels(self) -> np.ndarray:
        """Return the enlarged map, uint8 [h, w] or [h, w, 3]."""
        plane = self.photo.pixels[..., 0] if self.photo.pixels.shape[2] == 1 else self.photo.pixels
        (height, width), (new_height, new_width) = plane.shape[:2], self.size
        factor = max(1, math.ceil(new_height / height), math.ceil(new_width / width))
        grid = Grid(factor, 1, Cut(Box(0, 0, width, height), height, width), self.size)
        parts = (range(first, min(first + _ROWS, new_height)) for first in range(0, new_height, _ROWS))
        return np.concatenate([enlarge(plane, grid, part.start, part.stop) for part in parts])

    def encode(self) -> bytes:
        """Return the map as a JPEG, with its metadata."""
        photo, coded = self.photo, io.BytesIO()
        options = {"xmp": _map_xmp(photo), "icc_profile": photo.icc, "extra": b""}
        if photo.iso:
            options["extra"] = segment(0xE2, ISO_SEGMENT + photo.iso)
        Image.fromarray(self.pixels()).save(coded, "JPEG", quality=_QUALITY, subsampling="4:4:4", **options)
        return coded.getvalue()

    def with_directory(self, xmp: bytes | None, length: int) -> bytes | None:
        """Return the XMP of the photo with the properties that announce a map of `length` bytes.

        A map with only the metadata of ISO 21496-1 needs none.
        """
        version = dict(self.photo.values).get("Version")
        if not version:
            return xmp
        attributes = b'%s hdrgm:Version="%s"' % (_NAMESPACE, version[0].encode())
        return with_properties(xmp, attributes, _DIRECTORY.replace(b"%(length)d", b"%d" % length))


def _map_xmp(photo: GainMap) -> bytes:
    """Return the XMP of a map; empty without values."""
    single = b"".join(
        b' hdrgm:%s="%s"' % (name.encode(), one[0].encode()) for name, one in photo.values if len(one) == 1
    )
    several = b"".join(
        b"<hdrgm:%s><%%(rdf)sSeq>%s</%%(rdf)sSeq></hdrgm:%s>"
        % (name.encode(), b"".join(b"<%%(rdf)sli>%s</%%(rdf)sli>" % one.encode() for one in values), name.encode())
        for name, values in photo.values
        if len(values) > 1
    )
    return (with_properties(None, _NAMESPACE + single, several) or b"") if photo.values else b""


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def index_segment(photo: int, start: int, length: int) -> bytes:
    """Return the segment that lists the photo, `photo` bytes, and a map of `length` bytes.

    `start` is the position of the map behind that of the TIFF header of the segment (CIPA DC-007, 5.2).
    """
    entries = struct.pack(">IIIHHIIIHH", _PRIMARY, photo, 0, 0, 0, 0, length, start, 0, 0)
    # The version, the number of images and their list. The list is after the three tags, at 8 + 2 + 3 * 12 + 4 = 50.
    tags = struct.pack(">HHI4sHHIIHHII", 0xB000, 7, 4, b"0100", 0xB001, 4, 1, 2, 0xB002, 7, len(entries), 50)
    return segment(0xE2, _INDEX_START + b"MM\0*" + struct.pack(">IH", 8, 3) + tags + bytes(4) + entries)


INDEX_HEADER = 4 + len(_INDEX_START)
"""The position of the TIFF header in the segment."""
