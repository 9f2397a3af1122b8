"""The analysis of images: each estimate is compared with known values, and Auto chooses from it."""

from __future__ import annotations

import io
from functools import partial

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import Choice, choose
from enhance.images import read_image
from tests.quality import degradation
from tests.quality.degradation import rounded
from tests.quality.kind_images import (
    DARK,
    PHOTOS,
    cut_out,
    drawing,
    page,
    scan,
    scene,
    shaded_drawing,
)
from tests.quality.photos import reference_of

from .image_files import source_image

ALL_PRESETS = {"gentle", "fast", "precise", "anime", "original"}
ASTRONAUT = scene("astronaut")


def photo(name, factor=2):
    image = Image.fromarray(scene(name))
    size = round(image.width / factor), round(image.height / factor)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def measure(rgb, alpha=None) -> Analysis:
    return analyse(source_image(rgb, alpha))


def choice(rgb) -> Choice:
    return choose(measure(rgb), ALL_PRESETS)


def add_noise(rgb, sigma):
    return rounded(rgb + np.random.default_rng(5).normal(0, sigma, rgb.shape))


def add_grain(rgb, sigma, blur, *, is_grey=True):
    """Add noise that is correlated unless `blur` is 0, equal in all channels or different."""
    shape = (*rgb.shape[:2], 1) if is_grey else rgb.shape
    grain = np.random.default_rng(6).normal(0, 1, shape)
    if blur:
        grain = cv2.GaussianBlur(grain, (0, 0), blur).reshape(shape)
    return rounded(rgb + sigma / grain.std() * grain)


def add_shot_noise(rgb, sigma):
    """Add noise whose variance is proportional to the brightness; `sigma` is its standard deviation
    in the photo."""
    light = cv2.GaussianBlur(rgb, (0, 0), 0.5).astype(np.float32) + 1
    noise = np.random.default_rng(6).normal(0, 1, light.shape) * np.sqrt(light / light.mean())
    return rounded(rgb + sigma * noise)


def soften_with_grain(rgb):
    return add_grain(cv2.GaussianBlur(rgb, (0, 0), 1.1), 5, 0.8)


def as_jpeg(rgb, quality):
    with Image.open(io.BytesIO(degradation.as_jpeg(rgb, quality))) as image:
        return np.asarray(image)


# --- Noise and compression


@pytest.mark.parametrize("factor", [pytest.param(2, marks=pytest.mark.long), 4])
def test_precise_is_for_clean_photos_only(factor):
    photos = [photo(name, factor) for name in PHOTOS]
    # In photos of up to 128 px, correlated noise is not measured.
    small = sum(max(one.shape) <= 128 for one in photos)
    most = [
        (lambda rgb: add_noise(rgb, 3), 0),
        (lambda rgb: add_shot_noise(rgb, 3), 0),
        (lambda rgb: as_jpeg(rgb, 85), 0),
        (soften_with_grain, 0),
        (lambda rgb: add_grain(rgb, 3, 1, is_grey=False), small),
        # Not visible in the fine texture of grass and gravel.
        (lambda rgb: add_grain(rgb, 3, 0), 2),
    ]

    assert sum(choice(one).preset == "precise" for one in photos) >= len(photos) - 1
    for degrade, expected in most:
        assert sum(choice(degrade(one)).preset == "precise" for one in photos) <= expected


@pytest.mark.parametrize("name", ["lion", "cheetah"])
def test_fur_in_a_very_small_photo_is_not_measured_as_noise(name):
    small = Image.fromarray(reference_of(name)).reduce(4)

    assert choice(np.asarray(small)).preset == "precise"


@pytest.mark.parametrize("sigma", [3, 6])
@pytest.mark.parametrize(
    ("name", "degrade"),
    [
        *(("camera", add_noise), ("camera", add_shot_noise)),
        *(("brick", add_noise), ("brick", add_shot_noise)),
        # Colour noise is measured even in fine texture.
        *(("grass", add_noise), ("gravel", add_noise)),
    ],
)
def test_noise_is_measured(name, degrade, sigma):
    analysis = measure(degrade(photo(name), sigma))

    assert analysis.noise == pytest.approx(sigma, abs=1.6)
    assert (analysis.grain, analysis.jpeg_quality) == (0, None)
    assert choose(analysis, ALL_PRESETS).preset in ("fast", "gentle")


