"""Metadata in results: every tag of the photo that the format can hold, and the location only if it
is wanted."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.errors import PictureError
from enhance.formats.encoding import FORMATS, Encoding, export, notes_of
from enhance.i18n import catalogue
from enhance.images import inspect_image, read_image
from enhance.metadata import Metadata
from enhance.metadata.exif import EMPTY
from enhance.metadata.iptc import photoshop_resource
from enhance.metadata.metadata import MAX_BLOCK
from enhance.metadata.png_chunks import make_chunk, profile_text
from enhance.metadata.provenance import Origin, origin_of
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import packet
from tests.unit.hostile_metadata import (
    flat_photo,
    located_xmp,
    overlapping_exif,
    packed_exif,
    packed_xmp,
)
from tests.unit.image_files import encode, exported, finished_png
from tests.unit.metadata_pairs import INPUTS, row, tags_of, write_photo, write_result
from tests.unit.photos_with_metadata import (
    COORDINATES,
    HEIGHT,
    IPTC,
    NOTES,
    PLACE,
    THUMBNAIL,
    WIDTH,
    XMP,
    exif,
    photo_with_metadata,
    read_by_exiftool,
)
from tests.unit.runs import run

TABLE = Path(__file__).parents[2] / "docs" / "files.md"
OUTPUTS = [form.ending[1:] for form in FORMATS.values() if form.is_available()]
LOSSY = ("jpg", "webp", "avif")
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
    assert row(tmp_path, source) in TABLE.read_text("utf-8").splitlines()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_location_removes_every_trace_of_it(tmp_path, source):
    photo = write_photo(tmp_path, source)
    assert inspect_image(photo).has_location
    result = write_result(photo)
    before = tags_of(result)["EXIF"].keys()
    for ending in OUTPUTS:
        path = exported(result, ending, metadata="no-location")
        content = path.read_bytes()
        for trace in (COORDINATES, PLACE.encode(), b"GPS", b"Austria", b"48.2", b"16,22", NOTES):
            assert trace not in content, trace
        assert not inspect_image(path).has_location
        lost = {name for name in before - tags_of(path)["EXIF"].keys() if "GPS:" not in name}
        assert lost <= {"maker notes", "ExifIFD:MakerNoteUnknown"}
        assert "location_left" in notes_of(result, Encoding.of_file(path, metadata="no-location"))
        notes = notes_of(result, Encoding.of_file(path))
        assert {f"note_{note}" for note in notes} <= catalogue().keys()


@pytest.mark.parametrize("source", ["JPEG", "HEIF"])
def test_none_removes_everything_but_profile_and_resolution(tmp_path, source):
    result = write_result(write_photo(tmp_path, source))
    before = tags_of(result)
    for ending in OUTPUTS:
        path = exported(result, ending, metadata="none")
        tags = tags_of(path)
        assert {kind for kind, found in tags.items() if found} <= {"ICC", "resolution", "gain map"}
        assert tags["resolution"] == before["resolution"]
        assert origin_of(path) == Origin()


def test_sizes_and_orientation_are_those_of_the_result(tmp_path):
    result = write_result(write_photo(tmp_path, "JPEG"))
    tags = read_by_exiftool(result)
    assert THUMBNAIL not in result.read_bytes()
    assert tags["IFD0:Orientation"] == tags["XMP-tiff:Orientation"] == 1
    for name, side in (("Width", 4 * HEIGHT), ("Height", 4 * WIDTH)):
        assert tags[f"IFD0:Image{name}"] == tags[f"ExifIFD:ExifImage{name}"] == side
        assert tags[f"XMP-exif:ExifImage{name}"] == side


def test_a_link_to_the_content_credentials_of_the_photo_is_removed(tmp_path):
    link = b' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="https://a.example/m"'
    metadata = metadata_of(tmp_path, encode(photos_with_metadata.photo(), "JPEG", xmp=packet(link)))
    assert b'dcterms:provenance=""' in (metadata.xmp or b"")


@pytest.mark.parametrize(
    ("kind", "density", "dpi"),
    [
        ("JPEG", (1, 300, 150), (300, 150)),
        ("JPEG", (2, 100, 50), (254, 127)),
        ("JPEG", (0, 1, 2), None),
        ("PNG", (11811, 11811, 1), (300, 300)),
        ("PNG", (1, 2, 0), None),
        ("PNG", (0xFFFFFFFF, 1, 1), None),
    ],
)
def test_the_resolution_is_kept_in_any_unit(tmp_path, kind, density, dpi):
    data = bytearray(encode(photos_with_metadata.photo(), kind, exif=b"Exif\0\0" + EMPTY))
    if kind == "JPEG":
        struct.pack_into(">BHH", data, 13, *density)
    else:
        data[33:33] = make_chunk(b"pHYs", struct.pack(">IIB", *density))
    assert metadata_of(tmp_path, bytes(data)).dpi == (dpi and pytest.approx(dpi, abs=0.02))


def test_xmp_that_is_too_long_for_a_jpeg_is_removed_with_a_note(tmp_path):
    packet = XMP.replace(
        b"</rdf:RDF>", b'<rdf:Description xmlns:t="t:" t:a="%s"/></rdf:RDF>' % LONG.encode()
    )
    for ending in LOSSY:
        path, notes = export_with_notes(tmp_path, Metadata(xmp=packet), ending)
        assert notes == (["xmp_left"] if ending == "jpg" else [])
        assert (packet in path.read_bytes()) == (ending != "jpg")


@pytest.mark.parametrize(
    ("length", "lost"), [(30_000, {0x927C}), (90_000, {0x927C, 0x9286})], ids=["notes", "comment"]
)
def test_exif_that_is_too_long_for_a_jpeg_loses_maker_notes_and_long_values_with_a_note(
    tmp_path, length, lost
):
    block = Image.Exif()
    block.load(exif())
    details = block.get_ifd(0x8769)
    details[0x9286] = b"ASCII\0\0\0" + LONG[:length].encode()
    details[0x927C] = b"LANTERN\0" + bytes(60_000)
    path, notes = export_with_notes(tmp_path, Metadata(block.tobytes()[6:]), "jpg")
    kept = Image.open(path).getexif()
    assert notes == ["exif_short"]
    assert (kept[0x010F], kept[0x8298]) == ("Lantern", "(c) A. B.")
    assert kept.get_ifd(0x8825) == block.get_ifd(0x8825)
    assert details.keys() - kept.get_ifd(0x8769).keys() == lost


@pytest.mark.parametrize(
    ("ending", "notes"),
    [("jpg", []), ("webp", ["texts_left", "iptc_left"]), ("avif", ["texts_left", "iptc_left"])],
)
def test_texts_become_comments_of_a_jpeg_and_what_a_format_cannot_hold_is_noted(
    tmp_path, ending, notes
):
    texts = (("parameters", "a lantern, 雨\nSteps: 20"), ("Comment", "at dusk – quiet"))
    path, found = export_with_notes(tmp_path, Metadata(iptc=IPTC, texts=texts), ending)
    assert found == notes
    comments = (("Comment", "parameters: a lantern, 雨\nSteps: 20"), texts[1])
    assert read_image(path).metadata.texts == (() if notes else comments)


def test_a_text_that_is_too_long_for_a_jpeg_is_removed_with_a_note(tmp_path):
    _, notes = export_with_notes(tmp_path, Metadata(texts=(("x", LONG),)), "jpg")
    assert notes == ["texts_left"]


def test_overlapping_values_of_a_stored_result_are_left_out_of_a_jpeg(tmp_path):
    metadata = Metadata(overlapping_exif(4_000_000, 30_000))
    png = finished_png(tmp_path / "result.png", np.zeros((6, 8), np.uint8), metadata=metadata)
    path = exported(png, "jpg", metadata="no-location")
    assert read_image(path).metadata.exif in (None, EMPTY)


@pytest.mark.parametrize(
    ("length", "notes"),
    [(MAX_BLOCK, ()), (MAX_BLOCK + 1, ("large_exif_left", "large_xmp_left"))],
)
def test_blocks_of_at_most_a_megabyte_are_kept(tmp_path, length, notes):
    block, packet = exif().ljust(length, b"\0"), XMP.ljust(length)
    metadata = metadata_of(tmp_path, flat_photo(make_chunk(b"eXIf", block) + packed_xmp(packet)))
    assert metadata.notes == notes
    assert (metadata.exif is None, metadata.xmp is None) == (bool(notes), bool(notes))


def test_iptc_and_texts_have_limits(tmp_path):
    block = profile_text("iptc", photoshop_resource(IPTC.ljust(MAX_BLOCK + 1, b"\0")))
    iptc = make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(block.encode()))
    texts = b"".join(make_chunk(b"tEXt", b"Comment\0%d" % number) for number in range(11_000))
    metadata = metadata_of(tmp_path, flat_photo(iptc + texts))
    assert (metadata.iptc, metadata.notes) == (None, ("large_iptc_left",))
    assert [value for _, value in metadata.texts] == [str(number) for number in range(10_000)]


@cache
def hostile():
    """Return chunks that expand to many times their size, are damaged, or slow down a reader."""
    flat = zlib.compress(bytes(40_000_000), 1)
    bomb = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 12))
    profile = b"\nexif\n99999999\n" + bytes(40_000_000)
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
        "no keyword": make_chunk(b"tEXt", b"\0words") + make_chunk(b"zTXt", b"k\0\0no"),
        "no content": make_chunk(b"iTXt", b""),
        "bad UTF-8": make_chunk(b"iTXt", b"Comment\0\0\0\0\0\xff\xfe"),
        "bad profile": make_chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n12\nxyz"),
        "large EXIF 1": packed_exif(overlapping_exif(15_000_000, 60_000)),
        "large EXIF 2": packed_exif(overlapping_exif(900_000, 60_000)),
        "large EXIF 3": packed_exif(overlapping_exif(40_000_000, 1)),
        "large EXIF 4": make_chunk(b"eXIf", exif() + bytes(17 << 20)),
        "large XMP 1": packed_xmp(located_xmp(16 << 20)),
        "large XMP 2": packed_xmp(located_xmp(40_000_000)),
        "large XMP 3": packed_xmp(b"<x>" + b"<a/>" * 350_000 + b"</x>"),
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_metadata_is_left_out_and_the_image_is_decoded(tmp_path, kind):
    title = make_chunk(b"tEXt", b"Title\0A lantern")
    metadata = metadata_of(tmp_path, flat_photo(title + hostile()[kind]))
    assert metadata.exif is None
    assert len(metadata.xmp or b"") <= MAX_BLOCK
    assert sum(len(value) for _, value in metadata.texts) < 9 << 20
    assert metadata.texts[0] == ("Title", "A lantern")
    if kind.startswith("large"):
        name = kind.split()[1].lower()
        assert f"large_{name}_left" in metadata.notes


def test_truncated_blocks_and_wrong_offsets_raise_no_exception():
    whole = exif()
    for place in range(8, len(whole) - 4):
        metadata = Metadata(whole[:place], XMP[: place * 2], IPTC[:place])
        metadata = metadata.upright().with_size(48, 64).select("no-location")
        assert not metadata.has_location
        for number in (8, 10, 0xFFFFFFFF, len(whole) - 2):
            block = whole[:place] + struct.pack("<I", number) + whole[place + 4 :]
            Metadata(block).upright().with_size(70_000, 64).select("no-location")


def test_a_truncated_result_is_not_copied(tmp_path):
    result = finished_png(tmp_path / "result.png", np.zeros((6, 8), np.uint8))
    result.write_bytes(result.read_bytes()[:-30])
    with pytest.raises(PictureError, match=r"result\.png"):
        export(result, tmp_path / "target.png", Encoding(metadata="none"))
    assert [*tmp_path.iterdir()] == [result]


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_result_with_other_metadata_is_replaced_and_recognised(tmp_path, capsys, form):
    source, results = tmp_path / "photo.jpg", tmp_path / "out"
    source.write_bytes(photo_with_metadata("JPEG"))
    unlabelled = ["--metadata", "none", "--no-label"]
    for options, is_cached in (([], False), (unlabelled, False), (unlabelled, True)):
        (printed,) = run(capsys, source, "-o", f"{results}/", "--format", form, *options)
        assert printed["cached"] == is_cached
        (result,) = results.iterdir()
        kinds = {kind for kind, tags in tags_of(result).items() if tags}
        assert (kinds == {"ICC", "resolution"}) == bool(options)
