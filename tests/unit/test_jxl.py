"""JPEG XL files as input."""

import shutil
import subprocess

import numpy as np
import pytest

from enhance.errors import PictureError
from enhance.images import inspect_image, read_image
from tests.unit.image_files import exported, finished_png, wide_profile
from tests.unit.photos_with_metadata import DPI, photo_with_metadata

pytest.importorskip("pyjpegxl")


def convert(source, *options):
    """Convert a file to JPEG XL with the reference program."""
    if shutil.which("cjxl") is None:
        pytest.skip("cjxl is not installed")
    path = source.with_suffix(".jxl")
    subprocess.run(["cjxl", source, path, *options], check=True, capture_output=True)
    return path


@pytest.mark.parametrize(("quality", "limit"), [("85", 4), ("100", 0)])
def test_a_file_of_cjxl_is_read_upright_with_its_metadata(tmp_path, quality, limit):
    source = tmp_path / "photo.png"
    source.write_bytes(photo_with_metadata("PNG"))
    path = convert(source, "-q", quality)
    image, facts, original = read_image(path), inspect_image(path), read_image(source)

    assert np.abs(image.rgb.astype(int) - original.rgb).mean() <= limit
    assert (facts.width, facts.height, facts.format, facts.has_location) == (16, 12, "JXL", True)
    assert (image.metadata.xmp, facts.dpi) == (original.metadata.xmp, DPI)


def test_truncated_and_large_files_are_rejected(photo, tmp_path):
    path = exported(finished_png(tmp_path / "x.png", photo, wide_profile()), "jxl", 100)
    with pytest.raises(PictureError, match="56 × 40 px"):
        read_image(path, max_pixels=2_239)
    content = path.read_bytes()
    for length in (len(content) - 1000, len(content) // 2, 40):
        path.write_bytes(content[:length])
        with pytest.raises(PictureError, match="incomplete"):
            read_image(path)
