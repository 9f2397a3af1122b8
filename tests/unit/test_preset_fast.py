"""The preset `fast` with its real weights, at several values of `denoise`."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings

pytestmark = pytest.mark.usefixtures("with_fast_weights")

SIZE = (72, 96)


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory) -> Enhancer:
    return Enhancer("cpu", "fp32", data=tmp_path_factory.mktemp("data"))


@pytest.fixture
def original() -> np.ndarray:
    """A real photo, uint8 [288, 384, 3]."""
    return np.ascontiguousarray(data.chelsea()[:288, 30:414])


def downscale(original: np.ndarray, noise: float = 0) -> np.ndarray:
    """Return the photo at a quarter of its size, with noise."""
    reduced = cv2.resize(original, SIZE[::-1], interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(4).normal(0, noise, reduced.shape) if noise else 0
    return np.rint(np.clip(reduced + grain, 0, 255)).astype(np.uint8)


@pytest.fixture
def fast(enhancer, tmp_path):
    """A function that runs the preset for an array with a value of `denoise`."""

    def run(rgb: np.ndarray, denoise: float) -> np.ndarray:
        Image.fromarray(rgb).save(tmp_path / "downscaled.png")
        settings = Settings.from_preset("fast", denoise=denoise)
        result = enhancer.run(tmp_path / "downscaled.png", settings, output=tmp_path / "large.png")
        assert result.info["model"]["name"] == "realesr-general-x4v3"
        return np.asarray(Image.open(result.path))

    return run


def roughness(image: np.ndarray) -> float:
    """Return the mean difference of neighbouring pixels."""
    return float(np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean())


def test_denoise_removes_more_noise_at_higher_values(original, fast):
    low, middle, high = (roughness(fast(downscale(original, noise=14), denoise)) for denoise in (0.0, 0.5, 1.0))

    assert low > middle > high
    assert low > 1.2 * high
