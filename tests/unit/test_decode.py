"""`read_image` and `inspect` for every kind of file: pixels, orientation, colour profile and EXIF."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import ExifTags, Image, ImageCms

from enhance.images import SourceImage, decode, inspect, read_image
from enhance.images.colour import fitting_profile
from enhance.images.containers import make_chunk
from enhance.images.metadata import Metadata
from tests.unit.image_files import cmyk_profile, encode, exif_block, grey_profile, png, rgb_profile, slow_profile, tiff

PHOTO = skimage.data.astronaut()[100:161, 180:271]  # 61 rows, 91 columns
IMAGE, GREY = Image.fromarray(PHOTO), Image.fromarray(PHOTO).convert("L")
VISIBLE = np.dstack([PHOTO, PHOTO[..., 1] | 1])  # no pixel is fully transparent
CLEAR = np.dstack([PHOTO, (np.indices((61, 91)).sum(0) // 9 % 3 * 100).astype(np.uint8)])  # transparent stripes
PALETTE, BITS = IMAGE.quantize(32), IMAGE.convert("1")
KEYED = np.dstack([PHOTO, 255 - 255 * (PHOTO[3, 5] == PHOTO).all(axis=2).astype(np.uint8)])
HOLES = np.dstack([np.asarray(PALETTE.convert("RGB")), np.where(np.asarray(PALETTE) == 3, 0, 255).astype(np.uint8)])
DEEP = np.random.default_rng(7).integers(1, 65536, (60, 40, 4), dtype=np.uint16)
DEEP_KEYED = np.dstack([DEEP[..., :3], np.full((60, 40), 65535, np.uint16)])
DEEP_KEYED[2, 1, 3] = 0
FLOATS = (DEEP / np.float32(65535)).astype(np.float32)


def key(*values: int) -> bytes:
    """Return the chunk that makes a colour transparent."""
    return make_chunk(b"tRNS", np.asarray(values, ">u2").tobytes())


EXACT = {
    **{f"{kind} rgb": (encode(IMAGE, kind), "RGB", PHOTO) for kind in ("PNG", "TIFF", "BMP")},
    **{f"{kind} grey": (encode(GREY, kind), "L", np.asarray(GREY)[..., None]) for kind in ("PNG", "TIFF")},
    **{f"{kind} palette": (encode(PALETTE, kind), "P", HOLES[..., :3]) for kind in ("PNG", "GIF", "BMP")},
    **{f"{kind} palette with alpha": (encode(PALETTE, kind, transparency=3), "P", HOLES) for kind in ("PNG", "GIF")},
    **{f"{kind} rgba": (encode(Image.fromarray(CLEAR), kind), "RGBA", CLEAR) for kind in ("PNG", "TIFF")},
    "WebP rgba": (encode(Image.fromarray(VISIBLE), "WEBP", lossless=True), "RGBA", VISIBLE),
    "black and white": (encode(BITS, "PNG"), "1", np.asarray(BITS)[..., None] * np.uint8(255)),
    "grey with alpha": (
        encode(Image.merge("LA", [GREY, Image.fromarray(CLEAR[..., 3])]), "PNG"),
        "LA",
        np.dstack([np.asarray(GREY), CLEAR[..., 3]]),
    ),
    "transparent colour": (encode(IMAGE, "PNG", transparency=IMAGE.getpixel((5, 3))), "RGB", KEYED),
    "deep PNG": (png(DEEP[..., :3], 2), "RGB;16", DEEP[..., :3]),
    "deep PNG with alpha": (png(DEEP, 6), "RGBA;16", DEEP),
    "deep grey PNG": (png(DEEP[..., 0], 0), "I;16", DEEP[..., :1]),
    "deep grey PNG with alpha": (png(DEEP[..., :2], 4), "LA;16", DEEP[..., :2]),
    "deep transparent colour": (
        png(DEEP[..., :3], 2, before_pixels=key(*DEEP[2, 1, :3])),
        "RGB;16",
        DEEP_KEYED,
    ),
    "deep transparent grey": (
        png(DEEP[..., 0], 0, before_pixels=key(DEEP[2, 1, 0])),
        "I;16",
        np.dstack([DEEP[..., 0], np.where(DEEP[..., 0] == DEEP[2, 1, 0], 0, 65535).astype(np.uint16)]),
    ),
    **{
        f"deep TIFF {order}{name}": (tiff(values, kind, byteorder=order), mode, expected)
        for order in "<>"
        for name, values, kind, mode, expected in (
            ("rgb", DEEP[..., :3], 2, "RGB;16", DEEP[..., :3]),
            ("grey", DEEP[..., 0], 1, "I;16", DEEP[..., :1]),
            ("white is zero", DEEP[..., 0], 0, "I;16", 65535 - DEEP[..., :1]),
        )
    },
    "deep TIFF with alpha": (tiff(DEEP, 2, extrasamples=[2]), "RGBA;16", DEEP),
    "deep TIFF with a fourth channel": (tiff(DEEP, 2, extrasamples=[0]), "RGBA;16", DEEP[..., :3]),
    "TIFF of floats": (tiff(FLOATS[..., :3]), "RGB;32F", DEEP[..., :3]),
    "grey TIFF of floats": (tiff(FLOATS[..., 0], 1), "F", DEEP[..., :1]),
}
"""Lossless files, with their mode and their pixels."""
OTHERS = {
    "jpeg": encode(IMAGE, "JPEG"),
    "grey jpeg": encode(GREY, "JPEG"),
    "cmyk jpeg": encode(IMAGE.convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
    "grey png in colour": encode(GREY, "PNG", icc_profile=rgb_profile()),
    "webp": encode(Image.fromarray(CLEAR), "WEBP"),
    "avif": encode(Image.fromarray(CLEAR), "AVIF"),
    "cmyk tiff": encode(IMAGE.convert("CMYK"), "TIFF"),
    "premultiplied tiff": tiff(DEEP, 2, extrasamples=[1]),
    **{
        f"{kind} turned {turn}": data
        for turn in (3, 6, 7)
        for kind, data in (
            ("jpeg", encode(IMAGE, "JPEG", exif=b"Exif\0\0" + exif_block(turn))),
            ("png", encode(Image.fromarray(CLEAR), "PNG", exif=b"Exif\0\0" + exif_block(turn))),
            ("deep png", png(DEEP, 6, before_pixels=make_chunk(b"eXIf", exif_block(turn)))),
            ("deep tiff", tiff(DEEP, 2, orientation=turn, extrasamples=[2])),
        )
    },
}
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that decodes bytes, and checks that `inspect` returns the same facts."""

    def reading(data: bytes) -> SourceImage:
        path = tmp_path / "image.bin"
        path.write_bytes(data)
        facts, image = inspect(path), read_image(path)
        assert (facts.width, facts.height, facts.bits) == (image.width, image.height, image.bits)
        assert (facts.format, facts.mode, facts.bytes) == (image.format, image.mode, image.bytes)
        assert facts.has_alpha == (image.alpha is not None)
        assert (image.name, image.bytes) == ("image.bin", len(data))
        assert image.sha256 == hashlib.sha256(data).hexdigest()
        assert path.read_bytes() == data
        return image

    return reading


