"""Metadata in results: every tag of the photo, and the location only if it is wanted."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from enhance.cli import main
from enhance.errors import PictureError, StorageError
from enhance.images import Metadata, inspect, read_image
from enhance.images.containers import make_chunk
from enhance.output.formats import Encoding, export
from enhance.output.png import PngFormat, create_png
from enhance.output.png_reader import PngReader
from tests.unit import photos_with_metadata
from tests.unit.image_files import encode, png, rgb_profile
from tests.unit.photos_with_metadata import (
    COORDINATES,
    DPI,
    NOTES,
    PLACE,
    WIDTH,
    XMP,
    photo_with_metadata,
    read_by_exiftool,
)
from tests.unit.test_png import accepted_by_pngcheck, full_disk_after, names_in

KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF")
KINDS_WITH = {
    "exif": ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"),
    "xmp": ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"),
    "iptc": ("JPEG", "PNG", "TIFF"),
    "texts": ("JPEG", "PNG", "GIF"),
    "dpi": ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP"),
}


def image_of(tmp_path: Path, content: bytes):
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_image(path)


def result_of(tmp_path: Path, content: bytes, name: str = "result.png") -> Path:
    """Return the PNG result of a photo at 4x with its metadata."""
    image = image_of(tmp_path, content)
    width, height = 4 * image.width, 4 * image.height
    form = PngFormat(width, height, 3, icc=image.icc, metadata=image.metadata.with_size(width, height))
    with create_png(tmp_path / name, form) as writer:
        writer.write(np.repeat(np.repeat(image.rgb, 4, axis=0), 4, axis=1))
    return tmp_path / name


def tags(path: Path) -> dict[str, Any]:
    """Return the tags of a file that exiftool reads."""
    return {
        name: value
        for name, value in read_by_exiftool(path, "-a").items()
        if name.startswith(("IFD0:", "ExifIFD:", "GPS:", "XMP-", "IPTC:", "ICC", "PNG:", "PNG-pHYs"))
    }


def without_storage(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags without those about the storage of pixels in TIFF and PNG."""
    storing = ("Bits", "Compression", "Photometric", "Strip", "Samples", "Rows", "Planar", "Sample")
    return {
        name: value
        for name, value in metadata.items()
        if not name.startswith("PNG") and not name.removeprefix("IFD0:").startswith(storing)
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_tag_of_a_photo_is_in_the_result_and_only_sizes_and_orientation_differ(tmp_path: Path, kind: str):
    result = result_of(tmp_path, photo_with_metadata(kind))
    before, after = without_storage(tags(tmp_path / "photo")), without_storage(tags(result))

    assert len(before) > 20
    if kind == "TIFF":  # The directory describes pixels that are stored as PNG now.
        before = {name: value for name, value in before.items() if name not in ("IFD0:ImageWidth", "IFD0:ImageHeight")}
        after.pop("IFD0:Orientation")
    assert sorted(before.keys() - after.keys()) == []
    changed = {name: after[name] for name in before if after[name] != before[name]}
    sizes = {"ImageWidth", "ImageHeight", "ExifImageWidth", "ExifImageHeight", "Orientation"}
    assert {name.partition(":")[2] for name in changed} <= sizes
    with Image.open(result) as image:
        for name, value in changed.items():
            assert value == (1 if name.endswith("Orientation") else image.size["Width" not in name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_pillow_and_pngcheck_read_the_result_of_every_format(tmp_path: Path, kind: str):
    result = result_of(tmp_path, photo_with_metadata(kind))
    with Image.open(result) as image:
        info, exif = image.info, image.getexif()
        assert ("exif" in info, "xmp" in info) == (kind in KINDS_WITH["exif"], kind in KINDS_WITH["xmp"])
        assert ("Raw profile type iptc" in info) == (kind in KINDS_WITH["iptc"])
        assert ("Comment" in info) == (kind in KINDS_WITH["texts"])
        assert ("dpi" in info) == (kind in KINDS_WITH["dpi"])
        assert info.get("dpi", (DPI, DPI)) == pytest.approx((DPI, DPI), abs=0.01)
        assert exif.get(0x010F, "Lantern") == "Lantern"
    assert accepted_by_pngcheck(result)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_location_removes_every_trace_of_the_location(tmp_path: Path, kind: str):
    result, place = result_of(tmp_path, photo_with_metadata(kind)), tmp_path / "taken.png"
    assert inspect(result).has_location
    export(result, place, Encoding(metadata="no-location"))

    with PngReader(place) as reader, PngReader(result) as whole:
        left = reader.metadata
        assert reader.icc == whole.icc
    everything = b"".join((left.exif or b"", left.xmp or b"", left.iptc or b"", repr(left.texts).encode()))
    for trace in (COORDINATES, PLACE.encode(), b"GPS", b"Austria", b"48.2", b"16,22", NOTES):
        assert trace not in everything, trace
    assert not inspect(place).has_location
    assert b"Lantern" in everything
    assert (left.xmp, left.iptc) == (None, None)
    assert accepted_by_pngcheck(place)
    gone = {name for name in tags(result).keys() - tags(place).keys() if not name.startswith(("PNG", "XMP", "IPTC"))}
    assert [name for name in gone if "GPS" not in name and "MakerNote" not in name] == []


def test_a_photo_without_a_position_has_no_location(tmp_path: Path):
    (tmp_path / "photo").write_bytes(
        encode(photos_with_metadata.photo(), "JPEG", exif=b"Exif\0\0" + photos_with_metadata.exif())
    )
    assert inspect(tmp_path / "photo").has_location
    for number, metadata in enumerate((Metadata(), Metadata(photos_with_metadata.exif()).select("no-location"))):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(photos_with_metadata.photo(), "PNG", exif=metadata.exif or b""))
        assert not inspect(path).has_location


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
        metadata = reader.metadata
    assert metadata.dpi == (dpi and pytest.approx(dpi, abs=0.02))


def iccp_and(*chunks: bytes) -> bytes:
    profile = make_chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile()))
    return png(np.asarray(photos_with_metadata.photo()), 2, before_pixels=b"".join((profile, *chunks)))


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
        "large EXIF": make_chunk(b"eXIf", photos_with_metadata.exif() + bytes(17 << 20)),
        "no keyword": make_chunk(b"tEXt", b"\0words") + make_chunk(b"iTXt", b"") + make_chunk(b"zTXt", b"k\0\0no"),
        "bad UTF-8": make_chunk(b"iTXt", b"Comment\0\0\0\0\0\xff\xfe"),
        "bad profile": make_chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n12\nxyz"),
    }


