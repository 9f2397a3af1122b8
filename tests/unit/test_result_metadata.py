"""Metadata in results: every tag of the photo that the format can hold, and the location only if it is wanted."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from enhance.cli import main
from enhance.errors import PictureError
from enhance.images import Metadata, inspect, read_image
from enhance.images.containers import make_chunk, profile_text
from enhance.images.exif import EMPTY
from enhance.images.metadata import MAX_BLOCK, photoshop_resource
from enhance.output import jxl
from enhance.output.formats import FORMATS, Encoding, export, notes_of
from enhance.output.png_reader import PngReader
from tests.unit import photos_with_metadata
from tests.unit.gain_map_files import packet
from tests.unit.hostile_metadata import flat_photo, located_xmp, overlapping_exif, packed_exif, packed_xmp
from tests.unit.image_files import encode, exported, finished_png, png, rgb_profile
from tests.unit.metadata_pairs import INPUTS, compare
from tests.unit.photos_with_metadata import (
    COORDINATES,
    HEIGHT,
    NOTES,
    PLACE,
    WIDTH,
    XMP,
    exif,
    photo_with_metadata,
    read_by_exiftool,
)

TABLE = Path(__file__).parents[2] / "docs" / "files.md"
LOSSY = ("jpg", "webp", "avif")
NEEDS_JXL = pytest.mark.skipif(not jxl.is_available(), reason="pyjpegxl is not installed")
LONG = "".join(chr(65 + number * 7 % 26) for number in range(90_000))


def image_of(tmp_path: Path, content: bytes):
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_image(path)


def result_of(tmp_path: Path, content: bytes) -> Path:
    """Return the PNG result of a photo at 4x with its metadata."""
    image = image_of(tmp_path, content)
    metadata = image.metadata.with_size(4 * image.width, 4 * image.height)
    return finished_png(tmp_path / "result.png", image.rgb.repeat(4, 0).repeat(4, 1), image.icc, metadata)


def result_with(tmp_path: Path, metadata: Metadata) -> Path:
    return finished_png(tmp_path / "result.png", np.full((6, 8, 3), 90, np.uint8), metadata=metadata)


def export_with_notes(png: Path, ending: str) -> tuple[Path, list[str]]:
    """Export the PNG; return the file and the notes on what it lost."""
    path = exported(png, ending)
    return path, notes_of(png, Encoding.of_file(path))


def documented() -> dict[str, dict[str, str]]:
    """Return the cells of the table in docs/files.md by input format and column."""
    (rows,) = re.findall(r"<!-- metadata -->\n(.*?)<!-- /metadata -->", TABLE.read_text("utf-8"), re.DOTALL)
    head, _, *lines = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in lines}


@pytest.mark.parametrize("output", [pytest.param(one, marks=NEEDS_JXL if one == "jxl" else ()) for one in FORMATS])
@pytest.mark.parametrize("source", INPUTS)
def test_every_tag_is_kept_except_those_of_the_kinds_in_the_table(tmp_path, source, output):
    cells, found = documented()[INPUTS[source]], compare(tmp_path, source, output)
    left_out = set(cells[FORMATS[output].name].removeprefix("all").removeprefix("no ").split(", ")) - {""}

    assert {kind for kind, (count, _) in found.items() if count} == set(cells["metadata"].split(", "))
    assert {kind: lost for kind, (_, lost) in found.items() if lost and kind not in left_out} == {}
    assert {kind for kind, (_, lost) in found.items() if lost} == left_out


def test_sizes_and_orientation_are_those_of_the_result(tmp_path):
    tags = read_by_exiftool(result_of(tmp_path, photo_with_metadata("JPEG")))

    assert tags["IFD0:Orientation"] == tags["XMP-tiff:Orientation"] == 1
    for name, side in (("Width", 4 * HEIGHT), ("Height", 4 * WIDTH)):
        assert tags[f"IFD0:Image{name}"] == tags[f"ExifIFD:ExifImage{name}"] == side
        assert tags[f"XMP-exif:ExifImage{name}"] == side


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        *((kind, "png") for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")),
        *(("JPEG", ending) for ending in ("tif", *LOSSY)),
        pytest.param("JPEG", "jxl", marks=NEEDS_JXL),
    ],
)
def test_no_location_removes_every_trace_of_the_location_and_nothing_else(tmp_path, kind, ending):
    result = result_of(tmp_path, photo_with_metadata(kind))
    assert inspect(result).has_location
    path = exported(result, ending, metadata="no-location")

    content = path.read_bytes()
    for trace in (COORDINATES, PLACE.encode(), b"GPS", b"Austria", b"48.2", b"16,22", NOTES):
        assert trace not in content, trace
    assert not inspect(path).has_location
    before, after = (read_by_exiftool(one, "-a", "-u", "-ee") for one in (result, path))
    assert [name for name in after if "GPS" in name or "City" in name or "Maker" in name] == []
    assert after["IFD0:Copyright"] == "(c) A. B."
    gone = {name for name in before.keys() - after.keys() if name.startswith(("IFD0:", "ExifIFD:"))}
    assert gone <= {"ExifIFD:MakerNoteUnknown", "IFD0:Orientation"}
    with PngReader(result) as reader:
        has_packets = bool(reader.variants["keep"].xmp or reader.variants["keep"].iptc)
    notes = notes_of(result, Encoding.of_file(path, metadata="no-location"))
    assert ("location_left" in notes) == has_packets


def test_a_link_to_the_content_credentials_of_the_photo_is_removed(tmp_path):
    link = b' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="https://a.example/m"'
    result = result_of(tmp_path, encode(photos_with_metadata.photo(), "JPEG", xmp=packet(link)))
    assert read_by_exiftool(exported(result, "jpg")).get("XMP-dcterms:Provenance", "") == ""
    assert b"a.example" not in result.read_bytes()


def test_a_photo_without_a_position_has_no_location():
    assert Metadata(exif()).has_location
    assert not Metadata().has_location
    assert not Metadata(exif()).select("no-location").has_location


@pytest.mark.parametrize(
    ("kind", "content", "dpi"),
    [
        ("JPEG", (1, 300, 150), (300, 150)),
        ("JPEG", (2, 100, 50), (254, 127)),
        ("JPEG", (0, 1, 2), None),
        ("PNG", (1, 11811, 11811), (300, 300)),
        ("PNG", (0, 1, 2), None),
        ("PNG", (1, 0, 0), None),
        ("PNG", (1, 0xFFFFFFFF, 1), None),
    ],
)
def test_the_resolution_is_kept_in_any_unit(tmp_path: Path, kind: str, content, dpi):
    unit, across, down = content
    if kind == "JPEG":
        data = bytearray(encode(photos_with_metadata.photo(), "JPEG"))
        struct.pack_into(">BHH", data, 13, unit, across, down)
    else:
        density = make_chunk(b"pHYs", struct.pack(">IIB", across, down, unit))
        data = png(np.asarray(photos_with_metadata.photo()), 2, before_pixels=density)
    with PngReader(result_of(tmp_path, bytes(data))) as reader:
        assert reader.variants["keep"].dpi == (dpi and pytest.approx(dpi, abs=0.02))


def test_xmp_that_is_too_long_for_a_jpeg_is_removed_with_a_note(tmp_path: Path):
    packet = XMP.replace(b"</rdf:RDF>", b'<rdf:Description xmlns:t="t:" t:a="%s"/></rdf:RDF>' % LONG.encode())
    for ending in LOSSY:
        path, notes = export_with_notes(result_with(tmp_path, Metadata(xmp=packet)), ending)
        assert notes == (["xmp_left"] if ending == "jpg" else [])
        assert (packet in path.read_bytes()) == (ending != "jpg")


@pytest.mark.parametrize("length", [30_000, 90_000])
def test_exif_that_is_too_long_for_a_jpeg_loses_maker_notes_and_long_values_with_a_note(tmp_path: Path, length: int):
    block = Image.Exif()
    block.load(exif())
    block.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + LONG[:length].encode()
    block.get_ifd(0x8769)[0x927C] = b"LANTERN\0" + bytes(60_000)
    png = result_with(tmp_path, Metadata(block.tobytes()[6:]))
    path, notes = export_with_notes(png, "jpg")
    before, after = (read_by_exiftool(one, "-b", "-IFD0:all", "-ExifIFD:all", "-GPS:all") for one in (png, path))
    gone = {name for name in before.keys() - after.keys() if "Maker" not in name and "Image" not in name}
    assert notes == ["exif_short"]
    assert gone == ({"ExifIFD:UserComment"} if length > 32_000 else set())
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"IFD0:Orientation", "SourceFile"}


def test_texts_become_comments_of_a_jpeg_and_what_a_format_cannot_hold_is_noted(tmp_path: Path):
    texts = (("parameters", "a lantern, 雨\nSteps: 20"), ("Comment", "at dusk – quiet"))
    metadata = Metadata(iptc=photos_with_metadata.iptc(), texts=texts)
    for ending in LOSSY:
        path, notes = export_with_notes(result_with(tmp_path, metadata), ending)
        assert notes == ([] if ending == "jpg" else ["texts_left", "iptc_left"])
        expected = (("Comment", "parameters: a lantern, 雨\nSteps: 20"), texts[1]) if ending == "jpg" else ()
        assert read_image(path).metadata.texts == expected
    assert export_with_notes(result_with(tmp_path, Metadata(texts=(("x", LONG),))), "jpg")[1] == ["texts_left"]


@pytest.mark.parametrize(
    ("chunk", "note"),
    [
        (packed_exif(overlapping_exif(15_000_000, 60_000)), "large_exif_left"),
        (packed_exif(overlapping_exif(900_000, 60_000)), "large_exif_left"),
        (packed_exif(overlapping_exif(40_000_000, 1)), "large_exif_left"),
        (packed_xmp(located_xmp(16 << 20)), "large_xmp_left"),
        (packed_xmp(located_xmp(40_000_000)), "large_xmp_left"),
    ],
    ids=["EXIF bomb", "overlapping EXIF", "huge EXIF", "XMP bomb", "huge XMP"],
)
def test_a_photo_with_a_metadata_bomb_is_enhanced_with_a_note(enhancer, tmp_path: Path, chunk: bytes, note: str):
    (tmp_path / "bomb.png").write_bytes(flat_photo(chunk))
    encoding = Encoding("jpeg", metadata="no-location")

    result = enhancer.run(tmp_path / "bomb.png", "anime-fast", output=tmp_path / "result.jpg", encoding=encoding)

    assert result.info["output"]["notes"] == [note]
    assert Image.open(result.path).size == (64, 48)
    assert not inspect(tmp_path / "bomb.png").has_location
    assert read_image(result.path).metadata.exif in (None, EMPTY)


def test_overlapping_values_of_a_stored_result_are_left_out_of_a_jpeg(tmp_path: Path):
    result = result_with(tmp_path, Metadata(overlapping_exif(4_000_000, 30_000)))
    assert read_image(exported(result, "jpg", metadata="no-location")).metadata.exif in (None, EMPTY)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_blocks_of_at_most_a_megabyte_are_kept(tmp_path: Path, kind: str, more: int):
    block, packet = exif().ljust(MAX_BLOCK + more, b"\0"), XMP.ljust(MAX_BLOCK + more)
    if kind == "PNG":
        content = flat_photo(make_chunk(b"eXIf", block) + packed_xmp(packet))
    elif kind == "WEBP":
        content = encode(photos_with_metadata.photo(), kind, exif=block, xmp=packet)
    elif kind == "TIFF":  # Pillow writes no EXIF of this length to a TIFF or an AVIF.
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700], tags.tagtype[700] = packet, 1
        content = encode(photos_with_metadata.photo(), kind, tiffinfo=tags)
    else:
        content = encode(photos_with_metadata.photo(), kind, xmp=packet)

    metadata = image_of(tmp_path, content).metadata

    names = ("exif", "xmp") if kind in ("PNG", "WEBP") else ("xmp",)
    assert metadata.notes == (tuple(f"large_{name}_left" for name in names) if more else ())
    assert all((getattr(metadata, name) is None) == bool(more) for name in names)


def test_iptc_and_texts_have_limits(tmp_path: Path):
    block = photoshop_resource(photos_with_metadata.iptc().ljust(MAX_BLOCK + 1, b"\0"))
    chunks = make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile_text("iptc", block).encode()))
    chunks += b"".join(make_chunk(b"tEXt", b"Comment\0%d" % number) for number in range(11_000))

    metadata = image_of(tmp_path, flat_photo(chunks)).metadata

    assert (metadata.iptc, metadata.notes) == (None, ("large_iptc_left",))
    assert [value for _, value in metadata.texts] == [str(number) for number in range(10_000)]


@cache
def hostile() -> Mapping[str, bytes]:
    """Return texts and blocks that expand to many times their size, are damaged, or slow down a reader."""
    flat = zlib.compress(bytes(40_000_000), 1)
    bomb = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 12))
    doctype = f'<!DOCTYPE x [<!ENTITY x0 "ha">{bomb}]><x>&x11;</x>'.encode()
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0"
    return {
        "zTXt": make_chunk(b"zTXt", b"Comment\0\0" + flat),
        "iTXt": make_chunk(b"iTXt", b"Comment\0\1\0\0\0" + flat),
        "XMP": make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + flat),
        "large XMP": make_chunk(b"iTXt", xmp + b"<x>" + bytes(b"a" * 17_000_000) + b"</x>"),
        "many elements": make_chunk(b"iTXt", xmp + b"<x>" + b"<a/>" * 150_000 + b"</x>"),
        "deep elements": make_chunk(b"iTXt", xmp + b"<a>" * 150_000),
        "many attributes": make_chunk(b"iTXt", xmp + b"<x" + b"".join(b' a%d=""' % n for n in range(110_000)) + b"/>"),
        "spaces": make_chunk(b"iTXt", xmp + b"<x" + b" " * 1_000_000 + b"/>"),
        "entities": make_chunk(b"iTXt", xmp + doctype),
        "profile": make_chunk(
            b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n99999999\n" + bytes(40_000_000), 1)
        ),
        "many texts": b"".join(make_chunk(b"tEXt", b"Comment\0" + b"a" * 900_000) for _ in range(30)),
        "digits": make_chunk(b"tEXt", b"Comment\0" + b"1.2345" + b" " * 900_000),
        "open elements": make_chunk(b"iTXt", xmp + b"<hdrgm:Version>" * 65_000),
        "many prefixes": make_chunk(b"eXIf", b"Exif\0\0" * 160_000),
        "large EXIF": make_chunk(b"eXIf", exif() + bytes(17 << 20)),
        "no keyword": make_chunk(b"tEXt", b"\0words") + make_chunk(b"iTXt", b"") + make_chunk(b"zTXt", b"k\0\0no"),
        "bad UTF-8": make_chunk(b"iTXt", b"Comment\0\0\0\0\0\xff\xfe"),
        "bad profile": make_chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n12\nxyz"),
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_metadata_is_left_out_and_the_image_is_decoded(tmp_path: Path, kind: str):
    chunks = make_chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile())), hostile()[kind]
    chunks = b"".join((*chunks, make_chunk(b"tEXt", b"Title\0A lantern")))
    image = image_of(tmp_path, png(np.asarray(photos_with_metadata.photo()), 2, before_pixels=chunks))
    metadata = image.metadata.with_size(48, 64).select("no-location")
    # A photo is upright even if its EXIF is too large for the result.
    assert (image.width, image.icc) == (HEIGHT if kind == "large EXIF" else WIDTH, rgb_profile())
    assert sum(len(value) for _, value in metadata.texts) < 9 << 20
    assert len(metadata.xmp or b"") <= MAX_BLOCK
    assert metadata.exif is None
    assert ("Title", "A lantern") in metadata.texts or kind == "many texts"


def test_a_truncated_block_raises_no_exception():
    whole = exif()
    for end in range(len(whole)):
        metadata = Metadata(whole[:end], XMP[: end * 2], photos_with_metadata.iptc()[:end])
        metadata.upright().with_size(48, 64).select("no-location")
        assert isinstance(metadata.has_location, bool)


def test_overlapping_directories_raise_no_exception():
    whole = exif()
    for place in range(8, len(whole) - 4):
        for number in (8, 10, 0xFFFFFFFF, len(whole) - 2):
            block = whole[:place] + struct.pack("<I", number) + whole[place + 4 :]
            Metadata(block).upright().with_size(70_000, 64).select("no-location")


def test_a_missing_or_truncated_result_is_reported(tmp_path: Path):
    with pytest.raises(PictureError, match=r"gone\.png"):
        export(tmp_path / "gone.png", tmp_path / "taken.png", Encoding(metadata="none"))
    result = result_with(tmp_path, Metadata())
    result.write_bytes(result.read_bytes()[:-30])
    with pytest.raises(PictureError, match=r"result\.png"):
        export(result, tmp_path / "taken.png", Encoding(metadata="none"))
    assert [path.name for path in tmp_path.iterdir()] == ["result.png"]


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_second_run_recognises_results_without_metadata(tmp_path: Path, capsys, form: str):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.jpg").write_bytes(photo_with_metadata("JPEG"))
    call = ["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--preset", "anime-fast", "--format", form]

    for choice in ("keep", "none", "none"):  # the first one is replaced, and the second stays as it is
        assert main([*call, "--metadata", choice, "--no-label", "--json"]) == 0
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    (result,) = (tmp_path / "out").iterdir()
    assert [one["cached"] for one in (second, third)] == [False, True]
    assert first["signature"] == third["signature"]
    with Image.open(result) as image:
        assert {"exif", "xmp", "photoshop", "comment", "Comment", "Enhance input"} & set(image.info) == set()
        assert image.info["icc_profile"] == rgb_profile()
