"""Failures in the middle of a call: the caller gets a sentence, the queue is free and the next call works."""

from __future__ import annotations

from typing import Any

import pytest

from enhance import EnhanceError

from ..site import Site, wait_until
from .calls import FAST_VALUES, answer_to, status, uploaded


@pytest.mark.parametrize("error", [RuntimeError("injected"), MemoryError(), EnhanceError("memory_short")])
@pytest.mark.parametrize(
    ("endpoint", "fails"), [("enhance", "run"), ("preview", "preview"), ("compare", "compare"), ("batch", "run")]
)
def test_a_call_that_fails_frees_its_place_in_the_queue(site: Site, endpoint, fails, error):
    photo: Any = uploaded(site, "fails.png")
    square = [None, None, 16] if endpoint in ("preview", "compare") else []
    given = [[photo] if endpoint == "batch" else photo, *square, *([] if endpoint == "compare" else FAST_VALUES)]

    with site.enhancer.failing(fails, error):
        answer = answer_to(site, endpoint, given)
    assert ('"failed": 1' if endpoint == "batch" else "event: error") in answer
    assert "injected" not in answer

    wait_until(lambda: (status(site)["waiting"], status(site)["running"]) == (0, 0))
    answer = answer_to(site, endpoint, given)
    assert ('"done": 1' if endpoint == "batch" else "event: complete") in answer
