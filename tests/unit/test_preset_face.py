"""The preset `face`, with the real detector and a stand-in for GFPGAN."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Result, Settings, models
from enhance.analysis.face_detection import TEMPLATE, Face
from enhance.errors import SettingsError
from enhance.images import Box, read_image
from enhance.restore.faces import FaceCache

PLAIN: dict[str, Any] = {"sharpen": 0, "saturation": 1, "contrast": 1}


@pytest.fixture(scope="module")
def enhancer(detector_file, tmp_path_factory) -> Iterator[Enhancer]:
    """An enhancer with the model of `gentle` and the detector, which inverts faces instead of
    running GFPGAN."""
    folder = tmp_path_factory.mktemp("weights")
    for path in (models.ensure("realesrgan-x4plus").path, detector_file):
        shutil.copy(path, folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ENHANCE_WEIGHTS", str(folder))
        enhancer = Enhancer("cpu", "fp32", data=tmp_path_factory.mktemp("data"))
        enhancer._face_cache._restore = lambda crops, stop: [1 - crop for crop in crops]
        yield enhancer


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    Image.fromarray(data.astronaut()[30:190, 150:300]).resize(
        (42, 45), Image.Resampling.LANCZOS
    ).save(path)
    return path


@pytest.fixture(scope="module")
def restored(enhancer, portrait) -> Result:
    """The result of the portrait at full strength."""
    return enhancer.run(portrait, Settings.from_preset("face", **PLAIN))


def test_each_face_is_restored_once_and_all_of_a_call_together(monkeypatch, photo_file):
    image = replace(read_image(photo_file), rgb=np.zeros((200, 800, 3), np.uint8))
    two = tuple(Face((x, 50, 100, 100), 0.2 * TEMPLATE + [x, 40], 0.9) for x in (50, 650))
    monkeypatch.setattr("enhance.restore.faces.find_faces", lambda *_: two)
    calls = []

    def restore(crops, job):
        calls.append(len(crops))
        return crops

    cache = FaceCache(Path, restore)
    left = cache.faces(image, Box(0, 0, 300, 200))
    both = cache.faces(image)
    none = cache.faces(image, Box(390, 0, 20, 200))

    treated = [shown.describe()["treated"] for shown in (left, both, none)]
    assert (treated, none.found) == ([1, 2, 0], 2)
    assert calls == [1, 1]
    assert both.patches[0] is left.patches[0]


def test_only_the_face_changes_and_only_with_strength(enhancer, portrait, restored):
    none = enhancer.run(portrait, Settings.from_preset("face", strength=0, **PLAIN))
    plain = enhancer.run(portrait, Settings.from_preset("gentle", **PLAIN))

    assert restored.info["faces"] == {"found": 1, "treated": 1}
    changed = np.abs(pixels(restored).astype(int) - pixels(plain)).max(axis=2)
    assert changed.max() > 60
    assert (changed == 0).mean() > 0.2, "pixels outside the face do not change"
    assert np.array_equal(pixels(none), pixels(plain))


def test_a_preview_shows_the_restored_face_and_strength_needs_no_network(
    enhancer, portrait, restored, monkeypatch
):
    settings = Settings.from_preset("face", **PLAIN)
    preview = enhancer.preview(portrait, settings, size=512)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    weaker = enhancer.retune(preview, settings.changed(strength=0.3))

    assert np.array_equal(preview.after, pixels(restored))
    assert not np.array_equal(weaker.after, preview.after)
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, Settings.from_preset("gentle", **PLAIN))


def test_an_image_without_a_face_has_the_result_of_gentle(enhancer, tmp_path):
    path = tmp_path / "coffee.png"
    Image.fromarray(data.coffee()[100:124, 200:230]).save(path)

    result = enhancer.run(path, Settings.from_preset("face"))

    assert result.info["faces"] == {"found": 0, "treated": 0}
    assert np.array_equal(
        pixels(result), pixels(enhancer.run(path, Settings.from_preset("gentle")))
    )


def pixels(result):
    return np.asarray(Image.open(result.path))
