"""Damaged image files of every format, and how the reader handles them: `python -m tests.fuzz
FILE...`"""

import re
import sys
import time
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import skimage.data
from PIL import Image

from enhance.errors import PictureError
from enhance.formats.encoding import FORMATS, Encoding, export, notes_of
from enhance.formats.thumbnails import srgb_image
from enhance.images import inspect_image, read_image
from enhance.images.limits import MAX_SIDE
from enhance.metadata import Metadata
from enhance.metadata.png_chunks import SIGNATURE
from enhance.metadata.provenance import origin_of
from enhance.metadata.source_type import label_of, with_source_type
from enhance.restore.result import encode_gain_map
from tests.unit.gain_map_files import ultra_hdr
from tests.unit.image_files import (
    FILES,
    camera_raw,
    encode,
    finished_png,
    png,
    tiff,
)

MOST_SECONDS = 25.0
"""The limit for reading a file: 10 s for the header, 10.5 s for so few pixels, and a margin."""

MOST_SERVER_SECONDS = 6.0
"""The limit in processor time for the work on a photo's bytes that a server does itself.

The worst blocks of 1 MB take a second, when EXIF is shortened for a JPEG.
"""

_OUTPUTS = (("jpeg", "keep"), ("tiff", "no-location"))
_MOST_PIXELS = 1_000_000
_NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@cache
def originals():
    """Return a small undamaged file of each format."""
    photo = Image.fromarray(skimage.data.astronaut()[100:118, 180:204])
    deep = np.asarray(photo).astype(np.uint16) * 257
    files = {
        "progressive-jpeg": encode(photo, "JPEG", progressive=True),
        "deep-png": png(deep),
        "palette-png": encode(photo.quantize(40), "PNG", transparency=3),
        "wide-png": encode(Image.new("1", (MAX_SIDE, 1)), "PNG"),
        "lossless-webp": encode(photo, "WEBP", lossless=True),
        "lzw-tiff": encode(photo, "TIFF", compression="tiff_lzw"),
        "deep-tiff": tiff(deep),
        "raw": camera_raw(),
        "gain-map": ultra_hdr(np.asarray(photo)),
        "extended-xmp": (FILES / "extended.jpeg").read_bytes(),
    }
    for path in FILES.glob("photo.*"):
        if path.suffix not in (".xmp", ".iptc"):
            files[path.suffix[1:]] = path.read_bytes()
    if not FORMATS["jxl"].is_available():
        del files["jxl"]
    return files


def damage(kind, random):
    """Return the original of this kind with one to three damages. The checksums of a PNG are often
    corrected."""
    data = bytearray(originals()[kind])
    for _ in range(random.integers(1, 4)):
        _DAMAGES[random.integers(3)](data, random)
    if kind.endswith("png") and random.random() < 0.5:
        _correct_checksums(data)
    return bytes(data)


def read_file(path):
    """Read a file and return "image" or the key of the error, which is a sentence with the file's
    name.

    Raises any other error of the reader, and AssertionError if the work of a reader or of a server
    fails or takes too long.
    """
    begun = time.perf_counter()
    try:
        facts = inspect_image(path, max_pixels=_MOST_PIXELS)
        image = read_image(path, max_pixels=_MOST_PIXELS)
    except PictureError as error:
        end = error.key
        message = str(error)
        assert re.fullmatch(rf".*{re.escape(path.name)}.*\.", message)
    else:
        end = "image"
        assert image.rgb.shape == (facts.height, facts.width, 3)
        assert not image.variants["no-location"].has_location
        assert image.variants["none"] == Metadata(dpi=image.metadata.dpi)
        started = time.thread_time()
        with TemporaryDirectory() as folder:
            _serve(path, image, Path(folder))
        assert time.thread_time() - started < MOST_SERVER_SECONDS
    assert time.perf_counter() - begun < MOST_SECONDS
    return end


def _serve(path, image, folder):
    """Do all that a server does itself with a photo's file, metadata and profile.

    The result has only a few of the pixels.
    """
    origin_of(path)
    pixels = image.rgb[:8, :8, :1] if image.grey else image.rgb[:8, :8]
    srgb_image(pixels, image.icc)
    metadata = image.metadata.with_size(image.size.scale(4)).with_resolution(300)
    xmp = with_source_type(metadata.xmp, label_of(metadata.xmp, generated=False))
    gain_map = encode_gain_map(image, image.size)
    metadata = replace(metadata, xmp=xmp)
    png = finished_png(folder / "result.png", pixels, image.icc, metadata, gain_map)
    for name, choice in _OUTPUTS:
        encoding = Encoding(name, metadata=choice)
        notes_of(png, encoding)
        export(png, folder / name, encoding)


def _cut(data, random):
    del data[random.integers(1, max(len(data), 2)) :]


def _flip(data, random):
    for place in random.integers(0, len(data), random.integers(1, 6)):
        data[place] ^= 1 << int(random.integers(8))


def _forge_number(data, random):
    """Write a number where a length could be, more often near the beginning."""
    end = random.choice([len(data), min(len(data), 400)])
    place = random.integers(0, end)
    order = random.choice(["big", "little"])
    data[place : place + 4] = int(random.choice(_NUMBERS)).to_bytes(4, order)


_DAMAGES = (_cut, _flip, _forge_number)


def _correct_checksums(data):
    """Correct the checksum of each chunk of a PNG, so that damage is not only detected by
    checksums."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {read_file(Path(name))}\n")
