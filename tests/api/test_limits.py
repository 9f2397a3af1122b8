"""Limits of requests and uploads, and uploads that fail."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from enhance.config import Limits
from enhance.errors import PictureError
from enhance.store import TaskStore
from enhance.web.metrics import Metrics
from enhance.web.params import API_SETTINGS
from enhance.web.security import OriginCheck, RequestChecks

from ..site import Site, wait_until
from .calls import META, VALUES, answer_to


@contextmanager
def start_request(site: Site, route: str, *headers: str) -> Iterator[socket.socket]:
    """Send the head of a request, and close the connection at the end of the block."""
    address = urlsplit(site.url)
    head = [f"POST /{route} HTTP/1.1", "Host: localhost", *headers]
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, "Content-Type: multipart/form-data; boundary=x", "\r\n"]).encode())
        yield connection


def test_a_body_without_a_length_is_not_read_beyond_the_limit(site):
    before, sent = psutil.Process().memory_info().rss, 0
    with start_request(site, "gradio_api/call/enhance", "Transfer-Encoding: chunked") as connection, suppress(OSError):
        for _ in range(100):
            connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            sent += 1
    assert sent < 100, "the server read all of it"
    assert psutil.Process().memory_info().rss - before < 100e6


@pytest.mark.parametrize("route", ["call/enhance", "call/v2/enhance", "run/presets", "queue/join", "cancel"])
def test_a_body_with_a_length_above_the_limit_is_rejected(site, route):
    answer = httpx.post(f"{site.url}gradio_api/{route}", content=b" " * 1_500_000)
    assert answer.status_code == 413
    assert "1 MB" in answer.json()["detail"]


def test_many_files_and_long_names_are_rejected_quickly(site):
    for files, limit in (
        ([{"path": f"/{name}", "meta": META} for name in range(15_000)], "The limit is 200"),
        ([{"path": "/a", "orig_name": "a" * 5000, "meta": META}], "4096"),
    ):
        begun = time.process_time()
        answer = httpx.post(f"{site.url}gradio_api/call/batch", json={"data": [files, *VALUES]})
        assert answer.status_code == 413
        assert limit in answer.json()["detail"]
        assert time.process_time() - begun < 1


def part(disposition: str) -> bytes:
    return f"--x\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n".encode()


FILE = part('form-data; name="files"; filename="a.png"')
END = b"--x--\r\n"


def post_upload(site: Site, body: bytes, boundary: str = "boundary=x", query: str = "") -> httpx.Response:
    headers = {"content-type": f"multipart/form-data; {boundary}"}
    return httpx.post(f"{site.url}gradio_api/upload{query}", content=body, headers=headers)


@pytest.mark.parametrize("boundary", ["boundary=x", 'BOUNDARY ="x"', 'a="boundary=y"; charset=utf-8; boundary=x'])
def test_an_upload_of_many_files_is_rejected_for_every_form_of_boundary(site, boundary):
    answer = post_upload(site, FILE * 201 + END, boundary)
    assert answer.status_code == 413
    assert "The limit is 200" in answer.json()["detail"]
    assert len(post_upload(site, FILE * 2 + END, boundary).json()) == 2


MALFORMED = {
    "field": FILE + part('form-data; name="files"') + END,
    "name": FILE + part('form-data; name="other"; filename="a.png"') + END,
    "no name": FILE + part("form-data") + END,
    "no end": FILE,
    "broken": FILE + b"--x*",
    "a folder as name": FILE + part('form-data; name="files"; filename=".."') + END,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_upload_is_rejected_and_leaves_no_file(site, body):
    before = set(site.page.glob("tmp*"))
    for query in ("", "?upload_id=a"):
        answer = post_upload(site, body, query=query)
        assert answer.status_code == 400
        assert answer.json()["detail"]
    wait_until(lambda: set(site.page.glob("tmp*")) == before)  # the file can be deleted after the response


def test_an_upload_without_a_boundary_is_rejected(site):
    for content_type in ("", "text/plain", "multipart/form-data", f"multipart/form-data; boundary={'x' * 999}"):
        headers = {"content-type": content_type}
        answer = httpx.post(f"{site.url}gradio_api/upload", content=FILE + END, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["detail"]


def test_inputs_create_no_files(site):
    path = httpx.post(f"{site.url}gradio_api/upload", files={"files": ("not an image.png", b"x")}).json()[0]
    data = [[{"path": path, "meta": META}] * 200, *VALUES]
    before = set(site.page.rglob("*"))
    assert '"failed": 200' in answer_to(site, "batch", data)
    assert "no preset" in answer_to(site, "batch", [data[0], "no preset", *data[2:]])
    assert f" {1 + len(API_SETTINGS)} " in answer_to(site, "batch", data[:3])
    assert set(site.page.rglob("*")) == before


def test_a_body_in_many_pieces_is_read_in_linear_time(tmp_path):
    pieces, size = iter([b"1"] * 100_000), 0

    async def receive() -> Message:
        body = next(pieces, b"")
        return {"type": "http.request", "body": body, "more_body": bool(body)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal size
        size = len((await receive())["body"])

    async def send(_: Message) -> None:
        raise AssertionError("the request was refused")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    begun = time.process_time()
    asyncio.run(RequestChecks(app, Limits(), TaskStore(tmp_path))(scope, receive, send))
    assert size == 100_000
    assert time.process_time() - begun < 15


def test_an_upload_above_the_limit_is_rejected(site):
    with start_request(site, "gradio_api/upload", "Content-Length: 3000000000") as connection:
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"2000 MB" in answer


def test_a_batch_has_limits_of_files_and_bytes(tmp_path: Path, site):
    files = [tmp_path / f"{name}.png" for name in range(3)]
    for file in files:
        file.write_bytes(b"x" * 10)
    Limits(files=3, batch_bytes=30).check_together(files)
    with pytest.raises(PictureError, match="The limit is 2"):
        Limits(files=2).check_together(files)
    with pytest.raises(PictureError, match="too large in total"):
        Limits(batch_bytes=29).check_together(files)


UPLOADS = pytest.mark.parametrize(("route", "field"), [("gradio_api/upload", "files"), ("api/enhance", "image")])


@UPLOADS
def test_an_upload_to_a_full_disk_is_rejected_and_leaves_no_file(site, monkeypatch, route, field):
    """Every byte of the upload is written to a device that is always full."""
    create, files = NamedTemporaryFile, []

    def create_on_full_disk(**options: Any) -> Any:
        files.append(create(**options))
        os.dup2(os.open("/dev/full", os.O_WRONLY), files[-1].fileno())
        return files[-1]

    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", create_on_full_disk)
    for size in (3_000_000, 10):  # a small file is written when it is complete
        answer = httpx.post(f"{site.url}{route}", files={field: ("a.png", b"0" * size)})
        assert answer.status_code == 507
        assert "disk space" in answer.json()["error"]
    assert len(files) == 2
    assert [file for file in files if Path(file.name).exists()] == []


@UPLOADS
def test_an_interrupted_upload_leaves_no_file_and_no_error_in_the_log(site, caplog, route, field):
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    before = set(folder.glob("tmp*"))
    with start_request(site, route, "Content-Length: 9000000") as connection:
        file = part(f'form-data; name="{field}"; filename="a.png"')
        connection.sendall(file.removesuffix(b"x\r\n") + b"0" * 1_000_000)
        wait_until(lambda: set(folder.glob("tmp*")) - before)
    wait_until(lambda: not set(folder.glob("tmp*")) - before)
    httpx.get(f"{site.url}healthz")  # after the end of the interrupted request
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_the_status_of_a_request_whose_client_leaves_is_499():
    sent = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(OriginCheck(read, Metrics())(scope, receive, send))
    assert [message.get("status") for message in sent] == [499, None]
