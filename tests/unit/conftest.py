"""Fixtures for the unit tests: an engine and an enhancer with fp32 on the CPU, forked processes,
and a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhance import Enhancer
from enhance.engine.engine import Engine


@pytest.fixture(scope="module")
def engine():
    return Engine("cpu", "fp32")


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer("cpu", "fp32")


@pytest.fixture
def fresh_store(enhancer, tmp_path):
    """Give the enhancer, which the tests of a file share, an empty store."""
    enhancer.tasks = type(enhancer.tasks)(tmp_path / "data")


@pytest.fixture
def full_disk(monkeypatch):
    """Make writing to every new file fail as on a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    original = Path.open

    def open_on_full_disk(path, mode="r", *options, **named):
        file = original(path, mode, *options, **named)
        if mode != "xb":
            return file
        file.close()
        return original(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", open_on_full_disk)
