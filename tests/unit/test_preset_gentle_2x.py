"""The preset `gentle-2x`, whose network upscales by 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings, SettingsError, WeightsError
from enhance.output.resample import result_size
from enhance.settings import scales
from tests.user_models import spandrel_output

NAME, MODEL = "gentle-2x", "realesrgan-x2plus"

pytestmark = pytest.mark.usefixtures("with_x2plus", "fresh_store")


@pytest.fixture
def odd_photo(photo: np.ndarray, tmp_path: Path) -> Path:
    """A photo [21, 27], which the network has to pad."""
    Image.fromarray(photo[:21, :27]).save(path := tmp_path / "odd.png")
    return path


def test_larger_sizes_than_2x_are_rejected():
    twice = Settings.from_preset(NAME)
    assert scales(twice) == [1, 2]
    with pytest.raises(SettingsError, match="Use a number from 1 to 2"):
        twice.changed(scale=3)
    assert result_size(twice, 21, 27) == (42, 54)
    with pytest.raises(SettingsError, match="54"):
        result_size(twice.changed(long_side=55), 21, 27)
    assert scales(twice.changed(reduce=2)) == [1]
    assert result_size(twice.changed(reduce=4), 40, 60) == (20, 30)


def test_the_network_matches_the_reference(photo: np.ndarray, odd_photo: Path, with_x2plus: Path, enhancer: Enhancer):
    result = enhancer.upscale(photo[:21, :27], model=MODEL)
    expected = spandrel_output(with_x2plus, photo[:21, :27])
    assert result.shape == (42, 54, 3)
    assert np.abs(result - expected).max() <= 1
    assert result.std() > 5, "a flat image proves nothing"


def test_run_and_preview_upscale_by_2(odd_photo: Path, enhancer: Enhancer):
    settings = Settings.from_preset(NAME)

    preview = enhancer.preview(odd_photo, settings, size=12)
    result = enhancer.run(odd_photo, settings, preview=preview)

    assert Image.open(result.path).size == (54, 42)
    assert preview.after.shape == (24, 24, 3)
    assert preview.info["signature"] == result.info["signature"]
    model = result.info["model"]
    assert (model["name"], model["source"]) == (MODEL, "official file (origin not recorded)")
    assert enhancer.run(odd_photo, settings.changed(scale=1.5)).info["output"]["width"] == 40


def test_it_is_unavailable_without_its_file_or_with_a_wrong_one(enhancer, with_x2plus, odd_photo):
    content = with_x2plus.read_bytes()
    with_x2plus.unlink()
    assert not available(enhancer)
    with_x2plus.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not available(enhancer)
    enhancer.engine.release()
    with pytest.raises(WeightsError, match="GitHub release: not tried"):
        enhancer.run(odd_photo, NAME)
    assert with_x2plus.with_name(f"{with_x2plus.name}.corrupt").exists()
    with_x2plus.write_bytes(content)
    assert available(enhancer)


def available(enhancer: Enhancer) -> bool:
    return next(one["available"] for one in enhancer.presets() if one["name"] == NAME)
