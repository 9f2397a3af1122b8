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
from enhance.images import inspect_image, read_image
from enhance.images.decode import facts_of
from enhance.metadata.png_chunks import SIGNATURE, make_chunk
from tests.unit.image_files import COMPRESSION, encode, png, tiff, with_tags

# pytest shows the warnings that the program itself hides
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PHOTO = Image.fromarray(skimage.data.astronaut()[100:164, 180:276])
JPEG, PROGRESSIVE = encode(PHOTO, "JPEG"), encode(PHOTO, "JPEG", progressive=True)
PIXEL, DEEP = np.zeros((1, 1, 3), np.uint8), np.zeros((3, 4, 3), np.uint16)
SIDE = 60_000


def error_key(path: Path, **limits: Any) -> str:
    """Return the key of the error message for the file, and check its form."""
    with pytest.raises(PictureError) as caught:
        read_image(path, **limits)
    english, chinese = str(caught.value), caught.value.message("zh-CN")
    assert path.name in english
    assert path.name in chinese
    assert "\n" not in english
    return caught.value.key


def write_file(tmp_path: Path, data: bytes, name: str = "photo.png") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + b"".join(
        make_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b""))
    )


def sized_jpeg(side: int) -> bytes:
    """Return a JPEG that declares another size."""
    start = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:start] + struct.pack(">HH", side, side) + JPEG[start + 4 :]


def sized_gif(side: int) -> bytes:
    data = encode(PHOTO.resize((4, 4)), "GIF")
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


def sized_tiff(values: np.ndarray, side: int, compression: int = 1) -> bytes:
    return with_tags(tiff(values), {256: side, 257: side, COMPRESSION: compression})


def with_scans(count: int) -> bytes:
    first = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:first] + PROGRESSIVE[first:-2] * count + b"\xff\xd9"


def with_padding(fill: bytes, count: int) -> bytes:
    """Return a JPEG with bytes or segments behind its first segment."""
    end = 4 + int.from_bytes(JPEG[4:6], "big")
    return JPEG[:end] + fill * count + JPEG[end:]


CANVAS = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (SIDE - 1).to_bytes(3, "little")
BOMBS = {
    "PNG": png_header(SIDE, SIDE),
    "JPEG": sized_jpeg(SIDE),
    "GIF": sized_gif(SIDE),
    "WebP": b"RIFF" + struct.pack("<I", len(CANVAS)) + CANVAS,
    "TIFF": sized_tiff(PIXEL, SIDE),
    "deep TIFF": sized_tiff(DEEP[:1, :1], SIDE),
}
"""Small files that declare 60,000 x 60,000 px."""

