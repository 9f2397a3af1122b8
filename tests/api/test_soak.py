"""A short load test."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..soak import soak

pytestmark = pytest.mark.long


def test_all_clients_get_their_own_images(tmp_path):
    options = {"seconds": 8, "clients": 8, "rest": 0.5, "images": 3, "warm": 1}
    with ThreadPoolExecutor(1) as thread:  # Playwright may have left its event loop in this one.
        outcome = thread.submit(soak, tmp_path, **options).result()
    assert outcome["broken"] == []
    assert outcome["jobs"] > 0
    assert outcome["done"].keys() >= {"run", "follow"}
