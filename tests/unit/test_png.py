"""The PNG writer and reader: other programs read every pixel, rows come back, and files are written
atomically."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError, StorageError
from enhance.formats.png import PngHeader, PngWriter, create_png, encode_png
from enhance.formats.png_reader import PngReader, read_region
from enhance.images import Box, read_image
from enhance.metadata import Metadata
from enhance.metadata.png_chunks import scan_chunks
from tests.unit.image_files import encode, exif_block, grey_profile, rgb_profile

RANDOM = np.random.default_rng(11)
PHOTO = skimage.data.astronaut()[:131, :97]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
IPTC = b"\x1c\2\x78\0\5words"
METADATA = Metadata(exif_block(1), XMP, IPTC, (("Comment", "x"), ("Comment", "李")), (300.0, 240.0))


def values(height: int, width: int, channels: int, bits: int) -> np.ndarray:
    """Return a gradient with noise, [H, W, C]."""
    slope = (
        np.add.outer(np.arange(height), np.arange(width))[..., None]
        * np.array([90, 70, 50, 30])[:channels]
    )
    noisy = slope + RANDOM.integers(0, 200, (height, width, channels))
    return noisy.astype(np.uint16) if bits == 16 else (noisy >> 8).astype(np.uint8)


def write(path: Path, array: np.ndarray, step: int = 7, **options) -> PngWriter:
    """Write an array in strips of `step` rows."""
    height, width, channels = array.shape
    with create_png(
        path, PngHeader(width, height, channels, array.dtype.itemsize * 8, **options)
    ) as writer:
        for top in range(0, height, step):
            writer.write(array[top : top + step])
    return writer


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_opencv_and_the_reader_read_every_pixel(
    tmp_path, size: tuple[int, int], channels: int, bits: int
):
    array, path = values(*size, channels, bits), tmp_path / "out.png"
    write(path, array)
    got = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert got is not None
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(got.reshape(*size, -1), array[..., order])
    with PngReader(path) as reader:
        assert (reader.size, reader.channels, reader.bits) == (size, channels, bits)
        parts = [reader.rows(first, min(first + 13, size[0])) for first in range(0, size[0], 13)]
    assert parts[0].dtype == array.dtype
    assert np.array_equal(np.concatenate(parts), array)


@pytest.mark.parametrize(
    ("channels", "bits", "profile"), [(1, 16, grey_profile()), (4, 8, rgb_profile())]
)
def test_pngcheck_finds_no_error_and_profile_and_metadata_are_read_back(
    tmp_path, channels, bits, profile
):
    path = tmp_path / "out.png"
    write(path, values(41, 29, channels, bits), icc=profile, metadata=METADATA)

    image = read_image(path)
    with PngReader(path) as reader:
        assert (reader.icc, reader.variants["keep"]) == (profile, image.metadata)
    assert image.icc == profile
    assert image.metadata.dpi == pytest.approx(METADATA.dpi, abs=0.01)
    assert replace(image.metadata, dpi=METADATA.dpi) == METADATA
    if shutil.which("pngcheck") is None:
        pytest.skip("pngcheck is not installed")
    done = subprocess.run(["pngcheck", "-v", str(path)], capture_output=True, text=True, check=True)
    assert "No errors detected" in done.stdout


@pytest.mark.parametrize(("channels", "bits"), [(3, 8), (4, 16)])
def test_a_region_is_read_without_the_rows_above_it(tmp_path, channels, bits):
    array, path = values(2600, 1000, channels, bits), tmp_path / "out.png"
    write(path, array, step=700)
    with path.open("rb") as file:
        first, *others = (chunk for chunk in scan_chunks(file) if chunk.kind == b"IDAT")
    assert others
    data = bytearray(path.read_bytes())
    data[first.start + 100 : first.start + 200] = bytes(100)  # The first rows are damaged.
    path.write_bytes(data)
    with PngReader(path) as reader:
        assert np.array_equal(
            read_region(reader.rows, Box(300, 2450, 301, 99)), array[2450:2549, 300:601]
        )
        averages = read_region(reader.rows, Box(8, 2200, 640, 301), 8)
    assert averages.shape == (38, 80, channels)
    mean = array[2200:2496, 8:648].reshape(37, 8, 80, 8, channels).mean((1, 3))
    assert np.abs(averages[:37].astype(float) - mean).max() <= 0.5


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (PHOTO[:60], RuntimeError("stop")),
        (PHOTO[:60], None),  # Rows are missing.
        (PHOTO[:, :50], None),
        (PHOTO.astype(np.uint16), None),
        (np.vstack([PHOTO, PHOTO]), None),
    ],
)
def test_an_exception_and_missing_or_other_rows_leave_the_old_file(tmp_path, rows, problem):
    path = tmp_path / "out.png"
    path.write_bytes(b"the old one")
    raised = pytest.raises(type(problem) if problem else ValueError)
    with raised, create_png(path, PngHeader(97, 131, 3)) as writer:
        writer.write(rows)
        if problem:
            raise problem
    assert path.read_bytes() == b"the old one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_raises_an_error_and_leaves_nothing(tmp_path, full_disk):
    with pytest.raises(StorageError, match="Not enough disk space"):
        write(tmp_path / "out.png", values(500, 1600, 3, 8))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("damage", ["missing", "header", "cut", "middle", "foreign"])
def test_a_damaged_or_foreign_result_raises_an_error(tmp_path, damage):
    path = tmp_path / "result.png"
    content = encode_png(PHOTO)
    contents = {
        "header": content[:20],
        "cut": content[: len(content) // 2],
        "middle": content[:5000] + bytes(400) + content[5400:],
        "foreign": encode(Image.fromarray(PHOTO), "PNG", optimize=True),  # It has other filters.
    }
    if damage in contents:
        path.write_bytes(contents[damage])

    with pytest.raises(PictureError, match=r"result\.png"), PngReader(path) as reader:
        reader.rows(0, reader.size[0])
