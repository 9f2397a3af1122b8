"""Camera raw files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Settings
from enhance.errors import PictureError
from enhance.images import inspect, read_image, worker
from tests.unit.image_files import camera_raw

pytest.importorskip("rawpy")
PHOTO = cv2.GaussianBlur(cv2.resize(data.astronaut(), (160, 120), interpolation=cv2.INTER_AREA), (0, 0), 1.5)


@pytest.fixture
def raw_file(tmp_path):
    path = tmp_path / "photo.dng"
    path.write_bytes(camera_raw(PHOTO))
    return path


def test_it_is_developed_with_the_white_balance_of_the_camera(raw_file):
    image, facts = read_image(raw_file), inspect(raw_file)

    assert (facts.width, facts.height, facts.bits, facts.mode) == (160, 120, 16, "RGB;16")
    assert image.rgb.dtype == np.uint16
    assert np.abs(image.rgb[4:-4, 4:-4] / 257.0 - PHOTO[4:-4, 4:-4]).mean() < 3
    assert image.icc is None
    assert image.metadata.notes == ("raw_developed",)


def test_its_orientation_is_applied(tmp_path, raw_file):
    (tmp_path / "turned.dng").write_bytes(camera_raw(PHOTO, orientation=6))

    turned = read_image(tmp_path / "turned.dng")

    assert np.array_equal(turned.rgb, np.rot90(read_image(raw_file).rgb, -1))
    assert inspect(tmp_path / "turned.dng").width == 120


def test_camera_and_date_are_kept_in_the_result(enhancer, raw_file, tmp_path, fresh_store):
    result = enhancer.run(raw_file, Settings.from_preset("anime-fast"), output=tmp_path / "result.tif")

    assert result.info["output"]["notes"] == ["raw_developed"]
    with Image.open(result.path) as image:
        exif = image.getexif()
        assert image.size == (640, 480)
    assert [exif[tag] for tag in (0x010F, 0x0110, 0x0132)] == ["Lantern", "Raw 1", "2024:05:01 10:11:12"]


def test_a_large_one_is_rejected_before_it_is_developed(raw_file):
    with pytest.raises(PictureError, match="160 × 120 px"):
        read_image(raw_file, max_pixels=19_199)


def test_a_truncated_one_is_rejected(raw_file):
    content = raw_file.read_bytes()
    for length in (len(content) - 200, len(content) // 2, 400):
        raw_file.write_bytes(content[:length])
        with pytest.raises(PictureError, match=r"photo\.dng"):
            read_image(raw_file)


def test_the_error_names_the_missing_library(raw_file, monkeypatch):
    without = "import sys; sys.modules['rawpy'] = None; " + worker.PROGRAM
    monkeypatch.setattr(worker, "WORKERS", worker.Workers(1, without))
    with pytest.raises(PictureError, match=r"RAW image, which this installation cannot read\..* install rawpy"):
        read_image(raw_file)
    worker.WORKERS.close()
