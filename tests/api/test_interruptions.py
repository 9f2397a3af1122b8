"""Programs that are stopped, whose output is closed, or whose folders are read-only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from enhance import models

from ..site import photo, wait_until
from .programs import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]
AS_FIRST_PROCESS = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def write_photo(path: Path, height: int, width: int, copies: int = 1) -> Path:
    """Write a photo, repeated vertically. To enhance five copies of 400 x 360 px takes seconds."""
    Image.fromarray(np.tile(photo(height, width), (copies, 1, 1))).save(path)
    return path


def test_a_stopped_batch_keeps_finished_files_and_resumes(start, tmp_path):
    quick, slow = (
        write_photo(tmp_path / "a.png", 24, 32),
        write_photo(tmp_path / "b.png", 400, 360, 5),
    )
    out, times = tmp_path / "out", []
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        batch = start("-m", "enhance", "run", quick, slow, "-o", out, *FAST)
        wait_until(
            lambda: (out / "a.png").exists() and len(list(out.iterdir())) == 2
        )  # the other file has begun
        status, _, errors = batch.end(number)
        assert status == expected
        assert "Traceback" not in errors
        assert [path.name for path in out.iterdir()] == ["a.png"], (
            "the other photo was not finished"
        )
        times.append((out / "a.png").stat().st_mtime_ns)
    assert times[0] == times[1], "the finished file is not written again"


def can_be_first_process() -> bool:
    tried = shutil.which("unshare") and subprocess.run(
        [*AS_FIRST_PROCESS, "true"], capture_output=True, check=False
    )
    return bool(tried) and tried.returncode == 0


def test_sigterm_ends_a_running_server_that_is_the_first_process_of_a_container(start, tmp_path):
    server = start("app.py", wrapper=AS_FIRST_PROCESS if can_be_first_process() else None)
    wait_until(server.is_ready)
    image = handle_file(write_photo(tmp_path / "photo.png", 400, 360, 5))
    client = Client(server.url, verbose=False, analytics_enabled=False)
    client.submit(image=image, preset="anime-fast", api_name="/enhance")
    wait_until(server.is_writing)

    status, _, errors = server.end(signal.SIGTERM)

    assert (status, server.partial_files()) == (0, [])
    assert "Traceback" not in errors


def test_a_server_whose_port_is_in_use_ends_with_one_sentence(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = start("app.py", wrapper=["env", f"GRADIO_SERVER_PORT={port}"])
        _, errors = server.process.communicate(timeout=120)
    assert server.process.returncode == 1, errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("enhance: ")]
    assert port in sentence
    assert "Traceback" not in errors


def make_read_only(folder: Path) -> list[str]:
    """Make a folder read-only. Return a command prefix that makes it so even for programs of
    root."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if (
        not shutil.which("unshare")
        or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting is not allowed")
    return wrapper


def test_a_read_only_folder_of_weights_and_data_is_used_as_far_as_possible(tmp_path, monkeypatch):
    image, folder = write_photo(tmp_path / "a.png", 24, 32), tmp_path / "closed"
    folder.mkdir()
    for file in models.folder().glob("realesr-animevideov3.*"):
        shutil.copy(file, folder)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(folder))
    monkeypatch.setenv("ENHANCE_DATA", str(folder))
    runs = [["run", str(image), *FAST], ["run", str(write_photo(folder / "b.png", 24, 32)), *FAST]]
    script = (
        "import json; from enhance import Enhancer; from enhance.cli import main\n"
        "print(json.dumps(Enhancer().presets()))\n"
        f"print(main({runs[0]!r}), main({runs[1]!r}))"
    )
    command = [*make_read_only(folder), sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    listed, *_, statuses = ended.stdout.splitlines()
    presets = {preset["name"]: preset for preset in json.loads(listed)}
    assert [name for name, preset in presets.items() if preset["available"]] == ["anime-fast"]
    assert presets["gentle"]["reason"]
    assert statuses == "0 1"
    assert (tmp_path / "a-4x.png").exists()
    assert (
        f"No permission to save the result in {folder}. Use -o to choose another folder."
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr
