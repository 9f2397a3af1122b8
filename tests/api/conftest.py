"""The served app, for clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradio_client import Client

from ..site import Site, site

__all__ = ["site"]


@pytest.fixture
def connect(site: Site, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients of the app, each with a download folder of its own."""
    clients: list[Client] = []

    def make(**options) -> Client:
        folder = tmp_path / f"client-{len(clients)}"
        clients.append(Client(site.url, download_files=folder, verbose=False, analytics_enabled=False, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()
