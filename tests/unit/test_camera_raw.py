"""Camera raw files."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Settings
from enhance.errors import PictureError
from enhance.images import inspect_image, read_image
from tests.unit.image_files import camera_raw

pytest.importorskip("rawpy")
SMALL = cv2.resize(data.astronaut(), (80, 60), interpolation=cv2.INTER_AREA)
PHOTO = cv2.GaussianBlur(SMALL, (0, 0), 1.5)
GREY = cv2.cvtColor(cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@pytest.mark.parametrize(
    ("kind", "expected"), [("bayer", PHOTO), ("preview", PHOTO), ("grey", GREY)]
)
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1)])
def test_a_raw_file_is_developed_with_the_white_balance_and_orientation_of_the_camera(
    tmp_path, kind, expected, orientation, turns
):
    path = tmp_path / "photo.dng"
    path.write_bytes(camera_raw(kind, orientation))
    image = read_image(path)

    assert inspect_image(path).mode == image.mode == ("I;16" if kind == "grey" else "RGB;16")
    assert np.abs(image.rgb / 257 - np.rot90(expected, turns))[4:-4, 4:-4].mean() < 3
    assert (image.icc, image.metadata.notes) == (None, ("raw_developed",))


@pytest.mark.parametrize("kind", ["bayer", "preview"])
def test_camera_and_date_are_kept_in_the_result(enhancer, tmp_path, fresh_store, kind):
    result = enhancer.run(
        camera_raw(kind), Settings("anime-fast", scale=1), output=tmp_path / "result.tif"
    )
    assert result.info["output"]["notes"] == ["raw_developed"]
    exif = Image.open(result.path).getexif()
    assert (exif[0x010F], exif[0x0110], exif[0x0132]) == ("Lantern", "Raw 1", "2024:05:01 10:11:12")


def test_large_and_truncated_raw_files_are_rejected(tmp_path):
    path, content = tmp_path / "photo.dng", camera_raw()
    path.write_bytes(content)
    with pytest.raises(PictureError, match="80 × 60 px"):
        read_image(path, max_pixels=4_799)
    path.write_bytes(content[:-200])
    with pytest.raises(PictureError):
        read_image(path)