@pytest.mark.parametrize("kind", hostile())
def test_hostile_metadata_is_left_out_and_the_image_is_decoded(tmp_path: Path, kind: str):
    image = image_of(tmp_path, iccp_and(hostile()[kind], make_chunk(b"tEXt", b"Title\0A lantern")))
    metadata = image.metadata.with_size(48, 64).select("no-location")
    assert (image.width, image.icc) == (WIDTH, rgb_profile())
    assert sum(len(value) for _, value in metadata.texts) < 9 << 20
    assert len(metadata.xmp or b"") < 6_000_000
    assert metadata.exif is None
    assert ("Title", "A lantern") in metadata.texts or kind == "many texts"


def test_a_truncated_block_raises_no_exception():
    whole = photos_with_metadata.exif()
    for end in range(len(whole)):
        metadata = Metadata(whole[:end], XMP[: end * 2], photos_with_metadata.iptc()[:end])
        metadata.upright().with_size(48, 64).select("no-location")
        assert isinstance(metadata.has_location, bool)


def test_overlapping_directories_raise_no_exception():
    whole = photos_with_metadata.exif()
    for place in range(8, len(whole) - 4):
        for number in (8, 10, 0xFFFFFFFF, len(whole) - 2):
            block = whole[:place] + struct.pack("<I", number) + whole[place + 4 :]
            Metadata(block).upright().with_size(70_000, 64).select("no-location")


def test_a_full_disk_keeps_the_existing_file(tmp_path: Path, monkeypatch):
    result, place = result_of(tmp_path, photo_with_metadata("PNG")), tmp_path / "taken.png"
    place.write_bytes(b"the old one")
    full_disk_after(100, monkeypatch)
    with pytest.raises(StorageError, match="Not enough disk space"):
        export(result, place, Encoding(metadata="none"))
    assert place.read_bytes() == b"the old one"
    assert names_in(tmp_path) == ["photo", "result.png", "taken.png"]


def test_a_missing_or_truncated_result_is_reported(tmp_path: Path):
    with pytest.raises(PictureError, match=r"gone\.png"):
        export(tmp_path / "gone.png", tmp_path / "taken.png", Encoding(metadata="none"))
    result = result_of(tmp_path, photo_with_metadata("PNG"))
    result.write_bytes(result.read_bytes()[:-30])
    with pytest.raises(PictureError, match=r"result\.png"):
        export(result, tmp_path / "taken.png", Encoding(metadata="none"))
    assert names_in(tmp_path) == ["photo", "result.png"]


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_second_run_recognises_results_without_metadata(tmp_path: Path, capsys, monkeypatch, form: str):
    monkeypatch.setenv("ENHANCE_DATA", str(tmp_path / "data"))
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
