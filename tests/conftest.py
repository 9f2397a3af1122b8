"""Real parts for all tests: the weights from the package, converted once, and real photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import weights

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
        weights.ensure(name)
    yield
    os.environ.pop("HF_HUB_OFFLINE")
    if before is not None:
        os.environ["HF_HUB_OFFLINE"] = before


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
