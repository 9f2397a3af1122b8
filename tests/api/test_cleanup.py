"""One thread deletes old images, sessions and files."""

from __future__ import annotations

import os
import threading
import time

from enhance.images import ImageCache, read_image
from enhance.web.metrics import start_cleaning
from enhance.web.sessions import CLOSED_SECONDS, Sessions
from enhance.web.storage import PageFolder

from ..site import wait_until
from .test_sessions import request


def test_images_and_closed_sessions_need_no_threads(site, tmp_path):
    image = read_image(site.photo("cached.png", 8, 8))
    before = threading.active_count()
    images, sessions = ImageCache(seconds=0.2), Sessions(tmp_path)
    for number in range(300):
        images.get(number, lambda: image)
    for number in range(200):
        sessions.get(request(f"page {number}", f"address {number}"))
        sessions.close(request(f"page {number}", f"address {number}"))
    assert (len(images), len(sessions)) == (300, 200)
    for session in sessions._sessions.values():
        assert session.closed is not None
        session.closed -= CLOSED_SECONDS + 1
    start_cleaning((0, images.sweep), (0, sessions.sweep), step=0.1)
    assert threading.active_count() <= before + 2
    wait_until(lambda: len(images) == len(sessions) == 0, seconds=10)


def test_a_session_that_is_used_again_is_not_deleted(tmp_path):
    sessions = Sessions(tmp_path)
    one = sessions.get(request("one", "a"))
    sessions.close(request("one", "a"))
    for _ in range(2):
        assert sessions.get(request("one", "a")) is one
        sessions.sweep()


def test_old_files_of_the_page_are_deleted_unless_they_are_used(tmp_path):
    folder = PageFolder(tmp_path, 1, shared=False)
    results = folder.path("results")
    names = {"old": results / ("a" * 32), "used": results / ("b" * 32), "new": results / ("c" * 32)}
    names |= {"temporary": tmp_path / "tmpabcd1234", "foreign": tmp_path / "tmp.txt"}
    for name, path in names.items():
        path.mkdir() if path.parent == results else path.touch()
        if name != "new":
            os.utime(path, (1, 1))
    folder.mark_used = lambda: os.utime(names["used"])

    folder.sweep()

    assert [name for name, path in names.items() if path.exists()] == ["used", "new", "foreign"]


def test_a_failing_job_does_not_stop_the_others():
    done: list[float] = []

    def fail() -> None:
        if not done:
            raise OSError("no disk")

    start_cleaning((0, fail), (0, lambda: done.append(time.monotonic())), step=0.05)
    wait_until(lambda: len(done) > 2, seconds=10)
