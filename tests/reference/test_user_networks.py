"""User models give the same result as the networks that the authors published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from enhance.engine.engine import Engine
from enhance.errors import WeightsError
from enhance.models import ensure, read_state_dict
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.models.user_models import add
from tests.conftest import apart
from tests.user_models import (
    NETWORKS,
    random_network,
    random_tensors,
    reference_output,
    save_model,
)

pytestmark = pytest.mark.usefixtures("own_folder")

RUNS = [(1, 9, "fp32", 8, 64), (6, 7, "bf16", 8, 64), (33, 6, "fp32", 16, 1024)]
"""Height, width, precision, bits and tile. The images are wide and tall, and some need several
strips."""
LARGE_RUNS = [(44, 40, "fp32", 8, 64), (40, 60, "fp32", 16, 1024)]
"""Real-CUGAN needs images larger than the border that it reflects, and of multiples of 4."""
ASTRONAUT = data.astronaut()


def image(height, width):
    return np.ascontiguousarray(ASTRONAUT[100 : 100 + height, 190 : 190 + width])


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_network_matches_the_reference(kind, tmp_path, own_folder):
    add(save_model(kind, tmp_path / "model.pth"), kind, own_folder)
    network = random_network(kind)
    runs = LARGE_RUNS if "cugan" in kind else RUNS

    for height, width, precision, bits, tile in runs:
        rgb = image(height, width)
        levels = 257 if bits == 16 else 1
        expected = reference_output(network, rgb)
        deep = rgb.astype(f"uint{bits}") * levels
        result = Engine("cpu", precision).enlarge(deep, kind, tile=tile) / levels
        assert result.shape == expected.shape
        assert result.std() > 1, "a flat result proves nothing"
        error = np.abs(result - expected)
        if precision == "bf16":
            assert error.mean() <= 1.5
        else:
            assert error.max() <= (0.02 if bits == 16 else 1)


BSRGAN = {
    "conv_body": "trunk_conv",
    "body.": "RRDB_trunk.",
    "rdb": "RDB",
    "conv_up": "upconv",
    "conv_hr": "HRconv",
}
"""The tensor names of BSRGAN and the first Real-ESRGAN models, by those of later models."""


@pytest.mark.parametrize("names", [{}, BSRGAN], ids=["real-esrgan", "bsrgan"])
@pytest.mark.parametrize(
    ("wrapper", "prefix"), [("params_ema", "module."), ("state_dict", "netG.")]
)
def test_all_names_and_wrappers_are_read(wrapper, prefix, names, tmp_path, own_folder):
    state = random_tensors(rrdbnet(2, 8).shapes())
    named = {}
    for key, tensor in state.items():
        for later, earlier in names.items():
            key = key.replace(later, earlier)
        named[prefix + key] = tensor
    torch.save({wrapper: named, "iter": 5}, tmp_path / "model.pth")

    add(tmp_path / "model.pth", None, own_folder)

    stored = read_state_dict(ensure("model"))
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[key], tensor) for key, tensor in state.items())


def test_a_half_precision_safetensors_file_matches(tmp_path, own_folder):
    network = random_network("compact-2x").half()
    save_file(network.state_dict(), tmp_path / "half.safetensors")
    add(tmp_path / "half.safetensors", None, own_folder)

    result = Engine("cpu", "fp32").enlarge(image(9, 14), "half")

    assert apart(result, reference_output(network.float(), image(9, 14))) <= 1


UNSUPPORTED = {
    "MoSRv2": {
        "gblocks.0.weight": torch.ones(16, 3, 3, 3),
        "gblocks.1.gamma": torch.ones(1, 16, 1, 1),
    },
    "SPANPlus": {
        "feats.0.sk.weight": torch.ones(8, 3, 1, 1),
        "feats.1.conv_cat.weight": torch.ones(8, 32, 1, 1),
    },
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_network_that_is_not_supported_is_rejected_by_name(name, tmp_path, own_folder):
    torch.save(UNSUPPORTED[name], tmp_path / "model.pth")

    with pytest.raises(WeightsError, match=name) as error:
        add(tmp_path / "model.pth", None, own_folder)
    assert error.value.key == "weights_add_unsupported"
