"""Memory of a large image: beyond its pixels only strips, never a copy. The pixels are the same."""

import gc
import mmap
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from enhance.analysis.haze import find_haze
from enhance.formats.png_reader import PngReader
from enhance.formats.thumbnails import resize_for_screen, whole_image
from enhance.images import spans, worker
from enhance.images.downscaling import block_means
from enhance.report.photo_report import make_report
from enhance.restore.dehaze import remove_haze
from enhance.restore.result import Scene
from enhance.settings import Settings
from enhance.size import Size

from .image_files import source_image

HEIGHT, WIDTH = 4000, 3000
BYTE_A_PIXEL = HEIGHT * WIDTH
"""The minimum bytes of a copy of the large image, or of one plane of it."""
SMALL = data.astronaut()[:211, 80:380]
FINE = SMALL * np.uint16(251) + np.arange(300, dtype=np.uint16)[:, None] % 251
"""A photo that has 16 bits."""


def mapped(dtype, channels=3):
    """Return an image whose pixels are not in counted memory."""

    def plane(*shape):
        content = mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        pixels = np.frombuffer(content, dtype).reshape(shape)
        pixels[: HEIGHT // 2] = np.iinfo(dtype).max // 2
        return pixels

    alpha = plane(HEIGHT, WIDTH) if channels == 4 else None
    return source_image(plane(HEIGHT, WIDTH, 3), alpha)


def peak_of(work):
    """Return the peak memory of a call in bytes, beyond what was in use before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class UniformRows(PngReader):
    """A result of 750 x 10,000 px without pixels in memory."""

    def __init__(self):
        self.size, self.channels, self.bits = Size(750, 10_000), 4, 16

    def rows(self, first, last, columns=slice(None)):
        return np.full((last - first, 750, 4), 20_000, np.uint16)[:, columns]


def test_report_copies_neither_the_image_nor_the_result(enhancer, photo_file):
    info = enhancer.run(photo_file, "anime-fast").info
    image = mapped("uint16", channels=4)
    # The fonts take 26 MB.
    assert peak_of(lambda: make_report(info, UniformRows(), image, (0.5, 0.5))) < 45e6


@pytest.mark.parametrize(
    ("large", "image"),
    [
        (mapped("uint8"), source_image(SMALL)),
        (mapped("uint16", 4), source_image(FINE, FINE[..., 0])),
    ],
    ids=["rgb-8", "rgba-16"],
)
def test_thumbnails_and_downscaling_are_exact_and_need_no_copy(large, image):
    assert peak_of(lambda: whole_image(large, Size(300, 400))) < BYTE_A_PIXEL / 4
    for size in (Size(150, 105), Size(300, 211), Size(44, 31)):
        assert np.array_equal(whole_image(image, size), resize_for_screen(image.rows(0, 211), size))

    assert peak_of(lambda: large.downscale(2)) < large.downscale(2).nbytes + BYTE_A_PIXEL / 3
    rows = image.rows(0, 211)
    means = [block_means(rows[first:last], 3) for first, last in spans(211, 3)]
    assert np.array_equal(image.downscale(3).rows(0, 71), np.concatenate(means))


def test_dehazed_large_image_is_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PIXELS_IN_MEMORY", 1000)
    hazy = FINE // 2 + 21_845
    settings = Settings.from_preset("dehaze")
    haze = find_haze(hazy)
    assert haze.amount > 0
    seen = Scene(haze).network_pixels(source_image(hazy), settings, folder=tmp_path)
    assert np.array_equal(seen, remove_haze(hazy, haze, settings.strength))

    large = mapped("uint16")
    whole = Scene(replace(haze, size=Size(WIDTH, HEIGHT)))
    assert peak_of(lambda: whole.network_pixels(large, settings, folder=tmp_path)) < BYTE_A_PIXEL
    assert list(tmp_path.iterdir()) == []
