"""Metadata in results: every tag of the photo that the format can hold, and the location only if it
is wanted."""

import re
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.formats.encoding import FORMATS, Encoding, notes_of
from enhance.i18n import catalogue
from enhance.images import inspect_image, read_image
from enhance.metadata import Metadata
from enhance.metadata.exif import (
    EMPTY,
    GPS_IFD,
    ORIENTATION,
    has_position,
    mend,
    read_orientation,
)
from enhance.metadata.iptc import photoshop_resource
from enhance.metadata.metadata import MAX_BLOCK
from enhance.metadata.png_chunks import make_chunk
from enhance.metadata.provenance import Origin, origin_of
from enhance.size import Size
from tests.unit.gain_map_files import packet
from tests.unit.hostile_metadata import (
    flat_photo,
    located_xmp,
    overlapping_exif,
    packed_profile,
    packed_xmp,
)
from tests.unit.image_files import encode, exif_block, exported, finished_png
from tests.unit.metadata_pairs import INPUTS, losses, tags_of, write_photo, write_result
from tests.unit.photos_with_metadata import (
    COORDINATES,
    HEIGHT,
    IPTC,
    NOTES,
    PLACE,
    THUMBNAIL,
    XMP,
    exif,
    photo_with_metadata,
    read_by_exiftool,
)
from tests.unit.runs import run

TABLE = (Path(__file__).parents[2] / "docs" / "files.md").read_text("utf-8")
OUTPUTS = [form.ending[1:] for form in FORMATS.values() if form.is_available()]
PHOTO = Image.new("RGB", (12, 16), "grey")
LONG = "".join(chr(65 + number * 7 % 26) for number in range(90_000))


def metadata_of(tmp_path, content):
    (tmp_path / "photo").write_bytes(content)
    return read_image(tmp_path / "photo").metadata


def export_with_notes(tmp_path, metadata, ending):
    """Export a result with this metadata; return the file and the notes on what it lost."""
    pixels = np.full((6, 8, 3), 90, np.uint8)
    png = finished_png(tmp_path / "result.png", pixels, metadata=metadata)
    path = exported(png, ending)
    return path, notes_of(png, Encoding.of_file(path))


@pytest.mark.skipif(not FORMATS["jxl"].is_available(), reason="pyjpegxl is not installed")
@pytest.mark.parametrize("source", INPUTS)
def test_every_tag_is_kept_except_those_of_the_kinds_in_the_table(tmp_path, source):
    kinds, lost = losses(tmp_path, source)
    for name, lost_kinds in lost.items():
        (cell,) = re.findall(rf"^\| {name} \| \d.*\| (.*?) \|$", TABLE, re.MULTILINE)
        assert lost_kinds == {kind for kind in kinds if kind in cell}, name


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_location_removes_every_trace_of_it_and_none_all_but_profile_and_resolution(
    tmp_path, source
):
    photo = write_photo(tmp_path, source)
    assert inspect_image(photo).has_location
    result = write_result(photo)
    resolution = tags_of(result)["resolution"]
    for ending in OUTPUTS:
        path = exported(result, ending, metadata="no-location")
        content = path.read_bytes()
        for trace in (COORDINATES, PLACE.encode(), b"GPS", b"Austria", b"48.2", b"16,22", NOTES):
            assert trace not in content, trace
        assert not inspect_image(path).has_location
        assert tags_of(path)["EXIF"]["ExifIFD:DateTimeOriginal"]
        assert "location_left" in notes_of(result, Encoding.of_file(path, metadata="no-location"))

        path = exported(result, ending, metadata="none")
        tags = tags_of(path)
        assert {kind for kind, found in tags.items() if found} <= {"ICC", "resolution", "gain map"}
        assert tags["resolution"] == resolution
        assert origin_of(path) == Origin()


def test_sizes_and_orientation_are_those_of_the_result(tmp_path):
    result = write_result(write_photo(tmp_path, "JPEG"))
    tags = read_by_exiftool(result)
    assert THUMBNAIL not in result.read_bytes()
    assert tags["IFD0:Orientation"] == tags["XMP-tiff:Orientation"] == 1
    assert tags["IFD0:ImageWidth"] == tags["ExifIFD:ExifImageWidth"] == 4 * HEIGHT
    assert tags["XMP-exif:ExifImageWidth"] == 4 * HEIGHT


