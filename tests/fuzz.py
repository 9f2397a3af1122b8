"""Damaged image files of every format, and how the reader handles them: `python -m tests.fuzz FILE...`"""

from __future__ import annotations

import io
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pillow_heif
import skimage.data
from numpy.random import Generator
from PIL import Image

from enhance.errors import PictureError
from enhance.images import Metadata, SourceImage, inspect, read_image
from enhance.images.colour import profile_name
from enhance.images.containers import SIGNATURE, make_chunk
from enhance.images.header import MAX_SIDE
from enhance.images.source_type import label_of, with_source_type
from enhance.output.formats import Encoding, export, notes_of
from enhance.output.jxl import encode_jxl, is_available
from enhance.output.png import metadata_chunks
from enhance.output.provenance import origin_of
from enhance.output.result import encode_gain_map
from enhance.output.thumbnails import srgb_image
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import APPLE, apple_heic, packet, ultra_hdr
from tests.unit.hostile_metadata import (
    flat_photo,
    located_xmp,
    overlapping_exif,
    packed_exif,
    packed_xmp,
    random_exif,
    random_xmp,
)
from tests.unit.image_files import camera_raw, encode, exif_block, finished_png, flat_png, png, rgb_profile, tiff

MOST_SECONDS = 25.0
"""The limit for reading a file: 10 s for the header, 10.5 s for so few pixels, and a margin."""

MOST_SERVER_SECONDS = 3.0
"""The limit in processor time for one step of the work on a photo's bytes that a server does itself.

The worst blocks of 1 MB take a second, when EXIF is shortened for a JPEG.
"""

_OUTPUTS = (("jpeg", "keep"), ("jpeg", "no-location"), ("tiff", "no-location"), ("webp", "keep"))
_MOST_PIXELS = 1_000_000
_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class ReaderFault(AssertionError):
    """The reader returned neither an image nor an error message of one sentence, or the server's work failed.

    Also raised if either took too long.
    """


@cache
def originals() -> Mapping[str, bytes]:
    """Return a small undamaged file of each format."""
    photo = Image.fromarray(skimage.data.astronaut()[100:164, 180:276]).resize((24, 18))
    clear = photo.copy()
    clear.putalpha(photo.convert("L"))
    deep = np.asarray(photo).astype(np.uint16) * 257
    tile = np.asarray(photo.resize((32, 16)))
    about = {"exif": b"Exif\0\0" + exif_block(6), "icc_profile": rgb_profile()}
    heic = io.BytesIO()
    pillow_heif.from_pillow(photo.resize((64, 48))).save(heic)
    return {
        "jpeg": encode(photo, "JPEG"),
        "progressive-jpeg": encode(photo, "JPEG", progressive=True, **about),
        "png": encode(clear, "PNG", **about),
        "deep-png": png(deep, 2),
        "palette-png": encode(photo.quantize(40), "PNG", transparency=3),
        "interlaced-png": _interlace(np.asarray(photo)),
        "webp": encode(clear, "WEBP", **about),
        "lossless-webp": encode(photo, "WEBP", lossless=True),
        "lzw-tiff": encode(photo, "TIFF", compression="tiff_lzw"),
        "deflate-tiff": encode(clear, "TIFF", compression="tiff_adobe_deflate"),
        "wide-png": flat_png(MAX_SIDE, 1),
        "tall-png": flat_png(2, MAX_SIDE),
        "tiled-tiff": tiff(tile, tile=(16, 32)),
        "deep-tiff": tiff(deep),
        "raw": camera_raw(np.asarray(photo.resize((64, 48)))),
        "bmp": encode(photo, "BMP"),
        "gif": encode(photo, "GIF", save_all=True, append_images=[photo.rotate(90)]),
        "heic": heic.getvalue(),
        "avif": encode(photo, "AVIF", **about),
        "gain-map": ultra_hdr(np.asarray(photo)),
        "heic-gain-map": apple_heic(
            np.asarray(photo.resize((128, 96))),
            np.asarray(photo.resize((64, 48)).convert("L")),
            exif_block(6),
            packet(APPLE + b' HDRGainMap:HDRGainMapHeadroom="4"'),
        ),
        "extended-xmp": photos_with_metadata.extended_jpeg(),
        **_jpeg_xl(clear, deep),
        **{
            f"metadata-{kind.lower()}": photos_with_metadata.photo_with_metadata(kind)
            for kind in ("JPEG", "PNG", "WEBP", "TIFF")
        },
    }


def _jpeg_xl(clear: Image.Image, deep: np.ndarray) -> dict[str, bytes]:
    """Return a JPEG XL with and one without loss, if pyjpegxl is installed."""
    if not is_available():
        return {}
    metadata = Metadata(exif_block(6), photos_with_metadata.XMP)
    return {
        "jxl": b"".join(encode_jxl(np.asarray(clear), 80, None, metadata, b"")),
        "lossless-jxl": b"".join(encode_jxl(deep, 100, rgb_profile(), metadata, b"")),
    }


@cache
def bombs() -> Mapping[str, bytes]:
    """Return photos whose metadata expand to 16 MB, which a damage would only make harmless."""
    return {
        "exif-bomb": flat_photo(packed_exif(overlapping_exif(15_000_000, 60_000))),
        "xmp-bomb": flat_photo(packed_xmp(located_xmp(16 << 20))),
    }


RANDOM: Mapping[str, Callable[[Generator], bytes]] = {
    "random-exif": lambda random: flat_photo(make_chunk(b"eXIf", random_exif(random))),
    "random-xmp": lambda random: flat_photo(packed_xmp(random_xmp(random))),
}
"""Kinds of files without an original."""


