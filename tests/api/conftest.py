"""The served app and its clients."""

import logging
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from gradio_client import Client, handle_file

from ..site import site
from .calls import ENDPOINTS
from .programs import start
from .users import User

__all__ = ["site", "start"]


@pytest.fixture(scope="session")
def http(site):
    """Plain requests to the app. The server closes idle connections after 5 s, so they are not used
    for so long."""
    with httpx.Client(
        base_url=site.url, timeout=60, limits=httpx.Limits(keepalive_expiry=1)
    ) as client:
        yield client


@pytest.fixture
def errors(caplog):
    """Return a function for the errors in the log."""
    return lambda: [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.fixture(scope="session")
def closing_threads():
    """Threads that close clients while the tests continue. Each client waits a second for its
    heartbeat."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def connect(site, tmp_path, closing_threads):
    """Create clients of the app, each with its own download folder."""
    clients = []

    def make(**options):
        folder = tmp_path / f"client-{len(clients)}"
        clients.append(
            Client(
                site.url, download_files=folder, verbose=False, analytics_enabled=False, **options
            )
        )
        return clients[-1]

    yield make
    for client in clients:
        closing_threads.submit(client.close)


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def owner(connect):
    """A client with a key."""
    return User(connect)


@pytest.fixture(scope="session")
def indexes(site):
    """The indexes of the functions of the endpoints, by their names."""
    client = Client(site.url, download_files=False, verbose=False, analytics_enabled=False)
    client.close()
    return {
        str(one.api_name): index
        for index, one in client.endpoints.items()
        if one.api_name in ENDPOINTS
    }


@pytest.fixture(scope="session")
def stored(site):
    """Files that the data folder stores of another user's run, one of each kind."""
    client = Client(site.url, download_files=False, verbose=False, analytics_enabled=False)
    image = handle_file(site.photo("private.png", 24, 24))
    _, info = client.predict(image=image, preset="anime-fast", api_name="/enhance")
    client.predict(task_id=info["task_id"], api_name="/report")
    client.close()
    tasks = site.enhancer.tasks
    upload = tasks.upload_path(info["input"]["sha256"], "private.png")
    newest = max(tasks.network.glob("*.raw"), key=lambda path: path.stat().st_mtime)
    (report,) = tasks.reports.glob(f"{info['task_id']}-*.pdf")
    return {
        "result": tasks.result_path(info["task_id"]),
        "upload": upload,
        "network": newest,
        "report": report,
        "marker": site.page / ".enhance-folder",
        "secret": tasks.folder / ".enhance-secret",
    }
