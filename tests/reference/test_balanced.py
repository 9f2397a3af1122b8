"""The preset `balanced`: one model whose output is the weighted mean of two networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SPAN import SPAN

from enhance import Enhancer, Settings, WeightsError, models
from enhance.engine.engine import Engine
from enhance.models.manifest import WeightSource
from enhance.models.networks import span, srvgg
from enhance.models.weights_folder import digest
from enhance.presets import available_presets
from tests.conftest import agreement, psnr
from tests.reference.test_parity import PHOTOS, TILES, run_untiled
from tests.user_models import random_state

PRECISE, GENERAL = models.parts_of("balanced")


def describe(model: models.Model, file: Path) -> models.Model:
    """Return a model whose weights are in `file`, and which no server has."""
    facts: dict[str, Any] = {
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": digest(file),
    }
    source = WeightSource("hub", "nobody/nothing", "main", file.name, **facts)
    return replace(model, **facts, sources=(source,))


@pytest.fixture
def networks(tmp_path, monkeypatch) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Both networks with random weights, which are installed."""
    folder = tmp_path / "weights"
    folder.mkdir()
    manifest = cast(dict[str, models.Model], models.manifest())
    precise = SPAN(num_in_ch=3, num_out_ch=3, upscale=4)
    general = Compact(num_feat=64, num_conv=32, upscale=4)
    for name, network, convert in (
        (PRECISE, precise, span.convert),
        (GENERAL, general, srvgg.convert),
    ):
        network.load_state_dict(random_state(network))
        file = folder / f"{name}.pth"
        torch.save(dict(convert(network.eval())[1]), file)
        monkeypatch.setitem(manifest, name, describe(manifest[name], file))
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(folder))
    return precise, general


@pytest.mark.parametrize("photo", PHOTOS)
def test_the_result_equals_the_weighted_mean_of_both_networks_without_tiles(photo, networks):
    rgb = np.ascontiguousarray(PHOTOS[photo])
    precise, general = networks

    expected = run_untiled(lambda batch: 0.7 * precise(batch) + 0.3 * general(batch), rgb)

    assert expected.std() > 5, "a flat result proves nothing"
    for tile in TILES:
        result = Engine("cpu", "fp32").enlarge(rgb, Settings("balanced").weights, tile=tile)
        assert np.abs(result.astype(int) - expected).max() <= 1
    assert psnr(Engine("cpu", "bf16").enlarge(rgb, "balanced"), expected) >= 51


@pytest.mark.usefixtures("networks")
def test_a_preview_agrees_with_the_result(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(data.coffee()[110:190, 260:386]).save(path)
    enhancer = Enhancer("cpu", "fp32")

    preview = enhancer.preview(path, "balanced", x=0, y=0, size=16)
    result = enhancer.run(path, "balanced")

    assert agreement(preview, result) >= 55
    assert preview.info["model"] == result.info["model"]
    assert enhancer.status()["model"] == "balanced"


@pytest.mark.usefixtures("networks")
def test_its_checksum_depends_on_both_files():
    before = models.ensure("balanced").sha256
    manifest = cast(dict[str, models.Model], models.manifest())
    checksums = {before}
    for name in (PRECISE, GENERAL):
        file = models.folder() / f"{name}.pth"
        torch.save({key: 2 * tensor for key, tensor in torch.load(file).items()}, file)
        manifest[name] = describe(manifest[name], file)
        checksums.add(models.ensure("balanced").sha256)

    assert len(checksums) == 3


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("missing", [PRECISE, GENERAL])
def test_without_one_of_its_files_it_is_not_available(missing, photo):
    enhancer = Enhancer("cpu")
    assert "balanced" in available_presets()
    (models.folder() / f"{missing}.pth").unlink()

    (facts,) = (preset for preset in enhancer.presets() if preset["name"] == "balanced")

    assert "balanced" not in available_presets()
    assert f"enhance weights fetch {missing}" in (facts["reason"] or "")
    with pytest.raises(WeightsError, match=missing):
        enhancer.run(photo, "balanced")
