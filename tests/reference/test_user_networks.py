"""User models give the same result as spandrel."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data
from spandrel.architectures.MoSR import MoSR
from spandrel.architectures.PLKSR import PLKSR, RealPLKSR
from spandrel.architectures.RealCUGAN import UpCunet2x, UpCunet2x_fast, UpCunet3x, UpCunet4x

from enhance.engine.engine import Engine
from enhance.models.user_models import add
from tests.user_models import NETWORKS, random_state, spandrel_output

SIZES = [(1, 9), (13, 10)]


pytestmark = pytest.mark.usefixtures("own_folder")


def image(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[100 : 100 + height, 190 : 190 + width])


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_network_matches_spandrel(kind: str, tmp_path: Path, own_folder: Path):
    network = NETWORKS[kind]()
    file = tmp_path / "model.pth"
    torch.save(random_state(network), file)
    model = add(file, kind, own_folder)
    engine = Engine("cpu", "fp32")

    result, height = np.empty(0), 1
    for height, width in SIZES:
        rgb = image(height, width)
        expected = spandrel_output(file, rgb)
        result = engine.enlarge(rgb, kind, tile=64)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= 1, (height, width)
    assert model.scale == len(result) / height
    assert result.std() > 5, "a flat result proves nothing"


FULL_SIZE = {
    "plksr": PLKSR,
    "real-plksr": RealPLKSR,
    "real-plksr-dysample": partial(RealPLKSR, layer_norm=True, dysample=True),
    "mosr": MoSR,
}


@pytest.mark.parametrize("kind", FULL_SIZE)
def test_a_network_of_full_size_matches_spandrel_for_every_tile_and_depth(kind: str, tmp_path: Path, own_folder: Path):
    torch.save(random_state(FULL_SIZE[kind]()), file := tmp_path / "model.pth")
    add(file, kind, own_folder)
    engine = Engine("cpu", "fp32")

    for height, width, tile, depth in ((21, 12, 64, 8), (12, 27, 1024, 8), (15, 15, 192, 16)):
        rgb = image(height, width)
        levels = 257 if depth == 16 else 1
        result = engine.enlarge(rgb.astype(np.uint16) * levels if depth == 16 else rgb, kind, tile=tile)
        assert np.abs(result / levels - spandrel_output(file, rgb)).max() <= 1, (height, width)


REAL_CUGAN = {
    "real-cugan-2x": UpCunet2x,
    "real-cugan-3x": UpCunet3x,
    "real-cugan-4x": UpCunet4x,
    "real-cugan-pro": partial(UpCunet4x, pro=True),
    "real-cugan-pro-2x": partial(UpCunet2x, pro=True),
    "real-cugan-fast": UpCunet2x_fast,
}


@pytest.mark.parametrize("kind", REAL_CUGAN)
def test_a_network_that_reads_pixels_around_the_image_matches_spandrel(kind: str, tmp_path: Path, own_folder: Path):
    """Spandrel's needs more pixels than it reflects, and the fast one a multiple of four."""
    torch.save(random_state(REAL_CUGAN[kind]()), file := tmp_path / "model.pth")
    model = add(file, kind, own_folder)
    engine = Engine("cpu", "fp32")

    sizes = [(44, 40), (40, 60)] if kind == "real-cugan-fast" else [(21, 33), (38, 24), (35, 29)]
    for (height, width), tile, depth in zip(sizes, (64, 1024, 64), (8, 16, 16), strict=False):
        rgb, levels = image(height, width), 257 if depth == 16 else 1
        result = engine.enlarge(rgb.astype(np.uint16) * levels if depth == 16 else rgb, kind, tile=tile)
        assert np.abs(result / levels - spandrel_output(file, rgb)).max() <= 1, (height, width)
        assert result.std() > 5 * levels, "a flat result proves nothing"
    assert engine.enlarge(image(1, 1), kind).shape == (model.scale, model.scale, 3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize(
    "kind", ["esrgan-unshuffle-2", "esrgan-plus", "compact-1x", "span-4x", "real-plksr-2x", "mosr-4x", "rcan-4x"]
)
def test_results_at_lower_precision_are_close(kind: str, precision: str, tmp_path: Path, own_folder: Path):
    file = tmp_path / "model.pth"
    torch.save(random_state(NETWORKS[kind]()), file)
    add(file, kind, own_folder)
    rgb = image(20, 31)

    assert np.abs(Engine("cpu", precision).enlarge(rgb, kind) - spandrel_output(file, rgb)).mean() <= 1.5


def test_a_16_bit_image_keeps_its_levels(tmp_path: Path, own_folder: Path):
    file = tmp_path / "model.pth"
    torch.save(random_state(NETWORKS["span-2x"]()), file)
    add(file, "own", own_folder)
    rgb = image(11, 8)

    fine = Engine("cpu", "auto").enlarge(rgb.astype(np.uint16) * 257, "own")

    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - spandrel_output(file, rgb)).max() <= 0.01


