"""What several files of unit tests work with: the engine and the enhancer at full precision on the processor."""

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
    """A store of its own for each test, for the one enhancer of a file."""
    enhancer.tasks = type(enhancer.tasks)(tmp_path / "data")
