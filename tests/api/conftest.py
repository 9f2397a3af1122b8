"""The served app and its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from enhance.config import Config, Limits
from enhance.web import upload
from enhance.web.kept_previews import ViewPreviews
from enhance.web.layout import build_page
from enhance.web.metrics import Metrics
from enhance.web.params import CONTROLS
from enhance.web.plan import Planner
from enhance.web.preview import Previews
from enhance.web.services import Services, create_addresses
from enhance.web.sessions import Sessions
from enhance.web.storage import PageFolder, TaskOwners
from enhance.web.theme import page_texts
from enhance.web.views import Call

from ..site import Site, WatchedEnhancer, site
from .programs import start

__all__ = ["site", "start"]


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[httpx.Client]:
    """Plain requests to the app. The server closes idle connections after 5 s, so they are not used for so long."""
    with httpx.Client(base_url=site.url, timeout=60, limits=httpx.Limits(keepalive_expiry=1)) as client:
        yield client


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function for the errors in the log."""
    return lambda: [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


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


@pytest.fixture(scope="session")
def stored(site) -> dict[str, Path]:
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


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Call]:
    """A call of a page with a photo of 100 x 80 px and the preset `anime-fast`."""
    enhancer, limits, metrics = WatchedEnhancer("cpu", config=Config(data=tmp_path / "data")), Limits(), Metrics()
    folder = PageFolder(tmp_path / "page")
    enhancer.tasks.page_files = folder.files
    sessions, previews = Sessions(folder.path("visitors")), Previews(enhancer, metrics)
    addresses, views = create_addresses(enhancer, folder), ViewPreviews(enhancer, previews)
    planner = Planner(enhancer, previews, addresses)
    owners = TaskOwners(enhancer.tasks)
    services = Services(enhancer, limits, sessions, previews, folder, owners, 1, metrics, addresses, views, planner)
    with gr.Blocks():
        page = build_page(page_texts(limits))
    request: Any = SimpleNamespace(
        session_hash="page", username=None, client=SimpleNamespace(host="a"), headers={}, query_params={}, request=None
    )
    session = sessions.get(request)
    values = {name: page.named[name].value for name in CONTROLS} | {"preset": "anime-fast", "largest": False}
    call = Call(page, services, request, session, "en", values, gr.EventData(None, {}))
    Image.effect_noise((100, 80), 50).convert("RGB").save(tmp_path / "photo.png")
    session.is_auto = False
    upload.load(call, tmp_path / "photo.png")
    yield call
    enhancer.release()
