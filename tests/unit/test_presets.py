"""Which presets are available and why not, and the networks of `fast` and `gentle-2x`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from spandrel import ModelLoader

from enhance import Enhancer, Settings, WeightsError, models
from enhance.engine.engine import Engine
from enhance.files import file_sha256
from enhance.models.networks import SHIPPED
from enhance.models.networks.srvgg import srvgg
from enhance.restore.resample import result_size
from tests.user_models import random_tensors, reference_output

STRONG, WEAK = "realesr-general-x4v3", "realesr-general-wdn-x4v3"


def test_denoise_interpolates_the_weights_like_the_official_command(photo, monkeypatch):
    generator, graph = torch.Generator().manual_seed(3), srvgg(2, features=8)
    states = {
        name: {
            key: torch.randn(shape, generator=generator) * 0.1
            for key, shape in graph.shapes().items()
        }
        for name in (STRONG, WEAK)
    }
    monkeypatch.setattr(models, "graph_of", lambda name: graph)

    def located(name: str, *_: object) -> models.Located:
        return models.Located(name, Path(), "a" * 64, "made up")

    monkeypatch.setattr(models, "ensure", located)
    monkeypatch.setattr(models, "read_state_dict", lambda located: states[located.name])
    halfway = Engine("cpu", "fp32").enlarge(photo, Settings("fast", denoise=0.25).weights)

    monkeypatch.setitem(
        states,
        STRONG,
        {key: 0.25 * states[STRONG][key] + 0.75 * states[WEAK][key] for key in states[WEAK]},
    )
    assert np.array_equal(halfway, Engine("cpu", "fp32").enlarge(photo, STRONG))


@pytest.mark.parametrize(
    ("settings", "installed"),
    [
        (Settings("fast", denoise=1.0), (STRONG,)),
        (Settings("fast", denoise=0.0), (STRONG, WEAK)),
        (Settings("gentle", denoise=0.5), ("realesrgan-x4plus",)),
    ],
)
def test_a_preset_runs_with_its_models(settings, installed):
    assert settings.weights.models == installed


def test_a_missing_model_has_a_reason_and_does_not_affect_other_presets(
    tmp_path, monkeypatch, photo_file
):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    enhancer = Enhancer("cpu", "fp32")

    presets = {preset["name"]: preset for preset in enhancer.presets()}

    assert {"gentle", "original", "anime", "anime-fast", "dehaze"} <= {
        name for name, preset in presets.items() if preset["available"]
    }
    for name, model in (("fast", STRONG), ("face", "gfpgan-v1.4")):
        assert not presets[name]["available"]
        assert f"enhance weights fetch {model}" in (presets[name]["reason"] or "")
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
    own: dict[str, Any] = {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
    model = replace(model, **own, sources=tuple(replace(source, **own) for source in model.files))
    monkeypatch.setitem(cast(dict[str, models.Model], models.manifest()), model.name, model)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(file.parent))
    return file


@pytest.mark.usefixtures("fresh_store")
def test_gentle_2x_matches_the_reference_and_is_unavailable_without_its_file_or_with_a_wrong_one(
    photo, enhancer, x2plus
):
    odd, content = photo[:21, :27], x2plus.read_bytes()  # The network has to pad the photo.

    def is_available() -> bool:
        return next(one["available"] for one in enhancer.presets() if one["name"] == "gentle-2x")

    assert is_available()
    result = enhancer.upscale(odd, model="realesrgan-x2plus")
    assert (
        np.abs(
            result - reference_output(ModelLoader("cpu").load_from_file(x2plus).model, odd)
        ).max()
        <= 1
    )
    assert result.std() > 5, "a flat image proves nothing"
    assert enhancer.run(odd, "gentle-2x").array.shape == (42, 54, 3)
    assert enhancer.preview(odd, "gentle-2x", size=12).after.shape == (24, 24, 3)
    x2plus.unlink()
    assert not is_available()
    x2plus.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not is_available()
    enhancer.engine.release()
    with pytest.raises(WeightsError, match="GitHub release: not tried"):
        enhancer.run(odd, "gentle-2x")
    assert x2plus.with_name(f"{x2plus.name}.corrupt").exists()


def test_gentle_2x_has_sizes_up_to_2x():
    twice = Settings("gentle-2x")
    assert (result_size(twice, 21, 27), result_size(twice.changed(reduce=4), 40, 60)) == (
        (42, 54),
        (20, 30),
    )
