"""Fixtures for the unit tests: an engine and an enhancer with fp32 on the CPU, and forked processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enhance import Enhancer
from enhance.engine.engine import Engine

from .forks import Launcher, launcher


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


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """A process with the program imported, which forks others: `forks.start("run", "photo.jpg")`."""
    with launcher(tmp_path_factory.mktemp("forks")) as one:
        yield one
