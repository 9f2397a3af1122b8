"""User models of networks that spandrel does not have give the same result as the published networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from enhance.engine.engine import Engine
from enhance.errors import WeightsError
from enhance.models.user_models import add
from tests.published import BranchedConv, MoSRv2, SPANPlus
from tests.user_models import random_state, untiled_output

from .test_user_networks import image

pytestmark = pytest.mark.usefixtures("own_folder")


def spanplus(**options: object) -> partial[torch.nn.Module]:
    return partial(SPANPlus, **{"features": 8, "blocks": (1,), **options})  # type: ignore[arg-type]


def mosrv2(**options: object) -> partial[torch.nn.Module]:
    return partial(MoSRv2, **{"features": 16, "blocks": 2, **options})  # type: ignore[arg-type]


NETWORKS = {
    "spanplus": SPANPlus,
    **{f"spanplus-dysample-{scale}x": spanplus(scale=scale) for scale in (1, 2, 3)},
    "spanplus-grey-to-colour": spanplus(scale=2, channels=1),
    **{f"spanplus-shuffle-{scale}x": spanplus(scale=scale, upsampler="ps", blocks=(2, 0)) for scale in (1, 2, 4)},
    "spanplus-1x-grey": spanplus(scale=1, upsampler="conv", channels=1),
    "mosrv2": MoSRv2,
    **{f"mosrv2-{scale}x": mosrv2(scale=scale, rms=False, meta=True) for scale in (1, 2, 3, 4)},
    **{f"mosrv2-{scale}x-as-it-is": mosrv2(scale=scale, unshuffle=False, expansion=2.0) for scale in (1, 2)},
    "mosrv2-1x-grey": mosrv2(scale=1, channels=1),
    **{f"mosrv2-steps-{scale}x": mosrv2(scale=scale, upsampler="pixelshuffle", middle=8) for scale in (1, 3, 4)},
    **{f"mosrv2-nearest-{scale}x": mosrv2(scale=scale, upsampler="nearest+conv") for scale in (2, 4, 8)},
    "mosrv2-nearest-3x": mosrv2(scale=3, upsampler="nearest+conv", meta=True),
    "mosrv2-dysample": mosrv2(scale=2, upsampler="dysample", middle=8),
    "mosrv2-dysample-16": mosrv2(scale=3, upsampler="dysample", middle=16, meta=True),
}


def save(kind: str, file: Path) -> torch.nn.Module:
    """Save a network with random weights, and return it."""
    network = NETWORKS[kind]()
    network.load_state_dict(state := random_state(network))
    torch.save(state, file)
    return network


def output(network: torch.nn.Module, rgb: np.ndarray) -> np.ndarray:
    return untiled_output(network, rgb, network.scale, network.channels, network.multiple)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_network_matches_the_published_one_for_every_tile_and_depth(kind: str, tmp_path: Path, own_folder: Path):
    network = save(kind, file := tmp_path / "model.pth")
    model = add(file, kind, own_folder)
    engine, spread = Engine("cpu", "fp32"), 0.0

    assert model.scale == network.scale
    for height, width, tile, depth in ((1, 1, 64, 8), (33, 20, 64, 8), (19, 42, 1024, 8), (23, 23, 192, 16)):
        rgb = image(height, width)
        levels = 257 if depth == 16 else 1
        result = engine.enlarge(rgb.astype(np.uint16) * levels if depth == 16 else rgb, kind, tile=tile) / levels
        expected = output(network, rgb)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= 1, (height, width)
        spread = max(spread, result.std())
    assert spread > 5, "a flat result proves nothing"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", ["spanplus-shuffle-2x", "mosrv2-2x", "mosrv2-steps-3x"])
def test_results_at_lower_precision_are_close(kind: str, precision: str, tmp_path: Path, own_folder: Path):
    network = save(kind, file := tmp_path / "model.pth")
    add(file, kind, own_folder)
    rgb = image(20, 31)

    assert np.abs(Engine("cpu", precision).enlarge(rgb, kind) - output(network, rgb)).mean() <= 1.5


def test_a_file_with_folded_convolutions_gives_the_same_result(tmp_path: Path, own_folder: Path):
    network = save("spanplus-shuffle-2x", tmp_path / "model.pth")
    state = {key: one for key, one in network.state_dict().items() if ".sk." not in key and ".conv." not in key}
    for name, module in network.named_modules():
        if isinstance(module, BranchedConv):  # the output of a single white pixel is the folded kernel, reversed
            pixels = torch.zeros(module.sk.in_channels, module.sk.in_channels, 5, 5)
            pixels[:, :, 2, 2] = torch.eye(module.sk.in_channels)
            with torch.inference_mode():
                bias, answers = module(0 * pixels[:1])[0, :, 2, 2], module(pixels)[:, :, 1:4, 1:4]
            kernel = (answers - bias[:, None, None]).flip(2, 3).transpose(0, 1).contiguous()
            state |= {f"{name}.eval_conv.weight": kernel, f"{name}.eval_conv.bias": bias}
    torch.save(state, file := tmp_path / "folded.pth")
    add(file, "folded", own_folder)
    rgb = image(20, 31)

    assert np.abs(Engine("cpu", "fp32").enlarge(rgb, "folded") - output(network, rgb)).max() <= 1


UNSUPPORTED = {
    "transpose+conv": (mosrv2(scale=3, upsampler="transpose+conv", meta=True), "MoSRv2 (upsampler 5)"),
    "2x or 3x": (mosrv2(scale=3, upsampler="nearest+conv"), "MoSRv2 (nearest+conv, 2x or 3x)"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_variant_that_is_not_supported_is_rejected_by_name(kind: str, tmp_path: Path, own_folder: Path):
    make, name = UNSUPPORTED[kind]
    torch.save(make().state_dict(), file := tmp_path / "model.pth")

    with pytest.raises(WeightsError) as error:
        add(file, None, own_folder)
    assert (error.value.key, error.value.values["network"]) == ("weights_add_unsupported", name)


DAMAGED = {
    "extra tensor": ("spanplus-shuffle-2x", {"extra": torch.zeros(1)}),
    "other kernel": ("spanplus-shuffle-2x", {"feats.1.block_1.c1_r.conv.1.weight": torch.zeros(16, 16, 5, 5)}),
    "forged size": ("spanplus-shuffle-2x", {"feats.0.conv.2.weight": torch.zeros(10**6, 16, 1, 1)}),
    "narrow block": ("mosrv2-4x", {"gblocks.2.conv.dwconv_w.weight": torch.zeros(1, 1, 1, 11)}),
    "long kernel": ("mosrv2-4x", {"gblocks.2.conv.dwconv_h.weight": torch.zeros(2, 1, 13, 1)}),
    "no channels": ("mosrv2-4x", {"to_img.0.weight": torch.zeros(0, 16, 3, 3)}),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_rejected(kind: str, tmp_path: Path, own_folder: Path):
    network, changes = DAMAGED[kind]
    torch.save({**random_state(NETWORKS[network]()), **changes}, file := tmp_path / "model.pth")

    with pytest.raises(WeightsError) as error:
        add(file, "model", own_folder)
    assert error.value.key == "weights_add_damaged"
