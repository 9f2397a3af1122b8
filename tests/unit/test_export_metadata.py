"""Metadata in exported files, as exiftool reads them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from enhance import Encoding
from enhance.images import Metadata, inspect, read_image
from enhance.images.exif import EMPTY
from enhance.output import jxl
from enhance.output.formats import export, notes_of
from enhance.output.png import PngFormat, create_png
from enhance.output.provenance import Origin
from tests.unit import photos_with_metadata
from tests.unit.photos_with_metadata import PLACE, XMP, read_by_exiftool


def tags(path: Path, *more: str) -> dict[str, Any]:
    found = read_by_exiftool(path, "-b", "-struct", "-m", *more)
    return {
        name: value for name, value in found.items() if name.startswith(("IFD0:", "ExifIFD:", "GPS:", "XMP", "IPTC"))
    }


LOSSY = ("jpg", "webp", "avif")
JXL = pytest.param("jxl", marks=pytest.mark.skipif(not jxl.is_available(), reason="pyjpegxl is not installed"))
PACKET = XMP.replace(b"'6'", b"'1'")
LONG = "".join(chr(65 + number * 7 % 26) for number in range(90_000))


def result_of(folder: Path, metadata: Metadata, name: str = "result.png") -> Path:
    """Write a finished PNG with this metadata."""
    metadata = Metadata(metadata.exif, metadata.xmp, metadata.iptc, metadata.texts, metadata.dpi)
    with create_png(folder / name, PngFormat(8, 6, 3, metadata=metadata)) as writer:
        writer.write(np.full((6, 8, 3), 90, np.uint8))
        writer.mark = Origin("a" * 64, "b" * 64).mark()
    return folder / name


def export_png(png: Path, ending: str, metadata: str = "keep") -> tuple[Path, list[str]]:
    """Export the PNG; return the file and the notes on what it lost."""
    place = png.with_name(f"{png.stem}-{metadata}.{ending}")
    encoding = Encoding.of_file(place, metadata=metadata)
    export(png, place, encoding)
    return place, notes_of(png, encoding)


@pytest.mark.parametrize("ending", ["png", "tif", JXL, *LOSSY])
def test_every_tag_is_kept(tmp_path: Path, ending: str):
    png = result_of(tmp_path, Metadata(photos_with_metadata.exif(), PACKET, photos_with_metadata.iptc()))
    path, notes = export_png(png, ending)
    before, after = tags(png), tags(path)
    if ending in ("webp", "avif", "jxl"):
        assert notes == ["iptc_left"]
        del before["IFD0:Orientation"]  # The container states the orientation.
        before = {name: value for name, value in before.items() if not name.startswith("IPTC")}
    else:
        assert notes == []
    if ending == "tif":  # Its main directory describes the pixels, too.
        assert after["IFD0:ImageWidth"] == 8
        before = {name: value for name, value in before.items() if not name.startswith("IFD0:Image")}
        after = {name: value for name, value in after.items() if name in before}
    assert len(before) > 20
    assert after == before
    assert photos_with_metadata.NOTES in path.read_bytes()
    assert PACKET in path.read_bytes()


@pytest.mark.parametrize("ending", ["png", "tif", JXL, *LOSSY])
def test_no_trace_of_the_location_is_left(tmp_path: Path, ending: str):
    texts = (("Comment", "at 48.20833, 16.37306"), ("Title", "Lantern"))
    png = result_of(tmp_path, Metadata(photos_with_metadata.exif(), PACKET, photos_with_metadata.iptc(), texts))
    path, notes = export_png(png, ending, "no-location")
    content = path.read_bytes()
    for trace in (b"GPS", PLACE.encode(), photos_with_metadata.COORDINATES, photos_with_metadata.NOTES, b"48.2"):
        assert trace not in content
    found = read_by_exiftool(path, "-a", "-u", "-ee")
    assert [name for name in found if "GPS" in name or "City" in name or "Maker" in name] == []
    assert found["IFD0:Copyright"] == "(c) A. B."
    assert found["ExifIFD:LensModel"] == "50 mm f/1.8"
    assert notes[:1] == ["location_left"]
    assert not inspect(path).has_location


def test_xmp_that_is_too_long_for_a_jpeg_is_removed_with_a_note(tmp_path: Path):
    packet = PACKET.replace(b"</rdf:RDF>", b'<rdf:Description xmlns:t="t:" t:a="%s"/></rdf:RDF>' % LONG.encode())
    for ending in LOSSY:
        path, notes = export_png(result_of(tmp_path, Metadata(xmp=packet)), ending)
        assert notes == (["xmp_left"] if ending == "jpg" else [])
        assert (packet in path.read_bytes()) == (ending != "jpg")


@pytest.mark.parametrize("length", [30_000, 90_000])
def test_exif_that_is_too_long_for_a_jpeg_loses_maker_notes_and_long_values_with_a_note(tmp_path: Path, length: int):
    exif = Image.Exif()
    exif.load(photos_with_metadata.exif())
    photo = exif.get_ifd(0x8769)
    photo[0x9286], photo[0x927C] = b"ASCII\0\0\0" + LONG[:length].encode(), b"LANTERN\0" + bytes(60_000)
    png = result_of(tmp_path, Metadata(exif.tobytes()[6:]))
    before, after = tags(png), tags(export_png(png, "jpg")[0])
    assert export_png(png, "jpg")[1] == ["exif_short"]
    gone = {name for name in before.keys() - after.keys() if "Maker" not in name and not name.startswith("IFD0:Image")}
    assert gone - {"ExifIFD:ExifImageWidth"} == ({"ExifIFD:UserComment"} if length > 32_000 else set())
    assert {name for name in after if after[name] != before.get(name)} <= {"IFD0:Orientation"}
    assert after["GPS:GPSLatitude"] == before["GPS:GPSLatitude"]


def test_texts_become_comments_of_a_jpeg_and_are_noted_elsewhere(tmp_path: Path):
    texts = (("parameters", "a lantern, 雨\nSteps: 20"), ("Comment", "at dusk – quiet"))
    for ending in LOSSY:
        path, notes = export_png(result_of(tmp_path, Metadata(texts=texts)), ending)
        assert notes == ([] if ending == "jpg" else ["texts_left"])
        expected = (("Comment", "parameters: a lantern, 雨\nSteps: 20"), texts[1]) if ending == "jpg" else ()
        assert read_image(path).metadata.texts == expected
    assert export_png(result_of(tmp_path, Metadata(texts=(("parameters", LONG),))), "jpg")[1] == ["texts_left"]


def test_hostile_exif_is_left_out_of_a_jpeg(tmp_path: Path):
    count, length = 30_000, 4_000_000
    entries = b"".join(struct.pack("<HHII", 1 + number, 7, length, 8) for number in range(count))
    exif = b"II*\0" + struct.pack("<I", length) + bytes(length - 8) + struct.pack("<H", count) + entries + bytes(4)
    path, notes = export_png(result_of(tmp_path, Metadata(exif)), "jpg")
    assert Image.open(path).size == (8, 6)
    assert notes == ["exif_short"]
    assert read_image(path).metadata.exif in (None, EMPTY)
