"""Damaged EXIF: what can be read is copied, the rest is noted, and no result states a location that
was to be removed."""

import json
import struct

import numpy as np
import pytest
from PIL import Image

from enhance.formats.encoding import FORMATS
from enhance.i18n import catalogue
from enhance.images import read_image
from enhance.metadata import Metadata
from enhance.metadata.exif import EXIF_IFD, GPS_IFD, mend, read_directory
from enhance.size import Size
from tests.unit.image_files import encode, exported, finished_png
from tests.unit.metadata_pairs import write_result
from tests.unit.photos_with_metadata import exif, photo_with_metadata, read_by_exiftool
from tests.unit.runs import start

OUTPUTS = [form.ending[1:] for form in FORMATS.values() if form.is_available()]
COPYRIGHT, THUMBNAIL_START = 0x8298, 0x0201
OUTSIDE = 0x00FFFF00
COORDINATES = struct.pack(">6I", 48, 1, 12, 1, 30, 1)
WHOLE, PART = "damaged_exif_left", "damaged_exif_part_left"


def with_wrong_offset(content, tag, kind, order="<", offset=OUTSIDE):
    """Return a photo or a block with another offset in the entry of a tag."""
    start = struct.pack(order + "HH", tag, kind)
    place = content.index(start) + 8
    return content[:place] + struct.pack(order + "I", offset) + content[place + 4 :]


def tags_of(block):
    """Return the tags that a block has in its directories."""
    return [sorted(read_directory(block, name)) for name in (0, EXIF_IFD, GPS_IFD)]


@pytest.mark.parametrize("damaged", [GPS_IFD, COPYRIGHT])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_can_be_read_is_copied_to_every_format(tmp_path, kind, damaged):
    photo = tmp_path / "photo"
    type_of_value = {GPS_IFD: 4, COPYRIGHT: 2}[damaged]
    photo.write_bytes(with_wrong_offset(photo_with_metadata(kind), damaged, type_of_value))

    image = read_image(photo)
    result = write_result(photo)

    assert image.metadata.notes == (PART,)
    for ending in OUTPUTS:
        path = exported(result, ending)
        tags = read_by_exiftool(path)
        assert tags["IFD0:Make"] == "Lantern"
        assert ("IFD0:Copyright" in tags) == (damaged == GPS_IFD)
        if kind != "TIFF":  # Pillow reads no tag after a damaged one.
            assert ("GPS:GPSLatitude" in tags) == (damaged == COPYRIGHT)
            assert tags["ExifIFD:DateTimeOriginal"]
        assert "minor" in tags.get("ExifTool:Warning", "minor")
        if ending != "jxl":
            assert Image.open(path).getexif()[0x010F] == "Lantern"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_is_noted_in_both_languages(tmp_path, kind, capsys):
    photo, result = tmp_path / "photo", tmp_path / "result.jpg"
    block = exif()[:4] + struct.pack(">I", OUTSIDE) + exif()[8:]
    content = encode(Image.new("RGB", (12, 16), "grey"), kind, exif=b"Exif\0\0" + block)
    photo.write_bytes(content)

    assert start(photo, "-o", result, "--json") == 0

    printed = capsys.readouterr()
    assert json.loads(printed.out)["output"]["notes"] == [WHOLE]
    assert catalogue("en")[f"note_{WHOLE}"] in printed.err
    assert {f"note_{WHOLE}", f"note_{PART}"} <= catalogue("zh-CN").keys()
    assert read_image(result).metadata.exif is None


def damaged_blocks():
    """Yield truncated blocks, and blocks with a wrong number at each place."""
    whole = exif()
    for place in range(len(whole) - 4):
        yield whole[:place]
        for number in (8, len(whole) - 2, OUTSIDE):
            yield whole[:place] + struct.pack(">I", number) + whole[place + 4 :]


def test_no_damage_hides_a_location_from_its_removal():
    for block in damaged_blocks():
        metadata = Metadata(block).without_damage().upright().with_size(Size(70_000, 64))

        unlocated = metadata.select("no-location")

        assert COORDINATES not in (unlocated.exif or b"")
        assert not unlocated.has_location
        if metadata.exif:
            assert mend(metadata.exif) == metadata.exif, "the result is intact"
            assert unlocated.exif, "the other metadata is kept"


def test_an_intact_block_is_not_changed():
    assert mend(exif()) == exif()
    assert Metadata(exif()).without_damage().notes == ()


def test_a_directory_of_which_a_part_is_damaged_keeps_the_rest():
    block = with_wrong_offset(exif(), 4, 5, ">")  # the longitude

    mended = mend(block)

    assert 2 in read_directory(mended, GPS_IFD), "the latitude"
    assert 4 not in read_directory(mended, GPS_IFD)
    assert read_directory(mended, EXIF_IFD) == read_directory(block, EXIF_IFD)
    assert COORDINATES in (mended or b"")


def test_a_damaged_thumbnail_is_noted_and_does_not_damage_the_rest():
    outside = with_wrong_offset(exif(), THUMBNAIL_START, 4, ">")
    overlapping = with_wrong_offset(exif(), THUMBNAIL_START, 4, ">", offset=8)

    metadata = Metadata(outside).without_damage()

    assert metadata.notes == (PART,)
    for block in (metadata.exif, Metadata(overlapping).upright().exif):
        assert tags_of(block) == tags_of(exif())


def test_a_stored_result_with_damaged_exif_is_exported_without_the_damage(tmp_path):
    block = with_wrong_offset(exif(), GPS_IFD, 4, ">")
    pixels = np.zeros((6, 8, 3), np.uint8)
    png = finished_png(tmp_path / "result.png", pixels, metadata=Metadata(block))

    tags = read_by_exiftool(exported(png, "jpg"))

    assert tags["IFD0:Make"] == "Lantern"
    assert "minor" in tags.get("ExifTool:Warning", "minor")
