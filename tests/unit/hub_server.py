"""Failing downloads: a Hugging Face or GitHub server whose files, failures and speed a test sets,
and a full disk."""

from __future__ import annotations

import hashlib
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from enhance.models import download
from enhance.models.manifest import Model, WeightSource

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def limit_file_size(most: int) -> Iterator[None]:
    """Let each file that grows beyond these bytes fail as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, before))
        signal.signal(signal.SIGXFSZ, handler)


def made_up_model(content: bytes, name: str = "tiny") -> Model:
    """Return a model with these bytes, in the repository of `HubServer.offer`."""
    file = f"{name}.pth"
    facts: Any = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    source = WeightSource("hub", "someone/models", COMMIT, f"small/{file}", file, **facts)
    purpose = "Stands in for a real model."
    return Model(name, purpose, "srvgg", file, licence="MIT", sources=(source,), **facts)


def go_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow downloads over the loopback interface, without pauses, whatever the environment
    states."""
    for name in (
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)


def weight_files(folder: Path) -> set[str]:
    """Return the names of the files in a weights folder, without locks and notes."""
    return {path.name for path in folder.glob("*") if path.suffix not in {".lock", ".json"}}


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    path: str
    range: str | None
    authorization: str | None


class HubServer(ThreadingHTTPServer):
    """A server whose attributes can be changed between requests. Use it as `with HubServer() as
    hub:`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, redirect_to: str = "", signed: str = ""):
        """Redirect every request to the server `redirect_to`, and append `signed` to the path."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.redirect_to = redirect_to
        self.signed = signed
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []  # the next responses end after so many bytes
        self.stalls: list[int] = []  # the next responses stall after so many bytes
        self.statuses: list[int] = []  # the next responses have these error statuses
        self.requests: list[Request] = []
        self.first_request = threading.Event()
        self.release = threading.Event()  # no response until it is set
        self.release.set()
        self.over = threading.Event()

    def offer(self, model: Model, content: bytes) -> None:
        """Add the file at its path on each site."""
        self.files |= {source.url_path: content for source in model.files}

    @property
    def ranges(self) -> list[str | None]:
        return [request.range for request in self.requests]

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release.set()
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: many tests disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub = cast(HubServer, self.server)
        request = Request(self.path, self.headers.get("Range"), self.headers.get("Authorization"))
        hub.requests.append(request)
        hub.first_request.set()
        hub.release.wait()
        content = hub.files.get(self.path.partition("?")[0])
        if hub.redirect_to:
            self._head(302, 0, Location=hub.redirect_to + self.path + hub.signed)
        elif hub.statuses:
            self._head(hub.statuses.pop(0), 0)
        elif content is None:
            self._head(404, 0)
        else:
            start = (request.range or "bytes=0-").removeprefix("bytes=").removesuffix("-")
            self._send(hub, content, int(start))

    def _send(self, hub: HubServer, content: bytes, start: int) -> None:
        length = len(content)
        rest = content[start:]
        if not rest:
            self._head(416, 0, **{"Content-Range": f"bytes */{length}"})
            return
        if start:
            span = f"bytes {start}-{length - 1}/{length}"
            self._head(206, len(rest), **{"Content-Range": span})
        else:
            self._head(200, length)
        if hub.stalls:
            self.wfile.write(rest[: hub.stalls.pop(0)])
            hub.over.wait()
        else:
            self.wfile.write(rest[: hub.cuts.pop(0)] if hub.cuts else rest)
        self.close_connection = True

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing, because the tests read `requests`."""
