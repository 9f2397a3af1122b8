"""Metadata in results: every tag of the photo that the format can hold, and the location only if it
is wanted."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.cli import main
from enhance.errors import PictureError
from enhance.formats.encoding import FORMATS, Encoding, export, notes_of
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
    NOTES,
    PLACE,
    THUMBNAIL,
    WIDTH,
    XMP,
    exif,
    photo_with_metadata,
    read_by_exiftool,
)

TABLE = Path(__file__).parents[2] / "docs" / "files.md"
OUTPUTS = [form.ending[1:] for form in FORMATS.values() if form.is_available()]
LOSSY = ("jpg", "webp", "avif")
LONG = "".join(chr(65 + number * 7 % 26) for number in range(90_000))


def metadata_of(tmp_path: Path, content: bytes) -> Metadata:
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_image(path).metadata


def result_with(tmp_path: Path, metadata: Metadata) -> Path:
    return finished_png(
        tmp_path / "result.png", np.full((6, 8, 3), 90, np.uint8), metadata=metadata
    )


def export_with_notes(png: Path, ending: str) -> tuple[Path, list[str]]:
    """Export the PNG; return the file and the notes on what it lost."""
    path = exported(png, ending)
    return path, notes_of(png, Encoding.of_file(path))


@pytest.mark.skipif(not FORMATS["jxl"].is_available(), reason="pyjpegxl is not installed")
@pytest.mark.parametrize("source", INPUTS)
def test_every_tag_is_kept_except_those_of_the_kinds_in_the_table(tmp_path, source):
    assert row(tmp_path, source) in TABLE.read_text("utf-8").splitlines()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_location_removes_every_trace_of_it_and_none_everything(tmp_path, source):
    photo = write_photo(tmp_path, source)
    result = write_result(photo)
    before = tags_of(result)
    assert inspect_image(photo).has_location
    assert THUMBNAIL not in result.read_bytes()
    for ending in OUTPUTS:
        path = exported(result, ending, metadata="no-location")
        content, tags = path.read_bytes(), tags_of(path)
        for trace in (COORDINATES, PLACE.encode(), b"GPS", b"Austria", b"48.2", b"16,22", NOTES):
            assert trace not in content, trace
        assert not inspect_image(path).has_location
        assert tags["EXIF"]["IFD0:Copyright"] == "(c) A. B."
        lost = before["EXIF"].keys() - tags["EXIF"].keys()
        assert {name for name in lost if not name.startswith("GPS:")} <= {
            "maker notes",
            "ExifIFD:MakerNoteUnknown",
        }
        assert "location_left" in notes_of(result, Encoding.of_file(path, metadata="no-location"))

        path = exported(result, ending, metadata="none")
        tags = tags_of(path)
        assert {kind for kind, found in tags.items() if found} <= {"ICC", "resolution", "gain map"}
        assert tags["resolution"] == before["resolution"]
        assert origin_of(path) == Origin()


def test_sizes_and_orientation_are_those_of_the_result(tmp_path):
    tags = read_by_exiftool(write_result(write_photo(tmp_path, "JPEG")))

    assert tags["IFD0:Orientation"] == tags["XMP-tiff:Orientation"] == 1
    for name, side in (("Width", 4 * HEIGHT), ("Height", 4 * WIDTH)):
        assert tags[f"IFD0:Image{name}"] == tags[f"ExifIFD:ExifImage{name}"] == side
        assert tags[f"XMP-exif:ExifImage{name}"] == side


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_orientation_and_thumbnail_change_in_the_exif_block(order: str):
    before, after = exif(order), Metadata(exif(order)).upright().exif or b""
    assert THUMBNAIL not in after
    changed = [
        place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other
    ]
    assert len(before) - len(after) == len(THUMBNAIL)
    assert (
        len(changed) <= 1 + 4
    )  # the orientation, and the offset of the directory of the thumbnail


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
        ("PNG", (0, 0, 1), None),
        ("PNG", (0xFFFFFFFF, 1, 1), None),
    ],
)
def test_the_resolution_is_kept_in_any_unit(tmp_path: Path, kind, density, dpi):
    data = bytearray(encode(photos_with_metadata.photo(), kind, exif=b"Exif\0\0" + EMPTY))
    if kind == "JPEG":
        struct.pack_into(">BHH", data, 13, *density)
    else:
        data[33:33] = make_chunk(b"pHYs", struct.pack(">IIB", *density))
    assert metadata_of(tmp_path, bytes(data)).dpi == (dpi and pytest.approx(dpi, abs=0.02))


def test_xmp_that_is_too_long_for_a_jpeg_is_removed_with_a_note(tmp_path: Path):
    packet = XMP.replace(
        b"</rdf:RDF>", b'<rdf:Description xmlns:t="t:" t:a="%s"/></rdf:RDF>' % LONG.encode()
    )
    for ending in LOSSY:
        path, notes = export_with_notes(result_with(tmp_path, Metadata(xmp=packet)), ending)
        assert notes == (["xmp_left"] if ending == "jpg" else [])
        assert (packet in path.read_bytes()) == (ending != "jpg")


@pytest.mark.parametrize("length", [30_000, 90_000])
def test_exif_that_is_too_long_for_a_jpeg_loses_maker_notes_and_long_values_with_a_note(
    tmp_path: Path, length: int
):
    block = Image.Exif()
    block.load(exif())
    block.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + LONG[:length].encode()
    block.get_ifd(0x8769)[0x927C] = b"LANTERN\0" + bytes(60_000)
    path, notes = export_with_notes(result_with(tmp_path, Metadata(block.tobytes()[6:])), "jpg")
    kept = Image.open(path).getexif()
    assert notes == ["exif_short"]
    assert [kept[tag] for tag in (0x010F, 0x8298)] == ["Lantern", "(c) A. B."]
    assert kept.get_ifd(0x8825) == block.get_ifd(0x8825)
    lost = block.get_ifd(0x8769).keys() - kept.get_ifd(0x8769).keys()
    assert lost == ({0x927C, 0x9286} if length > 32_000 else {0x927C})


def test_texts_become_comments_of_a_jpeg_and_what_a_format_cannot_hold_is_noted(tmp_path: Path):
    texts = (("parameters", "a lantern, 雨\nSteps: 20"), ("Comment", "at dusk – quiet"))
    metadata = Metadata(iptc=photos_with_metadata.IPTC, texts=texts)
    for ending in LOSSY:
        path, notes = export_with_notes(result_with(tmp_path, metadata), ending)
        assert notes == ([] if ending == "jpg" else ["texts_left", "iptc_left"])
        expected = (
            (("Comment", "parameters: a lantern, 雨\nSteps: 20"), texts[1])
            if ending == "jpg"
            else ()
        )
        assert read_image(path).metadata.texts == expected
    assert export_with_notes(result_with(tmp_path, Metadata(texts=(("x", LONG),))), "jpg")[1] == [
        "texts_left"
    ]


def test_overlapping_values_of_a_stored_result_are_left_out_of_a_jpeg(tmp_path: Path):
    result = result_with(tmp_path, Metadata(overlapping_exif(4_000_000, 30_000)))
    assert read_image(exported(result, "jpg", metadata="no-location")).metadata.exif in (
        None,
        EMPTY,
    )


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_blocks_of_at_most_a_megabyte_are_kept(tmp_path: Path, kind: str, more: int):
    block, packet = exif().ljust(MAX_BLOCK + more, b"\0"), XMP.ljust(MAX_BLOCK + more)
    content = flat_photo(make_chunk(b"eXIf", block) + packed_xmp(packet))
    if kind == "WEBP":
        content = encode(photos_with_metadata.photo(), kind, exif=block, xmp=packet)

    metadata = metadata_of(tmp_path, content)

    assert metadata.notes == (("large_exif_left", "large_xmp_left") if more else ())
    assert (metadata.exif is None, metadata.xmp is None) == (bool(more), bool(more))


def test_iptc_and_texts_have_limits(tmp_path: Path):
    block = profile_text(
        "iptc", photoshop_resource(photos_with_metadata.IPTC.ljust(MAX_BLOCK + 1, b"\0"))
    )
    texts = (make_chunk(b"tEXt", b"Comment\0%d" % number) for number in range(11_000))
    iptc = make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(block.encode()))
    metadata = metadata_of(tmp_path, flat_photo(iptc + b"".join(texts)))
    assert (metadata.iptc, metadata.notes) == (None, ("large_iptc_left",))
    assert [value for _, value in metadata.texts] == [str(number) for number in range(10_000)]


@cache
def hostile() -> Mapping[str, tuple[bytes, str | None]]:
    """Return texts and blocks that expand to many times their size, are damaged, or slow down a
    reader; and a note."""
    flat = zlib.compress(bytes(40_000_000), 1)
    bomb = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 12))
    profile = b"\nexif\n99999999\n" + bytes(40_000_000)
    large_exif = (
        packed_exif(overlapping_exif(15_000_000, 60_000)),
        packed_exif(overlapping_exif(900_000, 60_000)),
        packed_exif(overlapping_exif(40_000_000, 1)),
        make_chunk(b"eXIf", exif() + bytes(17 << 20)),
    )
    large_xmp = (
        located_xmp(16 << 20),
        located_xmp(40_000_000),
        b"<x>" + b"<a/>" * 350_000 + b"</x>",
    )
    others = {
        "spaces": packed_xmp(b"<x" + b" " * 900_000 + b"/>"),
        "entities": packed_xmp(f'<!DOCTYPE x [<!ENTITY x0 "ha">{bomb}]><x>&x11;</x>'.encode()),
        "open elements": packed_xmp(b"<hdrgm:Version>" * 65_000),
        "zTXt": make_chunk(b"zTXt", b"Comment\0\0" + flat),
        "iTXt": make_chunk(b"iTXt", b"Comment\0\1\0\0\0" + flat),
        "profile": make_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile, 1)),
        "many texts": b"".join(
            make_chunk(b"tEXt", b"Comment\0" + b"a" * 900_000) for _ in range(30)
        ),
        "digits": make_chunk(b"tEXt", b"Comment\0" + b"1.2345" + b" " * 900_000),
        "many prefixes": make_chunk(b"eXIf", b"Exif\0\0" * 160_000),
        "no keyword": make_chunk(b"tEXt", b"\0words")
        + make_chunk(b"iTXt", b"")
        + make_chunk(b"zTXt", b"k\0\0no"),
        "bad UTF-8": make_chunk(b"iTXt", b"Comment\0\0\0\0\0\xff\xfe"),
        "bad profile": make_chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n12\nxyz"),
    }
    return {
        **{f"EXIF {number}": (chunk, "large_exif_left") for number, chunk in enumerate(large_exif)},
        **{
            f"XMP {number}": (packed_xmp(packet), "large_xmp_left")
            for number, packet in enumerate(large_xmp)
        },
        **{name: (chunk, None) for name, chunk in others.items()},
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_metadata_is_left_out_and_the_image_is_decoded(tmp_path: Path, kind: str):
    chunk, note = hostile()[kind]
    metadata = metadata_of(tmp_path, flat_photo(chunk + make_chunk(b"tEXt", b"Title\0A lantern")))
    assert metadata.exif is None
    assert note in (*metadata.notes, None)
    assert len(metadata.xmp or b"") <= MAX_BLOCK
    assert sum(len(value) for _, value in metadata.texts) < 9 << 20
    assert ("Title", "A lantern") in metadata.texts or kind == "many texts"


def test_a_photo_with_a_metadata_bomb_is_enhanced_with_a_note(enhancer, tmp_path: Path):
    chunk, note = hostile()["EXIF 0"]
    encoding = Encoding("jpeg", metadata="no-location")
    result = enhancer.run(
        flat_photo(chunk), "anime-fast", output=tmp_path / "result.jpg", encoding=encoding
    )
    assert result.info["output"]["notes"] == [note]
    assert read_image(result.path).metadata.exif in (None, EMPTY)


def test_truncated_blocks_and_wrong_offsets_raise_no_exception():
    whole = exif()
    for place in range(8, len(whole) - 4):
        metadata = Metadata(whole[:place], XMP[: place * 2], photos_with_metadata.IPTC[:place])
        assert isinstance(
            metadata.upright().with_size(48, 64).select("no-location").has_location, bool
        )
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
    call = [
        "run",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--preset",
        "anime-fast",
        "--json",
    ]
    found = []
    for choice in (
        "keep",
        "none",
        "none",
    ):  # the first one is replaced, and the second stays as it is
        assert main([*call, "--format", form, "--metadata", choice, "--no-label"]) == 0
        found.append(json.loads(capsys.readouterr().out))

    assert [one["cached"] for one in found] == [False, False, True]
    assert len({one["signature"] for one in found}) == 1
    (result,) = (tmp_path / "out").iterdir()
    assert {kind for kind, tags in tags_of(result).items() if tags} == {"ICC", "resolution"}