UNKNOWN = [
    b"MZ\x90\0" + bytes(200),
    b"%PDF-1.7 " + bytes(200),
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"BMW is a car, not a bitmap, whatever its name says." * 2,
    b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41" + bytes(100),
    encode(PHOTO, "PPM"),
    b"x",
]
PADDING = [(b"\xff", 20_000_000), (b"\0", 20_000_000), (b"\xff\xe5\0\2", 5_000_000)]
FLIPPED = bytearray(encode(PHOTO, "PNG"))
FLIPPED[len(FLIPPED) // 2] ^= 0xFF
REJECTED = [
    (b"", "image_empty"),
    *((data, "image_unknown_format") for data in UNKNOWN),
    (bytes(FLIPPED), "image_damaged"),
    (png_header(0, 10), "image_no_pixels"),
    *((data, "image_too_many_pixels") for data in BOMBS.values()),
    (sized_jpeg(9999), "image_too_few_bytes"),
    (sized_gif(9999), "image_too_few_bytes"),
    (sized_tiff(PIXEL, 9999), "image_too_few_bytes"),
    (sized_tiff(DEEP[:1, :1], 9999, 5), "image_too_few_bytes"),
    (with_scans(10_000), "image_many_scans"),
    *((with_padding(fill, count), "image_padding") for fill, count in PADDING),
    *(
        (tiff(np.array([[0, high]], np.float32), 1), "image_numbers_unclear")
        for high in (255, np.nan)
    ),
    (tiff(DEEP.transpose(2, 0, 1), planarconfig="separate"), "image_rare_tiff"),
    (tiff(DEEP[..., :2], 1, extrasamples=[2], planarconfig="contig"), "image_rare_tiff"),
    *(
        (tiff(DEEP.astype(kind)), "image_rare_tiff")
        for kind in (np.float16, np.float64, np.int16, np.uint32)
    ),
    (tiff(DEEP, subfiletype=1), "image_camera_raw"),
]
"""Files, and the keys of their errors."""


@pytest.mark.parametrize(
    ("data", "key"), REJECTED, ids=lambda value: value if isinstance(value, str) else "file"
)
def test_unusable_files_are_rejected_with_their_error(tmp_path: Path, data: bytes, key: str):
    assert error_key(write_file(tmp_path, data)) == key


def test_folders_pipes_and_missing_files_are_rejected(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert error_key(tmp_path) == "image_folder"
    assert error_key(tmp_path / "pipe") == "image_no_file"
    assert error_key(tmp_path / "nothing.jpg") == "image_missing"
    with pytest.raises(PictureError, match="does not exist"):
        inspect_image(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(
    "data",
    [
        *(encode(PHOTO, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "AVIF", "TIFF", "GIF")),
        PROGRESSIVE,
        encode(PHOTO, "PNG", compress_level=0),
    ],
)
def test_truncated_file_is_rejected(tmp_path: Path, data: bytes):
    one_missing = [len(data) - 1] if data.startswith((b"\xff\xd8", SIGNATURE)) else []
    for keep in (*one_missing, len(data) - 200, len(data) // 2, len(data) // 4, 40):
        key = error_key(write_file(tmp_path, data[:keep]))
        assert key in ("image_incomplete", "image_damaged", "image_too_few_bytes")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_damage_after_the_first_strip_is_one_error_and_the_next_image_is_read(tmp_path: Path):
    noise = np.random.default_rng(1).integers(0, 256, (1400, 1000, 3), dtype=np.uint8)
    data = png(noise)
    whole = write_file(tmp_path, data, "whole.png")
    cut = data[: data.index(b"IDAT", len(data) // 2) - 4] + make_chunk(b"IEND", b"")
    assert error_key(write_file(tmp_path, cut)) == "image_incomplete"
    assert np.array_equal(read_image(whole).rgb, noise)


def test_limits_of_pixels_and_bytes(tmp_path: Path):
    path = write_file(tmp_path, encode(PHOTO, "BMP"))
    for limit in (None, 96 * 64):
        assert read_image(path, max_pixels=limit).width == 96
    assert error_key(path, max_pixels=96 * 64 - 1) == "image_too_many_pixels"
    with pytest.raises(PictureError, match="96 × 64 px"):
        inspect_image(path, max_pixels=100)
    assert error_key(path, max_bytes=1000) == "image_too_many_bytes"
    os.truncate(path, 10_000_000_000)  # a sparse file, which needs no disk space
    assert error_key(path) == "image_too_many_bytes"


def test_header_of_a_large_file_is_read_without_its_pixels(tmp_path: Path):
    path = write_file(tmp_path, tiff(DEEP))
    os.truncate(path, 3_000_000_000)
    started = time.process_time()
    assert facts_of(path, 100, 1 << 40).bits == 16
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("kind", BOMBS)
def test_decompression_bombs_take_no_memory(tmp_path: Path, kind: str):
    path = write_file(tmp_path, BOMBS[kind])
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=r"60,000 × 60,000 px \(3,600 MP\)"):
            facts_of(path, 100_000_000, None)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


FLAT = Image.new("L", (1500, 1500), 128)


@pytest.mark.parametrize(
    "data",
    [
        encode(FLAT, "JPEG", quality=1, optimize=True),
        encode(FLAT, "JPEG", quality=1, progressive=True),
        encode(FLAT, "GIF"),
        encode(FLAT, "WEBP", lossless=True),
        encode(FLAT, "TIFF", compression="tiff_lzw"),
        encode(FLAT, "PNG"),
        with_scans(80),
        PROGRESSIVE + b"\xff\xda\0\2" * 500,
        *(with_padding(fill, 1000) for fill, _ in PADDING),
    ],
)
def test_unusual_but_real_files_are_read(tmp_path: Path, data: bytes):
    assert read_image(write_file(tmp_path, data)).width in (96, 1500)


def test_libraries_do_not_write_to_the_terminal(tmp_path: Path):
    odd_exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\x20\0\0\0\0\0\0\0"
    jpeg = write_file(tmp_path, encode(PHOTO, "JPEG", exif=odd_exif), "odd.jpg")
    deep = write_file(tmp_path, with_tags(tiff(DEEP), {279: 5_000_000}), "short.tif")
    program = (
        "import sys\nfrom enhance.errors import PictureError\nfrom enhance.images import "
        "inspect_image, read_image\n"
        "for path in sys.argv[1:]:\n    for reader in (inspect_image, read_image):\n"
        "        try: reader(path)\n        except PictureError: pass\n"
    )
    command = [sys.executable, "-W", "always", "-c", program, jpeg, deep]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
