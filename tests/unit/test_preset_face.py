"""The preset `face`, with the real detector and a stand-in for GFPGAN."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from enhance import Enhancer, Settings, models
from enhance.analysis.face_detection import TEMPLATE, Face
from enhance.errors import SettingsError
from enhance.images import Box
from enhance.restore.faces import FaceCache

from .image_files import source_image

PLAIN: dict[str, Any] = {"sharpen": 0, "saturation": 1, "contrast": 1}


@pytest.fixture(scope="module")
def enhancer(detector_file, tmp_path_factory):
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
def portrait():
    return cv2.resize(data.astronaut()[30:190, 150:300], (42, 45), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def restored(enhancer, portrait):
    """The result of the portrait at full strength."""
    return enhancer.run(portrait, Settings.from_preset("face", **PLAIN))


def test_each_face_is_restored_once_and_all_of_a_call_together(monkeypatch):
    image = source_image(np.zeros((200, 800, 3), np.uint8))
    boxes = [np.array([[x, 50], [x + 100, 150]]) for x in (50, 650)]
    two = tuple(Face(box, 0.2 * TEMPLATE + [box[0, 0], 40], 0.9) for box in boxes)
    monkeypatch.setattr("enhance.restore.faces.find_faces", lambda *_: two)
    calls = []

    def restore(crops, job):
        calls.append(len(crops))
        return crops

    cache = FaceCache(Path, restore)
    left = cache.faces(image, Box(0, 0, 300, 200))
    both = cache.faces(image, Box(0, 0, 800, 200))
    none = cache.faces(image, Box(390, 0, 20, 200))

    assert calls == [1, 1]
    assert both.patches[0] is left.patches[0]
    assert len(both.patches) == 2
    assert none.describe() == {"found": 2, "treated": 0}


def test_only_the_face_changes_and_only_with_strength(enhancer, portrait, restored):
    none = enhancer.run(portrait, Settings.from_preset("face", strength=0, **PLAIN))
    plain = enhancer.run(portrait, Settings.from_preset("gentle", **PLAIN))

    assert restored.info["faces"] == {"found": 1, "treated": 1}
    changed = np.abs(restored.array.astype(int) - plain.array).max(axis=2)
    assert changed.max() > 60
    assert (changed == 0).mean() > 0.2, "pixels outside the face do not change"
    assert np.array_equal(none.array, plain.array)


def test_a_preview_shows_the_restored_face_and_strength_needs_no_network(
    enhancer, portrait, restored, monkeypatch
):
    settings = Settings.from_preset("face", **PLAIN)
    preview = enhancer.preview(portrait, settings, size=512)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    weaker = enhancer.retune(preview, settings.changed(strength=0.3))

    assert np.array_equal(preview.after, restored.array)
    assert not np.array_equal(weaker.after, preview.after)
    with pytest.raises(SettingsError, match="new preview"):
        enhancer.retune(preview, Settings.from_preset("gentle", **PLAIN))
