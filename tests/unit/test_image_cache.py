"""The cache of decoded images: limits of size and age, and one decoding for several threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from enhance import PictureError
from enhance.images import ImageCache, read_image


def test_the_cache_keeps_few_images(photo_file):
    image, reads = read_image(photo_file), list[str]()
    cache = ImageCache(max_bytes=2 * image.rgb.nbytes, seconds=60)

    def get(key: str) -> None:
        cache.get(key, lambda: (reads.append(key), image)[1])

    for key in ("a", "a", "b", "c", "a"):
        get(key)
    assert reads == ["a", "b", "c", "a"]
    cache.drop("a")
    get("a")
    assert reads[-1] == "a"
    assert len(reads) == 5


def test_threads_that_ask_for_one_photo_decode_it_once(photo_file):
    reads, together, cache = list[str](), threading.Barrier(4), ImageCache()

    def read():
        reads.append("once")
        return read_image(photo_file)

    def get(_: int):
        together.wait(30)
        return cache.get("photo", read)

    with ThreadPoolExecutor(4) as threads:
        assert len({id(image) for image in threads.map(get, range(4))}) == 1
    assert reads == ["once"]


def test_a_photo_that_cannot_be_decoded_can_be_tried_again(photo_file):
    cache, image = ImageCache(), read_image(photo_file)
    with pytest.raises(PictureError):
        cache.get("photo", lambda: read_image(photo_file.with_name("missing.png")))
    assert cache.get("photo", lambda: image) is image
