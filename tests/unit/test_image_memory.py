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

from enhance.images import SourceImage, worker
from enhance.output.result import Scene
from enhance.output.thumbnails import resize_for_screen, whole_image
from enhance.report import make_report
from enhance.scenes.dehaze import find_haze, remove_haze
from enhance.settings import Settings

from .report_runs import info_of

HEIGHT, WIDTH = 4000, 3000
BYTE_A_PIXEL = HEIGHT * WIDTH
"""The minimum bytes of a copy of the large image, or of one plane of it."""
every_kind = pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (4, np.uint16)], ids=["rgb-8", "rgba-16"])


def image_of(pixels: np.ndarray) -> SourceImage:
    colour, alpha = pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None
    alpha = None if alpha is None else np.ascontiguousarray(alpha)
    return SourceImage("large.png", "0" * 64, 0, "PNG", "RGB", np.ascontiguousarray(colour), alpha, False, None)


def mapped(channels: int, dtype: type, height: int = HEIGHT, width: int = WIDTH) -> SourceImage:
    """Return an image whose pixels are not in counted memory."""
    planes = []
    for shape in ((height, width, 3), (height, width))[: channels - 2]:
        bytes_ = mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        planes.append(np.frombuffer(bytes_, dtype).reshape(shape))
        planes[-1][: height // 2] = np.iinfo(dtype).max // 2
    return SourceImage(
        "large.png", "0" * 64, 0, "PNG", "RGB", planes[0], planes[1] if channels == 4 else None, False, None
    )


def small(channels: int, dtype: type) -> SourceImage:
    photo = np.dstack([data.astronaut()[:211, 80:380], data.camera()[:211, :300]])[..., :channels]
    deep = photo.astype(np.uint16) * 251 + np.arange(300, dtype=np.uint16)[:, None] % 251
    return image_of(photo if dtype == np.uint8 else deep)


def in_one_piece(image: SourceImage) -> np.ndarray:
    return image.rgb if image.alpha is None else np.dstack([image.rgb, image.alpha])


def peak_of(work: Callable[[], object]) -> int:
    """Return the peak memory of a call in bytes, beyond what was in use before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class UniformRows:
    """A result of any size without pixels in memory."""

    def __init__(self, height: int, width: int, channels: int, dtype: type):
        self.size, self.channels, self._kind = (height, width), channels, (width, channels, dtype)

    def rows(self, first: int, last: int) -> np.ndarray:
        width, channels, dtype = self._kind
        return np.full((last - first, width, channels), np.iinfo(dtype).max // 3, dtype)


def test_report_does_not_copy_the_image():
    result = UniformRows(1000, 750, 4, np.uint16)

    small_peak, large_peak = (
        peak_of(lambda: make_report(info_of(image), result, image))  # noqa: B023 - called at once
        for image in (small(4, np.uint16), mapped(4, np.uint16, 2000, 1500))
    )

    assert large_peak - small_peak < 2 * 2000 * 1500  # a copy takes 3 to 8


@every_kind
def test_thumbnail_needs_no_copy(channels, dtype):
    large, image = mapped(channels, dtype), small(channels, dtype)

    assert peak_of(lambda: whole_image(large, (400, 300))) < BYTE_A_PIXEL / 4
    for size in ((105, 150), (70, 100), (211, 300), (31, 44), (83, 117)):
        assert np.array_equal(whole_image(image, size), resize_for_screen(in_one_piece(image), size))


@every_kind
def test_downscaling_by_strips_is_exact_and_needs_no_copy(monkeypatch, channels, dtype):
    large, image = mapped(channels, dtype), small(channels, dtype)
    taken = peak_of(lambda: large.downscale(2))
    plain = {factor: image.downscale(factor) for factor in (2, 3, 4)}
    monkeypatch.setattr("enhance.images.image._STRIP_ROWS", 5)

    assert taken < in_one_piece(large.downscale(2)).nbytes + BYTE_A_PIXEL / 3
    for factor, expected in plain.items():
        reduced = replace(image).downscale(factor)
        assert np.array_equal(in_one_piece(reduced), in_one_piece(expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dehazed_large_image_is_in_a_file(tmp_path: Path, monkeypatch, dtype):
    monkeypatch.setattr(worker, "IN_MEMORY", 1000)
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
