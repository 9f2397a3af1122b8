"""JPEG XL as an output format, encoded in one piece (ISO/IEC 18181-1 and -2).

pyjpegxl keeps 16 bits, but writes no colour profile where other programs read it. Without loss, the
profile does not change the coded pixels, so it is added to the header here. With loss, pixels are
coded in absolute colours, and only sRGB is possible.
"""

from __future__ import annotations

import re
import struct
from importlib.util import find_spec
from typing import BinaryIO

from numpy import ndarray

from ..images import ceil_div
from ..images.colour import in_srgb
from ..images.jxl_reader import (
    CONTAINER_START,
    SIZE_FIELDS,
    codestream_of,
    header_bits,
    load_library,
)
from .format import FinishedImage, Format

_START = CONTAINER_START + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
"""The first boxes of a file."""
_LEVEL_10 = struct.pack(">I4sB", 9, b"jxll", 10)
"""The box of a file that needs more of its decoder, such as for 16 bits."""
_LARGEST_DISTANCE = 15.0
_D50 = bytes.fromhex("0000f6d6000100000000d32d")
"""The white point in the header of a profile."""

# Parts of the header of a codestream, as bits in their order in the file (ISO/IEC 18181-1, annex
# D).
_DEPTHS = {1: "000", 2: "011111100"}
"""Unsigned integers of 8 or 16 bits, by their bytes."""
_ALPHAS = {1: "101", 2: f"10000{_DEPTHS[2]}00000"}
"""One more channel: alpha of the same depth, without a name, not premultiplied."""
_NO_ALPHA = "00"
_ARE_16_BITS_ENOUGH = {1: "1", 2: "0"}
"""Whether buffers of 16 bits are enough for computing."""
_GREY = "001010001110110"
"""A colour encoding in full: no profile, grey, D65, no gamma but the curve of sRGB; relative
intent."""
_RGB = "1"
"""sRGB, which is the default."""
_GREY_PROFILE = "0110"
_RGB_PROFILE = "0100"
"""Not the default encoding, but a profile for this colour space."""
_END = "001"
"""No extensions, and the default transform."""


def _write(file: BinaryIO, image: FinishedImage) -> None:
    """Write a JPEG XL.

    The quality is as in libjxl's `JxlEncoderDistanceFromQuality`. Values below 10 have no further
    effect. 100 is lossless, and keeps the profile.
    """
    values, icc = image.whole()
    if image.form.converts_to_srgb(image.quality, icc):
        values = in_srgb(values, icc)
    library = load_library()
    options = {"quality": _distance(image.quality), "speed": library.EncoderSpeed.Squirrel}
    if image.is_lossless:
        options = {"lossless": True, "speed": library.EncoderSpeed.Falcon}
    coded = library.encode_from_numpy(values, **options)
    codestream = codestream_of(coded)
    if icc and image.is_lossless:
        codestream = _with_profile(codestream, icc, values)
    file.write(_START)
    if b"jxll" in coded[: len(_START) + len(_LEVEL_10)]:
        file.write(_LEVEL_10)
    if image.metadata.exif:
        file.write(_box(b"Exif", bytes(4) + image.metadata.exif))
    if image.metadata.xmp:
        file.write(_box(b"xml ", image.metadata.xmp))
    file.write(_box(b"jxlc", codestream))
    file.write(image.ending(_START))


JXL = Format(
    "jxl",
    "JPEG XL",
    (".jxl",),
    _write,
    bits=16,
    lossless=100,
    memory=(48, 48, 48),
    profiles_from=100,
    library="pyjpegxl",
    is_available=lambda: find_spec("pyjpegxl") is not None,
)


def _distance(quality: int) -> float:
    """Return libjxl's distance for a quality below 100: 0 is lossless, and 1 looks lossless."""
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return min(53 / 3000 * quality**2 - 23 / 20 * quality + 25, _LARGEST_DISTANCE)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def _with_profile(codestream: bytes, icc: bytes, values: ndarray) -> bytes:
    """Return the lossless codestream of `values` with a profile.

    Raises ValueError if pyjpegxl wrote another header.
    """
    channels = values.shape[2]
    depth = values.dtype.itemsize
    alpha = _NO_ALPHA
    if channels in (2, 4):
        alpha = _ALPHAS[depth]
    # Not all defaults, no additional fields, then the depth and the channels, and no absolute
    # colours.
    start = f"{SIZE_FIELDS}00{_DEPTHS[depth]}{_ARE_16_BITS_ENOUGH[depth]}{alpha}0"
    without_profile = _RGB
    with_profile = _RGB_PROFILE
    if channels < 3:
        without_profile = _GREY
        with_profile = _GREY_PROFILE
    found = re.match(f"({start}){without_profile}{_END}", header_bits(codestream))
    if found is None:
        raise ValueError("another header than expected")
    frames = codestream[ceil_div(found.end(), 8) :]
    header = found[1] + with_profile + _END + _profile_bits(icc)
    return int(header[::-1], 2).to_bytes(ceil_div(len(header), 8), "little") + frames


def _lowest_bits(number: int, count: int) -> str:
    """Return the lowest `count` bits of a number in their order in the file, the lowest first."""
    digits = f"{number:0{count}b}"
    return digits[::-1][:count]


def _profile_bits(icc: bytes) -> str:
    """Return a profile with a prefix code of 8 bits for every byte (annexes C and E)."""
    encoded = _predicted(icc)
    bits = "11" + _lowest_bits(len(encoded), 12)
    rest = len(encoded) >> 12
    while rest:
        bits += "1" + _lowest_bits(rest, 8)
        rest >>= 8
    bits += "0"
    bits += "0100"  # no LZ77, one code for all contexts
    bits += "1000100000000"  # a prefix code of numbers up to 255
    bits += "111101111111"  # 256 symbols
    bits += "00" + 20 * "0" + "10" + 14 * "0"  # each of 8 bits, which is the only length
    # A prefix code begins with its highest bit.
    return bits + "".join(f"{byte:08b}" for byte in encoded)


def _predicted(icc: bytes) -> bytes:
    """Return the profile as differences to a usual header, and the rest as it is (annex E.4)."""
    usual = struct.pack(">I4xB3x12s12x4s", len(icc), 4, b"mntrRGB XYZ ", b"acsp")
    header = bytearray(usual.ljust(68, b"\0") + _D50 + icc[4:8]).ljust(128, b"\0")
    vendors = {b"A": b"APPL", b"M": b"MSFT", b"SG": b"SGI ", b"SU": b"SUNW"}
    for start, vendor in vendors.items():
        if icc[40:].startswith(start):
            header[40 + len(start) : 44] = vendor[len(start) :]
    differences = bytes((byte - guess) & 0xFF for byte, guess in zip(icc, header, strict=False))
    commands = b"\0\1" + _variable_length(len(icc) - 128)
    lengths = _variable_length(len(icc)) + _variable_length(len(commands))
    return lengths + commands + differences + icc[128:]


def _variable_length(number: int) -> bytes:
    """Return a number in groups of 7 bits, the lowest first.

    All but the last have the highest bit set.
    """
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)