def damage(kind: str, random: Generator) -> bytes:
    """Return the original of this kind with one to three damages. The checksums of a PNG are often corrected."""
    if kind in RANDOM:
        return RANDOM[kind](random)
    data = bytearray(originals()[kind])
    for place in random.integers(0, len(_DAMAGES), random.integers(1, 4)):
        _DAMAGES[place](data, random)
    if kind.endswith("png") and random.random() < 0.5:
        _correct_checksums(data)
    return bytes(data)


def read_file(path: Path) -> str:
    """Read a file and return "image" or the key of the error. Raises ReaderFault."""
    begun = time.perf_counter()
    try:
        facts = inspect(path, max_pixels=_MOST_PIXELS)
        image = read_image(path, max_pixels=_MOST_PIXELS)
        _ = image.noise, image.softness
        packed = [b"".join(metadata_chunks(one)) for one in image.variants.values()]
        encode_gain_map(image, (2 * image.height, 2 * image.width))
        with TemporaryDirectory() as folder:
            for step, seconds in _serve(path, image, Path(folder)):
                if seconds > MOST_SERVER_SECONDS:
                    raise ReaderFault(f"{step} took {seconds:.1f} s of the server")
    except ReaderFault:
        raise
    except PictureError as error:
        end = error.key
        english, chinese = error.message("en"), error.message("zh-CN")
        if not (path.name in english and english.endswith(".") and "\n" not in english + chinese):
            raise ReaderFault(f"rejected with {english!r}") from error
    except Exception as error:
        raise ReaderFault(f"raised {error!r}") from error
    else:
        end = "image"
        shape = (facts.height, facts.width, 3)
        if image.rgb.shape != shape or image.rgb.dtype.name != f"uint{facts.bits}":
            raise ReaderFault(f"header {shape}, {facts.bits} bits, pixels {image.rgb.shape}, {image.rgb.dtype}")
        if image.variants["no-location"].has_location or len(packed[2]) > 21:
            raise ReaderFault("its metadata contains what was removed")
    seconds = time.perf_counter() - begun
    if seconds > MOST_SECONDS:
        raise ReaderFault(f"took {seconds:.1f} s")
    return end


def _serve(path: Path, image: SourceImage, folder: Path) -> Iterator[tuple[str, float]]:
    """Do all that a server does itself with a photo's file, metadata and profile; yield steps and their processor time.

    The result has only a few of the pixels.
    """
    begun = time.thread_time()

    def took() -> float:
        nonlocal begun
        seconds = time.thread_time() - begun
        begun += seconds
        return seconds

    origin_of(path)
    pixels = image.rgb[:8, :8, :1] if image.grey else image.rgb[:8, :8]
    profile_name(image.icc)
    srgb_image(pixels, image.icc)
    yield "the profile", took()
    if image.metadata == image.variants["none"] and not image.gain_map:
        return
    metadata = image.metadata.with_size(4 * image.width, 4 * image.height)
    yield "the size", took()
    metadata = metadata.with_resolution(300)
    yield "the resolution", took()
    xmp = with_source_type(metadata.xmp, label_of(metadata.xmp, generated=False))
    with_source_type(xmp, label_of(xmp, generated=True))
    yield "the label", took()
    gain_map = encode_gain_map(image, (image.height, image.width))
    png = finished_png(folder / "result.png", pixels, image.icc, replace(metadata, xmp=xmp), gain_map)
    yield "the result", took()
    for name, choice in _OUTPUTS:
        encoding = Encoding(name, metadata=choice)
        notes_of(png, encoding)
        yield f"the notes of {encoding}", took()
        export(png, folder / f"file{encoding.file_format.ending}", encoding)
        yield f"the file {encoding}", took()


def _cut(data: bytearray, random: Generator) -> None:
    del data[random.integers(1, max(len(data), 2)) :]


def _flip(data: bytearray, random: Generator) -> None:
    for place in random.integers(0, len(data), random.integers(1, 6)):
        data[place] ^= 1 << int(random.integers(8))


def _swap(data: bytearray, random: Generator) -> None:
    """Swap two blocks, or copy one over the other."""
    size = int(random.integers(1, 65))
    first, second = (int(place) for place in random.integers(0, len(data), 2))
    one, other = data[first : first + size], data[second : second + size]
    data[first : first + size] = other
    if random.random() < 0.7:
        data[second : second + size] = one


def _forge_number(data: bytearray, random: Generator) -> None:
    """Write a number of two or four bytes where a length could be, more often near the beginning."""
    form = str(random.choice(["<H", ">H", "<I", ">I"]))
    end = len(data) if random.random() < 0.5 else min(len(data), 400)
    place = int(random.integers(0, end))
    number = int(random.choice(_NUMBERS)) if random.random() < 0.7 else int(random.integers(2 * len(data) + 1))
    forged = struct.pack(form, number & (0xFFFF if form.endswith("H") else 0xFFFFFFFF))
    data[place : place + len(forged)] = forged


_DAMAGES: tuple[Callable[[bytearray, Generator], None], ...] = (_cut, _flip, _swap, _forge_number)


def _correct_checksums(data: bytearray) -> None:
    """Correct the checksum of each chunk of a PNG, so that damage is not only detected by checksums."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big") if end + 4 <= len(data) else b""
        place = end + 4


def _interlace(values: np.ndarray) -> bytes:
    """Return an RGB PNG in the seven passes of Adam7 (PNG specification, 8.2), unfiltered."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, across in passes for row in values[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return SIGNATURE + b"".join(make_chunk(*chunk) for chunk in chunks)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {read_file(Path(name))}\n")
