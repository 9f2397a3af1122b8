"""Limits of requests and uploads, and uploads that fail."""

import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

import psutil
import pytest

from enhance.config import Limits
from enhance.errors import PictureError

from ..site import wait_until
from .calls import META, VALUES, answer_to, part, post_form, upload_file


@contextmanager
def start_request(site, route, *headers):
    """Send the head of a request, and close the connection at the end of the block."""
    address = urlsplit(site.url)
    head = [f"POST /{route} HTTP/1.1", "Host: localhost", *headers]
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(
            "\r\n".join([*head, "Content-Type: multipart/form-data; boundary=x", "\r\n"]).encode()
        )
        yield connection


def test_a_body_without_a_length_is_not_read_beyond_the_limit(site):
    before = psutil.Process().memory_info().rss
    sent = 0
    with (
        start_request(site, "gradio_api/call/enhance", "Transfer-Encoding: chunked") as connection,
        suppress(OSError),
    ):
        for _ in range(100):
            connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            sent += 1
    assert sent < 100, "the server read all of it"
    assert psutil.Process().memory_info().rss - before < 100e6


@pytest.mark.parametrize("route", ["call/enhance", "run/presets", "queue/join", "cancel"])
def test_a_body_with_a_length_above_the_limit_is_rejected(http, route):
    answer = http.post(f"gradio_api/{route}", content=b" " * 1_500_000)
    assert answer.status_code == 413


def test_many_files_and_long_names_are_rejected(http):
    for files, limit in (
        ([{"path": f"/{name}", "meta": META} for name in range(15_000)], "The limit is 200"),
        ([{"path": "/a", "orig_name": "a" * 5000, "meta": META}], "4096"),
    ):
        answer = http.post("gradio_api/call/batch", json={"data": [files, *VALUES]})
        assert answer.status_code == 413
        assert limit in answer.json()["detail"]


FILE = part(b"files", name=b"a.png")
END = b"--x--\r\n"


@pytest.mark.parametrize(
    "boundary", ["boundary=x", 'BOUNDARY ="x"', 'a="boundary=y"; charset=utf-8; boundary=x']
)
def test_an_upload_of_many_files_is_rejected_for_every_form_of_boundary(http, boundary):
    answer = post_form(http, "gradio_api/upload", FILE * 201, f"; {boundary}")
    assert answer.status_code == 400
    assert "200" in answer.text
    assert len(post_form(http, "gradio_api/upload", FILE * 2, f"; {boundary}").json()) == 2


MALFORMED = {
    "no file": FILE + part(b"files") + END,
    "no end": FILE,
    "a folder as name": FILE + part(b"files", name=b"..") + END,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_upload_is_rejected_and_leaves_no_file(site, http, body):
    before = set(site.page.glob("tmp*"))
    answer = post_form(http, "gradio_api/upload", body, end=b"")
    assert answer.status_code == 400
    assert answer.text
    # The file can be deleted after the response.
    wait_until(lambda: set(site.page.glob("tmp*")) == before, 20)


def test_inputs_create_no_files(site):
    image = upload_file(site.url, "not an image.png", b"x")
    before = set(site.page.rglob("*"))
    assert '"failed": 200' in answer_to(site, "batch", [[image] * 200, *VALUES])
    assert set(site.page.rglob("*")) == before


def test_an_upload_above_the_limit_is_rejected(site):
    with start_request(site, "gradio_api/upload", "Content-Length: 3000000000") as connection:
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"2000 MB" in answer


def test_a_batch_has_limits_of_files_and_bytes(photo_file):
    files = [photo_file] * 3
    size = photo_file.stat().st_size
    Limits(files=3, batch_bytes=3 * size).check_together(files)
    with pytest.raises(PictureError, match="The limit is 2"):
        Limits(files=2).check_together(files)
    with pytest.raises(PictureError, match="too large in total"):
        Limits(batch_bytes=3 * size - 1).check_together(files)


UPLOADS = pytest.mark.parametrize(
    ("route", "field"), [("gradio_api/upload", "files"), ("api/enhance", "image")]
)


@UPLOADS
def test_an_upload_to_a_full_disk_is_rejected_and_leaves_no_file(http, monkeypatch, route, field):
    """Every byte of the upload is written to a device that is always full."""
    create = NamedTemporaryFile
    files = []

    def create_on_full_disk(**options):
        files.append(create(**options))
        os.dup2(os.open("/dev/full", os.O_WRONLY), files[-1].fileno())
        return files[-1]

    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", create_on_full_disk)
    for size in (3_000_000, 10):  # a small file is written when it is complete
        answer = http.post(route, files={field: ("a.png", b"0" * size)})
        assert answer.status_code == 507
        assert "disk space" in answer.json()["error"]
    assert len(files) == 2
    assert [file for file in files if Path(file.name).exists()] == []


@UPLOADS
def test_an_interrupted_upload_leaves_no_file_and_no_error_in_the_log(
    site, http, errors, route, field
):
    before = set(site.page.glob("tmp*"))
    with start_request(site, route, "Content-Length: 9000000") as connection:
        connection.sendall(part(field.encode(), b"0" * 1_000_000, b"a.png"))
        wait_until(lambda: set(site.page.glob("tmp*")) - before)
    wait_until(lambda: not set(site.page.glob("tmp*")) - before, 20)
    http.get("healthz")  # after the end of the interrupted request
    assert errors() == []