@pytest.mark.parametrize("kind", EXACT)
def test_every_bit_of_a_lossless_file_is_read(read, kind: str):
    data, mode, expected = EXACT[kind]
    image, channels = read(data), expected.shape[2]
    pixels = image.rows(0, image.height)
    assert (image.mode, image.grey, image.rgb.dtype) == (mode, channels < 3, expected.dtype)
    assert image.rgb.flags.c_contiguous
    if channels < 3:
        expected = np.dstack([expected[..., :1]] * 3 + [expected[..., 1:]])
    seen = expected[..., -1:] > 0 if channels in (2, 4) else True
    assert pixels.shape == expected.shape
    assert np.array_equal(pixels * seen, expected * seen)
    if channels in (2, 4):
        assert np.array_equal(pixels[..., 3], expected[..., 3])


@pytest.mark.parametrize("kind", [*EXACT, *OTHERS])
def test_strips_of_any_height_join_to_the_same_pixels(tmp_path: Path, monkeypatch, kind: str):
    path = tmp_path / "image"
    path.write_bytes(OTHERS[kind] if kind in OTHERS else EXACT[kind][0])

    def strips() -> list[np.ndarray]:
        return [*decode.decode(path, 1_000_000, None, lambda need: None)][1:]

    (whole,) = strips()
    for rows in (1, 7):
        monkeypatch.setattr(decode, "_STRIP_PIXELS", rows * whole.shape[1])
        monkeypatch.setattr(decode, "BLOCK", rows)  # The strips of images with alpha.
        monkeypatch.setattr(decode, "fill_transparent", lambda strips: strips)  # The original reads beyond the strip.
        parts = strips()
        assert {len(part) for part in parts[:-1]} == {rows}
        seen = whole[..., -1:] > 0 if whole.shape[2] == 4 else True
        assert np.array_equal(np.concatenate(parts) * seen, whole * seen)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_equal_pillow(read, kind: str):
    data = encode(IMAGE, kind, quality=90)
    assert np.array_equal(read(data).rgb, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_grey_jpeg_stays_grey(read):
    image = read(OTHERS["grey jpeg"])
    assert (image.mode, image.grey) == ("L", True)
    assert np.array_equal(image.rgb, np.dstack([np.asarray(Image.open(io.BytesIO(OTHERS["grey jpeg"])))] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG", "HEIF"])
def test_each_exif_orientation_is_applied_once(read, kind: str, orientation: int):
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "JPEG": {"quality": 98, "subsampling": 0}}
    photo, exif = PHOTO[:60, :90], b"Exif\0\0" + exif_block(orientation)
    image = read(encode(Image.fromarray(photo), kind, exif=exif, **options.get(kind, {})))
    expected = UPRIGHT[orientation](photo).astype(int)
    assert image.rgb.shape == expected.shape
    assert np.abs(image.rgb - expected).mean() < (6 if kind == "HEIF" else 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_to_16_bits(read, orientation: int):
    rgb, exif = DEEP[..., :3], make_chunk(b"eXIf", exif_block(orientation))
    files = png(rgb, 2, before_pixels=exif), png(rgb, 2, after_pixels=exif), tiff(rgb, orientation=orientation)
    for data in files:
        assert np.array_equal(read(data).rgb, UPRIGHT[orientation](rgb))


def test_premultiplied_alpha_is_divided_out(read):
    alpha = np.maximum(DEEP[..., 3:], 20000)
    multiplied = np.rint(DEEP[..., :3].astype(float) * alpha / 65535).astype(np.uint16)
    image = read(tiff(np.dstack([multiplied, alpha]), 2, extrasamples=[1]))
    assert np.abs(image.rgb.astype(int) - DEEP[..., :3]).max() <= 2


@pytest.mark.parametrize(("kind", "options"), [("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})])
def test_cmyk_is_converted_by_its_profile(read, kind: str, options: dict):
    inks = np.repeat(
        np.array([[(0, 0, 0, 0)] * 16 + [(255, 0, 0, 0)] * 16 + [(0, 0, 0, 255)] * 16], np.uint8), 16, axis=0
    )
    image = read(encode(Image.fromarray(inks, "CMYK"), kind, icc_profile=cmyk_profile(), **options))
    assert image.icc is None
    colours = [(255, 255, 255), (151, 191, 255), (0, 0, 0)]  # as LittleCMS converts the profile's Lab values to sRGB
    assert np.abs(image.rgb[8, [8, 24, 40]].astype(int) - colours).max() <= 3


def test_cmyk_jpeg_is_inverted_only_with_adobe_marker(read):
    adobe = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    marker = adobe.index(b"\xff\xee")
    length = int.from_bytes(adobe[marker + 2 : marker + 4], "big")
    no_adobe = adobe[:marker] + adobe[marker + 2 + length :]
    assert read(adobe).rgb[0, 0].tolist() == [0, 255, 255]
    # The stored values are now C 0 and M, Y, K 255: black.
    assert read(no_adobe).rgb[0, 0].tolist() == [0, 0, 0]


def test_lab_becomes_srgb(read):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(IMAGE, srgb, lab, outputMode="LAB")
    assert converted is not None
    image = read(encode(converted, "TIFF"))
    assert image.mode == "LAB"
    assert np.abs(image.rgb - PHOTO.astype(int)).mean() < 2


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_of_several_images_the_first_is_read_with_a_note(tmp_path: Path, kind: str):
    first, second = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    for frames in ([], [second]):
        path = tmp_path / f"frames-{len(frames)}"
        path.write_bytes(encode(first, kind, save_all=True, append_images=frames))
        image = read_image(path)
        assert image.metadata.notes == (("first_frame",) if frames else ())
        assert inspect(path).frames == 1 + len(frames)
        assert image.rgb[0, 0].argmax() == 0


def test_transparent_pixels_get_the_colour_of_the_nearest_visible_ones(read):
    values = np.zeros((9, 12, 4), np.uint8)  # black and invisible
    values[:, :3] = (200, 10, 30, 255)  # a red strip on the left
    values[:, 10:] = (10, 20, 220, 1)  # a hardly visible blue strip on the right
    image = read(encode(Image.fromarray(values), "PNG"))
    assert (image.rgb[:, :6] == (200, 10, 30)).all()
    assert (image.rgb[:, 8:] == (10, 20, 220)).all()
    assert np.array_equal(image.alpha, values[..., 3])

    tall = np.zeros((2000, 3, 4), np.uint8)
    tall[1000], tall[1100] = (90, 80, 70, 255), (50, 60, 70, 255)
    rgb = read(encode(Image.fromarray(tall), "PNG")).rgb
    assert (rgb[1000 - 256 : 1050] == (90, 80, 70)).all()
    assert (rgb[1051 : 1100 + 256] == (50, 60, 70)).all()
    assert (rgb[:512] == 0).all()


def test_a_profile_that_takes_seconds_is_left_out():
    assert fitting_profile(slow_profile(10), grey=False) == slow_profile(10)
    assert fitting_profile(slow_profile(2000), grey=False) is None


def test_a_grey_profile_fits_grey_and_an_rgb_profile_rgb(read):
    assert read(encode(IMAGE, "PNG", icc_profile=rgb_profile())).icc == rgb_profile()
    assert read(encode(IMAGE, "PNG", icc_profile=grey_profile())).icc is None
    assert read(encode(GREY, "PNG", icc_profile=grey_profile())).icc == grey_profile()
    converted = read(encode(GREY, "PNG", icc_profile=rgb_profile()))
    assert converted.icc is None
    assert converted.grey
    assert np.abs(converted.rgb[..., 0] - np.asarray(GREY).astype(int)).max() <= 1  # from sRGB to sRGB


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_profile_is_kept_byte_for_byte(tmp_path: Path, kind: str):
    (tmp_path / "image").write_bytes(encode(IMAGE, kind, icc_profile=rgb_profile()))
    assert read_image(tmp_path / "image").icc == rgb_profile()
    assert inspect(tmp_path / "image").profile == "sRGB built-in"


@pytest.mark.parametrize(
    "content",
    [
        *(b"x\0\0" + zlib.compress(one) for one in (b"", b"nonsense" * 100, rgb_profile()[:300], cmyk_profile())),
        *(b"", b"name", b"name\0\1" + zlib.compress(rgb_profile()), b"name\0\0not deflate"),
        b"x\0\0" + zlib.compress(bytes(100_000_000)),
    ],
    ids=["empty", "nonsense", "truncated", "cmyk", "no name", "no content", "method 1", "not deflate", "bomb"],
)
def test_unusable_profile_is_left_out(read, caplog, content: bytes):
    with caplog.at_level(logging.INFO, "enhance"):
        image = read(png(PHOTO, 2, before_pixels=make_chunk(b"iCCP", content)))
    assert image.icc is None
    assert np.array_equal(image.rgb, PHOTO)
    if content.startswith(b"name"):
        assert "profile is damaged" in caplog.text


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_orientation_and_thumbnail_change_in_the_exif_block(order: str):
    assert Metadata(exif_block(3, order)).upright().exif == exif_block(1, order)
    block, thumbnail = bytearray(exif_block(8, order)), b"\xff\xd8 a small image \xff\xd9"
    struct.pack_into(order + "I", block, 8 + 2 + 2 * 12, len(block))  # The link to the directory of the thumbnail.
    tags = (2, 0x0201, 4, 1, len(block) + 30, 0x0202, 4, 1, len(thumbnail), 0)
    upright = Metadata(bytes(block) + struct.pack(order + "HHHIIHHIII", *tags) + thumbnail).upright().exif
    assert upright is not None
    assert b"small image" not in upright
    exif = Image.Exif()
    exif.load(upright)
    assert (exif[0x0112], exif[0x010F]) == (1, "Lantern")
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {}


def test_tiff_tags_become_exif(read):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "A. Painter"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    image, kept = read(encode(IMAGE, "TIFF", exif=exif.tobytes())), Image.Exif()
    kept.load(image.metadata.exif or b"")
    assert (kept[0x013B], kept[0x0112]) == ("A. Painter", 1)
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
    assert 0x0111 not in kept  # where the strips of the TIFF were
    assert image.rgb.shape == (91, 61, 3)
