"""JPEG as an output format, written in constant memory.

Each strip is encoded separately, and restart markers join the strips (ITU-T T.81, E.1.4). The
pixels equal a JPEG encoded in one piece.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from numpy import ndarray
from PIL import Image

from ..images import spans
from ..metadata.gain_map import INDEX_HEADER, index_segment, version_segment, with_directory
from ..metadata.iptc import photoshop_resource
from ..metadata.jpeg_segments import segment
from .format import FinishedImage, Format, squeeze

_STRIP = 16
"""The rows of the largest block."""
_RESOURCE_BYTES = 65_000
_START_OF_FRAME = b"\xff\xc0"
_START_OF_SCAN = b"\xff\xda"
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"


def _write(file: BinaryIO, image: FinishedImage) -> None:
    """Write a JPEG, and the gain map behind it."""
    ending = image.ending(_START_OF_IMAGE) or _END_OF_IMAGE
    attached = b""
    gain_map = image.png.gain_map
    if gain_map:
        # The mark is at the end of the file, so it belongs to the gain map.
        attached = gain_map.removesuffix(_END_OF_IMAGE) + ending
    head = _write_photo(file, image, attached)
    if not attached:
        file.write(ending)
        return
    file.write(_END_OF_IMAGE)
    size = file.tell()
    file.write(attached)
    index = head.index(index_segment(0, 0, len(attached)))
    file.seek(index)  # The length of the photo is known now.
    file.write(index_segment(size, size - index - INDEX_HEADER, len(attached)))


# JPEG allows 65,535 px per side, but libjpeg, which nearly all programs use, only 65,500.
JPEG = Format(
    "jpeg",
    "JPEG",
    (".jpg", ".jpeg"),
    _write,
    side=65_500,
    alpha=False,
    keeps_gain_map=True,
)


def _write_photo(file: BinaryIO, image: FinishedImage, attached: bytes) -> bytes:
    """Write a JPEG up to its end marker, and return its head.

    Each strip of whole blocks is a restart interval. `attached` is the gain map behind the JPEG; it
    can be empty.
    """
    subsampling = "4:2:0"
    block = 16
    if image.is_fine:
        subsampling = "4:4:4"
    if image.is_fine or image.png.channels < 3:
        block = 8
    blocks_high = min(image.strip_rows // _STRIP, 64)
    step = _STRIP * max(1, blocks_high)

    def encode(strip: ndarray, **metadata: Any) -> tuple[bytes, bytes]:
        coded = io.BytesIO()
        Image.fromarray(squeeze(strip)).save(
            coded,
            "JPEG",
            quality=image.quality,
            subsampling=subsampling,
            restart_marker_rows=step // block,
            **metadata,
        )
        return _split(coded.getvalue(), image.png.size.height)

    strips = image.strips(step)
    # Without `optimize`, Pillow uses the standard Huffman tables, so the head of the first strip
    # fits all scans.
    head, scan = encode(next(strips), **_pillow_options(image, attached))
    file.write(head)
    file.write(scan)
    for number, strip in enumerate(strips):
        _, scan = encode(strip)
        file.write(bytes([0xFF, 0xD0 + number % 8]))
        file.write(scan)
    return head


def _pillow_options(image: FinishedImage, attached: bytes) -> dict[str, Any]:
    """Return Pillow's options for metadata and profile.

    It has none for IPTC and for more than one comment.
    """
    metadata = image.metadata
    exif = b""
    if metadata.exif:
        exif = b"Exif\0\0" + metadata.exif
    xmp = metadata.xmp
    segments = []
    if metadata.iptc:
        resource = photoshop_resource(metadata.iptc)
        for first, last in spans(len(resource), _RESOURCE_BYTES):
            segments.append(segment(0xED, b"Photoshop 3.0\0" + resource[first:last]))
    for _, value in metadata.texts:
        segments.append(segment(0xFE, value.encode("utf-8")))
    if attached:
        xmp = with_directory(xmp, attached)
        segments += [version_segment(attached), index_segment(0, 0, len(attached))]
    return {
        "exif": exif,
        "xmp": xmp,
        "icc_profile": image.png.icc,
        "dpi": metadata.dpi or (0, 0),
        "extra": b"".join(segments),
    }


def _split(coded: bytes, height: int) -> tuple[bytes, bytes]:
    """Return a JPEG's head, with another height, and its scan without the end marker."""
    # In a scan, only 0 and the restart markers follow 0xFF.
    scan = coded.rindex(_START_OF_SCAN)
    frame = coded.rindex(_START_OF_FRAME, 0, scan)
    pixels = scan + 2 + int.from_bytes(coded[scan + 2 : scan + 4], "big")
    head = coded[: frame + 5] + struct.pack(">H", height) + coded[frame + 7 : pixels]
    return head, coded[pixels:-2]
