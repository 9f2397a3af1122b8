"""JPEG XL files as input."""

import struct

import brotli
import numpy as np
import pytest

from enhance.errors import PictureError
from enhance.images import inspect_image, read_image
from enhance.images.jxl_reader import CONTAINER_START
from tests.unit.image_files import FILES, exported, finished_png, wide_profile
from tests.unit.photos_with_metadata import DPI

pytest.importorskip("pyjpegxl")

ANIMATED = b"\xff\x0a\xc1\x85"
"""The first bytes of the header of an animated image."""


def box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def gigabyte(name):
    """Return a box with this name that contains a gigabyte of spaces in 200 kB."""
    packer = brotli.Compressor(quality=1)
    packed = b"".join(packer.process(b" " * (1 << 20)) for _ in range(1000))
    return box(b"brob", name + packed + packer.finish())


def with_boxes(boxes, photo, folder):
    """Write a JPEG XL of this photo with more boxes before its own, and return the path."""
    path = exported(finished_png(folder / "x.png", photo), "jxl", 100)
    content = path.read_bytes()
    first = content.index(b"ftyp") + 16
    path.write_bytes(content[:first] + boxes + content[first:])
    return path


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
    path = with_boxes(box(b"free", b"jxlc" + ANIMATED), photo, tmp_path)
    assert np.array_equal(read_image(path).rgb, photo)


def test_an_animation_is_rejected_even_if_its_header_is_in_two_boxes(tmp_path):
    path = tmp_path / "x.jxl"
    parts = (b"\0\0\0\0" + ANIMATED[:3], b"\x80\0\0\1" + ANIMATED[3:])
    path.write_bytes(CONTAINER_START + b"".join(box(b"jxlp", part) for part in parts))
    with pytest.raises(PictureError, match="animat"):
        read_image(path)


def test_metadata_that_expands_to_gigabytes_is_left_out(photo, tmp_path):
    path = with_boxes(gigabyte(b"Exif") + gigabyte(b"xml "), photo, tmp_path)
    image = read_image(path)
    assert np.array_equal(image.rgb, photo)
    assert image.metadata.exif is image.metadata.xmp is None
    assert {"large_exif_left", "large_xmp_left"} <= {*image.metadata.notes}


def test_damaged_metadata_is_left_out(photo, tmp_path):
    path = with_boxes(box(b"brob", b"xml \xff\xff\xff"), photo, tmp_path)
    image = read_image(path)
    assert np.array_equal(image.rgb, photo)
    assert image.metadata.xmp is None
