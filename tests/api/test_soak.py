"""A short load test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..soak import Plan, Use, exceeded_limits, soak

pytestmark = pytest.mark.long
SMALL = Plan.lasting(5, 8, sessions=16, previews=8, runs=4, rest=0.5, images=3, warm=1)


def test_all_kinds_of_clients_get_their_own_images(tmp_path):
    with ThreadPoolExecutor(1) as thread:  # Playwright may have left its event loop in this one.
        outcome = thread.submit(soak, SMALL, tmp_path).result()
    assert outcome.broken == []
    assert outcome.done
    assert set(outcome.uses) == {"start", "after the sessions", "peak", "after a rest"}


def test_memory_and_threads_that_remain_are_limited():
    before = Use(500, 100, 20)
    assert list(exceeded_limits("it", before, Use(700, 120, 40))) == []
    assert len(list(exceeded_limits("it", before, Use(740, 130, 20)))) == 1
    assert len(list(exceeded_limits("it", before, Use(500, 100, 41)))) == 1
