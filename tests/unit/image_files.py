"""Image files of kinds that Pillow cannot write, profiles, and finished results."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

from enhance import Encoding
from enhance.images import Metadata
from enhance.images.containers import SIGNATURE, make_chunk
from enhance.output.formats import export
from enhance.output.png import PngFormat, create_png
from enhance.output.provenance import Origin

ORIGIN = Origin("a" * 64, "b" * 64)
"""The origin that `finished_png` states."""


def png(values: np.ndarray, colour_type: int, before_pixels: bytes = b"", after_pixels: bytes = b"") -> bytes:
    """Return an unfiltered PNG of uint8 or uint16 values [H, W, ...] with extra chunks around its pixels."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, values.dtype.itemsize * 8, colour_type, 0, 0, 0)
    chunks = make_chunk(b"IHDR", header) + before_pixels + make_chunk(b"IDAT", zlib.compress(rows)) + after_pixels
    return SIGNATURE + chunks + make_chunk(b"IEND", b"")


COMPRESSION = 259


def tiff(values: np.ndarray, photometric: int = 2, *, orientation: int = 1, **options: Any) -> bytes:
    """Return an uncompressed TIFF of any number type, [H, W] or [H, W, C], with options of tifffile."""
    sink, turn = io.BytesIO(), (274, "H", 1, orientation, True)
    tifffile.imwrite(sink, values, photometric=photometric, metadata=None, extratags=[turn], **options)
    return sink.getvalue()


def with_tags(content: bytes, tags: dict[int, int]) -> bytes:
    """Return a TIFF of little-endian order with other numbers in these tags."""
    data = bytearray(content)
    for tag, number in tags.items():
        entry = struct.pack("<HHI", tag, 3 if tag == COMPRESSION else 4, 1)
        struct.pack_into("<I", data, data.index(entry) + 8, number)
    return bytes(data)


def exif_block(orientation: int, order: str = "<") -> bytes:
    """Return a bare EXIF block like that of a camera."""
    block = Image.Exif()
    block.endian = order
    block[0x010F], block[0x0112] = "Lantern", orientation
    return block.tobytes()[6:]


@cache
def rgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def wide_profile() -> bytes:
    return imagecodecs.cms_profile("adobergb")


