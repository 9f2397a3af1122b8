"""Fixtures for the unit tests: an engine and an enhancer with fp32 on the CPU."""

from __future__ import annotations

import pytest

from enhance import Enhancer
from enhance.engine.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("cpu", "fp32")


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer("cpu", "fp32")


@pytest.fixture
def fresh_store(enhancer, tmp_path) -> None:
    """Give the enhancer, which the tests of a file share, an empty store."""
    enhancer.tasks = type(enhancer.tasks)(tmp_path / "data")
