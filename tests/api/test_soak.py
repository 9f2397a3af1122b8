"""A short load test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..soak import Plan, Use, exceeded_limits, soak

pytestmark = pytest.mark.long
SHORT = Plan(seconds=8, clients=8, rest=0.5, images=3, warm=1)


def test_all_kinds_of_clients_get_their_own_images(tmp_path):
    with ThreadPoolExecutor(1) as thread:  # Playwright may have left its event loop in this one.
        outcome = thread.submit(soak, SHORT, tmp_path).result()
    assert outcome.broken == []
    assert outcome.jobs > 0
    assert outcome.waits.keys() >= {"run", "follow"}


@pytest.mark.parametrize(
    ("after", "count"),
    [
        (Use(700, 120, 40, 5), 0),
        (Use(760, 100, 20), 1),
        (Use(500, 410, 20), 1),
        (Use(500, 100, 41), 1),
        (Use(500, 100, 20, 6), 1),
    ],
)
def test_memory_threads_and_connections_that_remain_are_limited(after, count):
    assert len(list(exceeded_limits(Use(500, 100, 20), after))) == count
