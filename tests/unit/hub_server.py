"""Failing downloads: a Hugging Face or GitHub server whose files, failures and speed a test sets,
and a full disk."""

from __future__ import annotations

import hashlib
import resource
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from enhance.cli import main
from enhance.models import download
from enhance.models.manifest import Model, WeightSource

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def limit_file_size(most):
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


def weights_command(arguments, store):
    """Run `enhance weights` with these arguments and return its exit status."""
    with patch("enhance.cli.weights.WeightStore", lambda: store):
        return main(["weights", *arguments])


def go_online(monkeypatch):
    """Allow downloads over the loopback interface, without pauses, whatever the environment
    states."""
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)


def weight_files(folder):
    """Return the names of the files in a weights folder, without locks and notes."""
    return {path.name for path in folder.glob("*") if path.suffix not in {".lock", ".json"}}


class HubServer(ThreadingHTTPServer):
    """A server whose attributes can be changed between requests. Use it as `with HubServer() as
    hub:`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, redirect_to="", signed=""):
        """Redirect every request to the server `redirect_to`, and append `signed` to the path."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.redirect_to = redirect_to
        self.signed = signed
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []  # the next responses end after so many bytes
        self.stalls: list[int] = []  # the next responses stall after so many bytes
        self.requests: list[SimpleNamespace] = []
        self.first_request = threading.Event()
        self.release = threading.Event()  # no response until it is set
        self.release.set()
        self.over = threading.Event()

    def offer(self, model: Model, content):
        """Add the file at its path on each site."""
        self.files |= {source.url_path: content for source in model.files}

    def received(self, header):
        """Return the values of a header in all requests."""
        return [request.headers[header] for request in self.requests]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.release.set()
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Print nothing: many tests disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hub = cast(HubServer, self.server)
        hub.requests.append(SimpleNamespace(path=self.path, headers=self.headers))
        hub.first_request.set()
        hub.release.wait()
        content = hub.files.get(self.path.partition("?")[0])
        if hub.redirect_to:
            self._head(302, Location=hub.redirect_to + self.path + hub.signed)
        elif content is None:
            self._head(404)
        else:
            self._send(hub, content)

    def _send(self, hub, content):
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        rest = content[start:]
        if not rest:
            self._head(416, 0, **{"Content-Range": f"bytes */{len(content)}"})
            return
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if start else 200, len(rest), **{"Content-Range": span})
        if hub.stalls:
            self.wfile.write(rest[: hub.stalls.pop(0)])
            hub.over.wait()
        else:
            self.wfile.write(rest[: hub.cuts.pop(0)] if hub.cuts else rest)
        self.close_connection = True

    def _head(self, status, length=0, **headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format, *args):
        """Print nothing, because the tests read `requests`."""
