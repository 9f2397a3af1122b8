"""The served app, for clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client

from ..site import Site, site

__all__ = ["site"]


@pytest.fixture(scope="session")
def goodbyes() -> Iterator[Executor]:
    """Where clients are closed, which takes each a second of waiting for its heartbeat, while the tests go on."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def connect(site: Site, tmp_path: Path, goodbyes: Executor) -> Iterator[Callable[..., Client]]:
    """Makes clients of the app, each with a download folder of its own."""
    clients: list[Client] = []

    def make(**options) -> Client:
        folder = tmp_path / f"client-{len(clients)}"
        clients.append(Client(site.url, download_files=folder, verbose=False, analytics_enabled=False, **options))
        return clients[-1]

    yield make
    for client in clients:
        goodbyes.submit(client.close)


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()
