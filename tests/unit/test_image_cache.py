"""The cache of decoded images: limits of size, and one decoding for several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from enhance import PictureError
from enhance.images import ImageCache

from .image_files import source_image

IMAGE = source_image(np.zeros((4, 5, 3), np.uint8))


def test_the_cache_keeps_few_images():
    reads = []
    cache = ImageCache(max_bytes=2 * IMAGE.nbytes)

    def get(key):
        def read():
            reads.append(key)
            return IMAGE

        cache.get(key, read)

    for key in "aabca":
        get(key)
    assert reads == [*"abca"]


def test_threads_that_ask_for_one_photo_decode_it_once():
    reads = []
    together = threading.Barrier(4)
    cache = ImageCache()

    def read():
        reads.append("once")
        return IMAGE

    def get(_):
        together.wait(30)
        return cache.get("photo", read)

    with ThreadPoolExecutor(4) as threads:
        assert all(image is IMAGE for image in threads.map(get, range(4)))
    assert reads == ["once"]
    assert (cache.find("photo"), cache.find("other")) == (IMAGE, None)


def test_a_photo_that_cannot_be_decoded_can_be_tried_again():
    def fail():
        raise PictureError("image_empty", name="photo")

    cache = ImageCache()
    with pytest.raises(PictureError):
        cache.get("photo", fail)
    assert cache.get("photo", lambda: IMAGE) is IMAGE
