"""Images in memory: `enhance` returns the kind that it gets, and the methods of `Enhancer` accept
the same kinds."""

import io
from functools import partial
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image

from enhance import (
    Cancelled,
    PictureError,
    Settings,
    SettingsError,
    StorageError,
    enhance,
)
from tests.unit.image_files import encode, rgb_profile

RAW = Settings("anime-fast", tuning=False)

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def small(photo):
    return np.ascontiguousarray(photo[:12, :16])


@pytest.fixture
def enlarge(enhancer):
    return partial(enhance, preset=RAW, enhancer=enhancer)


@pytest.mark.parametrize(
    ("dtype", "shade", "shape"),
    [
        ("uint8", 100, (12, 16, 3)),
        ("uint8", 100, (12, 16)),
        ("uint16", 20_000, (12, 16, 4)),
        ("float32", 0.4, (12, 16, 3)),
        ("float64", 0.4, (12, 16, 1)),
    ],
)
def test_an_array_comes_back_with_its_type_and_channels(enlarge, dtype, shade, shape):
    large = enlarge(np.full(shape, shade, dtype))
    assert (large.dtype, large.shape) == (dtype, (48, 64, *shape[2:]))
    assert large.mean() == pytest.approx(shade, rel=0.05)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_the_order_of_axes_is_kept(enlarge, small, convert):
    channels_last = enlarge(small)
    channels_first = np.moveaxis(channels_last, 2, 0)
    image = np.ascontiguousarray(np.moveaxis(small, 2, 0))

    for given, expected in ((small, channels_last), (image, channels_first)):
        kind = type(convert(given))
        for large in (enlarge(convert(given)), enlarge(convert(np.stack([given])))[0]):
            assert isinstance(large, kind)
            assert np.array_equal(large, expected)


def test_a_tensor_of_half_precision_comes_back_as_one(enlarge):
    large = enlarge(torch.full((3, 12, 16), 0.4, dtype=torch.float16))
    assert large.dtype == torch.float16
    assert large.float().mean() == pytest.approx(0.4, rel=0.05)


def test_an_output_keeps_the_result_as_a_file_and_no_other_file_is_replaced(
    enlarge, small, tmp_path
):
    photo, foreign = tmp_path / "small.png", tmp_path / "foreign.png"
    Image.fromarray(small).save(photo)
    foreign.write_bytes(b"mine")

    assert np.array_equal(enlarge(small, output=tmp_path / "large.png"), enlarge(small))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "large.png")), enlarge(small))
    assert enlarge(photo, output=tmp_path / "large.jpg") == tmp_path / "large.jpg"
    assert Image.open(tmp_path / "large.jpg").format == "JPEG"
    with pytest.raises(StorageError, match=r"foreign\.png already exists"):
        enlarge(small, output=foreign)
    assert foreign.read_bytes() == b"mine"
    with pytest.raises(SettingsError, match="batch"):
        enlarge(np.stack([small]), output=tmp_path / "batch.png")


def test_all_kinds_have_the_pixels_of_the_file_and_leave_no_file(
    enhancer, enlarge, small, tmp_path
):
    path = tmp_path / "small.png"
    Image.fromarray(small).save(path)
    content = path.read_bytes()

    stored = enlarge(path)
    assert stored.parent == enhancer.tasks.processed
    assert isinstance(enlarge(str(path)), str)
    expected, before = np.asarray(Image.open(stored)), {*enhancer.tasks.folder.rglob("*")}

    assert np.array_equal(enlarge(small), expected)
    assert np.array_equal(enlarge(Image.open(path)), expected)
    file = enlarge(io.BytesIO(content))
    assert np.array_equal(np.asarray(Image.open(file)), expected)
    assert enlarge(content) == file.getvalue()
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
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.int64),
        np.full((4, 4, 3), 255.0),
        np.full((4, 4, 3), np.nan),
        torch.zeros(2, 4, 5),
        object(),
        b"",
        b"no image",
    ],
)
def test_an_unusable_image_is_rejected_and_leaves_no_file(enhancer, enlarge, image):
    before = {*enhancer.tasks.folder.rglob("*.*")}
    with pytest.raises(PictureError):
        enlarge(image)
    assert {*enhancer.tasks.folder.rglob("*.*")} == before


def test_an_error_names_the_image_and_not_a_temporary_file(enlarge):
    with pytest.raises(PictureError, match=r"^image "):
        enlarge(b"hello")
    with pytest.raises(PictureError, match="StringIO"):
        enlarge(io.StringIO("hello"))


def test_the_methods_of_the_enhancer_accept_images_in_memory(enhancer, small):
    result, image = enhancer.run(small, RAW), Image.fromarray(small)

    assert np.array_equal(result.array, np.asarray(result.image))
    assert result.info["input"]["name"] == "image"
    assert enhance(small, "anime-fast", 2, enhancer=enhancer).shape == (24, 32, 3)
    assert enhancer.analyse(small).width == 16
    assert enhancer.choose(image, scale=2).scale == 2
    preview = enhancer.preview(io.BytesIO(encode(image, "PNG")), RAW, size=8)
    assert preview.after.shape == (32, 32, 3)


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


def test_abandoning_the_results_leaves_the_other_sources_and_cancels_their_runs(enhancer, small):
    sources, stop = iter([small[:rows] for rows in range(4, 12)]), Event()
    results = enhancer.run_many(sources, RAW, stop=stop)
    assert next(results).info["input"]["height"] == 4
    results.close()
    assert len(list(sources)) >= 5
    assert stop.is_set()
    with pytest.raises(Cancelled):
        list(enhancer.run_many([small], RAW, stop=stop, on_error=pytest.fail))


def test_enhance_reports_its_progress_and_can_be_cancelled(enhancer, small):
    stop = Event()
    with pytest.raises(Cancelled):
        enhance(small, RAW, enhancer=enhancer, progress=lambda *_: stop.set(), stop=stop)


def test_saving_never_overwrites_the_input(enhancer, photo_file):
    before = photo_file.read_bytes()
    with pytest.raises(StorageError, match="never overwritten"):
        enhancer.run(photo_file, RAW).save(photo_file)
    assert photo_file.read_bytes() == before
