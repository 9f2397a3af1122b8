"""Which presets are available and why not, and the interpolation of the fast model's weights."""

import numpy as np
import pytest
import torch

from enhance import Enhancer, Settings, WeightsError, models
from enhance.engine.engine import Engine
from enhance.models.networks.srvgg import srvgg
from enhance.settings import WeightInterpolation


@pytest.fixture
def small_networks(monkeypatch):
    """Small versions of the fast model's two networks with random weights."""
    generator = torch.Generator().manual_seed(3)
    graph = srvgg(2, features=8)
    states = {
        name: {key: torch.randn(shape, generator=generator) * 0.1 for key, shape in graph.shapes().items()}
        for name in ("realesr-general-x4v3", "realesr-general-wdn-x4v3")
    }
    monkeypatch.setattr(models, "graph_of", lambda name: graph)
    monkeypatch.setattr(models, "ensure", lambda name, *_: models.Located(name, None, "a" * 64, "made up"))  # type: ignore[arg-type]
    monkeypatch.setattr(models, "read_state_dict", lambda located: states[located.name])
    return states


def upscale(recipe, photo) -> np.ndarray:
    return np.concatenate(list(Engine("cpu", "fp32").stream(photo, recipe)), axis=1)


def test_denoise_interpolates_the_weights_like_the_official_command(small_networks, photo, monkeypatch):
    strong, weak = "realesr-general-x4v3", "realesr-general-wdn-x4v3"
    halfway = upscale(Settings.from_preset("fast", denoise=0.25).weights, photo)

    mixed = {key: 0.25 * small_networks[strong][key] + 0.75 * small_networks[weak][key] for key in small_networks[weak]}
    monkeypatch.setitem(small_networks, strong, mixed)
    assert np.array_equal(halfway, upscale(strong, photo))


def test_denoise_1_uses_the_general_model_alone():
    assert Settings.from_preset("fast", denoise=1.0).weights == WeightInterpolation("realesr-general-x4v3")
    assert Settings.from_preset("fast", denoise=0.0).weights.models == (
        "realesr-general-x4v3",
        "realesr-general-wdn-x4v3",
    )
    assert Settings.from_preset("gentle", denoise=0.5).weights == WeightInterpolation("realesrgan-x4plus")


def test_presets_from_the_package_are_always_available(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path))

    presets = {preset["name"]: preset for preset in Enhancer().presets()}

    for name in ("gentle", "original", "anime", "anime-fast", "dehaze"):
        assert presets[name]["available"], name
    for name, model in (("fast", "realesr-general-x4v3"), ("face", "gfpgan-v1.4")):
        assert not presets[name]["available"]
        assert f"enhance weights fetch {model}" in (presets[name]["reason"] or "")


def test_a_missing_model_does_not_affect_other_presets(tmp_path, monkeypatch, photo_file):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    enhancer = Enhancer("cpu", "fp32")

    with pytest.raises(WeightsError, match="realesr-general-x4v3"):
        enhancer.run(photo_file, Settings.from_preset("fast"))
    assert enhancer.run(photo_file, Settings.from_preset("anime-fast")).path.exists()
