"""What a picture went through, told from its pixels; tips are said where they fit, and only there."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.images import Picture, read_picture
from enhance.scenes import Hint, degradation_of, hints

OTHERS = ["camera", "chelsea", "stereo_motorcycle", "immunohistochemistry", "grass"]
"""Photos that the thresholds were not chosen on."""


def photo(name: str) -> np.ndarray:
    pixels = getattr(data, name)()
    pixels = pixels[0] if isinstance(pixels, tuple) else pixels
    return np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels


def picture_of(rgb: np.ndarray) -> Picture:
    return Picture("a.png", "0" * 64, 0, "PNG", "RGB", np.ascontiguousarray(rgb), None, False, None)


def softened(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Made smaller by averaging and enlarged again; cut so that it lies on no grid any more."""
    size = rgb.shape[1] // factor, rgb.shape[0] // factor
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[1:, 3:]


def noisy(rgb: np.ndarray, sigma: float) -> np.ndarray:
    grain = np.random.default_rng(5).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + grain), 0, 255).astype(np.uint8)


def as_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    code = io.BytesIO()
    Image.fromarray(rgb).save(code, "JPEG", quality=quality)
    return np.asarray(Image.open(code))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_hazy_picture_is_told_from_a_clear_one(photo_file, name):
    clear = replace(read_picture(photo_file), rgb=getattr(data, name)())
    veil = np.linspace(0.6, 0.3, clear.height)[:, None, None]
    hazy = replace(clear, rgb=np.rint(clear.rgb * (1 - veil) + 230 * veil).astype(np.uint8))

    assert hints(hazy, None) == (Hint("dehaze", "dehaze"),)
    assert Hint("dehaze", "dehaze") not in hints(clear, None)


@pytest.mark.parametrize("name", OTHERS)
def test_a_soft_photo_holds_the_detail_of_a_smaller_one_and_a_sharp_one_does_not(name):
    sharp = photo(name)

    for spoilt in (sharp, noisy(sharp, 3), noisy(sharp, 10), as_jpeg(sharp, 85), as_jpeg(sharp, 60)):
        assert degradation_of(picture_of(spoilt)).softness == 1
    for factor in (2, 3, 4):
        assert degradation_of(picture_of(softened(sharp, factor))).softness == factor
    for spoilt in (noisy(softened(sharp, 2), 3), as_jpeg(softened(sharp, 2), 85)):
        assert degradation_of(picture_of(spoilt)).softness == 2


def test_a_blurred_background_makes_no_photo_soft():
    rgb = photo("astronaut")
    blurred = cv2.GaussianBlur(rgb, (0, 0), 4)
    blurred[30:230, 130:330] = rgb[30:230, 130:330]  # the face alone is in focus

    assert degradation_of(picture_of(blurred)).softness == 1


@pytest.mark.parametrize("name", ["camera", "chelsea", "stereo_motorcycle"])
def test_a_photo_made_small_is_clean_and_with_noise_compression_or_blur_it_is_not(name):
    whole = photo(name)
    small = np.ascontiguousarray(cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    clean = Hint("clean", "precise")

    assert hints(picture_of(small), None) == (clean,)
    assert hints(picture_of(as_jpeg(small, 95)), None) == (clean,)
    for spoilt in (noisy(small, 3), as_jpeg(small, 75), cv2.GaussianBlur(small, (0, 0), 1), softened(whole, 2)):
        assert clean not in hints(picture_of(spoilt), None)


@pytest.mark.parametrize("size", [(1, 1), (63, 500), (64, 64), (70, 900)])
def test_what_is_too_small_or_shows_nothing_is_called_nothing(size):
    known = degradation_of(picture_of(np.full((*size, 3), 128, np.uint8)))

    assert (known.softness, known.noise, known.blocks) == (1, 0, 1)


def test_sixteen_bits_are_judged_as_eight_are():
    rgb = softened(photo("camera"), 2)
    known, deep = (degradation_of(picture_of(pixels)) for pixels in (rgb, rgb.astype(np.uint16) * 257))

    assert known.softness == deep.softness == 2
    assert known.noise == pytest.approx(deep.noise, abs=0.05)
    assert known.blocks == pytest.approx(deep.blocks, abs=0.01)


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "stereo_motorcycle"])
def test_heavy_compression_shows_in_blocks_and_light_one_does_not(name):
    sharp = photo(name)

    assert degradation_of(picture_of(as_jpeg(sharp, 40))).blocks > 1.5
    assert degradation_of(picture_of(as_jpeg(sharp, 95))).blocks < 1.5
    assert degradation_of(picture_of(noisy(sharp, 10))).blocks < 1.2


def test_a_soft_photo_gets_its_reduction_and_others_only_the_presets_that_measure_best():
    sharp = photo("camera")
    for factor in (2, 4):
        assert hints(picture_of(softened(sharp, factor)), None) == (Hint("soft", reduce=2),)
    spoilt = picture_of(noisy(as_jpeg(sharp, 20), 0)), picture_of(noisy(sharp, 12))
    assert [hints(one, None) for one in spoilt] == [(), ()]
