"""A short load test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..soak import Plan, soak

pytestmark = pytest.mark.long
SHORT = Plan(seconds=8, clients=8, rest=0.5, images=3, warm=1)


def test_all_kinds_of_clients_get_their_own_images(tmp_path):
    with ThreadPoolExecutor(1) as thread:  # Playwright may have left its event loop in this one.
        outcome = thread.submit(soak, SHORT, tmp_path).result()
    assert outcome.broken == []
    assert outcome.jobs > 0
    assert outcome.waits.keys() >= {"run", "follow"}
