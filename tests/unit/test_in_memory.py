"""Images in memory: `enhance` returns the kind that it gets, and the methods of `Enhancer` accept
the same kinds."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image

from enhance import Cancelled, PictureError, Result, Settings, StorageError, enhance
from tests.unit.image_files import encode, rgb_profile

RAW = Settings("anime-fast", tuning=False)

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def small(photo) -> np.ndarray:
    return np.ascontiguousarray(photo[:12, :16])


@pytest.mark.parametrize(
    ("dtype", "highest", "channels"),
    [
        (np.uint8, 255, slice(3)),
        (np.uint8, 255, 0),
        (np.uint16, 65535, slice(4)),
        (np.float32, 1, slice(3)),
        (np.float64, 1, slice(1)),
    ],
)
def test_an_array_comes_back_with_its_type_and_channels(enhancer, small, dtype, highest, channels):
    rgba = np.dstack([small, np.full(small.shape[:2], 255, np.uint8)])
    image = (rgba[..., channels] * (highest / 255)).astype(dtype)

    large = enhance(image, RAW, enhancer=enhancer)

    assert (large.dtype, large.shape) == (dtype, (48, 64, *image.shape[2:]))
    assert large.mean() == pytest.approx(image.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("axes", "dtype", "shape"),
    [
        ((2, 0, 1), torch.uint8, (3, 48, 64)),
        ((0, 1, 2), torch.float32, (48, 64, 3)),
        ((0, 3, 1, 2), torch.float16, (2, 3, 48, 64)),
        ((0, 1, 2, 3), torch.float32, (2, 48, 64, 3)),
    ],
)
def test_a_tensor_comes_back_in_its_order_of_axes(enhancer, small, axes, dtype, shape):
    image = torch.from_numpy(small if len(axes) == 3 else np.stack([small, small[::-1]])).permute(
        axes
    )
    image = image if dtype == torch.uint8 else (image / 255).to(dtype)

    large = enhance(image, RAW, enhancer=enhancer)

    assert (large.dtype, tuple(large.shape)) == (dtype, shape)
    assert large.float().mean().item() == pytest.approx(image.float().mean().item(), rel=0.05)


def test_all_kinds_have_the_pixels_of_the_file_and_leave_no_file(enhancer, small, tmp_path):
    path = tmp_path / "small.png"
    Image.fromarray(small).save(path)
    content = path.read_bytes()

    stored = enhance(path, RAW, enhancer=enhancer)
    before = {*enhancer.tasks.folder.rglob("*")}

    results = [
        enhance(one, RAW, enhancer=enhancer)
        for one in (small, Image.open(path), content, io.BytesIO(content))
    ]
    for kind, result in zip((np.ndarray, Image.Image, bytes, io.BytesIO), results, strict=True):
        assert isinstance(result, kind)
        result = io.BytesIO(result) if isinstance(result, bytes) else result
        pixels = Image.open(result) if isinstance(result, io.BytesIO) else result
        assert np.array_equal(np.asarray(pixels), np.asarray(Image.open(stored)))
    assert {*enhancer.tasks.folder.rglob("*")} == before
    assert stored.parent == enhancer.tasks.processed
    assert isinstance(enhance(str(path), RAW, enhancer=enhancer), str)


def test_a_pillow_image_keeps_its_profile_and_mode(enhancer, small):
    image = Image.fromarray(small)
    image.info["icc_profile"] = rgb_profile()
    assert enhance(image, RAW, enhancer=enhancer).info["icc_profile"] == rgb_profile()
    assert enhance(image.convert("LA"), RAW, enhancer=enhancer).mode == "LA"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 2), np.uint8),
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
def test_an_unusable_image_is_rejected_and_leaves_no_file(enhancer, image):
    before = {*enhancer.tasks.folder.rglob("*.*")}
    with pytest.raises(PictureError):
        enhance(image, RAW, enhancer=enhancer)
    assert {*enhancer.tasks.folder.rglob("*.*")} == before


def test_the_methods_of_the_enhancer_accept_images_in_memory(enhancer, small):
    result, image = enhancer.run(small, RAW), Image.fromarray(small)

    assert np.array_equal(result.array, np.asarray(result.image))
    assert result.info["input"]["name"] == "image.png"
    assert enhance(small, "anime-fast", 2, enhancer=enhancer).shape == (24, 32, 3)
    assert enhancer.analyse(small).width == 16
    assert enhancer.choose(image, scale=2).scale == 2
    assert enhancer.preview(io.BytesIO(encode(image, "PNG")), RAW, size=8).after.shape[:2] == (
        32,
        32,
    )


def test_run_many_yields_results_in_order_and_leaves_out_damaged_ones(enhancer, small):
    failed = []
    images = [
        np.tile(small, (20, 20, 1)),
        b"damaged",
        small[:8],
        small[:10],
    ]  # The first run ends last.

    results = list(
        enhancer.run_many(images, RAW, on_error=lambda source, error: failed.append(source))
    )

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
    list(enhancer.run_many([photo_file], RAW, output=folder))
    (result,) = enhancer.run_many(photo_file, RAW, output=folder)

    assert result.path == folder / "photo-2.png"
    assert result.info["cached"]
    assert sorted(path.name for path in folder.iterdir()) == ["photo-2.png", "photo.png"]
    with pytest.raises(StorageError, match="already exists"):
        result.save(folder / "photo.png")


def test_enhance_reports_its_progress_and_can_be_cancelled(enhancer, small):
    stop = Event()
    with pytest.raises(Cancelled):
        enhance(small, RAW, enhancer=enhancer, progress=lambda *_: stop.set(), stop=stop)


def test_an_error_names_the_image_and_not_a_temporary_file(enhancer, tmp_path):
    with pytest.raises(PictureError, match=r"^image\.png "):
        enhance(b"hello", RAW, enhancer=enhancer)
    (tmp_path / "note.txt").write_text("hello")
    with (tmp_path / "note.txt").open() as file, pytest.raises(PictureError, match="TextIOWrapper"):
        enhance(file, RAW, enhancer=enhancer)


def test_run_many_reads_its_sources_as_needed_and_can_be_abandoned_or_cancelled(enhancer, small):
    sources, failed, stop = iter([small[:rows] for rows in range(4, 12)]), [], Event()

    results = enhancer.run_many(sources, RAW)
    assert next(results).info["input"]["height"] == 4
    results.close()
    assert len(list(sources)) >= 5

    results = enhancer.run_many([small], RAW, stop=stop)
    next(results)
    results.close()
    assert not stop.is_set()
    results = enhancer.run_many([small[:4], small[:5]], RAW, stop=stop)
    next(results)
    results.close()
    assert stop.is_set()
    with pytest.raises(Cancelled):
        list(
            enhancer.run_many([small], RAW, stop=stop, on_error=lambda *error: failed.append(error))
        )
    assert failed == []


def test_runs_of_asynchronous_code_run_at_the_same_time(enhancer, small):
    async def run() -> list[Result]:
        return await asyncio.gather(
            *(asyncio.to_thread(enhancer.run, small[:rows], RAW) for rows in (6, 8))
        )

    with ThreadPoolExecutor(
        1
    ) as thread:  # The main thread can still have the event loop of a browser.
        results = thread.submit(asyncio.run, run()).result()
    assert [result.info["input"]["height"] for result in results] == [6, 8]


def test_saving_never_overwrites_the_input(enhancer, photo_file):
    before = photo_file.read_bytes()
    with pytest.raises(StorageError, match="never overwritten"):
        enhancer.run(photo_file, RAW).save(photo_file)
    assert photo_file.read_bytes() == before
