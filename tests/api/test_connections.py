"""Connections that hold the server up: slow requests end, and too many connections leave room for other clients."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gradio.http_server
import httpx
import pytest
import uvicorn

from enhance.web import connections
from enhance.web.connections import LimitedProtocol, limit_connections
from enhance.web.metrics import Metrics

from ..site import wait_until
from .test_ends import start

__all__ = ["start"]

resource = pytest.importorskip("resource")
HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
UPLOAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
FEW_FILES = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]


class App:
    """Answers /events without an end, /slow after a while and everything else when its body is complete."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kind, more = "http.request", True
        while more and kind == "http.request":
            message = await receive()
            kind, more = message["type"], message.get("more_body", False)
        self.ends.append(kind)
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * connections.SLACK_SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done", "more_body": scope["path"] == "/events"})
        while scope["path"] == "/events" and (await receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def serve(app: App, monkeypatch) -> Iterator[Callable[..., int]]:
    """Serves the app by uvicorn as Gradio does, with limits that a test can wait for; gives the port."""
    with ExitStack() as ends:

        def begin(**limits: float) -> int:
            for name, value in {"SLACK_SECONDS": 1.0, "_LOOK_SECONDS": 0.1, **limits}.items():
                monkeypatch.setattr(connections, name, value)
            for name in ("most", "most_of_address", "metrics"):
                monkeypatch.setattr(LimitedProtocol, name, None)  # so that it is as before after the test
            monkeypatch.setattr("gradio.http_server.Server", None)
            limit_connections(Metrics())
            served: Any = app
            server = gradio.http_server.Server(uvicorn.Config(served, port=0, log_level="warning", lifespan="off"))
            ends.callback(server.close)
            server.run_in_thread()
            server.force_exit = True  # at its end, it waits for nobody
            return server.servers[0].sockets[0].getsockname()[1]

        yield begin


def connected(port: int, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
    line.sendall(sent)
    return line


def is_closed(line: socket.socket) -> bool:
    try:
        return line.recv(4096) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", HALF, UPLOAD, UPLOAD + b"0" * 2000], ids=["none", "head", "body", "stall"])
def test_a_request_that_stops_arriving_is_closed(serve, app, sent):
    with connected(serve(), sent) as line:
        assert is_closed(line)
    if sent.startswith(UPLOAD):
        wait_until(lambda: app.ends == ["http.disconnect"])


@pytest.mark.parametrize("sent", [HALF, UPLOAD], ids=["head", "body"])
def test_a_request_that_drips_is_closed(serve, sent):
    def drip() -> None:
        for _ in range(600):
            line.sendall(b"0")
            time.sleep(0.05)

    with connected(serve(), sent) as line, pytest.raises(ConnectionError):
        drip()


def test_a_second_request_on_a_connection_is_bounded_too(serve):
    with connected(serve(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as line:
        assert line.recv(4096).startswith(b"HTTP/1.1 200")
        line.sendall(HALF)
        while not is_closed(line):
            pass


def test_slow_answers_and_steady_uploads_stay(serve, app):
    port = serve()
    assert httpx.get(f"http://127.0.0.1:{port}/slow", timeout=30).text == "done"
    with connected(port, UPLOAD) as line:
        for _ in range(20):  # for two seconds, twice what an incomplete request has
            line.sendall(b"0" * 5000)
            time.sleep(0.1)
        assert line.recv(4096).startswith(b"HTTP/1.1 200")
    assert app.ends[-1] == "http.request"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_one_address_leaves_connections_for_others_and_a_trusted_proxy_has_more(serve):
    port = serve(MOST_OF_AN_ADDRESS=4)
    events, plain = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in ("/events", "/"))
    with ExitStack() as lines:

        def answer(sent: bytes, source: str) -> bytes:
            return lines.enter_context(connected(port, sent, source)).recv(4096)

        assert all(answer(events, "127.0.0.2").startswith(b"HTTP/1.1 200") for _ in range(4))
        refused = answer(plain, "127.0.0.2")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"Too many connections are open from this address. The limit is 4." in refused
        assert answer(plain, "127.0.0.3").startswith(b"HTTP/1.1 200")
        assert all(answer(events, "127.0.0.1").startswith(b"HTTP/1.1 200") for _ in range(6))


def test_a_new_request_is_served_while_incomplete_ones_hold_all_connections(serve):
    port = serve(MOST_CONNECTIONS=8, SLACK_SECONDS=600.0)
    with ExitStack() as lines:
        for _ in range(50):
            lines.enter_context(connected(port, HALF))
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "done"


def test_idle_connections_do_not_close_the_page_of_a_server_with_few_files(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this process can open too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    page = start("app.py", before=FEW_FILES)
    wait_until(page.answers)
    with ExitStack() as lines:
        for _ in range(1100):
            lines.enter_context(connected(page.port, HALF))
        for path in ("healthz", "", "config"):
            assert httpx.get(f"http://127.0.0.1:{page.port}/{path}", timeout=60).status_code == 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
