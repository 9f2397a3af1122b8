"""`read_image` and `inspect_image` for every kind of file: pixels, orientation, colour profile and
EXIF."""

from __future__ import annotations

import hashlib
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms, ImageOps

from enhance.images import SourceImage, decode, inspect_image, read_image
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
SOURCES["grey P"] = SOURCES["L"].convert("P")
EIGHT_BITS = [
    *(("PNG", source, {}) for source in SOURCES if source != "CMYK"),
    *(("TIFF", source, {}) for source in SOURCES if source != "LA"),
    *(("BMP", source, {}) for source in ("L", "P", "RGB")),
    *(("JPEG", source, {}) for source in ("L", "RGB")),
    *((kind, source, {}) for kind in ("WEBP", "AVIF") for source in ("RGB", "RGBA")),
    ("WEBP", "RGBA", {"lossless": True}),
    *((kind, "P", {"transparency": 3}) for kind in ("PNG", "GIF")),
    ("PNG", "RGB", {"transparency": IMAGE.getpixel((5, 3))}),
]
"""Formats, images in Pillow's modes, and options of Pillow."""

DEEP = np.random.default_rng(7).integers(1, 65536, (60, 40, 4), dtype=np.uint16)
FLOATS = (DEEP / np.float32(65535)).astype(np.float32)
GREY = DEEP[..., :1]
KEYED = np.where(GREY[2, 1] == GREY, np.uint16(0), np.uint16(65535))
KEY = make_chunk(b"tRNS", GREY[2, 1].astype(">u2").tobytes())
"""The chunk that makes one grey level transparent."""