@pytest.mark.parametrize(("name", "preset"), [("moon", "fast"), ("camera", "balanced")])
@pytest.mark.parametrize("is_grey", [True, False])
def test_slight_noise_in_a_smooth_photo_is_removed_by_fast(name, preset, is_grey):
    analysis = measure(add_grain(photo(name), 3, 0, is_grey=is_grey))

    assert choose(analysis, {*ALL_PRESETS, "balanced"}).preset == preset


@pytest.mark.parametrize("blur", [0.8, 1.0])
def test_film_grain_is_measured_at_a_second_scale(blur):
    analysis = measure(add_grain(photo("camera"), 5, blur))

    assert analysis.noise == pytest.approx(5, abs=1.2)
    assert analysis.grain == pytest.approx(2 * blur, abs=0.5)
    assert choose(analysis, ALL_PRESETS).preset == "gentle"


@pytest.mark.parametrize("quality", [30, 60, 85])
def test_the_lowest_jpeg_quality_counts_even_if_only_the_pixels_show_it(tmp_path, quality):
    whole = as_jpeg(ASTRONAUT, quality)
    cropped = whole[3:, 5:]
    Image.fromarray(whole).save(tmp_path / "saved-again.jpg", quality=95)
    again = analyse(read_image(tmp_path / "saved-again.jpg"))

    for analysis in (measure(whole), measure(cropped), again):
        assert analysis.jpeg_quality == pytest.approx(quality, abs=6)
        assert choose(analysis, ALL_PRESETS).preset != "precise"


@pytest.mark.parametrize(
    ("ending", "quality", "is_clean"),
    [
        *(("webp", 30, False), ("webp", 75, False), ("webp", 92, True)),
        *(("avif", 40, False), ("avif", 65, False), ("avif", 85, True)),
        *(("heic", 30, False), ("heic", 45, False), ("heic", 75, True)),
    ],
)
def test_a_compressed_webp_avif_or_heic_is_not_clean(tmp_path, ending, quality, is_clean):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = 20_000 * "a"  # does not count as pixels
    file = tmp_path / f"a.{ending}"
    Image.fromarray(photo("camera")).save(file, quality=quality, exif=exif.tobytes())

    preset = choose(analyse(read_image(file)), ALL_PRESETS).preset

    assert (preset == "precise") == is_clean


def test_a_lossless_webp_has_no_quality(tmp_path):
    Image.fromarray(photo("camera")).save(tmp_path / "a.webp", lossless=True)

    assert analyse(read_image(tmp_path / "a.webp")).jpeg_quality is None


# --- Kind


def pixel_art(side):
    return np.kron(drawing(0)[4::8, 4::8], np.ones((side, side, 1), np.uint8))


def page_with_photo():
    rgb = page().copy()
    rgb[60:300, 40:296] = photo("astronaut")[:240]
    return rgb


def part_of_page(side):
    return np.ascontiguousarray(page()[100 : 100 + side, 30 : 30 + side])


CLEAN_IMAGES = {
    "drawing": [lambda: drawing(0), *(partial(pixel_art, side) for side in (1, 2, 8))],
    "photo": [lambda: rounded(0.5 * photo("coins", 1) + 64), lambda: cut_out(ASTRONAUT, 255)],
    "text": [
        *(page, lambda: page(DARK), lambda: page(size=30), page_with_photo),
        *(lambda: part_of_page(72), lambda: add_noise(part_of_page(128), 4), lambda: scan(4)),
    ],
}
JPEGS = {
    "drawing": [lambda: drawing(0), lambda: drawing(1), lambda: shaded_drawing(2)],
    "photo": [partial(cut_out, ASTRONAUT, ground) for ground in (255, 236, 0)],
    "text": [page, lambda: page(DARK), page_with_photo, lambda: scan(4)],
}


def of_each_kind(images) -> list:
    return [(make, kind) for kind, several in images.items() for make in several]


