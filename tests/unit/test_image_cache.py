"""The cache of decoded images: limits of size and age, and one decoding for several threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from enhance import PictureError
from enhance.images import ImageCache, read_image


def test_the_cache_keeps_few_images(photo_file):
    image, reads = read_image(photo_file), list[str]()

    def read(key: str):
        return lambda: (reads.append(key), image)[1]

    cache = ImageCache(max_bytes=2 * image.rgb.nbytes, seconds=60)
    for key in ("a", "a", "b", "c", "a"):
        cache.get(key, read(key))
    assert reads == ["a", "b", "c", "a"]
    cache.drop("a")
    cache.get("a", read("a"))
    assert reads[-1] == "a"


def test_threads_that_ask_for_one_photo_decode_it_once(photo_file):
    image, reads, proceed = read_image(photo_file), list[str](), threading.Event()

    def read():
        reads.append("once")
        assert proceed.wait(30)
        return image

    cache = ImageCache(max_bytes=1)
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(cache.get, "photo", read) for _ in range(4)]
        time.sleep(0.1)  # time in which the other threads could decode again
        proceed.set()
        assert [one.result() for one in futures] == [image] * 4
    assert reads == ["once"]


def test_a_photo_that_cannot_be_decoded_can_be_tried_again(photo_file):
    cache, image = ImageCache(), read_image(photo_file)
    with pytest.raises(PictureError):
        cache.get("photo", lambda: read_image(photo_file.with_name("missing.png")))
    assert cache.get("photo", lambda: image) is image