@cache
def slow_profile(steps: int) -> bytes:
    """Return an RGB profile that converts each colour in many steps, by matrices and curves (ICC.1:2022, 10.16)."""
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, 0.9, 0.1, 0, 0, 0.9, 0.1, 0.1, 0, 0.9, 0.001, 0, 0)
    formula = struct.pack(">4s4xHH4s4xHH4f", b"curf", 1, 0, b"parf", 0, 0, 1.01, 1, 0, 0)
    curve = struct.pack(">4s4xHH6I", b"cvst", 3, 3, *(36, len(formula)) * 3) + formula
    start = 16 + 8 * steps
    places = struct.pack(">II", start, len(matrix)) + struct.pack(">II", start + len(matrix), len(curve))
    conversion = struct.pack(">4s4xHHI", b"mpet", 3, 3, steps) + places * (steps // 2) + matrix + curve
    name = struct.pack(">4s4xII4sII4s", b"mluc", 1, 12, b"enUS", 4, 28, b"\0a\0b")
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    content, table, first = b"", struct.pack(">I", 3), 128 + 4 + 3 * 12
    for tag, value in ((b"desc", name), (b"wtpt", white), (b"D2B0", conversion)):
        table += struct.pack(">4sII", tag, first + len(content), len(value))
        content += value
    size = first + len(content)
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x04400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + table + content


@cache
def grey_profile(gamma: float = 2.2) -> bytes:
    return imagecodecs.cms_profile("gray", gamma=gamma)


@cache
def cmyk_profile() -> bytes:
    """Return a CMYK profile with Lab values for the 16 corners. All inks only darken, even yellow is neutral grey."""
    corners = []
    for cyan, magenta, yellow, black in np.ndindex(2, 2, 2, 2):
        lightness = 0 if black else 255 - 60 * (cyan + magenta + yellow)
        corners += [lightness, 128 + 40 * magenta * (1 - black), 128 - 40 * cyan * (1 - black)]
    ramp = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(corners) + ramp * 3
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"wtpt": b"XYZ " + bytes(4) + d50, b"A2B0": table.ljust(-(-len(table) // 4) * 4, b"\0")}
    place, index, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        index += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(">I4x4s4s4s4s12x4s", place + len(body), b"\2\x40\0\0", b"prtr", b"CMYK", b"Lab ", b"acsp")
    return head.ljust(68, b"\0") + d50 + bytes(48) + index + body


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image as a file of this format, written by Pillow."""
    sink = io.BytesIO()
    image.save(sink, kind, **options)  # pyright: ignore[reportArgumentType]
    return sink.getvalue()


def camera_raw(photo: np.ndarray, orientation: int = 1, kind: str = "bayer") -> bytes:
    """Return a DNG with this photo, uint8 [H, W, 3] in sRGB, from a camera with half the sensitivity to red.

    `kind` is "bayer", "linear" (three channels), "grey" (a sensor without filters) or "preview". Like the files of most
    cameras, "preview" has a small image first and the Bayer pattern in a subdirectory. The colour matrix converts the
    camera's colours to sRGB (Adobe DNG specification, chapter 6).
    """
    black, white, white_balance = 0 if kind == "linear" else 1000, 16_000, np.array([0.5, 1.0, 0.6])
    xyz_of_srgb = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    matrix = np.diag(white_balance) @ np.linalg.inv(xyz_of_srgb)
    light = (photo / 255.0) ** 2.2
    light = light @ xyz_of_srgb[1] if kind == "grey" else light * white_balance
    values = (light * (white - black) + black).astype(np.uint16)

    def ratios(numbers: np.ndarray) -> list[int]:
        return [one for number in numbers.ravel() for one in (round(number * 10_000), 10_000)]

    about: list[Any] = [
        *((271, "s", 0, "Lantern"), (272, "s", 0, "Raw 1"), (274, "H", 1, orientation, True)),
        *((306, "s", 0, "2024:05:01 10:11:12"), (50706, "B", 4, (1, 4, 0, 0)), (50708, "s", 0, "Lantern Raw 1")),
    ]
    if kind != "grey":
        about += [(50721, "2i", 9, ratios(matrix)), (50728, "2I", 3, ratios(white_balance)), (50778, "H", 1, 21)]
    channels, options = 3 if kind == "linear" else 1, {"software": False, "metadata": None}
    levels = [(50714, "H", channels, [black] * channels), (50717, "I", channels, [white] * channels)]
    if kind in ("bayer", "preview"):
        mosaic = values[..., 1].copy()
        mosaic[0::2, 0::2], mosaic[1::2, 1::2] = values[0::2, 0::2, 0], values[1::2, 1::2, 2]
        values, levels = mosaic, [(33421, "H", 2, (2, 2)), (33422, "B", 4, (0, 1, 1, 2)), *levels]
    sink = io.BytesIO()
    with tifffile.TiffWriter(sink) as file:
        if kind == "preview":
            small = np.ascontiguousarray(photo[::4, ::4])
            file.write(small, photometric=2, subifds=1, subfiletype=1, extratags=about, **options)
            about = []
        file.write(
            values, photometric={"linear": 34892, "grey": 1}.get(kind, 32803), extratags=about + levels, **options
        )
    # tifffile writes no linear values with one channel.
    one = struct.Struct("<HHIHH")
    content = sink.getvalue()
    return content.replace(one.pack(262, 3, 1, 1, 0), one.pack(262, 3, 1, 34892, 0)) if kind == "grey" else content


def flat_png(width: int, height: int) -> bytes:
    """Return a valid PNG of one grey and of any size, which is written in pieces to save memory."""
    packer, content = zlib.compressobj(9), []
    row = b"\0" + b"\x80" * width
    block = row * max(1, 1_000_000 // len(row))
    whole, rest = divmod(height, len(block) // len(row))
    for _ in range(whole):
        content.append(packer.compress(block))
    content.append(packer.compress(row * rest) + packer.flush())
    header = make_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return SIGNATURE + header + make_chunk(b"IDAT", b"".join(content)) + make_chunk(b"IEND", b"")


def finished_png(
    path: Path,
    values: np.ndarray,
    icc: bytes | None = None,
    metadata: Metadata | None = None,
    gain_map: bytes | None = None,
) -> Path:
    """Write the PNG of a finished run, [H, W] or [H, W, C]."""
    height, width, channels = (values if values.ndim == 3 else values[..., None]).shape
    form = PngFormat(width, height, channels, values.dtype.itemsize * 8, icc, metadata or Metadata(), gain_map)
    with create_png(path, form) as writer:
        writer.write(values)
        writer.mark = ORIGIN.mark()
    return path


def exported(png: Path, ending: str, quality: int = 92, **options: Any) -> Path:
    """Export a finished PNG to another file next to it; `options` are those of Encoding."""
    path = png.with_name(f"{png.stem}-exported.{ending}")
    export(png, path, Encoding.of_file(path, quality=quality, **options))
    return path
