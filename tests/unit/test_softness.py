"""The softness of images: sharp, blurred, noisy and compressed ones."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.analysis import analyse
from enhance.images import SourceImage

OTHERS = ["camera", "chelsea", "stereo_motorcycle", "immunohistochemistry", "grass"]
"""Photos that were not used to choose the thresholds."""


def photo(name: str) -> np.ndarray:
    pixels = getattr(data, name)()
    pixels = pixels[0] if isinstance(pixels, tuple) else pixels
    return np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels


def image_of(rgb: np.ndarray) -> SourceImage:
    return SourceImage("a.png", "0" * 64, 0, "PNG", "RGB", np.ascontiguousarray(rgb), None, False, None)


def soften(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Downscale by averaging, upscale again, and crop so that the pixels are not aligned to the averages."""
    size = rgb.shape[1] // factor, rgb.shape[0] // factor
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[1:, 3:]


def add_noise(rgb: np.ndarray, sigma: float) -> np.ndarray:
    grain = np.random.default_rng(5).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + grain), 0, 255).astype(np.uint8)


def as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    code = io.BytesIO()
    Image.fromarray(rgb).save(code, "JPEG", quality=quality)
    return np.asarray(Image.open(code))


@pytest.mark.parametrize("name", OTHERS)
def test_softness_is_the_factor_without_loss_of_detail(name):
    sharp = photo(name)

    for degraded in (sharp, add_noise(sharp, 3), add_noise(sharp, 10), as_jpeg(sharp, 85), as_jpeg(sharp, 60)):
        assert analyse(image_of(degraded)).softness == 1
    for factor in (2, 3, 4):
        assert analyse(image_of(soften(sharp, factor))).softness == factor
    for degraded in (add_noise(soften(sharp, 2), 2), as_jpeg(soften(sharp, 2), 85)):
        assert analyse(image_of(degraded)).softness == 2


def test_a_photo_with_a_blurred_background_is_not_soft():
    rgb = photo("astronaut")
    blurred = cv2.GaussianBlur(rgb, (0, 0), 4)
    blurred[30:230, 130:330] = rgb[30:230, 130:330]  # Only the face is in focus.

    assert analyse(image_of(blurred)).softness == 1


@pytest.mark.parametrize("size", [(1, 1), (63, 500), (64, 64), (70, 900)])
def test_tiny_and_uniform_images_are_not_soft(size):
    known = analyse(image_of(np.full((*size, 3), 128, np.uint8)))

    assert (known.softness, known.noise, known.jpeg_quality) == (1, 0, None)


def test_16_bits_match_8_bits():
    rgb = soften(photo("camera"), 2)
    known, deep = (analyse(image_of(pixels)) for pixels in (rgb, rgb.astype(np.uint16) * 257))

    assert known.softness == deep.softness == 2
    assert known.noise == pytest.approx(deep.noise, abs=0.05)
