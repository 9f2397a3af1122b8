"""Slow requests are closed, and many connections do not block other clients."""

import asyncio
import socket
import time
from contextlib import ExitStack

import gradio.http_server
import httpx
import pytest
import uvicorn

from enhance.web import connections
from enhance.web.connections import LimitedProtocol, limit_connections

from ..site import wait_until

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
UPLOAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"


class App:
    """Responds to /events without an end, to /slow after a delay, and otherwise when the body is
    complete."""

    def __init__(self):
        self.ends = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        message = {"type": "http.request", "more_body": True}
        while message.get("more_body"):
            message = await receive()
        self.ends.append(message["type"])
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5 * connections.SLACK_SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(
            {"type": "http.response.body", "body": b"done", "more_body": scope["path"] == "/events"}
        )
        while scope["path"] == "/events" and (await receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def app():
    return App()


@pytest.fixture
def serve(app, monkeypatch):
    """Serve the app with short limits by uvicorn, as Gradio does, and return the port."""
    with ExitStack() as ends:

        def begin(**limits):
            for name, value in {"SLACK_SECONDS": 0.5, "_CHECK_SECONDS": 0.1, **limits}.items():
                monkeypatch.setattr(connections, name, value)
            # To restore it after the test.
            monkeypatch.setattr(LimitedProtocol, "most", None)
            monkeypatch.setattr("gradio.http_server.Server", None)
            limit_connections()
            served = app
            config = uvicorn.Config(
                served, port=0, log_level="warning", lifespan="off", timeout_keep_alive=0
            )
            server = gradio.http_server.Server(config)
            ends.callback(server.close)
            server.run_in_thread()
            server.force_exit = True  # do not wait for clients at the end
            return server.servers[0].sockets[0].getsockname()[1]

        yield begin


def connected(port, sent):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(sent)
    return connection


def is_closed(connection):
    try:
        return connection.recv(4096) == b""
    except ConnectionError:
        return True


def test_requests_that_stop_arriving_are_closed(serve, app):
    port = serve()
    with ExitStack() as stack:
        second = stack.enter_context(connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        assert second.recv(4096).startswith(b"HTTP/1.1 200")
        second.sendall(HALF)
        started = (b"", HALF, UPLOAD, UPLOAD + b"0" * 2000)
        connections = [stack.enter_context(connected(port, sent)) for sent in started]
        assert all(is_closed(connection) for connection in connections)
        while not is_closed(second):
            pass
    wait_until(lambda: app.ends[1:] == ["http.disconnect"] * 2)


@pytest.mark.parametrize("start", [HALF, UPLOAD])
def test_requests_that_arrive_byte_by_byte_are_closed(serve, start):
    def send_slowly():
        for _ in range(600):
            connection.sendall(b"0")
            time.sleep(0.05)

    with connected(serve(), start) as connection, pytest.raises(ConnectionError):
        send_slowly()


def test_slow_responses_and_steady_uploads_are_not_closed(serve, app):
    port = serve(SLACK_SECONDS=1.0)
    assert httpx.get(f"http://127.0.0.1:{port}/slow", timeout=30).text == "done"
    with connected(port, UPLOAD) as connection:
        for _ in range(40):  # for longer than the limit of an incomplete request
            connection.sendall(b"0" * 2500)
            time.sleep(0.03)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert app.ends[-1] == "http.request"


@pytest.mark.parametrize("start", [HALF, UPLOAD])
def test_a_new_request_is_served_while_incomplete_ones_use_all_connections(serve, start):
    port = serve(MOST_CONNECTIONS=8, SLACK_SECONDS=600.0)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(port, start))
            time.sleep(0.01)  # for the server to accept it
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "done"


def test_a_new_request_is_rejected_if_every_connection_has_a_complete_one(serve):
    port = serve(MOST_CONNECTIONS=3)
    with ExitStack() as stack:
        for _ in range(3):
            sent = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection = stack.enter_context(connected(port, sent))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).status_code == 503
