"""`read_image` and `inspect_image` for every kind of file: pixels, orientation, colour profile and
EXIF."""

import hashlib
import io
import zlib

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageOps

from enhance.images import colour, decode, inspect_image, read_image
from enhance.metadata import profiles
from enhance.metadata.png_chunks import make_chunk
from tests.unit.image_files import (
    cmyk_profile,
    encode,
    exif_block,
    grey_profile,
    png,
    rgb_profile,
    tiff,
)

PHOTO = skimage.data.astronaut()[100:161, 180:271]  # 61 rows, 91 columns
IMAGE = Image.fromarray(PHOTO)
STRIPES = (np.indices((61, 91)).sum(0) // 9 % 3 * 100).astype(np.uint8)
CLEAR = Image.fromarray(np.dstack([PHOTO, STRIPES]))
SOURCES = {mode: CLEAR.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")}
MODES = {
    "PNG": "1 L LA P RGB RGBA",
    "TIFF": "1 L P RGB RGBA CMYK",
    "BMP": "L P RGB",
    "JPEG": "L RGB",
    "WEBP": "RGB RGBA",
    "AVIF": "RGB RGBA",
    "HEIF": "RGB",
}
EIGHT_BITS = [
    *((kind, mode, {}) for kind, modes in MODES.items() for mode in modes.split()),
    ("WEBP", "RGBA", {"lossless": True}),
    ("PNG", "P", {"transparency": 3}),
    ("GIF", "P", {"transparency": 3}),
    ("PNG", "RGB", {"transparency": IMAGE.getpixel((5, 3))}),
]
"""Formats, images in Pillow's modes, and options of Pillow."""

DEEP = np.random.default_rng(7).integers(1, 65536, (60, 40, 4), dtype=np.uint16)
RGB, GREY, ALPHA = DEEP[..., :3], DEEP[..., :1], DEEP[..., 3:]
TURNED = make_chunk(b"eXIf", exif_block(6))
SIXTEEN_BITS = {
    "PNG": (png(RGB), "RGB;16", RGB, 65535),
    "turned PNG": (
        png(DEEP, before_pixels=TURNED),
        "RGBA;16",
        np.rot90(RGB, -1),
        np.rot90(ALPHA, -1),
    ),
    "grey TIFF": (tiff(GREY[..., 0], 1, byteorder=">"), "I;16", GREY, 65535),
    "TIFF with alpha": (tiff(DEEP, extrasamples=[2]), "RGBA;16", RGB, ALPHA),
    "TIFF with a fourth channel": (tiff(DEEP, extrasamples=[0]), "RGBA;16", RGB, 65535),
}
"""Files with their mode, their colours and their alpha channel."""


@pytest.fixture
def read(tmp_path):
    """Return a function that decodes bytes and compares the facts that `inspect_image` returns."""

    def reading(data):
        path = tmp_path / "image.bin"
        path.write_bytes(data)
        facts, image = inspect_image(path), read_image(path)
        for name in ("width", "height", "bits", "format", "mode", "name", "bytes"):
            assert getattr(facts, name) == getattr(image, name)
        assert facts.has_alpha == (image.alpha is not None)
        assert image.bytes == len(data)
        assert image.sha256 == hashlib.sha256(data).hexdigest()
        return image

    return reading


def check_pixels(image, colours, alpha):
    """Check every pixel except the colours of transparent ones."""
    found = np.full(image.rgb.shape[:2], image.levels)
    if image.alpha is not None:
        found = image.alpha
    assert (found[..., None] == alpha).all()
    visible = found > 0
    assert np.array_equal(image.rgb[visible], np.broadcast_to(colours, image.rgb.shape)[visible])


@pytest.mark.parametrize(("kind", "source", "options"), EIGHT_BITS)
def test_8_bit_pixels_equal_pillows_in_every_orientation(read, kind, source, options):
    for orientation in range(1, 9) if source == "RGB" else (1,):
        exif = b"Exif\0\0" + exif_block(orientation)
        data = encode(SOURCES[source], kind, exif=exif, **options)
        opened, image = Image.open(io.BytesIO(data)), read(data)
        one_bit_png = (kind, source) == ("PNG", "1")
        assert image.mode == ("L" if one_bit_png else opened.mode)
        assert image.grey == (source in ("1", "L", "LA"))
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGBA"))
        check_pixels(image, expected[..., :3], expected[..., 3:])


@pytest.mark.parametrize("kind", SIXTEEN_BITS)
def test_every_bit_of_16_is_read(read, kind):
    data, mode, colours, alpha = SIXTEEN_BITS[kind]
    image = read(data)
    assert (image.mode, image.grey, image.rgb.dtype) == (mode, mode == "I;16", np.uint16)
    check_pixels(image, colours, alpha)


def test_a_grey_heic_of_10_bits_keeps_them(read):
    shades = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    image = read(encode(Image.fromarray(shades), "HEIF", quality=100))
    assert (image.mode, image.grey, image.bits) == ("I;16", True, 16)
    assert np.abs(image.rgb[..., 0] - shades.astype(int)).max() < 200


@pytest.mark.parametrize(
    "data",
    [
        encode(CLEAR, "PNG", exif=b"Exif\0\0" + exif_block(6)),
        png(DEEP[..., :2], before_pixels=make_chunk(b"eXIf", exif_block(7))),
        tiff(DEEP, extrasamples=[2]),
    ],
    ids=["PNG", "deep PNG", "TIFF"],
)
def test_strips_of_any_height_join_to_the_same_pixels(tmp_path, monkeypatch, data):
    path = tmp_path / "image"
    path.write_bytes(data)

    def read_strips():
        _, *strips = decode.decode(path, 1_000_000, None, lambda need: None)
        return strips

    (whole,) = read_strips()
    monkeypatch.setattr(decode, "_STRIP_PIXELS", 7 * whole.shape[1])
    monkeypatch.setattr(colour, "BLOCK", 7)  # The strips of images with alpha.
    strips = read_strips()
    assert len(strips) > 5
    assert np.array_equal(np.concatenate(strips), whole)


@pytest.mark.parametrize(
    ("kind", "mode", "colour", "expected"),
    [
        ("TIFF", "CMYK", (255, 0, 0, 0), (151, 191, 255)),
        ("JPEG", "CMYK", (255, 0, 0, 0), (151, 191, 255)),
        ("JPEG", "CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("TIFF", "LAB", (138, 166, 174), (200, 100, 50)),
    ],
)
def test_cmyk_and_lab_are_converted_to_srgb(read, kind, mode, colour, expected):
    """The expected colours are those of LittleCMS for the Lab values."""
    icc = cmyk_profile() if mode == "CMYK" else None
    image = read(encode(Image.new(mode, (16, 16), colour), kind, icc_profile=icc))
    assert (image.mode, image.icc) == (mode, None)
    assert np.abs(image.rgb - np.array(expected)).max() <= 3


def test_cmyk_jpeg_is_inverted_only_with_adobe_marker(read):
    adobe = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    assert (read(adobe).rgb == (0, 255, 255)).all()
    # Without the marker, the stored values are C 0 and M, Y, K 255: black.
    assert (read(adobe.replace(b"Adobe", b"Other")).rgb == 0).all()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_of_several_images_the_first_is_read_with_a_note(tmp_path, kind):
    path = tmp_path / "frames"
    red = Image.new("RGB", (32, 24), "red")
    red.save(path, kind, save_all=True, append_images=[Image.new("RGB", red.size, "blue")])
    image = read_image(path)
    assert (inspect_image(path).frames, image.metadata.notes) == (2, ("first_frame",))
    assert image.rgb[0, 0].argmax() == 0


def test_transparent_pixels_get_the_colour_of_the_nearest_visible_ones(read):
    red = (200, 10, 30, 255)
    blue = (10, 20, 220, 1)  # hardly visible
    values = np.zeros((2000, 3, 4), np.uint8)  # black and invisible
    values[1030] = red
    values[1130] = blue
    image = read(png(values))
    assert (image.rgb[1030 - 256 : 1080] == red[:3]).all()
    assert (image.rgb[1081 : 1130 + 256] == blue[:3]).all()
    assert (image.rgb[:512] == 0).all()
    assert np.array_equal(image.alpha, values[..., 3])


def test_a_profile_that_takes_too_long_is_left_out(monkeypatch):
    assert profiles.fitting_profile(rgb_profile(), grey=False) == rgb_profile()
    monkeypatch.setattr(profiles, "_MAX_PROFILE_SECONDS", 0)
    assert profiles.fitting_profile(rgb_profile(), grey=False) is None


def test_a_grey_profile_fits_grey_and_an_rgb_profile_rgb(read):
    rgb, grey = rgb_profile(), grey_profile()
    for image, fitting, other in ((IMAGE, rgb, grey), (SOURCES["L"], grey, rgb)):
        assert read(encode(image, "PNG", icc_profile=fitting)).icc == fitting
        assert read(encode(image, "PNG", icc_profile=other)).icc is None


@pytest.mark.parametrize(
    "content",
    [
        b"x\0\0" + zlib.compress(rgb_profile()[:300]),
        b"x\0\0" + zlib.compress(cmyk_profile()),
        b"x\0\0" + zlib.compress(bytes(100_000_000)),
        b"x\0\0not deflate",
        b"x",
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_unusable_profile_is_left_out(read, content):
    image = read(png(PHOTO, before_pixels=make_chunk(b"iCCP", content)))
    assert image.icc is None
    assert np.array_equal(image.rgb, PHOTO)
