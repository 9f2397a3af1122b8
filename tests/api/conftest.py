"""The served app and its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client

from ..site import Site, site
from .programs import start

__all__ = ["site", "start"]


@pytest.fixture(scope="session")
def closing_threads() -> Iterator[Executor]:
    """Threads that close clients while the tests continue. Each client waits a second for its heartbeat."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def connect(site: Site, tmp_path: Path, closing_threads: Executor) -> Iterator[Callable[..., Client]]:
    """Create clients of the app, each with its own download folder."""
    clients: list[Client] = []

    def make(**options) -> Client:
        folder = tmp_path / f"client-{len(clients)}"
        clients.append(Client(site.url, download_files=folder, verbose=False, analytics_enabled=False, **options))
        return clients[-1]

    yield make
    for client in clients:
        closing_threads.submit(client.close)


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()
