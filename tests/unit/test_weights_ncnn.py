"""ncnn files, as the tensors of a shipped network and as a graph."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from enhance.errors import WeightsError
from enhance.models import manifest
from enhance.models.ncnn import read_ncnn, read_shipped
from enhance.models.networks import SHIPPED

PACKAGED = {name: source for name, one in manifest().items() for source in one.packages if not source.version}
FEW = "realesr-animevideov3"


def ncnn_files(name: str) -> tuple[str, bytes]:
    package = PACKAGED[name]
    path = Path(str(metadata.distribution(package.repo).locate_file(package.path)))
    return path.with_suffix(".param").read_text(), path.read_bytes()


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_model_has_every_tensor_with_its_values(name: str):
    _, data = ncnn_files(name)
    tensors = read_shipped(SHIPPED[name](), data)
    first, *_, last = (key.removesuffix(".weight") for key in tensors if key.endswith(".weight"))

    assert {key: value.shape for key, value in tensors.items()} == SHIPPED[name]().shapes()
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    # The first convolution: a tag, 64*3*3*3 halves, 64 floats. The file ends with the last bias.
    assert tensors[f"{first}.weight"].ravel().tolist() == np.frombuffer(data, "<f2", 1728, 4).tolist()
    assert tensors[f"{first}.bias"].tolist() == np.frombuffer(data, "<f4", 64, 4 + 2 * 1728).tolist()
    bias = tensors[f"{last}.bias"]
    assert bias.tolist() == np.frombuffer(data[-4 * bias.size :], "<f4").tolist()
    # Every byte is a tag, a half of a convolution, or a float of a bias or slope.
    sizes = [4 + 2 * tensor.size if tensor.ndim == 4 else 4 * tensor.size for tensor in tensors.values()]
    assert sum(sizes) == len(data)


def test_fp32_layers_are_read():
    _, data = ncnn_files(FEW)
    weight = np.frombuffer(data, "<f2", 1728, 4)
    wide = bytes(4) + weight.astype("<f4").tobytes() + data[4 + 2 * 1728 :]
    assert np.array_equal(read_shipped(SHIPPED[FEW](), wide)["body.0.weight"].ravel(), weight)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda data: data[:-1], "ncnn_too_short"),
        (lambda data: data + b"\0", "ncnn_too_long"),
        (lambda data: b"\1" + data[1:], "ncnn_odd_tag"),
    ],
)
def test_a_bin_file_of_a_different_size_is_rejected(change, key: str):
    param, data = ncnn_files(FEW)
    with pytest.raises(WeightsError) as error:
        read_ncnn(param, change(data))
    assert error.value.key == key


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("7767517", "7767518", "ncnn_no_magic"),
        ("5=1 6=1728", "5=0 6=1728", "ncnn_odd_tag"),
        ("6=1728", "6=many", "ncnn_odd_line"),
        ("PReLU                    PRelu_1 ", "Mish                     PRelu_1 ", "ncnn_other_layer"),
    ],
)
def test_a_damaged_param_file_is_rejected(old: str, new: str, key: str):
    param, data = ncnn_files(FEW)
    assert old in param
    with pytest.raises(WeightsError) as error:
        read_ncnn(param.replace(old, new), data)
    assert error.value.key == key
