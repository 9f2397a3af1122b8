"""JPEG XL files as input."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from enhance.errors import PictureError
from enhance.images import Metadata, inspect, read_image
from tests.unit import photos_with_metadata
from tests.unit.image_files import exported, finished_png, wide_profile
from tests.unit.test_formats import run

pytest.importorskip("pyjpegxl")


@pytest.mark.parametrize("quality", [85, 100])
def test_a_file_of_cjxl_is_read_upright_with_its_metadata(tmp_path, quality):
    (tmp_path / "photo.png").write_bytes(photos_with_metadata.photo_with_metadata("PNG"))
    run("cjxl", tmp_path / "photo.png", tmp_path / "photo.jxl", "-q", str(quality))
    image, facts = read_image(tmp_path / "photo.jxl"), inspect(tmp_path / "photo.jxl")
    original = read_image(tmp_path / "photo.png")

    assert np.abs(image.rgb.astype(int) - original.rgb).mean() <= (0 if quality == 100 else 4)
    assert (facts.width, facts.height, facts.format, facts.has_location) == (16, 12, "JXL", True)
    assert image.metadata.dpi == (photos_with_metadata.DPI, photos_with_metadata.DPI)
    assert image.metadata.xmp == original.metadata.xmp


def test_animations_are_rejected(tmp_path):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    run("cjxl", tmp_path / "two.gif", tmp_path / "two.jxl")
    with pytest.raises(PictureError, match="animated"):
        read_image(tmp_path / "two.jxl")


def test_truncated_and_large_files_are_rejected(photo, tmp_path):
    png = finished_png(tmp_path / "x.png", photo, wide_profile(), Metadata(xmp=photos_with_metadata.XMP))
    path = exported(png, "jxl", 100)
    with pytest.raises(PictureError, match="56 × 40 px"):
        read_image(path, max_pixels=2_239)
    content = path.read_bytes()
    for length in (len(content) - 1000, len(content) // 2, 1800, 40):
        path.write_bytes(content[:length])
        with pytest.raises(PictureError, match="incomplete"):
            read_image(path)
