"""A request that is too large is refused before it costs anything."""

from __future__ import annotations

import http.client
import io
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from enhance.config import Limits
from enhance.errors import PictureError

from ..site import SETTINGS
from .test_endpoints_surface import answer_to

META = {"_type": "gradio.FileData"}


def test_a_body_without_a_length_is_not_read_beyond_the_bound(site):
    address = urlsplit(site.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    before = psutil.Process().memory_info().rss
    connection.putrequest("POST", "/gradio_api/call/enhance")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    sent = 0
    try:
        for _ in range(100):
            connection.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            sent += 1
    except OSError:
        pass
    assert sent < 100, "the server read all of it"
    assert psutil.Process().memory_info().rss - before < 100e6
    connection.close()


@pytest.mark.parametrize("way", ["call/enhance", "call/v2/enhance", "run/presets", "queue/join", "cancel"])
def test_a_body_that_says_its_length_is_refused_with_a_sentence(site, way):
    answer = httpx.post(f"{site.url}gradio_api/{way}", content=b" " * 1_500_000)
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("The request has more than 1 MB")


def test_many_files_and_long_names_cost_nothing(site):
    for files, said in (
        ([{"path": f"/{name}", "meta": META} for name in range(15_000)], "more than 200 files"),
        ([{"path": "/a", "orig_name": "a" * 5000, "meta": META}], "more than 4096 characters"),
    ):
        begun = time.monotonic()
        answer = httpx.post(f"{site.url}gradio_api/call/batch", json={"data": [files, *SETTINGS.values()]})
        assert answer.status_code == 413
        assert said in answer.json()["detail"]
        assert time.monotonic() - begun < 1


def test_an_upload_of_many_files_is_stopped(site):
    files = [("files", (f"{name}.png", b"x")) for name in range(201)]
    answer = httpx.post(f"{site.url}gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "more than 200 files" in answer.json()["detail"]
    assert len(httpx.post(f"{site.url}gradio_api/upload", files=files[:200]).json()) == 200


def test_an_upload_larger_than_a_file_may_be_is_stopped(site):
    address = urlsplit(site.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Length", str(3_000_000_000))
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"more than 2000 MB together" in answer.read()
    connection.close()


def test_a_batch_is_bounded_in_files_and_bytes(tmp_path: Path, site):
    files = [tmp_path / f"{name}.png" for name in range(3)]
    for file in files:
        file.write_bytes(b"x" * 10)
    Limits(files=3, batch_bytes=30).check_together(files)
    with pytest.raises(PictureError, match="more than 2 files"):
        Limits(files=2).check_together(files)
    with pytest.raises(PictureError, match="MB together"):
        Limits(batch_bytes=29).check_together(files)


def test_a_body_that_is_no_json_is_still_answered(site):
    for body in (b"[" * 100_000, b"{", b""):
        assert httpx.post(f"{site.url}gradio_api/call/enhance", content=body).status_code in (400, 422)
    assert "event: complete" in answer_to(site, "presets", [])


def test_a_picture_in_the_request_is_streamed_to_the_upload(site):
    body = io.BytesIO(b"x" * 5_000_000)
    assert httpx.post(f"{site.url}gradio_api/upload", files={"files": ("big.png", body)}).status_code == 200