@pytest.mark.parametrize(("make", "kind"), of_each_kind(CLEAN_IMAGES))
def test_the_kind_of_an_image_without_compression(make, kind):
    analysis = measure(make())

    assert (analysis.kind, analysis.softness, analysis.haze) == (kind, 1, 0)
    assert choose(analysis, ALL_PRESETS).preset == "precise"


@pytest.mark.parametrize("quality", [85, 60])
@pytest.mark.parametrize(("make", "kind"), of_each_kind(JPEGS))
def test_the_kind_of_a_jpeg(make, kind, quality):
    analysis = measure(as_jpeg(make(), quality))

    assert (analysis.kind, analysis.haze) == (kind, 0)
    preset = choose(analysis, ALL_PRESETS).preset
    assert preset in {"drawing": {"anime"}, "text": {"precise"}}.get(kind, {"fast", "gentle"})


def test_a_noisy_drawing_is_not_clean():
    noisy = measure(add_noise(drawing(0), 5))

    assert noisy.noise == pytest.approx(5, abs=1)
    assert choose(noisy, ALL_PRESETS).preset != "precise"


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_border_does_not_count(colour):
    rgb = photo("coffee")
    border = 60, 60, 60, 60, cv2.BORDER_CONSTANT, None, [colour] * 3
    clean = cv2.copyMakeBorder(rgb, *border)
    noisy = cv2.copyMakeBorder(add_noise(rgb, 6), *border)

    assert (measure(clean).kind, choice(clean).preset) == ("photo", "precise")
    assert choice(as_jpeg(clean, 70)).preset == "fast"
    assert measure(noisy).noise == pytest.approx(6, abs=1)


# --- Size, bit depth and softness


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500_000), (500_000, 1), (15, 900), (20, 40_000), (97, 64)]
)
def test_any_size_can_be_analysed(size):
    random = np.random.default_rng(1).integers(0, 65535, (*size, 3), np.uint16)
    for pixels in (np.full_like(random, 99), random, random.astype(np.uint8)):
        analysis = measure(pixels, np.zeros(size, pixels.dtype))
        assert (analysis.height, analysis.width, analysis.transparency) == (*size, True)
        assert analysis.jpeg_quality is None


def test_16_bits_match_8_bits():
    rgb = add_noise(photo("camera"), 4)
    deep = measure(rgb.astype(np.uint16) * 257)
    usual = measure(rgb)

    assert (deep.bits, usual.bits) == (16, 8)
    assert deep.noise == pytest.approx(usual.noise, abs=0.05)


def test_one_transparent_pixel_is_transparency():
    alpha = np.full((60, 80), 255, np.uint8)
    rgb = np.zeros((60, 80, 3), np.uint8)

    assert not measure(rgb, alpha).transparency
    alpha[-1, 7] = 0
    assert measure(rgb, alpha).transparency


def soften(rgb, factor):
    """Downscale by averaging, upscale again, and crop so that the pixels are not aligned to the
    averages."""
    size = rgb.shape[1] // factor, rgb.shape[0] // factor
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[1:, 3:]


@pytest.mark.parametrize(("factor", "reduce"), [(2, 1), (3, 2), (4, 2)])
def test_softness_is_the_factor_without_loss_of_detail(factor, reduce):
    analysis = measure(soften(photo("camera", 1), factor))

    assert analysis.softness == factor
    # Only a photo that is soft by a factor of 3 is downscaled, for a result of twice its size.
    double = 2 * analysis.height, 2 * analysis.width
    assert choose(analysis, ALL_PRESETS, double).reduce == reduce
    assert choose(analysis, ALL_PRESETS).reduce == 1


def test_softness_does_not_depend_on_noise_and_compression():
    sharp = photo("camera", 1)
    soft = soften(sharp, 2)

    for rgb in (sharp, add_noise(sharp, 10), as_jpeg(sharp, 60)):
        assert measure(rgb).softness == 1
    for rgb in (add_noise(soft, 2), as_jpeg(soft, 85)):
        assert measure(rgb).softness == 2


def test_a_photo_with_a_blurred_background_is_not_soft():
    rgb = ASTRONAUT
    blurred = cv2.GaussianBlur(rgb, (0, 0), 4)
    blurred[30:230, 130:330] = rgb[30:230, 130:330]  # Only the face is in focus.

    assert measure(blurred).softness == 1
