"""No request makes the server download from an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ..site import served
from .calls import META, VALUES, fill_in, upload_file, values_for


class Elsewhere(BaseHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def elsewhere(monkeypatch) -> Iterator[str]:
    """Address of a server that records its requests. Gradio's own check would allow this
    address."""
    for module in ("safehttpx", "gradio.processing_utils"):
        monkeypatch.setattr(f"{module}.is_public_ip", lambda _: True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    Elsewhere.requests.clear()
    yield f"http://127.0.0.1:{server.server_port}/image.png"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def unguarded(site) -> Iterator[str]:
    """Address of the same app without its middleware."""
    with served(site.enhancer, agents=False, app_kwargs={}) as url:
        yield url


FILES = [
    "{target}",
    {"path": "{target}", "meta": META},
    {"path": "{target}"},
    {"path": "here.png", "url": "{target}", "meta": META},
    {"path": None, "url": "{site}gradio_api/file={target}", "meta": META},
    {"url": "{target}"},
]
"""Inputs that name a file that the client did not upload, in every form."""


@pytest.fixture(params=["address", "secret", "result", "upload", "network", "report"])
def target(request, site, elsewhere, stored) -> str:
    """An address, or a file of the server: any, or of another user's run."""
    return str(
        {"address": elsewhere, "secret": site.photo("../secret.png", 16, 16), **stored}[
            request.param
        ]
    )


@pytest.mark.parametrize("file", FILES)
def test_an_address_or_a_path_instead_of_an_upload_is_rejected(site, http, indexes, target, file):
    image = fill_in(file, target=target, site=site.url)
    calls = site.enhancer.calls.copy()
    call = {"data": [image, *VALUES]}
    bodies = {f"call/{name}": {"data": values_for(name, image)} for name in ("preview", "compare")}
    bodies |= {
        "call/enhance": call,
        "call/enhance/": call,
        "run/enhance": call,
        "api/enhance": call,
        "call/v2/enhance": {"image": image},
        "call/v2/batch": {"images": [image]},
        "call/batch": {"data": [[{"a": [{"b": image}]}], *VALUES]},
        "queue/join": {**call, "fn_index": indexes["/enhance"], "session_hash": "abc"},
    }
    for route, body in bodies.items():
        answer = http.post(f"gradio_api/{route}", json=body)
        if answer.status_code == 200:
            session = "abc" if route == "queue/join" else answer.json()["event_id"]
            events = http.get(f"gradio_api/queue/data?session_hash={session}")
            assert '"success":false' in events.text, route
        else:
            assert answer.status_code in (400, 404), route
            assert answer.json()["detail"]
    assert site.enhancer.calls == calls
    assert Elsewhere.requests == []


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "escapes"]
)
def test_an_address_is_rejected_in_every_encoding_of_json(http, elsewhere, encoding):
    text = " \r\n\t" + json.dumps({"data": [{"path": elsewhere, "meta": META}, *VALUES]})
    body = text.replace("h", "\\u0068").encode() if encoding == "escapes" else text.encode(encoding)
    for content_type in ("application/json", "application/json; charset=utf-16", "text/plain"):
        answer = http.post(
            "gradio_api/call/enhance", content=body, headers={"content-type": content_type}
        )
        assert (answer.status_code, "not uploaded" in answer.json()["detail"]) == (400, True)
    assert Elsewhere.requests == []


def test_file_routes_fetch_nothing(http, unguarded, elsewhere):
    for route in ("file=", "file/", "proxy="):
        for address in (elsewhere, elsewhere.replace("http", "HTTP")):
            path = f"gradio_api/{route}{address}"
            assert http.get(path).status_code in (403, 404)
            assert httpx.get(unguarded + path).status_code >= 400
    assert Elsewhere.requests == []


def test_an_address_instead_of_a_file_is_not_fetched_even_without_the_middleware(
    unguarded, elsewhere
):
    for file in fill_in(FILES, target=elsewhere, site=unguarded):
        for endpoint, image in (("enhance", file), ("batch", [file])):
            address = f"{unguarded}gradio_api/call/{endpoint}"
            event = httpx.post(address, json={"data": [image, *VALUES]}).json()["event_id"]
            assert "event: error" in httpx.get(f"{address}/{event}", timeout=20).text
    assert Elsewhere.requests == []


def test_an_upload_is_accepted_with_the_address_that_the_server_returns(site, http):
    uploaded = upload_file(site.url, "a b%.png", b"x")
    shown = uploaded | {"url": f"{site.url}gradio_api/file={uploaded['path'].replace(' ', '%20')}"}
    assert http.post("gradio_api/call/enhance", json={"data": [shown, *VALUES]}).status_code == 200
