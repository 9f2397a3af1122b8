"""`read_image` and `inspect` for every kind of file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

from enhance.images import SourceImage, inspect, read_image
from enhance.images.containers import make_chunk
from tests.unit.image_files import cmyk_profile, encode, exif_block, grey_profile, png, rgb_profile, tiff

PHOTO = skimage.data.astronaut()[100:161, 180:271]  # 61 rows, 91 columns
RANDOM = np.random.default_rng(7)
DEEP = RANDOM.integers(0, 65536, (6, 4, 3), dtype=np.uint16)
DEEP_ALPHA = RANDOM.integers(1, 65536, (6, 4, 4), dtype=np.uint16)
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
        assert path.read_bytes() == data
        return image

    return reading


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_rgb_is_exact(read, kind: str):
    data = encode(Image.fromarray(PHOTO), kind)
    image = read(data)
    assert np.array_equal(image.rgb, PHOTO)
    assert image.rgb.dtype == np.uint8
    assert image.rgb.flags.c_contiguous
    assert (image.format, image.mode, image.grey, image.alpha) == (kind, "RGB", False, None)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert (image.name, image.bytes) == ("image.bin", len(data))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_equal_pillow(read, tmp_path: Path, kind: str):
    data = encode(Image.fromarray(PHOTO), kind, quality=90)
    (tmp_path / "same").write_bytes(data)
    with Image.open(tmp_path / "same") as image:
        assert np.array_equal(read(data).rgb, np.asarray(image.convert("RGB")))


def test_heic_orientation_is_applied_once(read):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encode(Image.fromarray(PHOTO[:60, :90]), "HEIF", quality=95, exif=b"Exif\0\0" + exif_block(6))
    image = read(data)
    expected = np.rot90(PHOTO[:60, :90], -1).astype(int)
    assert image.format == "HEIF"
    assert image.rgb.shape == expected.shape
    assert np.abs(image.rgb - expected).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
def test_each_exif_orientation_is_applied(read, kind: str, orientation: int):
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "JPEG": {"quality": 98, "subsampling": 0}}
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read(encode(Image.fromarray(PHOTO), kind, exif=exif, **options.get(kind, {})))
    expected = UPRIGHT[orientation](PHOTO).astype(int)
    assert image.rgb.shape == expected.shape
    assert np.abs(image.rgb - expected).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_to_16_bits(read, orientation: int):
    expected = UPRIGHT[orientation](DEEP)
    exif = make_chunk(b"eXIf", exif_block(orientation))
    assert np.array_equal(read(png(DEEP, 2, before_pixels=exif)).rgb, expected)
    assert np.array_equal(read(png(DEEP, 2, after_pixels=exif)).rgb, expected)
    assert np.array_equal(read(tiff(DEEP, 2, orientation=orientation)).rgb, expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_grey_stays_grey(read, kind: str):
    grey = Image.fromarray(PHOTO).convert("L")
    image = read(encode(grey, kind, **({"quality": 100} if kind == "JPEG" else {})))
    assert image.grey
    assert image.mode == "L"
    assert (image.rgb == image.rgb[..., :1]).all()
    assert np.abs(image.rgb[..., 0] - np.asarray(grey).astype(int)).max() <= (3 if kind == "JPEG" else 0)


def test_black_and_white_becomes_grey(read):
    bits = Image.fromarray(PHOTO).convert("1")
    image = read(encode(bits, "PNG"))
    assert image.grey
    assert np.array_equal(image.rgb[..., 1], np.where(np.asarray(bits), 255, 0))


def test_grey_with_alpha(read):
    original = Image.fromarray(PHOTO).convert("LA")
    original.putalpha(Image.fromarray(PHOTO[..., 2] | 1))
    image = read(encode(original, "PNG"))
    assert image.grey
    assert image.alpha is not None
    assert np.array_equal(image.rgb[..., 0], np.asarray(original)[..., 0])
    assert np.array_equal(image.alpha, PHOTO[..., 2] | 1)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_rgb_with_alpha(read, kind: str, options: dict):
    values = np.dstack([PHOTO, PHOTO[..., 1] | 1])
    image = read(encode(Image.fromarray(values), kind, **options))
    assert image.alpha is not None
    assert np.array_equal(np.dstack([image.rgb, image.alpha]), values)


def test_a_palette_is_resolved(read):
    palette = Image.fromarray(PHOTO).quantize(32)
    for kind in ("PNG", "GIF", "BMP"):
        image = read(encode(palette, kind))
        assert (image.mode, image.grey) == ("P", False)
        assert np.array_equal(image.rgb, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_alpha(read, kind: str):
    palette = Image.fromarray(PHOTO).quantize(32)
    image = read(encode(palette, kind, transparency=3))
    assert image.alpha is not None
    assert np.array_equal(image.alpha == 0, np.asarray(palette) == 3)


def test_a_transparent_colour_becomes_alpha(read):
    key = tuple(int(v) for v in PHOTO[3, 5])
    image = read(encode(Image.fromarray(PHOTO), "PNG", transparency=key))
    assert image.alpha is not None
    assert np.array_equal(image.alpha == 0, (PHOTO[3, 5] == PHOTO).all(axis=2))


@pytest.mark.parametrize("colour_type", [2, 6])
def test_a_16_bit_png_keeps_every_bit(read, colour_type: int):
    values = DEEP if colour_type == 2 else DEEP_ALPHA
    image = read(png(values, colour_type))
    got = image.rgb if image.alpha is None else np.dstack([image.rgb, image.alpha])
    assert got.dtype == np.uint16
    assert np.array_equal(got, values)
    assert image.mode == ("RGB;16" if colour_type == 2 else "RGBA;16")


def test_a_16_bit_grey_png_keeps_every_bit(read):
    plain = read(png(DEEP[..., 0], 0))
    assert (plain.mode, plain.bits, plain.grey) == ("I;16", 16, True)
    assert np.array_equal(plain.rgb[..., 2], DEEP[..., 0])
    with_alpha = read(png(DEEP_ALPHA[..., :2], 4))
    assert with_alpha.grey
    assert with_alpha.alpha is not None
    assert np.array_equal(with_alpha.rgb[..., 0], DEEP_ALPHA[..., 0])
    assert np.array_equal(with_alpha.alpha, DEEP_ALPHA[..., 1])


def test_a_transparent_colour_in_16_bits(read):
    for values, colour_type in ((DEEP, 2), (DEEP[..., 0], 0)):
        key = make_chunk(b"tRNS", np.asarray(values[2, 1], ">u2").tobytes())
        image = read(png(values, colour_type, before_pixels=key))
        assert image.alpha is not None
        assert list(zip(*np.nonzero(image.alpha == 0), strict=True)) == [(2, 1)]
        assert image.alpha[0, 0] == 65535


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_16_bit_tiff_keeps_every_bit(read, big_endian: bool):
    assert np.array_equal(read(tiff(DEEP, 2, big_endian=big_endian)).rgb, DEEP)
    grey = read(tiff(DEEP[..., 0], 1, big_endian=big_endian))
    assert grey.grey
    assert np.array_equal(grey.rgb[..., 0], DEEP[..., 0])
    white_is_zero = read(tiff(DEEP[..., 0], 0, big_endian=big_endian))
    assert np.array_equal(white_is_zero.rgb[..., 0], 65535 - DEEP[..., 0])


def test_fourth_tiff_channel_is_alpha_only_if_declared(read):
    strip_direction_marks = read(tiff(DEEP_ALPHA, 2, extra_sample=2))
    assert strip_direction_marks.alpha is not None
    assert np.array_equal(np.dstack([strip_direction_marks.rgb, strip_direction_marks.alpha]), DEEP_ALPHA)
    assert read(tiff(DEEP_ALPHA, 2, extra_sample=0)).alpha is None


def test_premultiplied_alpha_is_divided_out(read):
    alpha = np.maximum(DEEP_ALPHA[..., 3:], 20000)
    multiplied = np.rint(DEEP.astype(float) * alpha / 65535).astype(np.uint16)
    image = read(tiff(np.dstack([multiplied, alpha]), 2, extra_sample=1))
    assert np.abs(image.rgb.astype(int) - DEEP).max() <= 2


def test_float_from_0_to_1_becomes_16_bits(read):
    values = DEEP / np.float32(65535)
    image = read(tiff(values.astype(np.float32), 2))
    assert (image.mode, image.bits) == ("RGB;32F", 16)
    assert np.array_equal(image.rgb, DEEP)
    assert read(tiff(values[..., 0].astype(np.float32), 1)).grey


def test_cmyk_is_converted_by_its_profile(read):
    original = Image.new("CMYK", (3, 1))
    original.putdata([(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)])
    srgb = ImageCms.createProfile("sRGB")
    for kind, options in (("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})):
        wide = original.resize((48, 16), Image.Resampling.NEAREST)
        image = read(encode(wide, kind, icc_profile=cmyk_profile(), **options))
        profile = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile()))
        expected = ImageCms.profileToProfile(
            wide,
            profile,
            srgb,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        assert image.icc is None
        assert np.abs(image.rgb - np.asarray(expected).astype(int)).max() <= 3
        assert image.rgb[8, 24, 0] > 100  # The formula without a profile would give 0.


def test_cmyk_jpeg_is_inverted_only_with_adobe_marker(read):
    adobe = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    marker = adobe.index(b"\xff\xee")
    length = int.from_bytes(adobe[marker + 2 : marker + 4], "big")
    no_adobe = adobe[:marker] + adobe[marker + 2 + length :]
    assert read(adobe).rgb[0, 0].tolist() == [0, 255, 255]
    # The stored values are now C 0 and M, Y, K 255: black.
    assert read(no_adobe).rgb[0, 0].tolist() == [0, 0, 0]


def test_lab_becomes_srgb(read):
    rgb = Image.fromarray(PHOTO)
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    image = read(encode(lab, "TIFF"))
    assert image.mode == "LAB"
    assert np.abs(image.rgb - PHOTO.astype(int)).mean() < 2


def test_only_the_first_frame_of_an_animation_is_read(read, tmp_path: Path):
    frames = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        (tmp_path / "animation").write_bytes(data)
        assert inspect(tmp_path / "animation").frames == 2
        assert np.abs(read(data).rgb - PHOTO.astype(int)).mean() < 8


def test_colour_under_transparent_pixels_comes_from_the_nearest_visible_ones(read):
    values = np.zeros((9, 12, 4), np.uint8)  # black and invisible,
    values[:, :3] = (200, 10, 30, 255)  # but for a red strip on the left
    values[:, 10:] = (10, 20, 220, 1)  # and a hardly visible blue one on the right
    image = read(encode(Image.fromarray(values), "PNG"))
    assert image.alpha is not None
    assert (image.rgb[:, :6] == (200, 10, 30)).all()
    assert (image.rgb[:, 8:] == (10, 20, 220)).all()
    assert np.array_equal(image.alpha, values[..., 3])


def test_transparent_pixels_are_filled_across_blocks(read):
    values = np.zeros((2000, 3, 4), np.uint8)
    values[1100] = (50, 60, 70, 255)
    rgb = read(encode(Image.fromarray(values), "PNG")).rgb
    assert (rgb[1100 - 256 : 1100 + 256] == (50, 60, 70)).all()
    assert (rgb[:512] == 0).all()


def test_a_grey_profile_fits_grey_and_an_rgb_profile_rgb(read):
    rgb, grey = Image.fromarray(PHOTO), Image.fromarray(PHOTO).convert("L")
    assert read(encode(rgb, "PNG", icc_profile=rgb_profile())).icc == rgb_profile()
    assert read(encode(rgb, "PNG", icc_profile=grey_profile())).icc is None
    assert read(encode(grey, "PNG", icc_profile=grey_profile())).icc == grey_profile()
    converted = read(encode(grey, "PNG", icc_profile=rgb_profile()))
    assert converted.icc is None
    assert converted.grey
    assert np.abs(converted.rgb[..., 0] - np.asarray(grey).astype(int)).max() <= 1  # sRGB seen in sRGB
