"""JPEG XL files: the container, and a colour profile in the codestream (ISO/IEC 18181-1 and -2).

pyjpegxl keeps 16 bits, but writes no colour profile where other programs read it. Without loss, the profile does not
change the coded pixels, so it is added to the header here. With loss, pixels are coded in absolute colours, and only
sRGB is possible.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct

import numpy as np

from ..images import Metadata
from ..images.jxl import BitReader, boxes, codestream_of

START = struct.pack(">I4sI", 12, b"JXL ", 0x0D0A870A) + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
"""The first bytes of a container."""
_LARGEST_DISTANCE = 15.0
_D50 = bytes.fromhex("0000f6d6000100000000d32d")
"""The white point in the header of a profile."""

# Parts of the header of a codestream, as bits in their order in the file (ISO/IEC 18181-1, annex D).
_DEPTHS = {1: "000", 2: "011111100"}
"""Unsigned integers of 8 or 16 bits, by their bytes."""
_ALPHAS = {1: "1", 2: f"000{_DEPTHS[2]}00000"}
"""An alpha channel of the same depth, without a name, not premultiplied."""
_GREY = "001010001110110"
"""A colour encoding in full: no profile, grey, D65, no gamma but the curve of sRGB; relative intent."""
_RGB = "1"
"""sRGB, which is the default."""
_END = "001"
"""No extensions, and the default transform."""


def is_available() -> bool:
    return importlib.util.find_spec("pyjpegxl") is not None


def encode_jxl(values: np.ndarray, quality: int, icc: bytes | None, metadata: Metadata, ending: bytes) -> list[bytes]:
    """Return the parts of a JPEG XL file of an image [H, W, 1 to 4], uint8 or uint16.

    `quality` is as in libjxl's `JxlEncoderDistanceFromQuality`. Values below 10 have no further effect. 100 is
    lossless, and keeps the profile; below that, the values have to be in sRGB. `ending` are boxes.
    """
    library = importlib.import_module("pyjpegxl")
    lossless = quality == 100
    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    speed = library.EncoderSpeed.Falcon if lossless else library.EncoderSpeed.Squirrel
    coded = library.encode_from_numpy(values, lossless=lossless, quality=min(distance, _LARGEST_DISTANCE), speed=speed)
    codestream = codestream_of(coded)
    if icc and lossless:
        codestream = _with_profile(codestream, icc, values)
    level = [_box(kind, content) for kind, content in boxes(coded) if kind == b"jxll"]
    exif = _box(b"Exif", bytes(4) + metadata.exif) if metadata.exif else b""
    xmp = _box(b"xml ", metadata.xmp) if metadata.xmp else b""
    return [START, *level, exif, xmp, _box(b"jxlc", codestream), ending]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def _with_profile(codestream: bytes, icc: bytes, values: np.ndarray) -> bytes:
    """Return the lossless codestream of `values` with a profile. Raises ValueError if pyjpegxl wrote another header."""
    channels, depth = values.shape[2], values.dtype.itemsize
    reader = BitReader(codestream)
    reader.read_size()
    size = _field(reader.value, reader.position)
    # Nothing unusual, the depth, whether 16 bits are enough for computing, other channels, no absolute colours.
    alpha = f"10{_ALPHAS[depth]}" if channels in (2, 4) else "00"
    start = f"{size}00{_DEPTHS[depth]}{'1' if depth == 1 else '0'}{alpha}0"
    is_grey = channels < 3
    header = start + (_GREY if is_grey else _RGB) + _END
    if _field(reader.value, len(header)) != header:
        raise ValueError("another header than expected")
    frames = codestream[-(-len(header) // 8) :]
    # Not the default encoding, but a profile for this colour space.
    bits = f"{start}01{'10' if is_grey else '00'}{_END}{_profile_bits(icc)}"
    return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little") + frames


def _field(number: int, count: int) -> str:
    """Return the last `count` bits of a number in their order in the file, the lowest first."""
    return f"{number:0{count}b}"[::-1][:count]


def _profile_bits(icc: bytes) -> str:
    """Return a profile with a prefix code of 8 bits for every byte (annexes C and E)."""
    encoded = _predicted(icc)
    bits = "11" + _field(len(encoded), 12)
    rest = len(encoded) >> 12
    while rest:
        bits += "1" + _field(rest, 8)
        rest >>= 8
    bits += "0"
    bits += "0100"  # no LZ77, one code for all contexts
    bits += "1000100000000"  # a prefix code of numbers up to 255
    bits += "111101111111"  # 256 symbols
    bits += "00" + 20 * "0" + "10" + 14 * "0"  # each of 8 bits, which is the only length
    return bits + "".join(f"{byte:08b}" for byte in encoded)  # A prefix code begins with its highest bit.


def _predicted(icc: bytes) -> bytes:
    """Return the profile as differences to a usual header, and the rest as it is (annex E.4)."""
    usual = struct.pack(">I4xB3x12s12x4s", len(icc), 4, b"mntrRGB XYZ ", b"acsp")
    header = bytearray(usual.ljust(68, b"\0") + _D50 + icc[4:8]).ljust(128, b"\0")
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
