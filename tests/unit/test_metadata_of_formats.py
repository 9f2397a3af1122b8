"""What a photo tells beside its pixels as others find it in a JPEG, a WebP, an AVIF: what is long, and texts too."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from enhance import Encoding
from enhance.images import Metadata, read_picture
from enhance.images.containers import make_chunk
from enhance.images.exif import EMPTY, with_entries
from enhance.images.metadata import iim_sets
from enhance.output.formats import export, notes_of
from enhance.output.png import PngFormat, PngWriter
from enhance.output.provenance import Origin
from tests.unit import told_photos
from tests.unit.picture_files import png, saved
from tests.unit.told_photos import PLACE, XMP, read_by_exiftool

LOSSY = ("jpg", "webp", "avif")
TEXTS = (
    ("Title", "A <lantern> & 灯笼"),
    ("Description", "by night, 雨"),
    ("Author", "A. Bäcker"),
    ("Copyright", "(c) A. B."),
    ("Software", "Lamp 2"),
    ("Comment", "at dusk – quiet"),
)
LONG = "".join(chr(65 + number * 7 % 26) for number in range(150_000))


def result_of(folder: Path, told: Metadata, name: str = "result.png") -> Path:
    """A finished PNG with this beside its pixels."""
    values = np.full((6, 8, 3), 90, np.uint8)
    told = Metadata(told.exif, told.xmp, told.iptc, (*told.texts, *Origin("a" * 64, "b" * 64).texts()), told.dpi)
    with PngWriter(folder / name, PngFormat(8, 6, 3, metadata=told)) as writer:
        writer.write(values)
    return folder / name


def taken(png: Path, ending: str, metadata: str = "keep") -> tuple[Path, list[str]]:
    """The PNG as a file of another format, and what is said to be lost by that."""
    place = png.with_name(f"{png.stem}-{metadata}.{ending}")
    encoding = Encoding.of_file(place, metadata=metadata)
    export(png, place, encoding)
    return place, notes_of(png, encoding)


def tags(path: Path, *more: str) -> dict[str, Any]:
    """What exiftool reads in a file, by group and name, with what it warns of."""
    return read_by_exiftool(path, "-b", "-struct", "-m", *more)


def long_xmp(attributes: bool = False) -> bytes:
    """A packet with what depth cameras write, as an element or an attribute, and a place that it names far behind."""
    space = b'xmlns:lamp="http://example.org/lamp/" '
    place = f"<exif:GPSAltitude>7123/10</exif:GPSAltitude><dc:rights>{'r' * 70_000}</dc:rights>".encode()
    if attributes:
        more = b'<rdf:Description rdf:about="" %slamp:Data="%s"/>' % (space, LONG.encode())
    else:
        more = b'<rdf:Description rdf:about="" %s><lamp:Data>%s</lamp:Data>' % (space, LONG.encode())
        more += b"</rdf:Description>"
    return XMP.replace(b" </rdf:Desc", place + b" </rdf:Desc").replace(b"</rdf:RDF>", more + b"</rdf:RDF>")


@pytest.mark.parametrize("attributes", [False, True])
def test_xmp_beyond_one_segment_goes_on_in_an_extension_that_others_read(tmp_path: Path, attributes: bool):
    told = Metadata(xmp=long_xmp(attributes))
    path, notes = taken(result_of(tmp_path, told), "jpg")
    found, before = tags(path, "-XMP:all", "-warning"), tags(tmp_path / "result.png", "-XMP:all", "-warning")

    assert notes == []
    assert "ExifTool:Warning" not in found
    assert re.fullmatch("[0-9A-F]{32}", found.pop("XMP-xmpNote:HasExtendedXMP"))
    assert found | {"SourceFile": ""} == before | {"SourceFile": ""}
    assert before["XMP-lamp:Data"].removeprefix("base64:") == LONG
    with Image.open(path) as image:
        assert b"A &lt;lantern&gt;" in image.info["xmp"]
        assert len(image.info["xmp"]) <= 65_502


@pytest.mark.parametrize("attributes", [False, True])
def test_xmp_of_an_extension_comes_back_whole_when_the_jpeg_is_enlarged_again(tmp_path: Path, attributes: bool):
    path, _ = taken(result_of(tmp_path, Metadata(xmp=long_xmp(attributes))), "jpg")
    packet = read_picture(path).metadata.xmp or b""
    assert b"HasExtendedXMP" not in packet
    assert (packet.count(LONG.encode()), packet.count(b"r" * 70_000)) == (1, 1)


def test_without_a_location_the_extension_names_no_place_either(tmp_path: Path):
    jpeg, _ = taken(result_of(tmp_path, Metadata(xmp=long_xmp())), "jpg")
    assert b"GPSAltitude" in jpeg.read_bytes()
    told = read_picture(jpeg).metadata
    assert told.has_location
    path, _ = taken(result_of(tmp_path, told, "again.png"), "jpg", "no-location")
    for trace in (b"GPS", PLACE.encode(), b"7123/10"):
        assert trace not in path.read_bytes()
    assert tags(path)["XMP-lamp:Data"].removeprefix("base64:") == LONG


@pytest.mark.parametrize("ending", ["webp", "avif"])
def test_long_blocks_stay_whole_where_no_segment_bounds_them(tmp_path: Path, ending: str):
    exif = with_entries(told_photos.exif(), {}, {0x9286: (7, b"ASCII\0\0\0" + LONG.encode())})
    path, notes = taken(result_of(tmp_path, Metadata(exif, long_xmp())), ending)
    found = tags(path)
    assert notes == []
    assert found["XMP-lamp:Data"].removeprefix("base64:") == LONG
    assert found["ExifIFD:UserComment"] == LONG
    assert found["ExifIFD:LensModel"] == "50 mm f/1.8"


def test_iptc_beyond_one_segment_goes_on_in_the_next(tmp_path: Path):
    words = [f"keyword {number} ".ljust(60, "x") for number in range(3000)]
    iptc = b"".join(struct.pack(">BBBH", 0x1C, 2, 25, 60) + word.encode() for word in words)
    path, notes = taken(result_of(tmp_path, Metadata(iptc=iptc)), "jpg")
    assert notes == []
    assert tags(path)["IPTC:Keywords"] == words
    assert len(list(iim_sets(read_picture(path).metadata.iptc or b""))) == 3000


def test_exif_beyond_a_segment_loses_makers_notes_and_its_longest_entries_only_and_says_so(tmp_path: Path):
    for size, left in ((30_000, True), (90_000, False)):
        comment = b"ASCII\0\0\0" + LONG[:size].encode()
        exif = with_entries(told_photos.exif(), {}, {0x9286: (7, comment), 0x927C: (7, b"LANTERN\0" + bytes(60_000))})
        result = result_of(tmp_path, Metadata(exif), f"{size}.png")
        before = tags(result, "-EXIF:all")
        path, notes = taken(result, "jpg")
        after = tags(path, "-EXIF:all", "-warning")

        assert notes == ["exif_short"]
        gone = {name.partition(":")[2] for name in before.keys() - after.keys()}
        assert {name for name in gone if "MakerNote" not in name} == (set() if left else {"UserComment"})
        assert {name for name in after if after[name] != before.get(name)} == {"SourceFile"}
        assert Image.open(path).getexif().get_ifd(0x8825)[2] == (48, 12, 30)


@pytest.mark.parametrize("ending", LOSSY)
def test_texts_of_a_png_stay_where_others_look_for_them(tmp_path: Path, ending: str):
    path, notes = taken(result_of(tmp_path, Metadata(texts=TEXTS, dpi=(300.0, 300.0))), ending)
    found = tags(path)
    words = dict(TEXTS)
    assert notes == []
    assert found["XMP-dc:Title"] == words["Title"]
    assert found["IFD0:ImageDescription"] == words["Description"]
    assert (found["IFD0:Artist"], found["IFD0:Copyright"]) == (words["Author"], words["Copyright"])
    assert found["IFD0:Software"] == words["Software"]
    assert found["File:Comment" if ending == "jpg" else "ExifIFD:UserComment"] == words["Comment"]
    with Image.open(path) as image:
        assert image.getexif()[0x8298] == words["Copyright"]


def test_a_field_that_a_photo_has_keeps_its_value_and_what_has_no_place_is_said(tmp_path: Path):
    told = Metadata(told_photos.exif(), XMP, texts=(("Copyright", "another"), ("Title", "another"), ("workflow", "{}")))
    path, notes = taken(result_of(tmp_path, told), "jpg")
    found = tags(path)
    assert notes == ["texts_left"]
    assert found["IFD0:Copyright"] == "(c) A. B."
    assert found["XMP-dc:Title"] == "A <lantern> & 灯笼"
    assert b"another" not in path.read_bytes()
    assert told_photos.NOTES in path.read_bytes()


@pytest.mark.parametrize("ending", LOSSY)
def test_what_a_generator_was_asked_for_is_its_users_comment(tmp_path: Path, ending: str):
    asked = "a lantern, 雨\nSteps: 20, Seed: 7"
    path, notes = taken(result_of(tmp_path, Metadata(texts=(("parameters", asked),))), ending)
    assert (notes, tags(path)["ExifIFD:UserComment"]) == ([], asked)


def test_texts_push_nothing_of_the_photo_out_of_a_jpeg(tmp_path: Path):
    exif = with_entries(told_photos.exif(), {}, {0x927C: (7, b"LANTERN\0" + bytes(40_000))})
    path, notes = taken(result_of(tmp_path, Metadata(exif, texts=(("parameters", LONG),))), "jpg")
    assert notes == ["texts_left"]
    assert b"LANTERN\0" + bytes(40_000) in path.read_bytes()


@pytest.mark.parametrize("ending", ["webp", "avif"])
def test_iptc_has_no_place_in_webp_and_avif_and_that_is_said(tmp_path: Path, ending: str):
    assert taken(result_of(tmp_path, Metadata(iptc=told_photos.iptc())), ending)[1] == ["iptc_left"]
    assert taken(result_of(tmp_path, Metadata(iptc=told_photos.iptc())), ending, "none")[1] == []


def test_every_comment_of_a_jpeg_comes_along(tmp_path: Path):
    more = b"\xff\xfe" + struct.pack(">H", 2 + 6) + b"second"
    (tmp_path / "photo").write_bytes(saved(told_photos.photo(), "JPEG", comment=b"first", extra=more))
    told = read_picture(tmp_path / "photo").metadata
    path, _ = taken(result_of(tmp_path, told), "jpg")
    assert sorted(told.texts) == [("Comment", "first"), ("Comment", "second")]
    assert sorted(read_picture(path).metadata.texts) == sorted(told.texts)


def test_hostile_blocks_are_cut_without_an_exception_or_a_wait(tmp_path: Path):
    count, length = 30_000, 4_000_000
    entries = b"".join(struct.pack("<HHII", 1 + number, 7, length, 8) for number in range(count))
    exif = b"II*\0" + struct.pack("<I", length) + bytes(length - 8) + struct.pack("<H", count) + entries + bytes(4)
    nodes = b'<rdf:Description xmlns:t="t:" t:a="12345678"/>' * 10_000
    xmp = XMP.replace(b"</rdf:RDF>", nodes + b"</rdf:RDF>")
    spaces = XMP.replace(b"<?xpacket end", b" " * 300_000 + b"<?xpacket end")
    for told in (Metadata(exif), Metadata(xmp=xmp), Metadata(xmp=spaces), Metadata(EMPTY, b"<a/>" + b" " * 70_000)):
        path, notes = taken(result_of(tmp_path, told), "jpg")
        assert Image.open(path).size == (8, 6)
        assert set(notes) <= {"exif_short", "xmp_left"}


@pytest.mark.parametrize("chunk", [b"tEXt", b"iTXt"])
def test_texts_of_a_png_that_is_opened_reach_the_jpeg(tmp_path: Path, chunk: bytes):
    head = b"Author\0" if chunk == b"tEXt" else b"Author\0\0\0\0\0"
    (tmp_path / "photo").write_bytes(
        png(np.asarray(told_photos.photo()), 2, before_pixels=make_chunk(chunk, head + b"A. B."))
    )
    path, _ = taken(result_of(tmp_path, read_picture(tmp_path / "photo").metadata), "jpg")
    assert Image.open(path).getexif()[0x013B] == "A. B."
