"""Rejected files and their error messages."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFile

from enhance.errors import PictureError
from enhance.images import inspect, read_image
from enhance.images.containers import SIGNATURE, make_chunk
from enhance.images.header import read_header
from tests.unit.image_files import encode, tiff, with_tags

# pytest shows the warnings that the program itself hides
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PHOTO = Image.fromarray(skimage.data.astronaut()[100:164, 180:276])


def error_message(path: Path, **limits: Any) -> str:
    """Return the error message for the file."""
    with pytest.raises(PictureError) as caught:
        read_image(path, **limits)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert path.name in caught.value.message("zh-CN")
    return message


def write_file(tmp_path: Path, data: bytes, name: str = "photo.png") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_missing_empty_and_special_files_are_rejected(tmp_path: Path):
    assert "does not exist" in error_message(tmp_path / "nothing.jpg")
    assert "is a folder" in error_message(tmp_path)
    assert "is empty" in error_message(write_file(tmp_path, b""))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in error_message(tmp_path / "pipe")
    with pytest.raises(PictureError, match="does not exist"):
        inspect(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(
    "data",
    [
        b"MZ\x90\0" + bytes(200),
        b"%PDF-1.7 " + bytes(200),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BMW is a car, not a bitmap, whatever its name says." * 2,
        b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41" + bytes(100),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        encode(PHOTO, "PPM"),
        encode(PHOTO, "ICO"),
        b"x",
    ],
)
def test_unknown_formats_are_rejected_whatever_the_name(tmp_path: Path, data: bytes):
    assert "has an unsupported format" in error_message(write_file(tmp_path, data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "AVIF", "TIFF", "GIF"])
def test_truncated_file_is_rejected(tmp_path: Path, kind: str):
    files = [encode(PHOTO, kind)]
    if kind in ("JPEG", "PNG"):
        files.append(encode(PHOTO, kind, **({"progressive": True} if kind == "JPEG" else {"compress_level": 0})))
    for data in files:
        one_missing = [len(data) - 1] if kind in ("JPEG", "PNG") else []
        for keep in (*one_missing, len(data) - 200, len(data) // 2, len(data) // 4, 40):
            assert "incomplete" in error_message(write_file(tmp_path, data[:keep]))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_flipped_byte_in_png_is_detected(tmp_path: Path):
    data = bytearray(encode(PHOTO, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert "damaged" in error_message(write_file(tmp_path, bytes(data)))


def test_pixel_limit(tmp_path: Path):
    path = write_file(tmp_path, encode(PHOTO, "JPEG"))
    message = error_message(path, max_pixels=96 * 64 - 1)
    assert "96 × 64 px" in message
    assert "ENHANCE_MAX_PIXELS" in message
    assert read_image(path, max_pixels=96 * 64).width == 96
    with pytest.raises(PictureError, match="The limit is"):
        inspect(path, max_pixels=100)
    assert read_image(path, max_pixels=None).width == 96


def test_byte_limit(tmp_path: Path):
    path = write_file(tmp_path, encode(PHOTO, "BMP"))
    message = error_message(path, max_bytes=1000)
    assert "MB. The limit is" in message
    assert "ENHANCE_MAX_BYTES" in message
    with path.open("ab") as file:
        file.truncate(10_000_000_000)  # a sparse file, which needs no disk space
    assert "ENHANCE_MAX_BYTES" in error_message(path)


def test_header_of_a_large_file_is_read_without_its_pixels(tmp_path: Path):
    path = write_file(tmp_path, tiff(np.zeros((8, 8, 3), np.uint16)), "photo.tif")
    with path.open("r+b") as file:
        file.truncate(3_000_000_000)
        started = time.process_time()
        assert read_header(file, max_pixels=100).bits == 16
    assert time.process_time() - started < 0.5


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + b"".join(make_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")))


def bombs() -> dict[str, bytes]:
    """Return small files that declare 60,000 x 60,000 px."""
    side, jpeg, gif = 60_000, bytearray(encode(PHOTO, "JPEG")), bytearray(encode(PHOTO, "GIF"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, side, side)
    struct.pack_into("<HH", gif, 6, side, side)
    canvas = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (side - 1).to_bytes(3, "little")
    pixel, sides = np.zeros((1, 1, 3), np.uint8), {256: side, 257: side}
    return {
        "PNG": png_header(side, side),
        "JPEG": bytes(jpeg),
        "GIF": bytes(gif),
        "WebP": b"RIFF" + struct.pack("<I", len(canvas)) + canvas,
        "TIFF": with_tags(tiff(pixel), sides),
        "deep TIFF": with_tags(tiff(pixel.astype(np.uint16)), sides),
    }


@pytest.mark.parametrize("kind", bombs())
def test_decompression_bomb_is_rejected_by_its_header(tmp_path: Path, kind: str):
    path = write_file(tmp_path, bombs()[kind])
    tracemalloc.start()
    try:
        assert "60,000 × 60,000 px (3,600 MP)" in error_message(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_zero_size_is_rejected(tmp_path: Path):
    assert "no pixels" in error_message(write_file(tmp_path, png_header(0, 10)))


def test_numbers_without_a_clear_white_are_rejected(tmp_path: Path):
    assert "from 0 to 255" in error_message(write_file(tmp_path, tiff(np.array([[0, 255]], np.float32), 1)))
    assert "instead of 0 to 1" in error_message(write_file(tmp_path, tiff(np.array([[0, np.nan]], np.float32), 1)))


def test_unsupported_tiffs_are_rejected(tmp_path: Path):
    values = np.zeros((3, 4, 3), np.uint16)
    planes = tiff(values.transpose(2, 0, 1), planarconfig="separate")
    grey_alpha = tiff(values[..., :2], 1, extrasamples=[2], planarconfig="contig")
    others = (tiff(values.astype(kind)) for kind in (np.float16, np.float64, np.int16, np.uint32))
    for data in (planes, grey_alpha, *others):
        assert "TIFF with" in error_message(write_file(tmp_path, data))
    assert "preview" in error_message(write_file(tmp_path, tiff(values, subfiletype=1)))


def test_libraries_do_not_write_to_the_terminal(tmp_path: Path):
    odd_exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\x20\0\0\0\0\0\0\0"
    jpeg = write_file(tmp_path, encode(PHOTO, "JPEG", exif=odd_exif), "odd.jpg")
    deep = write_file(tmp_path, with_tags(tiff(np.zeros((9, 9, 3), np.uint16)), {279: 5_000_000}), "short.tif")
    program = (
        "import sys\nfrom enhance.errors import PictureError\nfrom enhance.images import inspect, read_image\n"
        "for path in sys.argv[1:]:\n    for reader in (inspect, read_image):\n"
        "        try: reader(path)\n        except PictureError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, str(jpeg), str(deep)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
