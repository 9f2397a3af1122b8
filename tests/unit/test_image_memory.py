"""Memory of a large image: beyond its pixels only strips, never a copy. The pixels are the same."""

from __future__ import annotations

import gc
import mmap
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import find_haze
from enhance.formats.png_reader import PngReader
from enhance.formats.thumbnails import resize_for_screen, whole_image
from enhance.images import SourceImage, worker
from enhance.report.photo_report import make_report
from enhance.restore.dehaze import remove_haze
from enhance.restore.result import Scene
from enhance.settings import Settings

from .image_files import source_image

HEIGHT, WIDTH = 4000, 3000
BYTE_A_PIXEL = HEIGHT * WIDTH
"""The minimum bytes of a copy of the large image, or of one plane of it."""


def mapped(channels: int, dtype: type) -> SourceImage:
    """Return an image whose pixels are not in counted memory."""

    def plane(*shape: int) -> np.ndarray:
        bytes_ = mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        pixels = np.frombuffer(bytes_, dtype).reshape(shape)
        pixels[: HEIGHT // 2] = np.iinfo(dtype).max // 2
        return pixels

    return source_image(plane(HEIGHT, WIDTH, 3), plane(HEIGHT, WIDTH) if channels == 4 else None)


def small(channels: int, dtype: type) -> SourceImage:
    rgb, alpha = (
        data.astronaut()[:211, 80:380].astype(dtype),
        data.camera()[:211, :300].astype(dtype),
    )
    if dtype == np.uint16:
        rgb = rgb * np.uint16(251) + np.arange(300, dtype=np.uint16)[:, None] % 251
    return source_image(rgb, alpha if channels == 4 else None)


def peak_of(work: Callable[[], object]) -> int:
    """Return the peak memory of a call in bytes, beyond what was in use before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class UniformRows(PngReader):
    """A result of any size without pixels in memory."""

    def __init__(self, height: int, width: int):
        self.size, self.channels = (height, width), 4

    def rows(self, first: int, last: int, columns: slice = slice(None)) -> np.ndarray:
        return np.full((last - first, self.size[1], 4), 20_000, np.uint16)[:, columns]


def test_report_copies_neither_the_image_nor_the_result(enhancer, photo_file):
    info, image, result = (
        enhancer.run(photo_file, "anime-fast").info,
        mapped(4, np.uint16),
        UniformRows(10_000, 750),
    )
    assert (
        peak_of(lambda: make_report(info, result, image, (0.5, 0.5))) < 45e6
    )  # The fonts take 26 MB.


@pytest.mark.parametrize(
    ("channels", "dtype"), [(3, np.uint8), (4, np.uint16)], ids=["rgb-8", "rgba-16"]
)
def test_thumbnails_and_downscaling_are_exact_and_need_no_copy(monkeypatch, channels, dtype):
    large, image = mapped(channels, dtype), small(channels, dtype)

    assert peak_of(lambda: whole_image(large, (400, 300))) < BYTE_A_PIXEL / 4
    for size in ((105, 150), (70, 100), (211, 300), (31, 44), (83, 117)):
        assert np.array_equal(whole_image(image, size), resize_for_screen(image.rows(0, 211), size))

    assert peak_of(lambda: large.downscale(2)) < large.downscale(2).nbytes + BYTE_A_PIXEL / 3
    plain = {factor: image.downscale(factor) for factor in (2, 3, 4)}
    monkeypatch.setattr("enhance.images.downscaling._STRIP_ROWS", 5)
    for factor, expected in plain.items():
        reduced = replace(image).downscale(factor)
        assert np.array_equal(reduced.rows(0, 211), expected.rows(0, 211))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dehazed_large_image_is_in_a_file(tmp_path: Path, monkeypatch, dtype):
    monkeypatch.setattr(worker, "PIXELS_IN_MEMORY", 1000)
    large, image = mapped(3, dtype), small(3, dtype)
    image = replace(image, rgb=(image.rgb // 2 + np.iinfo(dtype).max // 3).astype(dtype))
    settings, haze = Settings.from_preset("dehaze"), find_haze(image.rgb)
    assert haze.amount > 0
    over_all = replace(haze, height=HEIGHT, width=WIDTH)

    taken = peak_of(lambda: Scene(over_all).network_pixels(large, settings, folder=tmp_path))
    seen = Scene(haze).network_pixels(image, settings, folder=tmp_path)

    assert taken < BYTE_A_PIXEL
    assert np.array_equal(seen, remove_haze(image.rgb, find_haze(image.rgb), settings.strength))
    assert list(tmp_path.iterdir()) == []