def test_a_link_to_the_content_credentials_of_the_photo_is_removed(tmp_path):
    link = b' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="https://a.example/m"'
    metadata = metadata_of(tmp_path, encode(PHOTO, "JPEG", xmp=packet(link)))
    assert b'dcterms:provenance=""' in (metadata.xmp or b"")


@pytest.mark.parametrize(
    ("content", "dpi"),
    [
        (flat_photo(make_chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))), (300, 300)),
        (flat_photo(make_chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0))), None),
        (flat_photo(make_chunk(b"pHYs", struct.pack(">IIB", 0xFFFFFFFF, 1, 1))), None),
        (encode(PHOTO, "JPEG", dpi=(240, 240), exif=b"Exif\0\0" + exif_block(1)), (240, 240)),
    ],
    ids=["PNG", "proportions", "absurd", "JFIF with EXIF that states none"],
)
def test_the_resolution_is_kept(tmp_path, content, dpi):
    assert metadata_of(tmp_path, content).dpi == (dpi and pytest.approx(dpi, abs=0.02))


TEXTS = (("parameters", "a lantern, 雨\nSteps: 20"), ("Comment", "at dusk – quiet"))
LONG_XMP = XMP.replace(
    b"</rdf:RDF>", b'<rdf:Description xmlns:t="t:" t:a="%s"/></rdf:RDF>' % LONG.encode()
)


@pytest.mark.parametrize(
    ("metadata", "ending", "notes"),
    [
        (Metadata(xmp=LONG_XMP), "jpg", ["xmp_left"]),
        (Metadata(texts=(("x", LONG),)), "jpg", ["texts_left"]),
        (Metadata(iptc=IPTC, texts=TEXTS), "avif", ["texts_left", "iptc_left"]),
    ],
    ids=["XMP", "texts", "IPTC"],
)
def test_what_a_format_cannot_hold_is_noted(tmp_path, metadata, ending, notes):
    _, found = export_with_notes(tmp_path, metadata, ending)
    assert found == notes
    assert {f"note_{note}" for note in notes} <= catalogue().keys()


def test_texts_become_comments_of_a_jpeg(tmp_path):
    path, notes = export_with_notes(tmp_path, Metadata(texts=TEXTS), "jpg")
    assert notes == []
    comments = (("Comment", "parameters: a lantern, 雨\nSteps: 20"), TEXTS[1])
    assert read_image(path).metadata.texts == comments


@pytest.mark.parametrize(("ending", "lost"), [("tif", set()), ("jpg", {0x927C})])
def test_exif_of_an_iphone_is_kept_but_in_a_jpeg_without_long_maker_notes(tmp_path, ending, lost):
    block = Image.Exif()
    block.load(exif())
    details = block.get_ifd(0x8769)
    details[0x927C] = b"LANTERN\0" + bytes(90_000)
    path, notes = export_with_notes(tmp_path, Metadata(block.tobytes()[6:]), ending)
    kept = Image.open(path).getexif()
    assert notes == ["exif_short"] * len(lost)
    assert (kept[0x010F], kept[0x8298]) == ("Lantern", "(c) A. B.")
    assert kept.get_ifd(0x8825) == block.get_ifd(0x8825)
    assert kept.get_ifd(0x8769) == {tag: details[tag] for tag in details.keys() - lost}


def test_overlapping_values_of_a_stored_result_are_left_out_of_a_jpeg(tmp_path):
    pixels = np.zeros((6, 8), np.uint8)
    png = finished_png(tmp_path / "result.png", pixels, metadata=Metadata(overlapping_exif()))
    path = exported(png, "jpg", metadata="no-location")
    assert read_image(path).metadata.exif in (None, EMPTY)


