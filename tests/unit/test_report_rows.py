"""Reading the finished PNG row by row, as the report does when the run's own pixels are gone."""

import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance.errors import PictureError
from enhance.output.png import PngFormat, PngWriter, encode_png
from enhance.output.png_reader import PngRows

from .picture_files import png


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_png_comes_back_as_it_was_written(tmp_path, channels, dtype):
    pixels = np.dstack([data.astronaut(), data.camera()]).astype(dtype)[:90, :70, :channels]
    if dtype is np.uint16:
        pixels = pixels * 257 + np.arange(70, dtype=np.uint16)[:, None]
    (tmp_path / "a.png").write_bytes(encode_png(np.ascontiguousarray(pixels)))

    with PngRows(tmp_path / "a.png") as rows:
        assert rows.size == (90, 70)
        parts = [rows.rows(first, min(first + 13, 90)) for first in range(0, 90, 13)]

    assert parts[0].dtype == dtype
    assert parts[0].shape[2] == channels
    assert np.array_equal(np.concatenate(parts), pixels)


def test_rows_can_be_skipped_and_asked_for_again(tmp_path):
    pixels = np.ascontiguousarray(data.astronaut()[:200])
    (tmp_path / "a.png").write_bytes(encode_png(pixels))

    with PngRows(tmp_path / "a.png") as rows:
        assert np.array_equal(rows.rows(150, 160), pixels[150:160])
        assert np.array_equal(rows.rows(3, 9), pixels[3:9])


def test_a_flat_picture_that_packs_a_thousandfold_comes_back(tmp_path):
    with PngWriter(tmp_path / "flat.png", PngFormat(3000, 2000, 3)) as writer:
        writer.write(np.full((2000, 3000, 3), 77, np.uint8))

    with PngRows(tmp_path / "flat.png") as rows:
        assert all((rows.rows(first, first + 100) == 77).all() for first in range(0, 2000, 100))


def test_a_png_without_filters_comes_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels, 0))

    with PngRows(tmp_path / "a.png") as rows:
        assert np.array_equal(rows.rows(0, 20)[..., 0], pixels)


@pytest.mark.parametrize("damage", ["missing", "jpeg", "header", "cut", "middle", "foreign"])
def test_a_result_that_is_not_as_it_was_is_refused_in_one_sentence(tmp_path, damage):
    path = tmp_path / "result.png"
    photo = Image.fromarray(data.astronaut()[:100])
    path.write_bytes(encode_png(np.asarray(photo)))
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "jpeg":
        photo.save(path, "JPEG")
    elif damage == "header":
        path.write_bytes(content[:20])
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "middle":
        content[5000:5400] = bytes(400)
        path.write_bytes(content)
    else:
        photo.save(path, optimize=True)  # with filters that this program does not use

    with pytest.raises(PictureError, match=r"result\.png .*Enhance the photo again"):
        _read(path)


def _read(path) -> None:
    with PngRows(path) as rows:
        rows.rows(0, rows.size[0])


def test_the_file_can_be_removed_after_closing(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    with PngRows(tmp_path / "a.png"):
        pass

    shutil.rmtree(tmp_path)
