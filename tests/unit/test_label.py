"""The label of results: the IPTC digital source type in the XMP of every format."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from enhance import Settings
from enhance.formats.encoding import FORMATS, Encoding, export
from enhance.metadata import Metadata
from enhance.metadata.source_type import with_source_type
from enhance.restore.faces import FacePatch
from enhance.restore.result import Scene, write_png
from enhance.restore.tuning import ResultRows
from tests.unit.image_files import source_image
from tests.unit.photos_with_metadata import XMP, read_by_exiftool

FORMATS_HERE = [form for form in FORMATS.values() if form.is_available()]
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENHANCED, COMPOSITE = "algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia"
CAPTURED = "digitalCapture"
NETWORK = Settings("anime-fast", scale=4)
TAG = "XMP-iptcExt:DigitalSourceType"
PHOTO = np.ascontiguousarray(data.astronaut()[:30, :40])
ENLARGED = PHOTO.repeat(4, 0).repeat(4, 1)
NOISE = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
FACE = FacePatch(np.zeros(0), np.array([[1.0, 0, -9999], [0, 1, -9999]]))  # outside the image


def xmp_of(source_type):
    """Return XMP with a digital source type, as a camera or another program writes it."""
    stated = f'Iptc4xmpExt:DigitalSourceType="{VOCABULARY}{source_type}" xmp:Rating='
    return XMP.replace(b"xmp:Rating=", stated.encode())


def properties_of(path):
    """Return the digital source type of a file and the other properties of its XMP."""
    found = read_by_exiftool(path, "-struct", "-XMP:all")
    del found["SourceFile"]
    label = found.pop(TAG, None)
    return label and label.removeprefix(VOCABULARY), found


def write_result(folder, xmp, settings=NETWORK, network=ENLARGED, patches=()):
    """Write a result whose network returned `network`; `patches` are restored faces."""
    image = source_image(PHOTO, variants=Metadata(xmp=xmp).variants())
    photo = Scene().photo(image, settings, image.degradation)
    rows = ResultRows(image, lambda first, last: network[first:last], settings, photo)
    path = folder / "result.png"
    write_png(replace(rows, patches=patches), path, signature="b" * 64, meter=rows.meter())
    return path


@pytest.mark.parametrize("own", [XMP, xmp_of(CAPTURED)], ids=["no type", "a photo"])
@pytest.mark.parametrize("form", FORMATS_HERE, ids=lambda form: form.key)
def test_every_format_has_the_label_unless_it_is_off(tmp_path, form, own):
    png = write_result(tmp_path, own)
    _, others = properties_of(png)
    own_type = None if own == XMP else CAPTURED
    for metadata, is_labelled, expected in (
        ("keep", True, (ENHANCED, others)),
        ("none", True, (ENHANCED, {})),
        ("keep", False, (own_type, others)),
        ("none", False, (None, {})),
    ):
        path = tmp_path / f"exported{form.ending}"
        export(png, path, Encoding(form.key, metadata=metadata, label=is_labelled))
        assert properties_of(path) == expected


@pytest.mark.parametrize(
    ("own", "changes", "label"),
    [
        (CAPTURED, {}, ENHANCED),
        (COMPOSITE, {}, COMPOSITE),
        (CAPTURED, {"patches": [FACE]}, COMPOSITE),
        (CAPTURED, {"network": NOISE}, COMPOSITE),
        (CAPTURED, {"settings": Settings().resolved("resize", scale=1)}, CAPTURED),
    ],
)
def test_label_replaces_that_of_the_photo_unless_the_photo_was_generated(
    tmp_path, own, changes, label
):
    assert properties_of(write_result(tmp_path, xmp_of(own), **changes))[0] == label


def test_result_without_xmp_gets_a_packet_that_has_only_the_label(tmp_path):
    assert properties_of(write_result(tmp_path, None)) == (ENHANCED, {})


@pytest.mark.parametrize(
    "xmp",
    [
        b'<r:RDF xmlns:r="x"><r:Description i:DigitalSourceType="%s"/></r:RDF>',
        b'<r:RDF xmlns:r="x"><r:Description><i:DigitalSourceType>%s</i:DigitalSourceType>'
        b"</r:Description></r:RDF>",
        b'<RDF xmlns="x"><Description><i:DigitalSourceType rdf:resource="%s"/></Description></RDF>',
    ],
)
def test_every_form_of_the_property_is_replaced(xmp):
    labelled = with_source_type(xmp % VOCABULARY.encode(), ENHANCED) or b""
    assert labelled.count(b"DigitalSourceType") == 1
    assert f'"{VOCABULARY}{ENHANCED}"'.encode() in labelled
    assert b"DigitalSourceType" not in (with_source_type(labelled, None) or b"")
