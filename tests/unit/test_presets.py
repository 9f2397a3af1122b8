"""Which presets are available and why not, and the networks of `fast` and `gentle-2x`."""

from __future__ import annotations

import pytest
import torch
from spandrel import ModelLoader

from enhance import Enhancer, Settings, WeightsError
from enhance.models.networks import shipped_graph
from tests.conftest import apart
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
def x2plus(tmp_path, monkeypatch):
    """A weights file like RealESRGAN_x2plus.pth with random tensors."""
    file = tmp_path / "RealESRGAN_x2plus.pth"
    torch.save({"params_ema": random_tensors(shipped_graph("realesrgan-x2plus").shapes())}, file)
    use_file(monkeypatch, "realesrgan-x2plus", file)
    return file


@pytest.mark.usefixtures("fresh_store")
def test_gentle_2x_matches_the_reference(photo, enhancer, x2plus):
    odd = photo[:21, :27]  # The network has to pad the photo.
    network = ModelLoader("cpu").load_from_file(x2plus).model

    result = enhancer.upscale(odd, model="realesrgan-x2plus")

    assert apart(result, reference_output(network, odd)) <= 1
    assert result.std() > 5, "a flat image proves nothing"
    assert enhancer.preview(odd, "gentle-2x", size=12).after.shape == (24, 24, 3)