SIXTEEN_BITS = {
    **{
        f"PNG {mode}": (png(DEEP[..., :channels].squeeze()), mode, DEEP[..., :channels])
        for channels, mode in enumerate(("I;16", "LA;16", "RGB;16", "RGBA;16"), 1)
    },
    "PNG with a transparent grey": (
        png(GREY[..., 0], before_pixels=KEY),
        "I;16",
        np.dstack([GREY, KEYED]),
    ),
    "grey TIFF": (tiff(GREY[..., 0], 1), "I;16", GREY),
    "TIFF whose white is zero": (tiff(GREY[..., 0], 0, byteorder=">"), "I;16", 65535 - GREY),
    "TIFF": (tiff(DEEP[..., :3], byteorder=">"), "RGB;16", DEEP[..., :3]),
    "TIFF with alpha": (tiff(DEEP, extrasamples=[2]), "RGBA;16", DEEP),
    "TIFF with a fourth channel": (tiff(DEEP, extrasamples=[0]), "RGBA;16", DEEP[..., :3]),
    "TIFF of floats": (tiff(FLOATS[..., :3]), "RGB;32F", DEEP[..., :3]),
    "grey TIFF of floats": (tiff(FLOATS[..., 0], 1), "F", GREY),
}
"""Files with their mode and their pixels."""


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that decodes bytes and compares the facts that `inspect_image` returns."""

    def reading(data: bytes) -> SourceImage:
        path = tmp_path / "image.bin"
        path.write_bytes(data)
        facts, image = inspect_image(path), read_image(path)
        assert (facts.width, facts.height, facts.bits) == (image.width, image.height, image.bits)
        assert (facts.format, facts.mode, facts.name) == (image.format, image.mode, image.name)
        assert facts.has_alpha == (image.alpha is not None)
        assert facts.bytes == image.bytes == len(data)
        assert image.sha256 == hashlib.sha256(data).hexdigest()
        return image

    return reading


def check_pixels(image: SourceImage, expected: np.ndarray) -> None:
    """Check every pixel against [H, W, 1 to 4], except the colour of transparent ones."""
    channels = expected.shape[2]
    colours = expected[..., :3] if channels > 2 else expected[..., :1].repeat(3, axis=2)
    alpha = expected[..., -1] if channels in (2, 4) else np.full(expected.shape[:2], image.levels)
    assert image.rgb.dtype == expected.dtype
    assert np.array_equal(image.rgb[alpha > 0], colours[alpha > 0])
    assert (
        (alpha == image.levels).all() if image.alpha is None else np.array_equal(image.alpha, alpha)
    )


@pytest.mark.parametrize(("kind", "source", "options"), EIGHT_BITS)
def test_8_bit_pixels_equal_pillows(read, kind, source, options):
    data = encode(SOURCES[source], kind, **options)
    expected, image = Image.open(io.BytesIO(data)), read(data)
    assert (image.mode, image.grey) == (expected.mode, source in ("1", "L", "LA", "grey P"))
    check_pixels(image, np.asarray(expected.convert("RGBA")))


@pytest.mark.parametrize("kind", SIXTEEN_BITS)
def test_every_bit_of_16_is_read(read, kind: str):
    data, mode, expected = SIXTEEN_BITS[kind]
    image = read(data)
    assert (image.mode, image.grey) == (mode, expected.shape[2] < 3)
    check_pixels(image, expected)


def test_premultiplied_alpha_is_divided_out(read):
    alpha = np.maximum(DEEP[..., 3:], 20000)
    multiplied = np.rint(DEEP[..., :3].astype(float) * alpha / 65535).astype(np.uint16)
    image = read(tiff(np.dstack([multiplied, alpha]), extrasamples=[1]))
    assert np.abs(image.rgb.astype(int) - DEEP[..., :3]).max() <= 2


@pytest.mark.parametrize(
    "data",
    [
        encode(CLEAR, "PNG", exif=b"Exif\0\0" + exif_block(6)),
        encode(
            SOURCES["CMYK"], "JPEG", exif=b"Exif\0\0" + exif_block(3), icc_profile=cmyk_profile()
        ),
        png(DEEP[..., :2], before_pixels=make_chunk(b"eXIf", exif_block(7))),
        tiff(DEEP, extrasamples=[1]),
    ],
    ids=["PNG", "CMYK", "deep PNG", "premultiplied TIFF"],
)
def test_strips_of_any_height_join_to_the_same_pixels(tmp_path: Path, monkeypatch, data: bytes):
    path = tmp_path / "image"
    path.write_bytes(data)
    monkeypatch.setattr(
        decode, "fill_transparent", lambda strips: strips
    )  # The original reads beyond the strip.

    def strips() -> list[np.ndarray]:
        return [*decode.decode(path, 1_000_000, None, lambda need: None)][1:]

    (whole,) = strips()
    monkeypatch.setattr(decode, "_STRIP_PIXELS", 7 * whole.shape[1])
    monkeypatch.setattr(decode, "BLOCK", 7)  # The strips of images with alpha.
    parts = strips()
    assert {len(part) for part in parts[:-1]} == {7}
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    "kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG", "HEIF", "deep PNG", "deep TIFF"]
)
def test_each_exif_orientation_is_applied_once(read, kind: str):
    photo = Image.fromarray(PHOTO[:60, :90])
    deep, limit = (
        np.asarray(photo).astype(np.uint16) * 257,
        6 if kind in ("WEBP", "AVIF", "JPEG", "HEIF") else 0,
    )
    for orientation in range(1, 9):
        block = exif_block(orientation)
        if kind == "deep PNG":
            data = png(deep, after_pixels=make_chunk(b"eXIf", block))
        elif kind == "deep TIFF":
            data = tiff(deep, orientation=orientation)
        else:
            data = encode(
                photo, kind, exif=b"Exif\0\0" + block, **({"quality": 95} if limit else {})
            )
        photo.getexif()[0x0112] = orientation
        expected, image = np.asarray(ImageOps.exif_transpose(photo)).astype(float), read(data)
        assert image.rgb.shape == expected.shape
        assert np.abs(image.rgb * (255 / image.levels) - expected).mean() <= limit


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_profile(read, kind: str):
    for inks, expected in (
        ((0, 0, 0, 0), 255),
        ((255, 0, 0, 0), (151, 191, 255)),
        ((0, 0, 0, 255), 0),
    ):
        image = read(encode(Image.new("CMYK", (16, 16), inks), kind, icc_profile=cmyk_profile()))
        assert image.icc is None
        assert (
            np.abs(image.rgb - np.array(expected)).max() <= 3
        )  # as LittleCMS converts the profile's Lab values


def test_cmyk_jpeg_is_inverted_only_with_adobe_marker(read):
    adobe = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    assert read(adobe).rgb[0, 0].tolist() == [0, 255, 255]
    # Without the marker, the stored values are C 0 and M, Y, K 255: black.
    assert read(adobe.replace(b"Adobe", b"Other")).rgb[0, 0].tolist() == [0, 0, 0]


def test_lab_becomes_srgb(read):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(IMAGE, srgb, lab, outputMode="LAB")
    assert converted is not None
    image = read(encode(converted, "TIFF"))
    assert image.mode == "LAB"
    assert np.abs(image.rgb - PHOTO.astype(int)).mean() < 2


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_of_several_images_the_first_is_read_with_a_note(tmp_path: Path, kind: str):
    red, blue = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    for others, notes in (([], ()), ([blue], ("first_frame",))):
        path = tmp_path / "frames"
        path.write_bytes(encode(red, kind, save_all=True, append_images=others))
        image = read_image(path)
        assert (inspect_image(path).frames, image.metadata.notes) == (1 + len(others), notes)
        assert image.rgb[0, 0].argmax() == 0


def test_transparent_pixels_get_the_colour_of_the_nearest_visible_ones(read):
    wide = np.zeros((9, 12, 4), np.uint8)  # black and invisible
    wide[:, :3] = (200, 10, 30, 255)  # a red strip on the left
    wide[:, 10:] = (10, 20, 220, 1)  # a hardly visible blue strip on the right
    image = read(png(wide))
    assert (image.rgb[:, :6] == (200, 10, 30)).all()
    assert (image.rgb[:, 8:] == (10, 20, 220)).all()
    assert np.array_equal(image.alpha, wide[..., 3])

    tall = np.zeros((2000, 3, 4), np.uint8)
    tall[1030], tall[1130] = (90, 80, 70, 255), (50, 60, 70, 255)
    rgb = read(png(tall)).rgb
    assert (rgb[1030 - 256 : 1080] == (90, 80, 70)).all()
    assert (rgb[1081 : 1130 + 256] == (50, 60, 70)).all()
    assert (rgb[:512] == 0).all()


def test_a_profile_that_takes_too_long_is_left_out(monkeypatch):
    assert profiles.fitting_profile(rgb_profile(), grey=False) == rgb_profile()
    monkeypatch.setattr(profiles, "_MAX_PROFILE_SECONDS", 0)
    assert profiles.fitting_profile(rgb_profile(), grey=False) is None


def test_a_grey_profile_fits_grey_and_an_rgb_profile_rgb(read):
    assert read(encode(IMAGE, "PNG", icc_profile=rgb_profile())).icc == rgb_profile()
    assert read(encode(IMAGE, "PNG", icc_profile=grey_profile())).icc is None
    assert read(encode(SOURCES["L"], "PNG", icc_profile=grey_profile())).icc == grey_profile()
    converted = read(encode(SOURCES["L"], "PNG", icc_profile=rgb_profile()))
    assert (converted.icc, converted.grey) == (None, True)
    assert (
        np.abs(converted.rgb[..., 0] - np.asarray(SOURCES["L"]).astype(int)).max() <= 1
    )  # from sRGB to sRGB


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"x\0\0" + zlib.compress(one)
            for one in (b"", b"nonsense" * 100, rgb_profile()[:300], cmyk_profile())
        ),
        *(b"", b"name", b"name\0\1" + zlib.compress(rgb_profile()), b"name\0\0not deflate"),
        b"x\0\0" + zlib.compress(bytes(100_000_000)),
    ],
    ids=[
        "empty",
        "nonsense",
        "truncated",
        "cmyk",
        "no name",
        "no content",
        "method 1",
        "not deflate",
        "bomb",
    ],
)
def test_unusable_profile_is_left_out(read, content: bytes):
    image = read(png(PHOTO, before_pixels=make_chunk(b"iCCP", content)))
    assert image.icc is None
    assert np.array_equal(image.rgb, PHOTO)
