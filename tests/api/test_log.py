"""The log: one line for a run, without names of files or users."""

import io
import json
import logging
import signal
import threading
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.errors import PictureError
from enhance.images.worker import Workers
from enhance.logs import quiet_logs

from ..site import wait_until
from .programs import fork_server
from .test_connections import HALF, connected

FEW_FILES = """
import os, resource, runpy
os.environ.pop("ENHANCE_TEST_MODELS", None)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
runpy.run_path("app.py", run_name="__main__")
"""
"""The app with a low limit of open files, and without the variable of the tests."""


def fail():
    try:
        Path("private-name.png").stat()
    except OSError as error:
        raise ValueError("private-name.png is not there") from error


@pytest.fixture
def logged(monkeypatch):
    """Record the log of a server."""
    for module, name in ((traceback, "print_exc"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    factory = logging.getLogRecordFactory()
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    quiet_logs(as_json=False)
    logging.getLogger("enhance").addHandler(handler)
    yield output
    logging.getLogger("enhance").removeHandler(handler)
    logging.setLogRecordFactory(factory)


def test_an_exception_is_logged_with_its_locations_but_without_its_message(logged):
    log = logging.getLogger("enhance.test")
    try:
        fail()
    except ValueError as error:
        log.exception("It failed")
        log.error("It failed: %s", error)
        traceback.print_exc()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    text = logged.getvalue()
    assert (text.count("\nValueError\n"), text.count("failed: ValueError\n")) == (3, 1)
    assert text.count("FileNotFoundError (No such file or directory)") == 3
    assert "test_log.py:" in text
    assert "private" not in text


def test_a_server_is_not_blocked_by_idle_connections_logs_no_file_name_and_ends_with_ctrl_c(
    forks, tmp_path
):
    """The server is on a Space, has an unknown variable, and calls fail before a run or in it."""
    variables = {"SYSTEM": "spaces", "SPACE_ID": "someone/enhance", "ENHANCE_MAX_PIXEL": "1"}
    server = fork_server(forks, tmp_path / "data", FEW_FILES, **variables, ENHANCE_LOG="json")
    cut = tmp_path / "private-cut.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(cut)
    cut.write_bytes(cut.read_bytes()[:-1000])
    wait_until(server.is_ready)
    with ExitStack() as connections:
        for _ in range(150):  # more than half of the limit
            connections.enter_context(connected(server.port, HALF))
            time.sleep(0.01)  # for the server to accept it
        for path in ("healthz", "", "config"):
            assert httpx.get(f"{server.url}{path}").status_code == 200
    client = Client(server.url, verbose=False, analytics_enabled=False)
    with pytest.raises(AppError, match="private-cut"):
        client.predict(image=handle_file(cut), preset="anime-fast", api_name="/enhance")
    client.close()
    api = f"{server.url}gradio_api/"
    assert httpx.post(f"{api}call/enhance", json={"data": "private-1.png"}).status_code == 400
    assert httpx.get(f"{api}file=/private-4.png").status_code == 403

    server.process.send_signal(signal.SIGINT)

    assert server.process.wait() == 130
    errors = server.process.errors.read_text()
    assert "private" not in errors + server.process.output.read_text()
    assert "KeyboardInterrupt" not in errors
    assert "Traceback" not in errors
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines if line["level"] == "WARNING"] == [
        "The environment variable ENHANCE_MAX_PIXEL is unknown and has no effect"
    ]
    assert not [line for line in lines if line["level"] == "ERROR"]
    assert sum(line.get("outcome") == "failed" for line in lines) == 1


def test_a_decoder_that_crashes_is_logged_without_the_name_of_its_file(caplog, tmp_path):
    dies = (
        "import os, sys; sys.path[:] = sys.argv[1:]\n"
        "from enhance.images.decode import _Parent\n"
        "parent = _Parent(); parent.send('ready'); parent.receive(); os._exit(3)"
    )
    workers = Workers(1, dies)
    with (
        caplog.at_level(logging.INFO, logger="enhance"),
        pytest.raises(PictureError, match=r"private-name\.png"),
    ):
        workers.request("facts", tmp_path / "private-name.png", None, None)
    workers.end_idle()
    assert "ended with 3" in caplog.text
    assert "private" not in caplog.text
