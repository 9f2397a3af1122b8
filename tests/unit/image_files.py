"""Files that neither Pillow nor OpenCV can write, written byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from enhance.images.containers import SIGNATURE, make_chunk


def png(
    values: np.ndarray, colour_type: int, before_pixels: bytes = b"", after_pixels: bytes = b"", bits: int | None = None
) -> bytes:
    """Return an unfiltered PNG of uint8 or uint16 values [H, W, ...] with extra chunks around its pixels."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, bits or values.dtype.itemsize * 8, colour_type, 0, 0, 0)
    chunks = make_chunk(b"IHDR", header) + before_pixels + make_chunk(b"IDAT", zlib.compress(rows)) + after_pixels
    return SIGNATURE + chunks + make_chunk(b"IEND", b"")


def png_header_only(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + b"".join(make_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")))


def tiff(
    values: np.ndarray,
    photometric: int,
    *,
    extra_sample: int | None = None,
    orientation: int = 1,
    planes: bool = False,
    big_endian: bool = False,
    more_tags: dict[int, int] | None = None,
) -> bytes:
    """Return an uncompressed TIFF of any number type, [H, W] or [H, W, C]."""
    order = ">" if big_endian else "<"
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    stored = values.astype(values.dtype.newbyteorder(order))
    strips = [stored[..., i].tobytes() for i in range(channels)] if planes else [stored.tobytes()]
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [values.dtype.itemsize * 8] * channels,
        259: [1],
        262: [photometric],
        273: offsets,
        274: [orientation],
        277: [channels],
        278: [height],
        279: [len(strip) for strip in strips],
        284: [2 if planes else 1],
        339: [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * channels,
        **{tag: [value] for tag, value in (more_tags or {}).items()},
    }
    if extra_sample is not None:
        tags[338] = [extra_sample]
    body = b"".join(strips)
    start = 8 + len(body)
    entries, far = b"", b""
    for tag, numbers in sorted(tags.items()):
        letter, code = ("I", 4) if tag in (256, 257, 273, 278, 279) else ("H", 3)
        packed = struct.pack(order + letter * len(numbers), *numbers)
        if len(packed) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(far)
            far += packed
            packed = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, code, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", start)
    return head + body + struct.pack(order + "H", len(tags)) + entries + bytes(4) + far


def exif_block(orientation: int, *, thumbnail: bytes = b"", make: str = "Lantern", order: str = "<") -> bytes:
    """Return a bare EXIF block like that of a camera, with a JPEG thumbnail at its end if one is given."""
    text = make.encode() + b"\0"
    text_at = 8 + 2 + 2 * 12 + 4
    second = text_at + len(text)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    first_directory = struct.pack(
        order + "HHHIIHHIHHI",
        2,
        0x010F,
        2,
        len(text),
        text_at,
        0x0112,
        3,
        1,
        orientation,
        0,
        second if thumbnail else 0,
    )
    if not thumbnail:
        return head + first_directory + text
    thumbnail_at = second + 2 + 2 * 12 + 4
    second_directory = struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, thumbnail_at, 0x0202, 4, 1, len(thumbnail), 0)
    return head + first_directory + text + second_directory + thumbnail


@cache
def rgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def grey_profile(gamma: float = 2.2) -> bytes:
    """Return a grey display profile with one tone curve (ICC specification, section 8.4)."""
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


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
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"made by hand"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(8 + 3 + 67)
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    all_tags = {
        b"desc": description,
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"cprt": b"text" + bytes(4) + b"free\0",
        **tags,
    }
    place = 128 + 4 + 12 * len(all_tags)
    index, body = struct.pack(">I", len(all_tags)), b""
    for tag, content in all_tags.items():
        content = content.ljust(-(-len(content) // 4) * 4, b"\0")
        index += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    size = place + len(body)
    dates = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, device, space, connection) + dates + b"acsp"
    head = head.ljust(68, b"\0") + d50
    return head.ljust(128, b"\0") + index + body


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
        *((271, "s", 0, "Lantern"), (272, "s", 0, "Raw 1"), (274, "H", 1, orientation)),
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
