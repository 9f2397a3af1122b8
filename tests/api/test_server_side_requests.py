"""No request makes the server download from an address."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from enhance.config import Config

from ..site import WatchedEnhancer, served
from .calls import META, VALUES, fill_in, values_for


class Elsewhere(BaseHTTPRequestHandler):
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.requests.append(self.path)
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format, *args):
        pass


@pytest.fixture
def elsewhere(monkeypatch):
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
def target(request, site, elsewhere, stored):
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "escapes"])
def test_an_address_is_rejected_in_every_encoding_of_json(http, elsewhere, encoding):
    text = " \r\n\t" + json.dumps({"data": [{"path": elsewhere, "meta": META}, *VALUES]})
    body = text.replace("h", "\\u0068").encode() if encoding == "escapes" else text.encode(encoding)
    for content_type in ("application/json; charset=utf-16", "text/plain"):
        headers = {"content-type": content_type}
        answer = http.post("gradio_api/call/enhance", content=body, headers=headers)
        assert (answer.status_code, "not uploaded" in answer.json()["detail"]) == (400, True)
    assert Elsewhere.requests == []


def test_no_address_is_fetched_even_without_the_middleware(elsewhere, tmp_path):
    enhancer = WatchedEnhancer("cpu", config=Config(tmp_path / "data"))
    with served(enhancer, agents=False, app_kwargs={}) as url:
        for file in fill_in(FILES, target=elsewhere, site=url):
            for endpoint, image in (("enhance", file), ("batch", [file])):
                address = f"{url}gradio_api/call/{endpoint}"
                event = httpx.post(address, json={"data": [image, *VALUES]}).json()["event_id"]
                assert "event: error" in httpx.get(f"{address}/{event}", timeout=20).text
        for route in ("file=", "file/", "proxy="):
            assert httpx.get(f"{url}gradio_api/{route}{elsewhere}").status_code >= 400
    assert Elsewhere.requests == []
