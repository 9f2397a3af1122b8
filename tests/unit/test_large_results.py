"""Results beyond the scale of the network: a second network enlarges the first result."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings, SettingsError
from enhance.restore.resample import result_size


@pytest.fixture(scope="module")
def enhancer(span_weights):
    return Enhancer("cpu")


@pytest.fixture
def photo(tmp_path):
    """A photo of 40 x 30 px with transparency at its left."""
    pixels = data.astronaut()[100:130, 200:240]
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, :10] = 0
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_an_8x_result_is_a_downscaled_16x_result(photo, enhancer, tmp_path):
    large = enhancer.run(photo, Settings("precise", scale=16), output=tmp_path / "16.png")
    half = enhancer.run(photo, Settings("precise", scale=8), output=tmp_path / "8.png")

    with Image.open(large.path) as sixteen, Image.open(half.path) as eight:
        assert (sixteen.size, eight.size) == ((640, 480), (320, 240))
        averaged = sixteen.reduce(2)
        assert np.abs(np.asarray(averaged, float) - np.asarray(eight))[:, 100:, :3].max() <= 2
    assert large.info["second_model"]["name"] == "span-x4"
    assert large.info["fidelity_db"] > 25
    assert large.info["signature"] != half.info["signature"]


def test_the_second_network_receives_the_first_result(photo, enhancer):
    opaque = np.array(Image.open(photo).convert("RGB"))
    first, both = (
        enhancer.run(opaque, Settings("anime-fast", strength=0.7, scale=scale)) for scale in (4, 16)
    )

    assert np.abs(both.array.astype(int) - enhancer.upscale(first.array, "span-x4")).max() <= 1


def test_a_stored_result_is_adjusted_and_previewed(photo, enhancer):
    settings = Settings("anime-fast", scale=10)
    run = enhancer.run(photo, settings)
    preview = enhancer.preview(photo, settings, x=20, y=15, size=16)

    assert preview.info["signature"] == run.info["signature"]
    assert preview.after.shape == (160, 160, 4)
    with Image.open(run.path) as image:
        assert np.abs(preview.after.astype(int) - np.asarray(image)[70:230, 120:280]).mean() < 0.5
    assert enhancer.run(photo, settings).info["cached"]


def test_a_second_network_is_limited_to_the_pixels_of_100_mp_at_4x():
    large = Settings("gentle", scale=16)
    assert result_size(large, 10_000, 10_000 // 16) == (160_000, 10_000)
    with pytest.raises(SettingsError, match=r"scale 16 is too large .* Use 8\.16 or less"):
        result_size(large, 4000, 6000)
    with pytest.raises(SettingsError, match="Use 1600 or less"):
        result_size(Settings("gentle", megapixels=1601), 4000, 6000)
    assert result_size(Settings("gentle"), 20_000, 20_000) == (80_000, 80_000)
    with pytest.raises(SettingsError):
        Settings("gentle", scale=16.1)
