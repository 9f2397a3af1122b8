"""No request makes the server download from an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from gradio_client import handle_file

from ..site import served
from .calls import META, VALUES, fill_in


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
    """Address of a server that records its requests. Gradio's own check would allow this address."""
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
    {"path": "{url}", "meta": META},
    {"path": "{url}"},
    {"path": " {url}", "meta": META},
    {"path": None, "url": "{url}", "meta": META},
    {"path": "here.png", "url": "{url}", "meta": META},
    {"path": "{url}", "url": "{url}", "orig_name": "a.png", "meta": META},
    {"url": "{url}"},
]


@pytest.mark.parametrize("shape", ["one", "list", "nested"])
def test_an_address_instead_of_a_file_is_rejected(site, elsewhere, shape):
    name = "enhance" if shape == "one" else "batch"
    for file in fill_in(FILES, url=elsewhere):
        image = {"one": file, "list": [file], "nested": {"a": [{"b": file}]}}[shape]
        data = [image, *VALUES]
        bodies = {
            f"call/{name}": {"data": data},
            f"call/{name}/": {"data": data},
            f"call/v2/{name}": {"image" if name == "enhance" else "images": image},
            f"run/{name}": {"data": data},
            f"api/{name}": {"data": data},
            "queue/join": {"data": data, "fn_index": 0, "session_hash": "abc"},
        }
        for route, body in bodies.items():
            answer = httpx.post(f"{site.url}gradio_api/{route}", json=body)
            if answer.status_code == 200:
                event = answer.json()["event_id"]
                session = event if route != "queue/join" else "abc"
                answer = httpx.get(f"{site.url}gradio_api/queue/data?session_hash={session}", timeout=20)
                assert '"success":false' in answer.text, (route, file)
            else:
                assert answer.status_code in (400, 404), (route, file)
                assert answer.json()["detail"]
    assert Elsewhere.requests == []


SPELLINGS = {
    "space": lambda text: b" " + text.encode(),
    "newline": lambda text: b"\r\n\t" + text.encode(),
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-32": lambda text: text.encode("utf-32"),
    "escapes": lambda text: text.replace("h", "\\u0068").encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_address_is_rejected_in_every_encoding_of_json(site, elsewhere, spelling):
    body = SPELLINGS[spelling](json.dumps({"data": [{"path": elsewhere, "meta": META}, *VALUES]}))
    for content_type in ("application/json", "application/json; charset=utf-16", "text/plain"):
        headers = {"content-type": content_type}
        answer = httpx.post(f"{site.url}gradio_api/call/enhance", content=body, headers=headers)
        assert (answer.status_code, "not uploaded" in answer.json()["detail"]) == (400, True)
    assert Elsewhere.requests == []


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{", b"\x00", b"[" * 100_000, b"{'data': []}"])
def test_a_body_that_is_not_json_is_rejected(site, body):
    for route in ("call/presets", "queue/join", "cancel", "reset"):
        answer = httpx.post(f"{site.url}gradio_api/{route}", content=body)
        assert answer.status_code == 400
        assert answer.json()["detail"]


def test_file_routes_fetch_nothing(site, unguarded, elsewhere):
    for route in ("file=", "file/"):
        for address in (elsewhere, elsewhere.replace("http", "HTTP")):
            assert httpx.get(f"{site.url}gradio_api/{route}{address}").status_code == 403
    for route in ("file=", "file/", "proxy="):
        for method in ("GET", "HEAD"):
            assert httpx.request(method, f"{unguarded}gradio_api/{route}{elsewhere}").status_code >= 400
    assert Elsewhere.requests == []


def test_an_address_instead_of_a_file_is_not_fetched_even_without_the_middleware(unguarded, elsewhere):
    for file in fill_in(FILES, url=elsewhere):
        for endpoint, image in (("enhance", file), ("batch", [file])):
            data = {"data": [image, *VALUES]}
            event = httpx.post(f"{unguarded}gradio_api/call/{endpoint}", json=data).json()["event_id"]
            assert "event: error" in httpx.get(f"{unguarded}gradio_api/call/{endpoint}/{event}", timeout=20).text
    assert Elsewhere.requests == []


def test_an_upload_is_accepted_with_the_address_that_the_server_returns(site, client):
    file = handle_file(site.photo("own.png", 16, 16))
    assert client.predict(image=file, preset="anime-fast", api_name="/enhance")[1]["status"] == "done"
    path = httpx.post(f"{site.url}gradio_api/upload", files={"files": ("a b%.png", b"x")}).json()[0]
    shown = {"path": path, "url": f"{site.url}gradio_api/file={path.replace(' ', '%20')}", "meta": META}
    body = {"data": [shown, *VALUES]}
    assert httpx.post(f"{site.url}gradio_api/call/enhance", json=body).status_code == 200
