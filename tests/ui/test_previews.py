"""What the page may show of a preview, also when answers come late."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import gradio as gr
import pytest

from enhance import EnhanceError, Enhancer, Settings, StorageError
from enhance.config import Limits
from enhance.preview import choose_box
from enhance.web.preview import SIZE, Previews, Shown, fitting, is_current, state_of
from enhance.web.session import Upload, Visitor

FAST = Settings.from_preset("anime-fast")


class SlowEnhancer(Enhancer):
    """The real enhancer, whose previews wait for a word before they are handed over."""

    def __init__(self, **options):
        super().__init__(**options)
        self.go_on = threading.Event()
        self.go_on.set()
        self.made = threading.Semaphore(0)
        self.error: EnhanceError | None = None

    def preview(self, *given, **named):
        if self.error:
            raise self.error
        preview = super().preview(*given, **named)
        self.made.release()
        self.go_on.wait(30)
        return preview


@pytest.fixture
def enhancer(tmp_path) -> SlowEnhancer:
    return SlowEnhancer(device="cpu", data=tmp_path / "data")


@pytest.fixture
def previews(enhancer) -> Previews:
    return Previews(enhancer, Limits())


@pytest.fixture
def visitor(photo_file, previews, tmp_path) -> Visitor:
    visitor = Visitor(tmp_path / "visitor")
    picture = previews.picture(photo_file)
    facts = SimpleNamespace(width=picture.width, height=picture.height)
    visitor.upload = Upload(photo_file, picture.sha256, facts, photo_file)  # type: ignore[arg-type]
    visitor.box = choose_box(picture.width, picture.height, None, None, SIZE)
    return visitor


def last(shown) -> Shown:
    return list(shown)[-1]


class Later:
    """A handler that goes on in a thread, as those of the page do."""

    def __init__(self, shown):
        self._shown: list[Shown] = []
        self._thread = threading.Thread(target=lambda: self._shown.extend(shown))
        self._thread.start()

    def last(self) -> Shown:
        self._thread.join(30)
        return self._shown[-1]


def shows_the_controls(visitor: Visitor) -> bool:
    assert visitor.preview is not None
    return is_current(visitor, visitor.preview.info, fitting(visitor.controls, visitor))


def test_a_preview_that_arrives_is_tuned_to_where_the_sliders_are_by_then(enhancer, previews, visitor):
    enhancer.go_on.clear()
    late = Later(previews.make(visitor, FAST, "en"))
    enhancer.made.acquire(timeout=30)
    moved = FAST.changed(saturation=0.0)

    assert last(previews.tune(visitor, moved, "en")).state == "running"
    enhancer.go_on.set()

    assert late.last().state == "matches"
    assert visitor.preview.info["settings"]["saturation"] == 0.0
    assert shows_the_controls(visitor)


def test_a_late_answer_for_another_network_is_dropped(enhancer, previews, visitor):
    enhancer.go_on.clear()
    late = Later(previews.make(visitor, FAST, "en"))
    enhancer.made.acquire(timeout=30)
    newer = Later(previews.make(visitor, Settings.from_preset("original"), "en"))
    enhancer.made.acquire(timeout=30)
    enhancer.go_on.set()

    assert newer.last().state == "matches"
    assert late.last().pair is None
    assert visitor.preview.info["preset"] == "original"
    assert shows_the_controls(visitor)


def test_a_preview_of_another_square_is_outdated(previews, visitor):
    visitor.box = choose_box(56, 40, 5, 5, 16)
    last(previews.make(visitor, FAST, "en"))
    assert state_of(visitor) == "matches"
    visitor.box = choose_box(56, 40, 50, 30, 16)
    assert state_of(visitor) == "outdated"


def test_a_failure_keeps_the_picture_and_says_why(enhancer, previews, visitor):
    last(previews.make(visitor, FAST, "en"))
    before = visitor.preview
    enhancer.error = EnhanceError("memory_short")

    shown = last(previews.make(visitor, FAST, "en"))

    assert shown.state == "failed"
    assert shown.pair is None
    assert "Not enough memory" in shown.problem
    assert visitor.preview is before


@pytest.fixture
def full_disk(monkeypatch):
    """No picture can be saved for the browser."""

    def full(*_):
        raise StorageError("disk_full", name="preview.png")

    monkeypatch.setattr("enhance.web.preview.save_pair", full)


def test_a_preview_that_cannot_be_saved_says_why_and_the_earlier_one_stays(previews, visitor, request):
    last(previews.make(visitor, FAST, "en"))
    before = visitor.preview
    request.getfixturevalue("full_disk")

    shown = last(previews.make(visitor, FAST.changed(contrast=1.3), "en"))

    assert (shown.state, shown.pair) == ("failed", None)
    assert "Not enough disk space" in shown.problem
    assert visitor.preview is before


def test_a_slider_whose_preview_cannot_be_saved_says_why(previews, visitor, request):
    last(previews.make(visitor, FAST, "en"))
    request.getfixturevalue("full_disk")

    shown = last(previews.tune(visitor, FAST.changed(contrast=1.3), "en"))

    assert shown.state == "failed"
    assert "Not enough disk space" in shown.problem


def test_the_file_shown_has_the_pixels_of_the_preview(previews, visitor):
    import numpy as np
    from PIL import Image

    shown = last(previews.make(visitor, FAST, "en"))
    assert shown.pair is not None
    assert np.array_equal(np.asarray(Image.open(shown.pair[1])), visitor.preview.after)


def test_a_slider_move_takes_less_than_150_ms(previews, visitor):
    import time

    last(previews.make(visitor, FAST, "en"))
    fastest = 1.0
    for step in range(5):
        started = time.perf_counter()
        last(previews.tune(visitor, FAST.changed(sharpen=0.2 + step / 10, saturation=1.3), "en"))
        fastest = min(fastest, time.perf_counter() - started)
    assert fastest < 0.15


def test_two_visitors_never_see_each_other(tmp_path):
    from enhance.web.session import Visitors

    visitors = Visitors(tmp_path)
    ada, bob = (cast(gr.Request, SimpleNamespace(session_hash=name, username=None)) for name in ("ada", "bob"))
    visitors.of(ada).failed = True
    assert not visitors.of(bob).failed
    assert visitors.of(ada) is visitors.of(ada)
    assert visitors.of(ada).folder != visitors.of(bob).folder
