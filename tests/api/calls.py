"""Raw calls of the API over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from ..site import SETTINGS, Site

T = TypeVar("T")
META = {"_type": "gradio.FileData"}
VALUES = [*SETTINGS.values()]
FAST_VALUES = [*(SETTINGS | {"preset": "anime-fast"}).values()]
ENDPOINTS = {"/enhance", "/preview", "/compare", "/batch", "/analyse", "/report", "/presets", "/status"}


def upload(site: Site, name: str, side: int = 16) -> dict[str, Any]:
    """Upload a small photo; return it as an input of an endpoint."""
    with site.photo(name, side, side).open("rb") as file:
        path = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, file)}).json()[0]
    return {"path": path, "meta": META}


def begin(site: Site, endpoint: str, data: list[Any], headers: dict[str, str] | None = None, **more: str) -> str:
    """Call an endpoint; return the id of the event with its response."""
    url = f"{site.url}gradio_api/call/{endpoint}"
    answer = httpx.post(url, json={"data": data, **more}, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()["event_id"]


def listen(site: Site, endpoint: str, event: str) -> str:
    """Return the events of a call as text, to its end."""
    return httpx.get(f"{site.url}gradio_api/call/{endpoint}/{event}", timeout=60).text


def answer_to(site: Site, endpoint: str, data: list[Any], headers: dict[str, str] | None = None) -> str:
    """Return the events of a call as text, or the error of the request."""
    called = httpx.post(f"{site.url}gradio_api/call/{endpoint}", json={"data": data}, headers=headers, timeout=20)
    return listen(site, endpoint, called.json()["event_id"]) if called.status_code == 200 else called.text


def status(site: Site) -> dict[str, Any]:
    return json.loads(answer_to(site, "status", []).partition("data: ")[2].splitlines()[0])[0]


def run_in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in another thread, because Playwright may have left its event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def fill_in(value: Any, **words: str) -> Any:
    """Replace `{name}` in all strings of a JSON value."""
    text = json.dumps(value)
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return json.loads(text)
