"""The label of results: the IPTC digital source type in the XMP of every format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from enhance import Settings
from enhance.cli import main
from enhance.files import file_sha256
from enhance.formats.encoding import ENDINGS, FORMATS, Encoding, export
from enhance.formats.png_reader import is_intact
from enhance.metadata import Metadata
from enhance.metadata.source_type import with_source_type
from enhance.restore.faces import FacePatch
from enhance.restore.result import ResultRows, Scene, write_png
from tests.unit import photos_with_metadata
from tests.unit.image_files import source_image
from tests.unit.photos_with_metadata import read_by_exiftool

FILES = [form.ending for form in FORMATS.values() if form.is_available()]
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENHANCED, COMPOSITE = "algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia"
NETWORK = Settings("anime-fast", scale=4)
TAG = "XMP-iptcExt:DigitalSourceType"


def xmp_of(source_type: str | None) -> bytes:
    """Return the XMP of a photo, with a digital source type as a camera or another program writes
    it."""
    given = f'Iptc4xmpExt:DigitalSourceType="{VOCABULARY}{source_type}" xmp:Rating="4"'.encode()
    return (
        photos_with_metadata.XMP.replace(b'xmp:Rating="4"', given)
        if source_type
        else photos_with_metadata.XMP
    )


def label_of(path: Path) -> str | None:
    """Return the digital source type that exiftool reads, without the address of the vocabulary."""
    return read_by_exiftool(path).get(TAG, "").removeprefix(VOCABULARY) or None


def others_of(path: Path) -> dict[str, Any]:
    """Return the other properties of the XMP."""
    found = read_by_exiftool(path, "-struct", "-XMP:all")
    return {name: value for name, value in found.items() if name not in (TAG, "SourceFile")}


def write_result(
    folder: Path, xmp: bytes | None, settings: Settings = NETWORK, **changes: Any
) -> Path:
    """Write a result whose network returned `network` (default: enlarged pixels); `patches` are
    restored faces."""
    rgb = np.ascontiguousarray(data.astronaut()[:30, :40])
    image = source_image(rgb, variants=Metadata(xmp=xmp).variants())
    network = changes.pop(
        "network", np.kron(rgb, np.ones((settings.factor, settings.factor, 1), np.uint8))
    )
    photo = Scene().photo(image, settings, image.degradation)
    rows = replace(ResultRows(image, lambda a, b: network[a:b], settings, photo), **changes)
    path = folder / "result.png"
    sha256, _ = write_png(rows, path, signature="b" * 64, meter=rows.meter())
    assert sha256 == file_sha256(path)
    assert is_intact(path)
    return path


@pytest.mark.parametrize("metadata", ["keep", "no-location", "none"])
@pytest.mark.parametrize("ending", FILES)
def test_every_format_has_the_label(tmp_path, ending, metadata):
    png = write_result(tmp_path, xmp_of(None))
    before = others_of(png)
    path = tmp_path / f"exported{ending}"
    export(png, path, Encoding(ENDINGS[ending], metadata=metadata))
    assert label_of(path) == ENHANCED
    assert others_of(path) == (before if metadata == "keep" else {})


@pytest.mark.parametrize("own", [None, "digitalCapture"])
@pytest.mark.parametrize("ending", FILES)
def test_label_is_removed_if_it_is_off(tmp_path, ending, own):
    png = write_result(tmp_path, xmp_of(own))
    for metadata, expected in (("keep", own), ("none", None)):
        path = tmp_path / f"off{ending}"
        export(png, path, Encoding(ENDINGS[ending], metadata=metadata, label=False))
        assert label_of(path) == expected
        assert others_of(path) == (others_of(png) if metadata == "keep" else {})


FACE = FacePatch(np.zeros(0), np.eye(2, 3), 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("own", "changes", "label"),
    [
        (None, {}, ENHANCED),
        ("digitalCapture", {}, ENHANCED),
        (COMPOSITE, {}, COMPOSITE),
        ("trainedAlgorithmicMedia", {}, "trainedAlgorithmicMedia"),
        ("digitalCapture", {"patches": [FACE]}, COMPOSITE),
        (
            "digitalCapture",
            {"network": np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)},
            COMPOSITE,
        ),
    ],
)
def test_label_replaces_that_of_the_photo_unless_the_photo_was_generated(
    tmp_path, own, changes, label
):
    path = write_result(tmp_path, xmp_of(own), **changes)
    assert label_of(path) == label
    assert others_of(path) == others_of(write_result(tmp_path, xmp_of(own)))


def test_result_without_a_network_keeps_the_label_of_the_photo(tmp_path):
    settings = Settings().resolved("resize", scale=1)
    assert label_of(write_result(tmp_path, xmp_of("digitalCapture"), settings)) == "digitalCapture"
    path = write_result(tmp_path, None, settings)
    export(path, tmp_path / "none.jpg", Encoding("jpeg", metadata="none"))
    assert label_of(tmp_path / "none.jpg") is None


def test_result_without_xmp_gets_a_packet_that_has_only_the_label(tmp_path):
    path = write_result(tmp_path, None)
    assert label_of(path) == ENHANCED
    assert others_of(path) == {}


@pytest.mark.parametrize(
    "xmp",
    [
        b'<r:RDF xmlns:r="x"><r:Description i:DigitalSourceType="%s"/></r:RDF>',
        b"<r:RDF "
        b'xmlns:r="x"><r:Description><i:DigitalSourceType>%s</i:DigitalSourceType></r:Description></r:RDF>',
        b'<RDF xmlns="x"><Description><i:DigitalSourceType rdf:resource="%s"/></Description></RDF>',
    ],
)
def test_every_form_of_the_property_is_replaced(xmp):
    labelled = with_source_type(xmp % VOCABULARY.encode(), ENHANCED) or b""
    assert labelled.count(b"DigitalSourceType") == 1
    assert f'"{VOCABULARY}{ENHANCED}"'.encode() in labelled
    assert b"DigitalSourceType" not in (with_source_type(labelled, None) or b"")


def test_command_line_writes_the_label_unless_it_is_off(photo_file, tmp_path, capsys):
    for options, label in (([], ENHANCED), (["--no-label"], None), ([], ENHANCED)):
        arguments = [
            "run",
            str(photo_file),
            "-o",
            str(tmp_path / "out.png"),
            "--preset",
            "anime-fast",
            "--json",
        ]
        assert main([*arguments, *options]) == 0
        assert not json.loads(capsys.readouterr().out)["cached"], (
            "a file with another label is made again"
        )
        assert label_of(tmp_path / "out.png") == label
