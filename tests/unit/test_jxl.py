"""JPEG XL files as input."""

import numpy as np
import pytest

from enhance.errors import PictureError
from enhance.images import inspect_image, read_image
from tests.unit.image_files import FILES, exported, finished_png, wide_profile
from tests.unit.photos_with_metadata import DPI

pytest.importorskip("pyjpegxl")


def test_a_file_of_cjxl_is_read_upright_with_its_metadata():
    """The reference program made the file from the PNG, without loss."""
    path = FILES / "photo.jxl"
    image = read_image(path)
    facts = inspect_image(path)
    original = read_image(FILES / "photo.png")
    assert np.array_equal(image.rgb, original.rgb)
    assert (facts.width, facts.height, facts.format, facts.has_location) == (16, 12, "JXL", True)
    assert (image.metadata.xmp, facts.dpi) == (original.metadata.xmp, DPI)


def test_truncated_and_large_files_are_rejected(photo, tmp_path):
    path = exported(finished_png(tmp_path / "x.png", photo, wide_profile()), "jxl", 100)
    with pytest.raises(PictureError, match="56 × 40 px"):
        read_image(path, max_pixels=2_239)
    content = path.read_bytes()
    for length in (len(content) - 1000, 40):
        path.write_bytes(content[:length])
        with pytest.raises(PictureError, match="incomplete"):
            read_image(path)


def test_the_codestream_is_found_behind_a_box_that_contains_its_name(photo, tmp_path):
    path = exported(finished_png(tmp_path / "x.png", photo), "jxl", 100)
    content = path.read_bytes()
    first = content.index(b"ftyp") + 16
    # After the name, the header of an animated image.
    misleading = b"\0\0\0\x10freejxlc\xff\x0a\xc1\x85"
    path.write_bytes(content[:first] + misleading + content[first:])
    assert np.array_equal(read_image(path).rgb, photo)
