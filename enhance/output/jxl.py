"""JPEG XL files: the container, and a colour profile in the codestream (ISO/IEC 18181-1 and -2).

pyjpegxl keeps 16 bits, but writes no colour profile where other programs read it. Without loss, the profile does not
change the coded pixels, so it is added to the header here. With loss, pixels are coded in absolute colours, and only
sRGB is possible.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
from collections.abc import Iterator

import numpy as np

from ..images import Metadata
from ..images.jxl import BitReader, boxes, codestream_of

START = struct.pack(">I4sI", 12, b"JXL ", 0x0D0A870A) + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
"""The first bytes of a container."""
_LARGEST_DISTANCE = 15.0
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_GREY_SPACE, _RGB_SPACE = 1, 0
_ALPHA = 0
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in reverse order: a prefix code begins with its highest bit, but fields with their lowest."""


def is_available() -> bool:
    return importlib.util.find_spec("pyjpegxl") is not None


def encode_jxl(values: np.ndarray, quality: int, icc: bytes | None, metadata: Metadata, ending: bytes) -> list[bytes]:
    """Return the parts of a JPEG XL file of an image [H, W, 1 to 4], uint8 or uint16.

    `quality` is that of libjxl's `JxlEncoderDistanceFromQuality`. Values below 10 have no further effect. 100 is
    lossless, and a profile needs it. `ending` are boxes.
    """
    library = importlib.import_module("pyjpegxl")
    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    speed = library.EncoderSpeed.Falcon if quality == 100 else library.EncoderSpeed.Squirrel
    coded = library.encode_from_numpy(
        values, lossless=quality == 100, quality=min(distance, _LARGEST_DISTANCE), speed=speed
    )
    codestream = codestream_of(coded)
    if icc:
        codestream = _with_profile(codestream, icc)
    level = [_box(kind, content) for kind, content in boxes(coded) if kind == b"jxll"]
    exif = _box(b"Exif", bytes(4) + metadata.exif) if metadata.exif else b""
    xmp = _box(b"xml ", metadata.xmp) if metadata.xmp else b""
    return [START, *level, exif, xmp, _box(b"jxlc", codestream), ending]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def _with_profile(codestream: bytes, icc: bytes) -> bytes:
    """Return a lossless codestream of pyjpegxl with a profile. Raises ValueError if its header is of another kind."""
    bits = BitReader(codestream)
    space, start = _skip_to_colour(bits)
    kept = bits.value & ((1 << start) - 1)
    frames = codestream[-(-bits.position // 8) :]
    # In place of the colours: no default values, a profile that follows and its colour space. Then no extensions and
    # the default transform.
    value = position = 0
    for number, count in ((kept, start), (0, 1), (1, 1), (space, 2), (0, 2), (1, 1), *_profile_bits(icc)):
        value |= number << position
        position += count
    return value.to_bytes(-(-position // 8), "little") + frames


def _skip_to_colour(bits: BitReader) -> tuple[int, int]:
    """Read the header; return the colour space, and the position of its encoding (ISO/IEC 18181-1, annex D)."""
    bits.read_size()
    if bits.read(1) or bits.read(1):  # everything as by default, or fields for orientation, animation and the like
        raise ValueError("an unusual header")
    _read_depth(bits)
    bits.read(1)
    for _ in range(bits.read_u32((0, 0), (0, 1), (4, 2), (12, 1))):
        if bits.read(1):
            continue
        kind = bits.read_u32(*_ENUM)
        _read_depth(bits)
        bits.read_u32((0, 0), (0, 3), (0, 4), (3, 1))
        bits.read(8 * bits.read_u32((0, 0), (4, 0), (5, 16), (10, 48)))
        if kind == _ALPHA:
            bits.read(1)
    if bits.read(1):
        raise ValueError("the pixels are in absolute colours")
    start, space = bits.position, _RGB_SPACE
    if not bits.read(1):
        if bits.read(1):
            raise ValueError("it has a profile")
        space = bits.read_u32(*_ENUM)
        bits.read_u32(*_ENUM)  # the white point
        if space == _RGB_SPACE:
            bits.read_u32(*_ENUM)  # the primaries
        if bits.read(1):
            bits.read(24)
        else:
            bits.read_u32(*_ENUM)  # the transfer function
        bits.read_u32(*_ENUM)  # the rendering intent
    if bits.read(3) != 0b100 or space not in (_GREY_SPACE, _RGB_SPACE):  # no extensions, the usual transform
        raise ValueError("an unusual header")
    return space, start


def _read_depth(bits: BitReader) -> None:
    if bits.read(1):
        raise ValueError("floats")
    bits.read_u32((0, 8), (0, 10), (0, 12), (6, 1))


def _profile_bits(icc: bytes) -> Iterator[tuple[int, int]]:
    """Yield (number, count of bits) of a profile with a prefix code of 8 bits for every byte (annexes C and E)."""
    encoded = _predicted(icc)
    yield from ((3, 2), (len(encoded) & 0xFFF, 12))
    rest = len(encoded) >> 12
    while rest:
        yield from ((1, 1), (rest & 0xFF, 8))
        rest >>= 8
    yield 0, 1
    yield from ((0, 1), (1, 1), (0, 2))  # no LZ77, one code for all contexts
    yield from ((1, 1), (8, 4), (0, 4), (0, 4))  # a prefix code of numbers up to 255
    yield from ((1, 1), (7, 4), (127, 7))  # 256 symbols
    yield from ((0, 2), (0, 20), (1, 2), (0, 14))  # each of 8 bits, which is the only length
    yield int.from_bytes(encoded.translate(_REVERSED), "little"), 8 * len(encoded)


def _predicted(icc: bytes) -> bytes:
    """Return the profile as differences to a usual header, and the rest as it is (annex E.4)."""
    header = bytearray(128)
    header[:4], header[8], header[12:24], header[36:40] = struct.pack(">I", len(icc)), 4, b"mntrRGB XYZ ", b"acsp"
    header[68:80], header[80:84] = bytes.fromhex("0000f6d6000100000000d32d"), icc[4:8]
    vendors = {b"A": b"APPL", b"M": b"MSFT", b"SG": b"SGI ", b"SU": b"SUNW"}
    for start, vendor in vendors.items():
        if icc[40:].startswith(start):
            header[40 + len(start) : 44] = vendor[len(start) :]
    data = bytes((one - guess) & 0xFF for one, guess in zip(icc, header, strict=False)) + icc[128:]
    commands = b"\0\1" + _varint(len(icc) - 128)
    return _varint(len(icc)) + _varint(len(commands)) + commands + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