REAL_ESRGAN, BSRGAN = "body.{}.rdb{}.conv{}", "RRDB_trunk.{}.RDB{}.conv{}"
NAMES = {
    REAL_ESRGAN: [
        ("model.0.", "conv_first."),
        (r"model.1.sub.2.", "conv_body."),
        ("model.3.", "conv_up1."),
        ("model.6.", "conv_up2."),
        ("model.8.", "conv_hr."),
        ("model.10.", "conv_last."),
    ],
    BSRGAN: [
        ("model.0.", "conv_first."),
        ("model.1.sub.2.", "trunk_conv."),
        ("model.3.", "upconv1."),
        ("model.6.", "upconv2."),
        ("model.8.", "HRconv."),
        ("model.10.", "conv_last."),
    ],
}


def rename_tensors(state: dict[str, torch.Tensor], block: str) -> dict[str, torch.Tensor]:
    tensors = {}
    for key, tensor in state.items():
        for old, new in NAMES[block]:
            key = new + key.removeprefix(old) if key.startswith(old) else key
        if key.startswith("model.1.sub."):
            _, _, _, number, dense, conv, _, kind = key.split(".")
            key = f"{block.format(number, dense.removeprefix('RDB'), conv.removeprefix('conv'))}.{kind}"
        tensors[key] = tensor
    return tensors


@pytest.mark.parametrize(
    ("block", "wrapper", "prefix"),
    [
        (REAL_ESRGAN, None, ""),
        (REAL_ESRGAN, "params_ema", "module."),
        (REAL_ESRGAN, "state_dict", "netG."),
        (BSRGAN, "params-ema", ""),
        (BSRGAN, "model_state_dict", "module."),
        (BSRGAN, "net", "netG."),
    ],
)
def test_all_names_and_wrappers_give_the_same_network(block, wrapper, prefix, tmp_path, own_folder):
    state = random_state(NETWORKS["esrgan-4x"]())
    plain, named = tmp_path / "plain.pth", tmp_path / "named.pth"
    torch.save(state, plain)
    other = {prefix + key: tensor for key, tensor in rename_tensors(state, block).items()}
    torch.save({wrapper: other, "iter": 5} if wrapper else other, named)

    first, second = (add(file, None, own_folder) for file in (plain, named))

    assert first.sha256 == second.sha256
    assert (second.name, second.network, second.scale) == ("named", "rrdbnet", 4)


def test_a_larger_image_matches_across_strips(tmp_path: Path, own_folder: Path):
    file = tmp_path / "model.pth"
    torch.save(random_state(NETWORKS["span-2x"]()), file)
    add(file, "own", own_folder)
    rgb = image(96, 64)

    assert np.abs(Engine("cpu", "fp32").enlarge(rgb, "own", tile=64) - spandrel_output(file, rgb)).max() <= 1


def test_a_half_precision_safetensors_file_matches(tmp_path, own_folder):
    state = {key: tensor.half() for key, tensor in random_state(NETWORKS["compact-2x"]()).items()}
    save_file(state, file := tmp_path / "half.safetensors")
    add(file, None, own_folder)
    rgb = image(9, 14)

    assert np.abs(Engine("cpu", "fp32").enlarge(rgb, "half") - spandrel_output(file, rgb)).max() <= 1
