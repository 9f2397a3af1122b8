"""User models give the same result as the networks that the authors published."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from skimage import data
from spandrel.architectures.PLKSR import PLKSR

from enhance.engine.engine import Engine
from enhance.errors import WeightsError
from enhance.models import locate, read_state_dict
from enhance.models.networks.rrdbnet import rrdbnet
from enhance.models.tensors import stored_graph
from enhance.models.user_models import add
from tests.user_models import (
    NETWORKS,
    random_network,
    random_state,
    random_tensors,
    reference_output,
    save_model,
)

pytestmark = pytest.mark.usefixtures("own_folder")

RUNS = [
    (1, 9, "fp32", 8, 64),
    (6, 7, "bf16", 8, 64),
    (6, 33, "fp32", 16, 1024),
    (33, 6, "fp32", 8, 192),
]
"""Height, width, precision, bits and tile. The images are wide and tall, and some need several
strips."""
LARGER = {
    "real-cugan": [(21, 33, "fp32", 8, 64), (38, 24, "fp32", 16, 1024)],
    "real-cugan-fast": [(44, 40, "fp32", 8, 64), (40, 60, "fp32", 16, 1024)],
}
"""Real-CUGAN needs images larger than the border that it reflects. The fast one also needs
multiples of 4."""

ASTRONAUT = data.astronaut()


def image(height, width):
    return np.ascontiguousarray(ASTRONAUT[100 : 100 + height, 190 : 190 + width])


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_network_matches_the_reference(kind, tmp_path, own_folder):
    add(save_model(kind, tmp_path / "model.pth"), kind, own_folder)
    network = random_network(kind)
    spread = 0.0
    runs = RUNS
    if kind.startswith("real-cugan"):
        runs = LARGER.get(kind) or LARGER["real-cugan"]

    for height, width, precision, bits, tile in runs:
        rgb = image(height, width)
        levels = 257 if bits == 16 else 1
        expected = reference_output(network, rgb)
        deep = rgb.astype(f"uint{bits}") * levels
        result = Engine("cpu", precision).enlarge(deep, kind, tile=tile) / levels
        assert result.shape == expected.shape
        error = np.abs(result - expected)
        if precision == "bf16":
            assert error.mean() <= 1.5
        else:
            assert error.max() <= (0.02 if bits == 16 else 1)
        spread = max(spread, result.std())
    assert spread > 5, "a flat result proves nothing"


@pytest.mark.parametrize("kind", ["esrgan-unshuffle-2", "span-4x"])
def test_fp16_is_close_to_the_reference(kind, tmp_path, own_folder):
    add(save_model(kind, tmp_path / "model.pth"), kind, own_folder)

    result = Engine("cpu", "fp16").enlarge(image(20, 31), kind)

    assert np.abs(result - reference_output(random_network(kind), image(20, 31))).mean() <= 1.5


def test_an_image_smaller_than_the_reflected_border_is_enlarged(tmp_path, own_folder):
    add(save_model("real-cugan-2x", tmp_path / "model.pth"), "model", own_folder)

    assert Engine("cpu").enlarge(image(1, 1), "model").shape == (2, 2, 3)


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
    ("wrapper", "prefix"), [(None, ""), ("params_ema", "module."), ("state_dict", "netG.")]
)
def test_all_names_and_wrappers_are_read(wrapper, prefix, names, tmp_path, own_folder):
    state = random_tensors(rrdbnet(2, 8).shapes())
    named = {}
    for key, tensor in state.items():
        for later, earlier in names.items():
            key = key.replace(later, earlier)
        named[prefix + key] = tensor
    torch.save({wrapper: named, "iter": 5} if wrapper else named, tmp_path / "model.pth")

    model = add(tmp_path / "model.pth", None, own_folder)

    assert (model.network, model.scale) == ("rrdbnet", 4)
    stored = read_state_dict(located) if (located := locate("model")) else {}
    assert all(torch.equal(stored.pop(key), tensor) for key, tensor in state.items())
    assert not stored


def test_a_half_precision_safetensors_file_matches(tmp_path, own_folder):
    network = random_network("compact-2x").half().float()
    save_file(network.half().state_dict(), tmp_path / "half.safetensors")
    add(tmp_path / "half.safetensors", None, own_folder)

    result = Engine("cpu", "fp32").enlarge(image(9, 14), "half")

    assert np.abs(result - reference_output(network.float(), image(9, 14))).max() <= 1


UNSUPPORTED = {
    "PLKSR (SparsePLK)": lambda: random_state(
        PLKSR(dim=8, n_blocks=1, kernel_size=9, lk_type="SparsePLK")
    ),
    "MoSRv2": lambda: {
        "gblocks.0.weight": torch.ones(16, 3, 3, 3),
        "gblocks.1.gamma": torch.ones(1, 16, 1, 1),
    },
    "SPANPlus": lambda: {
        "feats.0.sk.weight": torch.ones(8, 3, 1, 1),
        "feats.1.conv_cat.weight": torch.ones(8, 32, 1, 1),
    },
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_network_that_is_not_supported_is_rejected_by_name(name, tmp_path, own_folder):
    torch.save(UNSUPPORTED[name](), tmp_path / "model.pth")

    with pytest.raises(WeightsError) as error:
        add(tmp_path / "model.pth", None, own_folder)
    assert (error.value.key, error.value.values["network"]) == ("weights_add_unsupported", name)


def test_a_tensor_of_a_forged_shape_is_rejected(tmp_path, own_folder):
    forged = {"gblocks.2.conv.weight": torch.zeros(1, 1, 1, 11)}
    torch.save(random_network("mosr-4x").state_dict() | forged, tmp_path / "model.pth")

    with pytest.raises(WeightsError) as error:
        add(tmp_path / "model.pth", "model", own_folder)
    assert error.value.key == "weights_add_damaged"


@pytest.mark.parametrize("change", [{"rms": True}, {"kind": "Bilinear"}])
def test_a_stored_model_with_an_operation_of_an_earlier_version_is_reported(
    change, tmp_path, own_folder
):
    model = add(save_model("mosr-4x", tmp_path / "model.pth"), "model", own_folder)
    located = locate("model")
    assert located
    with safe_open(located.path, framework="numpy") as file:
        graph = json.loads(file.metadata()["graph"])
    next(node for node in graph["nodes"] if node["kind"] == "ChannelNorm").update(change)
    save_file(read_state_dict(located), own_folder / model.file, {"graph": json.dumps(graph)})

    with pytest.raises(WeightsError) as error:
        stored_graph(located)
    assert error.value.key == "weights_unreadable"
