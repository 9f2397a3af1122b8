"""The preset `balanced`: one model whose output is the weighted mean of two networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SPAN import SPAN

from enhance import Settings, models
from enhance.engine.engine import Engine
from enhance.models.networks import span, srvgg
from tests.conftest import apart, psnr
from tests.reference.test_parity import PHOTOS, TILES, run_untiled
from tests.user_models import random_state, use_file

PARTS = models.parts_of("balanced")


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Both networks with random weights, which are installed."""
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path))
    networks = [
        SPAN(num_in_ch=3, num_out_ch=3, upscale=4),
        Compact(num_feat=64, num_conv=32, upscale=4),
    ]
    for name, network, module in zip(PARTS, networks, (span, srvgg), strict=True):
        network.load_state_dict(random_state(network))
        file = tmp_path / f"{name}.pth"
        torch.save(dict(module.convert(network.eval())[1]), file)
        use_file(monkeypatch, name, file)
    return networks


@pytest.mark.parametrize("photo", ["astronaut", "chelsea", "coffee"])
def test_the_result_equals_the_weighted_mean_of_both_networks_without_tiles(photo, networks):
    rgb = np.ascontiguousarray(PHOTOS[photo])
    precise, general = networks

    expected = run_untiled(lambda batch: 0.7 * precise(batch) + 0.3 * general(batch), rgb)

    assert expected.std() > 5, "a flat result proves nothing"
    for tile in TILES:
        result = Engine("cpu", "fp32").enlarge(rgb, Settings("balanced").weights, tile=tile)
        assert apart(result, expected) <= 1
    assert psnr(Engine("cpu", "bf16").enlarge(rgb, "balanced"), expected) >= 51


@pytest.mark.usefixtures("networks")
def test_its_checksum_depends_on_both_files(monkeypatch):
    checksums = {models.ensure("balanced").sha256}
    for name in PARTS:
        file = models.folder() / f"{name}.pth"
        torch.save({key: 2 * tensor for key, tensor in torch.load(file).items()}, file)
        use_file(monkeypatch, name, file)
        checksums.add(models.ensure("balanced").sha256)

    assert len(checksums) == 3