@cache
def hostile():
    """Return chunks that expand to many times their size, are damaged, or slow down a reader."""
    flat = zlib.compress(bytes(40_000_000), 1)
    bomb = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 12))
    profile = b"\nexif\n99999999\n" + bytes(40_000_000)
    iptc = photoshop_resource(IPTC.ljust(MAX_BLOCK + 1, b"\0"))
    return {
        "spaces": packed_xmp(b"<x" + b" " * 900_000 + b"/>"),
        "entities": packed_xmp(f'<!DOCTYPE x [<!ENTITY x0 "ha">{bomb}]><x>&x11;</x>'.encode()),
        "open elements": packed_xmp(b"<hdrgm:Version>" * 65_000),
        "zTXt": make_chunk(b"zTXt", b"Comment\0\0" + flat),
        "iTXt": make_chunk(b"iTXt", b"Comment\0\1\0\0\0" + flat),
        "profile": make_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile, 1)),
        "many texts": make_chunk(b"tEXt", b"Comment\0" + b"a" * 900_000) * 30,
        "digits": make_chunk(b"tEXt", b"Comment\0" + b"1.2345" + b" " * 900_000),
        "many prefixes": make_chunk(b"eXIf", b"Exif\0\0" * 160_000),
        "bad profile": make_chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n12\nxyz"),
        "overlapping EXIF": packed_profile("exif", overlapping_exif()),
        "large EXIF": packed_profile("exif", exif().ljust(MAX_BLOCK + 1, b"\0")),
        "large XMP 1": packed_xmp(located_xmp(16 << 20)),
        "large XMP 2": packed_xmp(XMP.ljust(MAX_BLOCK + 1)),
        "large IPTC": packed_profile("iptc", iptc),
        "many short texts": make_chunk(b"tEXt", b"Comment\0a") * 11_000,
        "large XMP 3": packed_xmp(b"<x>" + b"<a/>" * 350_000 + b"</x>"),
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_metadata_is_left_out_and_the_image_is_decoded(tmp_path, kind):
    title = make_chunk(b"tEXt", b"Title\0A lantern")
    metadata = metadata_of(tmp_path, flat_photo(title + hostile()[kind]))
    assert metadata.exif is metadata.iptc is None
    assert len(metadata.xmp or b"") <= MAX_BLOCK
    assert len(metadata.texts) <= 10_000
    assert sum(len(value) for _, value in metadata.texts) < 9 << 20
    assert metadata.texts[0] == ("Title", "A lantern")
    if kind.startswith("large"):
        name = kind.split()[1].lower()
        assert f"large_{name}_left" in metadata.notes
    elif kind == "overlapping EXIF":
        assert "damaged_exif_left" in metadata.notes


def test_other_damaged_values_do_not_affect_the_orientation():
    truncated = struct.pack("<HHII", 0x010F, 7, 1000, 8)
    start = struct.pack("<HHHII", 5, ORIENTATION, 3, 1, 6)
    main = start + truncated * 3 + struct.pack("<HHIII", GPS_IFD, 4, 1, 74, 0)
    gps = struct.pack("<H", 3) + struct.pack("<HHII", 2, 7, 100, 8) * 3
    block = b"II*\0" + struct.pack("<I", 8) + main + gps
    assert read_orientation(block) == read_orientation(mend(block)) == 6
    assert not has_position(block)


def test_truncated_blocks_raise_no_exception():
    for place in range(8, len(exif())):
        metadata = Metadata(exif()[:place], XMP[: place * 2], IPTC[:place])
        assert not metadata.upright().with_size(Size(48, 64)).select("no-location").has_location


def test_a_result_with_other_metadata_is_replaced_and_recognised(tmp_path, capsys):
    source = tmp_path / "photo.jpg"
    result = tmp_path / "result.jpg"
    source.write_bytes(photo_with_metadata("JPEG"))
    unlabelled = ["--metadata", "none", "--no-label"]
    for options, is_cached in (([], False), (unlabelled, False), (unlabelled, True)):
        (printed,) = run(capsys, source, "-o", result, *options)
        assert printed["cached"] == is_cached
        kinds = {kind for kind, tags in tags_of(result).items() if tags}
        assert (kinds == {"ICC", "resolution"}) == bool(options)
