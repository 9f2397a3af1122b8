"""Images in memory: `enhance` returns the kind that it gets."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from enhance import (
    PictureError,
    Settings,
    SettingsError,
    StorageError,
    enhance,
)
from tests.unit.image_files import rgb_profile

RAW = Settings("anime-fast", tuning=False)

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def small(photo):
    return np.ascontiguousarray(photo[:12, :16])


@pytest.fixture
def enlarge(enhancer):
    return partial(enhance, preset=RAW, enhancer=enhancer)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (np.full((12, 16), 100, np.uint8), (48, 64)),
        (np.full((12, 16, 4), 20_000, np.uint16), (48, 64, 4)),
        (np.full((12, 16, 1), 0.4), (48, 64, 1)),
        (torch.full((3, 12, 16), 0.4, dtype=torch.float16), (3, 48, 64)),
    ],
)
def test_an_array_comes_back_with_its_type_and_channels(enlarge, image, shape):
    large = enlarge(image)
    assert (large.dtype, large.shape) == (image.dtype, shape)
    assert float(large.max()) == pytest.approx(float(image.max()), rel=0.1)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_the_order_of_axes_is_kept(enlarge, small, convert):
    channels_last = enlarge(small)
    image = np.ascontiguousarray(np.moveaxis(small, 2, 0))
    for given, expected in ((small, channels_last), (image, np.moveaxis(channels_last, 2, 0))):
        large = enlarge(convert(given))
        (of_batch,) = enlarge(convert(given[None]))
        assert type(large) is type(convert(given))
        assert np.array_equal(large, expected)
        assert np.array_equal(of_batch, expected)


def test_an_output_keeps_the_result_as_a_file_and_no_other_file_is_replaced(
    enlarge, small, tmp_path
):
    photo = tmp_path / "small.png"
    foreign = tmp_path / "foreign.png"
    Image.fromarray(small).save(photo)
    foreign.write_bytes(b"mine")

    large = enlarge(small, output=tmp_path / "large.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "large.png")), large)
    assert enlarge(photo, output=tmp_path / "large.jpg") == tmp_path / "large.jpg"
    assert Image.open(tmp_path / "large.jpg").format == "JPEG"
    with pytest.raises(StorageError, match=r"foreign\.png already exists"):
        enlarge(small, output=foreign)
    assert foreign.read_bytes() == b"mine"
    with pytest.raises(SettingsError, match="batch"):
        enlarge(small[None], output=tmp_path / "batch.png")


def test_all_kinds_have_the_pixels_of_the_file_and_leave_no_file(
    enhancer, enlarge, small, tmp_path
):
    path = tmp_path / "small.png"
    Image.fromarray(small).save(path)
    stored = enlarge(str(path))
    assert isinstance(stored, str)
    expected = np.asarray(Image.open(stored))
    before = {*enhancer.tasks.folder.rglob("*")}

    assert np.array_equal(enlarge(small), expected)
    assert np.array_equal(enlarge(Image.open(path)), expected)
    file = enlarge(io.BytesIO(path.read_bytes()))
    assert np.array_equal(np.asarray(Image.open(file)), expected)
    assert enlarge(path.read_bytes()) == file.getvalue()
    assert {*enhancer.tasks.folder.rglob("*")} == before


def test_a_pillow_image_keeps_its_profile_and_mode(enlarge, small):
    image = Image.fromarray(small)
    image.info["icc_profile"] = rgb_profile()
    assert enlarge(image).info["icc_profile"] == rgb_profile()
    assert enlarge(image.convert("LA")).mode == "LA"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 4, 2), np.uint8),
        np.zeros((4, 4, 3), np.int64),
        np.full((4, 4, 3), 255.0),
        np.full((4, 4, 3), np.nan),
        object(),
        b"no image",
    ],
)
def test_an_unusable_image_is_rejected_and_leaves_no_file(enhancer, enlarge, image):
    before = {*enhancer.tasks.folder.rglob("*.*")}
    with pytest.raises(PictureError):
        enlarge(image)
    assert {*enhancer.tasks.folder.rglob("*.*")} == before


def test_run_many_yields_results_in_order_and_leaves_out_damaged_ones(enhancer, small):
    failed = []
    # The first run ends last.
    images = [np.tile(small, (20, 20, 1)), b"damaged", small[:8], small[:10]]
    results = enhancer.run_many(images, RAW, on_error=lambda source, error: failed.append(source))
    assert [result.info["input"]["height"] for result in results] == [240, 8, 10]
    assert failed == [b"damaged"]
    with pytest.raises(PictureError):
        list(enhancer.run_many(images, RAW))


def test_run_many_writes_results_into_a_folder_and_replaces_no_other_file(
    enhancer, photo_file, tmp_path
):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "photo.png").write_bytes(b"somebody's")
    for is_cached in (False, True):
        (result,) = enhancer.run_many(photo_file, RAW, output=folder)
        assert result.path == folder / "photo-2.png"
        assert result.info["cached"] == is_cached
    with pytest.raises(StorageError, match="already exists"):
        result.save(folder / "photo.png")
    assert (folder / "photo.png").read_bytes() == b"somebody's"


def test_saving_never_overwrites_the_input(enhancer, photo_file):
    before = photo_file.read_bytes()
    with pytest.raises(StorageError, match="never overwritten"):
        enhancer.run(photo_file, RAW).save(photo_file)
    assert photo_file.read_bytes() == before
