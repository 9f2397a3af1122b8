"""Failing downloads: a Hugging Face or GitHub server whose files, failures and speed a test sets, and a full disk."""

from __future__ import annotations

import hashlib
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from enhance.models.manifest import Model, Source

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


def made_up_model(content: bytes, name: str = "tiny", file: str = "tiny.pth") -> Model:
    """Return a model with these bytes, in the repository of `HubServer.offer`."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Model(
        name=name,
        purpose="Stands in for a real model.",
        network="srvgg",
        file=file,
        bytes=len(content),
        sha256=sha256,
        licence="MIT",
        sources=(Source("hub", "someone/models", COMMIT, f"small/{file}", file, len(content), sha256),),
    )


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    path: str
    range: str | None
    authorization: str | None


@dataclass
class HubServer:
    """A server whose attributes can be changed between requests. Use it as `with HubServer() as hub:`."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirect_to: str | None = None  # the address of another server, to which every request is redirected
    signed: str = ""  # what a redirect appends to the path, for example ?signature=…
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # the next responses end after so many bytes
    lengths: list[int] = field(default_factory=list)  # the next responses have this Content-Length
    stalls: list[int] = field(default_factory=list)  # the next responses stall after so many bytes
    statuses: list[int] = field(default_factory=list)  # the next responses have these error statuses
    release: threading.Event = field(default_factory=threading.Event)  # no response until it is set
    requests: list[Request] = field(default_factory=list)
    question: threading.Event = field(default_factory=threading.Event)  # set by the first request
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.release.set()

    def offer(self, model: Model, content: bytes) -> None:
        """Add the file at its path on each site."""
        for source in model.files:
            self.files[source.url_path] = content

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> HubServer:
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.hub = self
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release.set()
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    hub: HubServer
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: many tests disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub = cast(_Http, self.server).hub
        request = Request(self.path, self.headers.get("Range"), self.headers.get("Authorization"))
        hub.requests.append(request)
        hub.question.set()
        hub.release.wait()
        content = hub.files.get(self.path.partition("?")[0])
        if hub.redirect_to:
            self._head(302, 0, {"Location": hub.redirect_to + self.path + hub.signed})
        elif hub.statuses or content is None:
            self._head(hub.statuses.pop(0) if hub.statuses else 404, 0)
        else:
            self._send(hub, content, request.range)

    def _send(self, hub: HubServer, content: bytes, wanted: str | None) -> None:
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and hub.ranges else 0
        if start >= len(content):
            return self._head(416, 0, {"Content-Range": f"bytes */{len(content)}"})
        headers = {
            "Accept-Ranges": "bytes",
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self._head(206 if start else 200, hub.lengths.pop(0) if hub.lengths else len(body), headers)
        if hub.stalls:
            self.wfile.write(body[: hub.stalls.pop(0)])
            hub.over.wait()
            return None
        if hub.cuts:
            self.wfile.write(body[: hub.cuts.pop(0)])
            self.close_connection = True
            return None
        self.wfile.write(body)
        self.close_connection = True
        return None

    def _head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing, because the tests read `requests`."""
