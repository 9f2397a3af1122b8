"""Which presets are available and why not, and the networks of `fast` and `gentle-2x`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spandrel import ModelLoader

from enhance import Enhancer, Settings, WeightsError, models
from enhance.models.networks import SHIPPED
from enhance.presets import available_presets
from tests.user_models import random_tensors, reference_output, use_file

STRONG = "realesr-general-x4v3"


def test_a_missing_model_has_a_reason_and_does_not_affect_other_presets(
    tmp_path, monkeypatch, photo_file
):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    enhancer = Enhancer("cpu", "fp32")

    reasons = {preset["name"]: preset["reason"] for preset in enhancer.presets()}

    assert f"enhance weights fetch {STRONG}" in (reasons["fast"] or "")
    assert not reasons["gentle"]
    with pytest.raises(WeightsError, match=STRONG):
        enhancer.run(photo_file, Settings("fast"))
    assert enhancer.run(photo_file, Settings("anime-fast")).path.exists()


@pytest.fixture
def x2plus(tmp_path, monkeypatch) -> Path:
    """A weights file like RealESRGAN_x2plus.pth with random tensors."""
    model = models.manifest()["realesrgan-x2plus"]
    file = tmp_path / "weights" / model.file
    file.parent.mkdir()
    torch.save({"params_ema": random_tensors(SHIPPED[model.name]().shapes())}, file)
    use_file(monkeypatch, model.name, file)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(file.parent))
    return file


@pytest.mark.usefixtures("fresh_store")
def test_gentle_2x_matches_the_reference(photo, enhancer, x2plus):
    odd = photo[:21, :27]  # The network has to pad the photo.
    network = ModelLoader("cpu").load_from_file(x2plus).model

    result = enhancer.upscale(odd, model="realesrgan-x2plus")

    assert np.abs(result - reference_output(network, odd)).max() <= 1
    assert result.std() > 5, "a flat image proves nothing"
    assert enhancer.preview(odd, "gentle-2x", size=12).after.shape == (24, 24, 3)


@pytest.mark.usefixtures("fresh_store")
def test_a_preset_is_unavailable_without_its_file_or_with_a_wrong_one(photo, enhancer, x2plus):
    content = x2plus.read_bytes()
    assert "gentle-2x" in available_presets()
    x2plus.unlink()
    assert "gentle-2x" not in available_presets()
    x2plus.write_bytes(content[:-1] + b"?")
    with pytest.raises(WeightsError, match="GitHub release: not tried"):
        enhancer.run(photo, "gentle-2x")
    assert x2plus.with_name(f"{x2plus.name}.corrupt").exists()
