"""The analysis of images: each estimate is compared with known values, and Auto chooses from it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from enhance.analysis import analyse
from enhance.analysis.auto import choose
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

from .image_files import source_image

ALL_PRESETS = {"gentle", "fast", "precise", "anime", "original"}
ASTRONAUT = scene("astronaut")


def photo(name, factor=2):
    image = Image.fromarray(scene(name))
    size = round(image.width / factor), round(image.height / factor)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def measure(rgb, alpha=None):
    return analyse(source_image(rgb, alpha))


def choice(rgb):
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


def test_precise_is_for_clean_photos_only():
    photos = [photo(name, 4) for name in PHOTOS]
    # In photos of up to 128 px, correlated noise is not measured.
    small = sum(max(one.shape) <= 128 for one in photos)
    most = [
        (lambda rgb: add_noise(rgb, 3), 0),
        (lambda rgb: add_shot_noise(rgb, 3), 0),
        (lambda rgb: as_jpeg(rgb, 85), 0),
        (soften_with_grain, 0),
        (lambda rgb: add_grain(rgb, 3, 1, is_grey=False), small),
    ]

    assert sum(choice(one).preset == "precise" for one in photos) >= len(photos) - 1
    for degrade, expected in most:
        assert sum(choice(degrade(one)).preset == "precise" for one in photos) <= expected


@pytest.mark.parametrize("name", ["camera", "brick", "grass"])
def test_noise_is_measured_even_in_texture(name):
    analysis = measure(add_noise(photo(name), 6))

    assert analysis.noise == pytest.approx(6, abs=1.6)
    assert (analysis.grain, analysis.jpeg_quality) == (0, None)


def test_film_grain_is_measured_at_a_second_scale():
    analysis = measure(add_grain(photo("camera"), 5, 1.0))

    assert analysis.noise == pytest.approx(5, abs=1.2)
    assert analysis.grain == pytest.approx(2, abs=0.5)
    assert choose(analysis, ALL_PRESETS).preset == "gentle"


@pytest.mark.parametrize("quality", [30, 60, 85])
def test_the_lowest_jpeg_quality_counts_even_if_only_the_pixels_show_it(tmp_path, quality):
    whole = as_jpeg(ASTRONAUT, quality)
    Image.fromarray(whole).save(tmp_path / "saved-again.jpg", quality=95)
    again = analyse(read_image(tmp_path / "saved-again.jpg"))

    for analysis in (measure(whole[3:, 5:]), again):
        assert analysis.jpeg_quality == pytest.approx(quality, abs=6)
        assert choose(analysis, ALL_PRESETS).preset != "precise"


@pytest.mark.parametrize(
    ("ending", "quality", "is_clean"),
    [("webp", 75, False), ("webp", 92, True), ("avif", 65, False), ("heic", 45, False)],
)
def test_a_compressed_webp_avif_or_heic_is_not_clean(tmp_path, ending, quality, is_clean):
    pillow_heif.register_heif_opener()
    file = tmp_path / f"a.{ending}"
    Image.fromarray(photo("camera")).save(file, quality=quality)

    preset = choose(analyse(read_image(file)), ALL_PRESETS).preset

    assert (preset == "precise") == is_clean


# --- Kind


def part_of_page(side):
    return np.ascontiguousarray(page()[100 : 100 + side, 30 : 30 + side])


CLEAN_IMAGES = {
    "drawing": [drawing(0)],
    "photo": [rounded(0.5 * photo("coins", 1) + 64), cut_out(ASTRONAUT, 255)],
    "text": [page(), page(DARK), part_of_page(72), add_noise(part_of_page(128), 4), scan(4)],
}
JPEGS = {
    "drawing": [drawing(0), drawing(1), shaded_drawing(2)],
    "photo": [cut_out(ASTRONAUT, ground) for ground in (255, 236, 0)],
    "text": [page(), page(DARK), scan(4)],
}


@pytest.mark.parametrize("kind", CLEAN_IMAGES)
def test_the_kind_of_an_image_without_compression(kind):
    for image in CLEAN_IMAGES[kind]:
        analysis = measure(image)
        assert (analysis.kind, analysis.softness, analysis.haze) == (kind, 1, 0)
        assert choose(analysis, ALL_PRESETS).preset == "precise"


@pytest.mark.parametrize(
    ("kind", "presets"),
    [("drawing", ["anime"]), ("text", ["precise"]), ("photo", ["fast", "gentle"])],
)
def test_the_kind_of_a_jpeg(kind, presets):
    for image in JPEGS[kind]:
        analysis = measure(as_jpeg(image, 60))
        assert (analysis.kind, analysis.haze) == (kind, 0)
        assert choose(analysis, ALL_PRESETS).preset in presets


# --- Size, bit depth and softness


@pytest.mark.parametrize("size", [(1, 1), (1, 500_000), (500_000, 1), (20, 40_000), (97, 64)])
def test_any_size_can_be_analysed(size):
    random = np.random.default_rng(1).integers(0, 65535, (*size, 3), np.uint16)
    for pixels in (np.full_like(random, 99), random, random.astype(np.uint8)):
        analysis = measure(pixels, np.zeros(size, pixels.dtype))
        assert (analysis.height, analysis.width, analysis.transparency) == (*size, True)


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
    assert choose(analysis, ALL_PRESETS, analysis.size.scale(2)).reduce == reduce
    assert choose(analysis, ALL_PRESETS).reduce == 1


def test_noise_and_a_blurred_background_do_not_change_the_softness():
    blurred = cv2.GaussianBlur(ASTRONAUT, (0, 0), 4)
    blurred[30:230, 130:330] = ASTRONAUT[30:230, 130:330]  # Only the face is in focus.

    assert measure(blurred).softness == 1
    assert measure(add_noise(photo("camera", 1), 10)).softness == 1
