"""Results beyond the scale of the network: a second network enlarges the first result."""

import numpy as np
import pytest
from skimage import data

from enhance import Enhancer, Settings, SettingsError
from enhance.restore.resample import result_size
from enhance.size import Size

OPAQUE = data.astronaut()[100:130, 200:240]
PHOTO = np.dstack([OPAQUE, np.full((30, 40), 255, np.uint8)])
PHOTO[:, :10, 3] = 0


@pytest.fixture(scope="module")
def enhancer(span_weights):
    return Enhancer("cpu")


def test_an_8x_result_is_a_downscaled_16x_result(enhancer):
    large = enhancer.run(PHOTO, Settings("precise", scale=16))
    half = enhancer.run(PHOTO, Settings("precise", scale=8))

    averaged = large.array.reshape(240, 2, 320, 2, 4).mean((1, 3))
    assert np.abs(averaged - half.array)[:, 100:, :3].max() <= 2
    assert large.info["second_model"]["name"] == "span-x4"


def test_the_second_network_receives_the_first_result(enhancer):
    first, both = (
        enhancer.run(OPAQUE, Settings("anime-fast", strength=0.7, scale=scale)).array
        for scale in (4, 16)
    )
    assert np.abs(both.astype(int) - enhancer.upscale(first, "span-x4")).max() <= 1


def test_preview_and_run_agree(enhancer):
    settings = Settings("anime-fast", scale=10)
    run = enhancer.run(PHOTO, settings)
    preview = enhancer.preview(PHOTO, settings, x=20, y=15, size=16)

    assert preview.info["signature"] == run.info["signature"]
    assert np.abs(preview.after - run.array[70:230, 120:280].astype(int)).mean() < 0.5


def test_a_second_network_is_limited_to_the_pixels_of_100_mp_at_4x():
    strip = Size(10_000 // 16, 10_000)
    assert result_size(Settings("gentle", scale=16), strip) == (10_000, 160_000)
    assert result_size(Settings("gentle"), Size(20_000, 20_000)) == (80_000, 80_000)
    with pytest.raises(SettingsError, match=r"scale 16 is too large .* Use 8\.16 or less"):
        result_size(Settings("gentle", scale=16), Size(6000, 4000))
