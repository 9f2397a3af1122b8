"""The page's small parts: words, limits, files on their way."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from enhance import PictureError
from enhance.config import Config, Limits
from enhance.images import ImageCache, inspect, read_picture
from enhance.settings import Settings
from enhance.store import download_name
from enhance.web.params import language_of, reason
from enhance.web.storage import DownloadFolder, PageFolder


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [
        ("zh-CN", "en-US", "zh-CN"),
        ("en", "zh-CN,zh", "en"),
        (None, "zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        (None, "fr-FR,fr;q=0.9,en;q=0.8", "en"),
        (None, "", "en"),
        ("xx", "zh", "en"),
    ],
)
def test_the_link_goes_before_the_browser(query, accepted, language):
    request = SimpleNamespace(query_params={"lang": query} if query else {}, headers={"accept-language": accepted})
    assert language_of(cast(gr.Request, request)) == language


def test_real_refusals_are_said_in_chinese(tmp_path):
    def refusal(content: bytes, **limits) -> str:
        path = tmp_path / "photo.png"
        path.write_bytes(content)
        with pytest.raises(PictureError) as told:
            read_picture(path, **limits)
        return told.value.sentence("zh-CN")

    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    refusals = [
        refusal(b""),
        refusal(b"not a picture"),
        refusal(good[:60]),
        refusal(good, max_pixels=100),
        refusal(good, max_bytes=20),
    ]
    for text in refusals:
        assert text.startswith("photo.png ")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text), text
    with pytest.raises(PictureError) as told:
        inspect(tmp_path / "gone.png")
    assert "不存在" in told.value.sentence("zh-CN")


def test_the_page_takes_less_than_the_command_line_unless_the_environment_says_more():
    assert Config().limits == Limits(100_000_000, 200_000_000)
    assert Config(max_pixels=400_000_000, max_bytes=5).limits == Limits(400_000_000, 5)


def test_memory_that_is_short_is_foreseen_whatever_says_it():
    for error in (MemoryError(), RuntimeError("std::bad_alloc"), OSError(errno.ENOMEM, "Cannot allocate memory")):
        assert "Not enough memory" in reason("en", error, "A test")
    assert "unexpected error" in reason("en", RuntimeError("broken data stream"), "A test")


def test_what_gradio_leaves_goes_when_it_is_old(tmp_path):
    folder = PageFolder(tmp_path, 1, shared=False)
    folder.path("results")
    old, young, foreign = (tmp_path / name for name in ("tmpabcd1234", "tmpefgh5678", "tmp.txt"))
    for path in (old, young, foreign):
        path.touch()
    os.utime(old, (1, 1))
    os.utime(foreign, (1, 1))

    folder.sweep()

    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


def test_the_outbox_forgets_what_is_old(tmp_path):
    box = DownloadFolder(PageFolder(tmp_path / "page", hours=1, shared=False))
    old = box.place("old.png")
    old.write_bytes(b"x")
    os.utime(old.parent, (0, 0))
    fresh = DownloadFolder(PageFolder(tmp_path / "page", hours=1, shared=False)).place("new.png")
    assert not old.exists()
    assert fresh.parent.exists()


@pytest.mark.parametrize(
    ("name", "size", "download"),
    [
        *(("photo.jpg", {}, "photo-4x.png"), ("猫.heic", {"scale": 2.5}, "猫-2.5x.png")),
        *(("a.b.tif", {"long_side": 3000}, "a.b-3000px.png"), ("a", {"megapixels": 2.5}, "a-2.5mp.png")),
    ],
)
def test_a_download_is_named_after_its_picture_and_its_size(name, size, download):
    assert download_name(name, Settings(**size)) == download


def test_the_kept_keeps_few_pictures_and_not_for_long(photo_file):
    picture = read_picture(photo_file)
    reads: list[str] = []

    def read(key: str):
        return lambda: (reads.append(key), picture)[1]

    kept = ImageCache(max_bytes=2 * picture.rgb.nbytes, seconds=60)
    for key in ("a", "a", "b", "c", "a"):
        kept.picture(key, read(key))
    assert reads == ["a", "b", "c", "a"]
    kept.drop("a")
    kept.picture("a", read("a"))
    assert reads[-1] == "a"
    tiny = ImageCache(max_bytes=1)
    tiny.picture("big", read("big"))
    tiny.picture("big", read("big"))
    assert reads[-2:] == ["big", "big"]


def test_several_threads_that_want_one_photo_decode_it_once(photo_file):
    picture, reads, begun, go_on = read_picture(photo_file), list[str](), threading.Event(), threading.Event()

    def read():
        reads.append("once")
        begun.set()
        assert go_on.wait(30)
        return picture

    kept = ImageCache(max_bytes=1)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(kept.picture, "photo", read) for _ in range(4)]
        assert begun.wait(30)
        time.sleep(0.1)  # the others have the time to begin a second call
        go_on.set()
        assert [one.result() for one in asked] == [picture] * 4
    assert reads == ["once"]


def test_a_photo_that_cannot_be_decoded_is_an_error_for_everyone_and_can_be_tried_again(photo_file):
    kept, picture = ImageCache(), read_picture(photo_file)
    with pytest.raises(PictureError):
        kept.picture("photo", lambda: read_picture(photo_file.with_name("missing.png")))
    assert kept.picture("photo", lambda: picture) is picture
