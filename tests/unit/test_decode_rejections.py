"""Rejected files and their error messages."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFile

from enhance.errors import PictureError
from enhance.images import read_image
from enhance.metadata.png_chunks import SIGNATURE, make_chunk
from tests.unit.image_files import encode, png, tiff, with_tags

# pytest shows the warnings that the program itself hides
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PHOTO = Image.fromarray(skimage.data.astronaut()[100:164, 180:276])
JPEG = encode(PHOTO, "JPEG")
DEEP = np.zeros((3, 4, 3), np.uint16)
FLAT = Image.new("L", (1500, 1500), 128)
SIDE = 60_000


@pytest.fixture
def error_of(tmp_path):
    """A function that returns the key of the error message for a file, and checks its form."""

    def reading(content, **limits):
        path = content
        if isinstance(content, bytes):
            path = tmp_path / "photo.png"
            path.write_bytes(content)
        with pytest.raises(PictureError, match=path.name) as caught:
            read_image(path, **limits)
        assert path.name in caught.value.message("zh-CN")
        assert "\n" not in str(caught.value)
        return caught.value.key

    return reading


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = make_chunk(b"IHDR", header) + make_chunk(b"IDAT", b"") + make_chunk(b"IEND", b"")
    return SIGNATURE + chunks


def sized_jpeg(side):
    """Return a JPEG that declares another size."""
    start = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:start] + struct.pack(">HH", side, side) + JPEG[start + 4 :]


def sized_gif(side):
    return b"GIF89a" + struct.pack("<HH", side, side) + encode(PHOTO, "GIF")[10:]


def sized_tiff(side):
    return with_tags(tiff(np.zeros((1, 1, 3), np.uint8)), {256: side, 257: side})


BOMBS = [
    png_header(SIDE, SIDE),
    sized_jpeg(SIDE),
    sized_gif(SIDE),
    sized_tiff(SIDE),
]
"""Small files that declare 60,000 x 60,000 px."""

FLIPPED = bytearray(encode(PHOTO, "PNG"))
FLIPPED[len(FLIPPED) // 2] ^= 0xFF
REJECTED = {
    "image_empty": [b""],
    "image_unknown_format": [
        b"%PDF-1.7 " + bytes(200),
        b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41" + bytes(100),
        encode(PHOTO, "PPM"),
    ],
    "image_damaged": [bytes(FLIPPED)],
    "image_no_pixels": [png_header(0, 10)],
    "image_too_many_pixels": BOMBS,
    "image_rare_tiff": [
        tiff(DEEP.transpose(2, 0, 1), planarconfig="separate"),
        tiff(DEEP.astype("float64")),
        tiff(DEEP[..., 0], 0),
        tiff(DEEP.astype("float32")),
        tiff(np.zeros((3, 4, 4), np.uint16), extrasamples=[1]),
    ],
    "image_camera_raw": [tiff(DEEP, subfiletype=1)],
}
"""Files by the keys of their errors."""


@pytest.mark.parametrize("key", REJECTED)
def test_unusable_files_are_rejected_with_their_error(error_of, key):
    for content in REJECTED[key]:
        assert error_of(content) == key


def test_folders_pipes_and_missing_files_are_rejected(tmp_path, error_of):
    os.mkfifo(tmp_path / "pipe")
    assert error_of(tmp_path) == "image_folder"
    assert error_of(tmp_path / "pipe") == "image_no_file"
    assert error_of(tmp_path / "nothing.jpg") == "image_missing"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "AVIF", "TIFF", "GIF"])
def test_truncated_file_is_rejected(error_of, kind):
    content = encode(PHOTO, kind)
    for length in (len(content) - 200, 40):
        key = error_of(content[:length])
        assert key in ("image_incomplete", "image_damaged")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_damage_after_the_first_strip_is_one_error_and_the_next_image_is_read(tmp_path, error_of):
    noise = np.random.default_rng(1).integers(0, 256, (1400, 1000, 3), dtype=np.uint8)
    content = png(noise)
    cut = content.index(b"IDAT", len(content) // 2) - 4
    assert error_of(content[:cut] + make_chunk(b"IEND", b"")) == "image_incomplete"
    (tmp_path / "whole.png").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "whole.png").rgb, noise)


def test_limits_of_pixels_and_bytes(tmp_path, error_of):
    path = tmp_path / "photo.bmp"
    PHOTO.save(path)
    assert read_image(path, max_pixels=96 * 64).width == 96
    assert error_of(path, max_pixels=96 * 64 - 1) == "image_too_many_pixels"
    assert error_of(path, max_bytes=1000) == "image_too_many_bytes"
    os.truncate(path, 10_000_000_000)  # a sparse file, which needs no disk space
    assert error_of(path) == "image_too_many_bytes"


@pytest.mark.parametrize(
    "content",
    [
        encode(FLAT, "JPEG", quality=1, optimize=True),
        encode(FLAT, "JPEG", quality=1, progressive=True),
        encode(FLAT, "GIF"),
        encode(FLAT, "TIFF", compression="tiff_lzw"),
    ],
    ids=len,
)
def test_unusual_but_real_files_are_read(tmp_path, content):
    (tmp_path / "photo").write_bytes(content)
    assert read_image(tmp_path / "photo").width == 1500


READ = """
import sys
from enhance.images import inspect_image, read_image

for path in sys.argv[1:]:
    inspect_image(path)
    read_image(path)
"""


def test_libraries_do_not_write_to_the_terminal(tmp_path):
    odd_exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\x20\0\0\0\0\0\0\0"
    odd = tmp_path / "odd.jpg"
    odd.write_bytes(encode(PHOTO, "JPEG", exif=odd_exif))
    command = [sys.executable, "-W", "always", "-c", READ, odd]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
