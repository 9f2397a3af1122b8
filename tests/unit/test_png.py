"""The PNG writer and reader: other programs read every pixel, rows come back, and files are written
atomically."""

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError
from enhance.formats.png import PngHeader, create_png, encode_png
from enhance.formats.png_reader import PngReader, read_region
from enhance.images import Box, read_image
from enhance.metadata import Metadata
from enhance.metadata.png_chunks import END
from enhance.size import Size
from tests.unit.image_files import encode, exif_block, finished_png, grey_profile, rgb_profile
from tests.unit.photos_with_metadata import IPTC, XMP

PHOTO = skimage.data.astronaut()[:131, :97]
TEXTS = (("Comment", "x"), ("Comment", "李"))
METADATA = Metadata(exif_block(1), XMP, IPTC, TEXTS, (300.0, 240.0)).upright()


def values(size, channels, dtype):
    """Return noise, [H, W, C]."""
    return np.random.default_rng(11).integers(0, 200, (*size, channels)).astype(dtype)


def write(path, rows):
    with create_png(path, PngHeader(Size(97, 131), 3)) as writer:
        for first in range(0, len(rows), 7):
            writer.write(rows[first : first + 7])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_another_program_and_the_reader_read_every_pixel(tmp_path, size, channels, dtype):
    array = values(size, channels, dtype)
    path = finished_png(tmp_path / "out.png", array)
    assert np.array_equal(imagecodecs.imread(path).reshape(array.shape), array)
    with PngReader(path) as reader:
        assert reader.size.shape == size
        assert (reader.channels, reader.bits) == (channels, array.itemsize * 8)
        parts = [reader.rows(first, min(first + 13, size[0])) for first in range(0, size[0], 13)]
    assert parts[0].dtype == dtype
    assert np.array_equal(np.concatenate(parts), array)


@pytest.mark.parametrize(
    ("channels", "dtype", "profile"),
    [(1, "uint16", grey_profile()), (4, "uint8", rgb_profile())],
    ids=["grey", "colour"],
)
def test_profile_and_metadata_are_read_back(tmp_path, channels, dtype, profile):
    path = finished_png(tmp_path / "out.png", values((41, 29), channels, dtype), profile, METADATA)
    image = read_image(path)
    with PngReader(path) as reader:
        assert reader.icc == image.icc == profile
        assert reader.variants["keep"] == image.metadata
    assert image.metadata.dpi == pytest.approx(METADATA.dpi, abs=0.01)
    assert replace(image.metadata, dpi=METADATA.dpi) == METADATA


def test_a_region_is_read_without_the_rows_above_it(tmp_path):
    array = values((2600, 1000), 3, "uint8")
    path = finished_png(tmp_path / "out.png", array)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 100] ^= 0xFF  # The first rows are damaged.
    path.write_bytes(content)
    with PngReader(path) as reader:
        region = read_region(reader.rows, Box(300, 2450, 301, 99))
        averages = read_region(reader.rows, Box(8, 2200, 640, 304), 8)
    assert np.array_equal(region, array[2450:2549, 300:601])
    mean = array[2200:2504, 8:648].reshape(38, 8, 80, 8, 3).mean((1, 3))
    assert np.abs(averages - mean).max() <= 0.5


@pytest.mark.parametrize(
    "rows",
    [PHOTO[:60], PHOTO[:, :50], PHOTO.astype(np.uint16), np.vstack([PHOTO, PHOTO])],
    ids=["rows are missing", "too narrow", "16 bits", "too many rows"],
)
def test_missing_or_other_rows_leave_the_old_file(tmp_path, rows):
    path = tmp_path / "out.png"
    path.write_bytes(b"the old one")
    with pytest.raises(ValueError):  # noqa: PT011
        write(path, rows)
    assert path.read_bytes() == b"the old one"
    assert [*tmp_path.iterdir()] == [path]


CONTENT = encode_png(PHOTO)
ROW = encode_png(PHOTO[:1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        CONTENT[: len(CONTENT) // 2],
        ROW.replace(ROW[100:140], bytes(40)),
        encode(Image.fromarray(PHOTO), "PNG", optimize=True),  # It has other filters.
        b"".join([*PngHeader(Size(97, 0), 3).head(), END]),
        b"".join([*PngHeader(Size(2_000_000, 0xFFFFFFFF), 3).head(), END]),
    ],
    ids=["empty", "cut", "damaged", "foreign", "no rows", "too many rows"],
)
def test_a_damaged_or_foreign_result_raises_an_error(tmp_path, content):
    path = tmp_path / "result.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"result\.png"), PngReader(path) as reader:
        reader.rows(0, reader.size.height)
