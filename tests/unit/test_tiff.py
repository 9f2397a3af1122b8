"""TIFF results: what other programs read in them, and the memory for a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from enhance import Encoding
from enhance.images import Metadata, inspect, read_image
from enhance.output import tiff
from enhance.output.formats import export
from enhance.output.png import PngFormat, create_png
from enhance.output.provenance import Origin, origin_of
from tests.unit import photos_with_metadata
from tests.unit.image_files import grey_profile, rgb_profile
from tests.unit.test_image_memory import peak_of

OFFSETS = (0x8769, 0x8825, 273)
"""The tags of the EXIF directory, of the GPS directory and of the strips."""
ORIGIN = Origin("a" * 64, "b" * 64)


def profile_of(channels: int) -> bytes:
    return rgb_profile() if channels > 2 else grey_profile()


def export_tiff(folder: Path, values: np.ndarray, metadata: Metadata | None = None) -> Path:
    """Export a finished PNG of these pixels [H, W, C] as TIFF."""
    height, width, channels = values.shape
    form = PngFormat(width, height, channels, values.dtype.itemsize * 8, profile_of(channels), metadata or Metadata())
    with create_png(folder / "finished.png", form) as png:
        png.write(values)
        png.mark = ORIGIN.mark()
    export(folder / "finished.png", folder / "result.tif", Encoding("tiff"))
    return folder / "result.tif"


@pytest.mark.parametrize("is_big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_programs_read_the_pixels_and_the_profile(tmp_path, monkeypatch, channels, dtype, is_big):
    values = np.random.default_rng(3).integers(1, np.iinfo(dtype).max, (37, 50, channels), dtype, endpoint=True)
    monkeypatch.setattr("enhance.output.formats._STRIP_BYTES", 2000)  # Several strips, the last one is shorter.
    monkeypatch.setattr(tiff, "_CLASSIC_BYTES", 0 if is_big else 1 << 30)

    path = export_tiff(tmp_path, values)

    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == is_big
        assert np.array_equal(file.asarray().reshape(values.shape), values)
        assert file.series[0].keyframe.iccprofile == profile_of(channels)
    if channels == 3:
        by_opencv = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert by_opencv is not None
        assert np.array_equal(by_opencv[..., ::-1], values)
    if dtype == np.uint8:
        assert np.array_equal(np.asarray(Image.open(path)).reshape(values.shape), values)
    if channels != 2 or dtype == np.uint8:  # The reader supports no grey TIFF of 16 bits with transparency.
        image = read_image(path)
        colour = values[..., :3] if channels > 2 else values[..., :1].repeat(3, axis=2)
        assert np.array_equal(image.rgb, colour)
        assert image.icc == profile_of(channels)
    assert origin_of(path).signature == ORIGIN.signature


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_has_the_same_tags(tmp_path, monkeypatch, order: Literal["<", ">"]):
    metadata = Metadata(exif(order), photos_with_metadata.XMP.replace(b"'6'", b"'1'"), photos_with_metadata.iptc())
    found = []
    for limit in (1 << 30, 0):
        monkeypatch.setattr(tiff, "_CLASSIC_BYTES", limit)
        path = export_tiff(tmp_path, np.full((6, 8, 3), 90, np.uint8), metadata)
        read = Image.open(path).getexif()  # exiftool expects the EXIF directory of a BigTIFF in the classic form.
        found.append(
            [{tag: value for tag, value in read.items() if tag not in OFFSETS}, *map(read.get_ifd, OFFSETS[:2])]
        )
        assert inspect(path).has_location
    assert [len(directory) for directory in found[0]] == [19, 5, 5]
    assert found[1] == found[0]


def exif(order: Literal["<", ">"]) -> bytes:
    """Return an EXIF block in this byte order."""
    block = Image.Exif()
    block.load(photos_with_metadata.exif())
    block.endian = order
    return block.tobytes()[6:]


def test_a_tiff_of_100_megapixels_is_written_in_little_memory(tmp_path):
    row = np.arange(10_000, dtype=np.uint16)[None, :, None] * 6
    png = tmp_path / "large.png"
    with create_png(png, PngFormat(10_000, 10_000, 1, 16)) as writer:
        for _ in range(100):
            writer.write(np.repeat(row, 100, axis=0))

    taken = peak_of(lambda: export(png, tmp_path / "large.tif", Encoding("tiff")))

    assert taken < 25_000_000
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        values = file.asarray()
        assert values.shape == (10_000, 10_000)
        assert np.array_equal(values[-1], row[0, :, 0])
