"""The log has one line for a run, and nothing of what was on the picture."""

from __future__ import annotations

import io
import logging
import re
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.errors import PictureError
from enhance.images.worker import Workers
from enhance.logs import hide_messages, log_printed_exceptions

from ..site import wait_until
from .test_ends import start

__all__ = ["start"]


def test_a_run_is_one_line_without_its_name(site, client, caplog):
    bad = site.files / "private-note.png"
    bad.write_text("no picture")
    with caplog.at_level(logging.INFO, logger="enhance"):
        good = handle_file(site.photo("private-name.png", 20, 30))
        _, info = client.predict(image=good, preset="anime-fast", api_name="/enhance")
        with pytest.raises(AppError):
            client.predict(image=handle_file(bad), preset="anime-fast", api_name="/enhance")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("task ")]
    assert len(lines) == 2
    assert lines[0].startswith(f"task id={info['task_id']} size=30x20 preset=anime-fast seconds=")
    assert [line.rpartition("outcome=")[2] for line in lines] == ["done", "failed"]
    assert "private" not in caplog.text


def test_a_batch_has_a_line_for_each_file_without_its_name(site, client, caplog):
    bad = site.files / "private-note.png"
    bad.write_text("no picture")
    files = [handle_file(file) for file in (site.photo("private-view.png", 22, 34), bad)]
    with caplog.at_level(logging.INFO, logger="enhance"):
        _, info = client.predict(images=files, preset="anime-fast", api_name="/batch")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("file ")]
    task = info["files"][0]["info"]["task_id"]
    assert sorted(line.partition(" seconds=")[0] for line in lines) == [
        "file id=- size=- preset=anime-fast",
        f"file id={task} size=34x22 preset=anime-fast",
    ]
    assert sorted(line.rpartition("outcome=")[2] for line in lines) == ["done", "failed"]
    assert "private" not in caplog.text


def test_a_preview_is_told_of_only_where_faults_are_looked_for(site, client, caplog):
    with caplog.at_level(logging.DEBUG, logger="enhance.web"):
        picture = handle_file(site.photo("private-piece.png", 24, 32))
        client.predict(image=picture, preset="anime-fast", size=16, api_name="/preview")
    (record,) = [record for record in caplog.records if record.getMessage().startswith("preview ")]
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("preview id=- size=32x24 preset=anime-fast seconds=")
    assert "private" not in caplog.text


def fail() -> None:
    try:
        Path("private-name.png").stat()
    except OSError as error:
        raise ValueError("private-name.png is not there") from error


@pytest.fixture
def logged(monkeypatch) -> Iterator[io.StringIO]:
    """What goes to a log as the server sets it up."""
    for module, name in ((traceback, "print_exc"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    make, sink = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(sink)
    hide_messages()
    log_printed_exceptions()
    logging.getLogger("enhance").addHandler(handler)
    yield sink
    logging.getLogger("enhance").removeHandler(handler)
    logging.setLogRecordFactory(make)


def test_an_exception_is_logged_with_its_places_and_without_its_message(logged):
    log = logging.getLogger("enhance.test")
    try:
        fail()
    except ValueError as error:
        log.exception("It failed")
        log.error("It failed", exc_info=error)
        log.error("It failed: %s", error)
        traceback.print_exc()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    said = logged.getvalue()
    assert (said.count("\nValueError\n"), said.count("failed: ValueError\n")) == (4, 1)
    assert said.count("FileNotFoundError (No such file or directory)") == 4
    assert "test_log.py:" in said
    assert "private" not in said


def test_a_server_writes_no_name_of_a_file(start, tmp_path):
    """Neither for calls that fail before a run, nor for files that cannot be decoded."""
    files = [tmp_path / f"private-{name}" for name in ("text.png", "cut.jpg", "cut.tif", "cut.heic")]
    for file in files[1:]:
        Image.effect_noise((64, 64), 50).convert("RGB").save(file)
        file.write_bytes(file.read_bytes()[:-1000])
    files[0].write_text("no picture")
    page = start("app.py")
    wait_until(page.answers)
    url = f"http://127.0.0.1:{page.port}"
    client = Client(url, verbose=False, analytics_enabled=False)
    for file in files:
        with pytest.raises(AppError, match=re.escape(file.name)):
            client.predict(image=handle_file(file), preset="anime-fast", api_name="/enhance")
    client.close()
    foreign = {"path": "private-2.png", "meta": {"_type": "gradio.FileData"}}
    for data in (["private-1.png"], [foreign] * 17):
        for way in ("call/enhance", "call/batch", "run/status"):
            assert httpx.post(f"{url}/gradio_api/{way}", json={"data": data}).status_code == 400
    assert httpx.post(f"{url}/gradio_api/cancel", json={"private-3.png": 1}).status_code == 400
    assert httpx.get(f"{url}/gradio_api/file=/private-4.png").status_code == 403
    _, said = page.ended(signal.SIGTERM)
    assert said.count("outcome=failed") == len(files)
    assert "private" not in said + page.output


DIES = """
import os, sys
sys.path[:] = sys.argv[1:]
from enhance.images.decode import _Parent
parent = _Parent()
parent.send("ready")
parent.receive()
os._exit(3)
"""


def test_a_decoder_that_dies_is_logged_without_the_name_of_its_file(caplog, tmp_path):
    workers = Workers(1, DIES)
    with caplog.at_level(logging.INFO, logger="enhance"), pytest.raises(PictureError, match=r"private-name\.png"):
        workers.request("inspect", tmp_path / "private-name.png", None, None)
    workers.close()
    assert "ended with 3" in caplog.text
    assert "private" not in caplog.text
